package state

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

var rewrite = flag.Bool("update", false, "write the golden snapshot of the current version")

// bytesOf returns a reader of the snapshot of s.
func bytesOf(t testing.TB, s *State) *bytes.Reader {
	t.Helper()
	return bytes.NewReader(snapshotBytes(t, s))
}

// populate makes a state that has some of everything.
func populate(t testing.TB) *State {
	t.Helper()
	s := newScript(t, Limits{})
	s.do(wire.OpSet, "users", "alice", "v1")
	s.do(wire.OpSet, "users", "bob", strings.Repeat("b", 70_000), ttl(5000))
	s.do(wire.OpSet, "users", "carol", "v3", ttl(50), maxIdle(20))
	s.do(wire.OpSet, "ü", "k", "v", maxIdle(7))
	s.do(wire.OpSet, "gone", "k", "v")
	s.whole(wire.OpDestroy, "gone")
	s.do(wire.OpSet, "empty", "k", "v")
	s.whole(wire.OpClear, "empty")
	s.raw(call(1, 4, 2, 60_000, writeOp(wire.OpPut, "users", "alice", "v2")))
	s.raw(call(1, 5, 2, 50_000, writeOp(wire.OpReplace, "users", "nobody", "v")))
	s.raw(call(7, 1, 1, 40_000, writeOp(wire.OpSet, "users", "nobody", "v", func(w *wire.WriteBody) { w.Flags |= wire.WriteVersion; w.IfVersion = 9 })))
	many := wire.ManyBody{Map: []byte("users"), Keys: [][]byte{[]byte("dave"), []byte("erin")}, Values: [][]byte{[]byte("d"), []byte("e")}}
	s.raw(call(7, 2, 1, 40_000, &entry.Op{Code: wire.OpSetMany, Body: wire.AppendManyBody(nil, &many)}))
	s.do(wire.OpSetTTL, "users", "dave", "", ttl(30))
	s.do(wire.OpEvict, "users", "erin", "")
	s.raw(call(1, 6, 2, 60_000, lockOp(wire.OpLock, "users", "alice", 1, 30_000)))
	s.raw(call(7, 3, 1, 40_000, lockOp(wire.OpLock, "users", "alice", 2, 20_000, 10_000)))
	s.raw(lockOp(wire.OpLock, "users", "alice", 3, 1<<63, 1<<63))
	s.raw(lockOp(wire.OpLock, "nothing", "here", 4, 10))
	s.raw(lockOp(wire.OpLock, "users", "bob", 4, 1000))
	s.raw(unlockOp("users", "bob", 4, 0))
	s.raw(lockOp(wire.OpLoad, "users", "zed", 5, 10_000))
	s.raw(lockOp(wire.OpLoad, "users", "zed", 6, 10_000, 10_000))
	s.raw(boundOp(100, 200_000))
	s.Advance(1025, 4)
	return s.State
}

// The golden snapshot loads and shows the same state.
func TestGoldenSnapshot(t *testing.T) {
	path := filepath.Join("testdata", "snapshot-v3.bin")
	want := populate(t)
	if *rewrite {
		if err := os.WriteFile(path, snapshotBytes(t, want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, golden := restoreFile(t, path)
	if got.Hash() != want.Hash() || got.RecordBytes() != want.RecordBytes() {
		t.Fatalf("hash %x, want %x: what made the snapshot makes another state now", got.Hash(), want.Hash())
	}
	if !bytes.Equal(snapshotBytes(t, want), golden) {
		t.Fatal("the same state has other bytes now: that needs another version of the snapshot")
	}
}

// restoreFile returns the state of a snapshot in a file, and the file.
func restoreFile(t *testing.T, path string) (*State, []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Restore(bytes.NewReader(b), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.checkInvariants(); err != nil {
		t.Fatal(err)
	}
	return s, b
}

// A snapshot of the version before lacks the ring's bounds, and is the same otherwise.
func TestSnapshotOfTheVersionBefore(t *testing.T) {
	got, _ := restoreFile(t, filepath.Join("testdata", "snapshot-v2.bin"))
	got.Apply(boundOp(100, 200_000))
	if want := populate(t); got.Hash() != want.Hash() {
		t.Fatalf("hash %x, want %x", got.Hash(), want.Hash())
	}
}

// A restored state goes on as the one it was made from.
func TestRestoredStateGoesOn(t *testing.T) {
	a := populate(t)
	b, err := Restore(iotest.HalfReader(bytesOf(t, a)), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*State{a, b} {
		s.Advance(1040, 9)
		for _, op := range []*entry.Op{
			call(1, 4, 2, 60_000, writeOp(wire.OpPut, "users", "alice", "v2")),
			call(1, 6, 5, 60_000, writeOp(wire.OpRemove, "users", "bob", "")),
			{Code: wire.OpSweep, Body: wire.AppendSweepBody(nil, wire.SweepBody{Limit: 9})},
			writeOp(wire.OpSet, "gone", "k", "v"),
			writeOp(wire.OpSet, "empty", "k", "v"),
			call(7, 3, 1, 40_000, lockOp(wire.OpLock, "users", "alice", 2, 20_000, 10_000)),
			unlockOp("users", "alice", 1, 0),
			lockOp(wire.OpLock, "users", "bob", 2, 20),
			{Code: wire.OpResume},
		} {
			if r := s.Apply(op); r.Code != wire.CodeOK {
				t.Fatalf("%v: %v", op.Code, r.Code)
			}
		}
		s.Advance(70_000, 9)
		if err := s.checkInvariants(); err != nil {
			t.Fatal(err)
		}
	}
	if a.Hash() != b.Hash() {
		t.Fatalf("hashes %x, %x", a.Hash(), b.Hash())
	}
}

// Every part of the state is in the hash.
func TestHashSeesEverything(t *testing.T) {
	seen := map[uint64]string{populate(t).Hash(): "unchanged"}
	for name, change := range map[string]func(*State){
		"clock":      func(s *State) { s.clock++ },
		"published":  func(s *State) { s.published++ },
		"counter":    func(s *State) { s.counter++ },
		"generation": func(s *State) { s.generation++ },
		"position":   func(s *State) { s.ring.last++ },
		"ended":      func(s *State) { s.ended++ },
		"ending":     func(s *State) { s.recent.add(endedMap{"gone", 3, 1}) },
		"loss":       func(s *State) { s.MarkLoss() },
		"beginning":  func(s *State) { s.begin(generationStart{1, 3, false}) },
		"map's end":  func(s *State) { s.find([]byte("ü")).pos++ },
		"bounds":     func(s *State) { s.ring.set.Bytes++ },
		"event":      func(s *State) { s.ring.at(3).time++ },
		"seq":        func(s *State) { s.find([]byte("ü")).seq++ },
		"entry":      func(s *State) { s.Apply(writeOp(wire.OpSet, "users", "zoe", "v")) },
		"floor":      func(s *State) { s.calls.admit(wire.ID{1}, 3, 1025, s.clock) },
		"window":     func(s *State) { s.calls.admit(wire.ID{2}, 0, 1025, s.clock) },
		"look":       func(s *State) { s.calls.take(wire.ID{1}).look-- },
		"swept":      func(s *State) { s.locks.swept++ },
		"lock":       func(s *State) { s.locks.find([]byte("users"), []byte("alice")).lease++ },
		"load":       func(s *State) { s.loads.find([]byte("users"), []byte("zed")).lease++ },
		"loads":      func(s *State) { s.loads.swept++ },
		"waiter":     func(s *State) { s.locks.find([]byte("users"), []byte("alice")).waiters[1].until-- },
		"fence":      func(s *State) { s.locks.find([]byte("users"), []byte("bob")).fence-- },
		"record":     func(s *State) { s.calls.take(wire.ID{1}).get(4).flags ^= 1 },
	} {
		s := populate(t)
		change(s)
		if other, ok := seen[s.Hash()]; ok {
			t.Errorf("%s: the hash is that of %s", name, other)
		}
		seen[s.Hash()] = name
	}
}

// A snapshot is what it was when it was frozen, while operations of every kind go on beside its writing. Run with -race.
func TestSnapshotBesideApply(t *testing.T) {
	s := populate(t)
	for i := range 500 {
		s.Apply(writeOp(wire.OpSet, "users", "key"+string(rune('a'+i%26))+strings.Repeat("x", i/26), "v", ttl(uint64(10_000+i))))
	}
	for round := range 5 {
		want := snapshotBytes(t, s)
		img := s.Freeze()
		pr, pw := io.Pipe()
		done := make(chan error, 1)
		go func() {
			_, err := img.WriteTo(pw)
			done <- errors.Join(err, pw.Close())
		}()
		var got bytes.Buffer
		for i := range 200 {
			// One chunk is read for each operation, so that they take turns.
			_, err := io.CopyN(&got, pr, int64(len(want)/200+1))
			if err != nil && !errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
			key := "key" + string(rune('a'+(i*7+round)%26)) + strings.Repeat("x", i%20)
			s.Advance(s.Clock()+1, s.LastPos())
			for _, op := range []*entry.Op{
				call(3, uint64(round*1000+i+1), uint64(round*1000+i/2), s.Clock()+100, writeOp(wire.OpPut, "users", key, "changed", ttl(50))),
				writeOp(wire.OpRemove, "users", key+"x", ""),
				writeOp(wire.OpSet, "new"+key[3:4], key, "v"),
				{Code: wire.OpSweep, Body: wire.AppendSweepBody(nil, wire.SweepBody{Limit: 2})},
				lockOp(wire.OpLock, "users", key[3:4], byte(1+i%5), uint64(1+i%9), 20),
				unlockOp("users", key[3:4], byte(1+i%3), 0),
			} {
				s.Apply(op)
			}
			switch i {
			case 100:
				s.Apply(&entry.Op{Code: wire.OpClear, Body: wire.AppendMapBody(nil, "users")})
			case 150:
				s.Apply(&entry.Op{Code: wire.OpDestroy, Body: wire.AppendMapBody(nil, "ü")})
			}
		}
		if _, err := io.Copy(&got, pr); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Bytes(), want) {
			t.Fatalf("round %d: the snapshot has changed", round)
		}
		if err := s.checkInvariants(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestClosedSnapshot(t *testing.T) {
	img := populate(t).Freeze()
	for range 2 {
		if err := img.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := img.WriteTo(io.Discard); n != 0 || err == nil {
		t.Fatalf("%d, %v", n, err)
	}
}

func TestWriteToReportsErrors(t *testing.T) {
	img := populate(t).Freeze()
	var buf bytes.Buffer
	full, err := img.WriteTo(&buf)
	if err != nil || full != int64(buf.Len()) {
		t.Fatalf("%d of %d, %v", full, buf.Len(), err)
	}
	broken := errors.New("broken")
	for _, after := range []int64{0, 3, 100, full - 1} {
		n, err := img.WriteTo(&failing{left: after, err: broken})
		if !errors.Is(err, broken) || n > after {
			t.Errorf("after %d bytes: %d, %v", after, n, err)
		}
	}
}

// failing takes some bytes, then fails.
type failing struct {
	left int64
	err  error
}

func (f *failing) Write(p []byte) (int, error) {
	if int64(len(p)) > f.left {
		n := f.left
		f.left = 0
		return int(n), f.err
	}
	f.left -= int64(len(p))
	return len(p), nil
}

// Restore reads to the end of the snapshot and not beyond.
func TestRestoreStopsAtTheEnd(t *testing.T) {
	s := populate(t)
	r := io.MultiReader(bytesOf(t, s), strings.NewReader("tail"))
	if _, err := Restore(r, Limits{}); err != nil {
		t.Fatal(err)
	}
	if rest, _ := io.ReadAll(r); string(rest) != "tail" {
		t.Fatalf("%q is left", rest)
	}
}

// No snapshot with a bit flipped, cut short, or with a reader that fails is accepted.
func TestRestoreRefusesDamage(t *testing.T) {
	good := snapshotBytes(t, populate(t))
	for i := 0; i < len(good); i += 1 + i/64 {
		if _, err := Restore(bytes.NewReader(good[:i]), Limits{}); !errors.Is(err, ErrSnapshot) {
			t.Fatalf("cut at %d: %v", i, err)
		}
		bad := bytes.Clone(good)
		bad[i] ^= 1 << (i % 8)
		if s, err := Restore(bytes.NewReader(bad), Limits{}); !errors.Is(err, ErrSnapshot) || s != nil {
			t.Fatalf("damaged at %d: %v", i, err)
		}
	}
	broken := errors.New("broken")
	if _, err := Restore(io.MultiReader(bytes.NewReader(good[:500]), iotest.ErrReader(broken)), Limits{}); !errors.Is(err, broken) || errors.Is(err, ErrSnapshot) {
		t.Fatalf("a reader's error: %v", err)
	}
}

// A smaller ring takes the newest events of a snapshot.
func TestRestoreIntoSmallerRing(t *testing.T) {
	a := populate(t)
	a.Apply(boundOp(0, 0))
	b, err := Restore(bytesOf(t, a), Limits{RingEvents: 3})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.checkInvariants(); err != nil {
		t.Fatal(err)
	}
	events, lost := b.EventsFrom(0, nil)
	if len(events) != 3 || !lost || events[2].Pos != a.LastPos() {
		t.Fatalf("%d events, lost %v", len(events), lost)
	}
}

// A block may end anywhere, also inside a number.
func TestRestoreAcrossBlocks(t *testing.T) {
	want := populate(t)
	payload := unseal(snapshotBytes(t, want))
	for cut := 1; cut < len(payload); cut++ {
		if bytes.HasPrefix(payload[cut-1:], bytes.Repeat([]byte("b"), 100)) {
			continue // inside a long value
		}
		got, err := Restore(bytes.NewReader(sealCut(payload, cut)), Limits{})
		if err != nil {
			t.Fatalf("a block that ends at %d of %d: %v", cut, len(payload), err)
		}
		if got.Hash() != want.Hash() {
			t.Fatalf("a block that ends at %d of %d makes another state", cut, len(payload))
		}
	}
}

// seal makes a snapshot of payload, with right checksums.
func seal(payload []byte) []byte { return sealCut(payload, snapshotBlock) }

// sealCut is seal with a block that ends at cut.
func sealCut(payload []byte, cut int) []byte {
	out := append([]byte(snapshotMagic), snapshotVersion)
	crc := uint32(0)
	for len(payload) > 0 {
		n := min(len(payload), snapshotBlock)
		if cut > 0 {
			n = min(n, cut)
		}
		cut -= n
		crc = crc32.Update(crc, castagnoli, payload[:n])
		out = binary.BigEndian.AppendUint32(out, uint32(n))
		out = binary.BigEndian.AppendUint32(append(out, payload[:n]...), crc)
		payload = payload[n:]
	}
	return binary.BigEndian.AppendUint32(append(out, 0, 0, 0, 0), crc)
}

// unseal returns the payload of a snapshot.
func unseal(snapshot []byte) (payload []byte) {
	snapshot = snapshot[len(snapshotMagic)+1:]
	for len(snapshot) >= 4+crcSize {
		n := binary.BigEndian.Uint32(snapshot)
		payload = append(payload, snapshot[4:4+n]...)
		snapshot = snapshot[4+n+crcSize:]
	}
	return payload
}

// FuzzRestore gives Restore any payload under right checksums: it must not panic, and what it accepts must be a sound state
// with the same snapshot.
func FuzzRestore(f *testing.F) {
	small := newScript(f, Limits{})
	small.do(wire.OpSet, "m", "k", "v", ttl(9))
	small.raw(call(1, 1, 1, 5000, writeOp(wire.OpPut, "m", "k", "w", maxIdle(3))))
	small.whole(wire.OpDestroy, "m")
	small.do(wire.OpSet, "m", "k", "v", ttl(9))
	f.Add(unseal(snapshotBytes(f, small.State)))
	small.whole(wire.OpClear, "m")
	small.do(wire.OpSet, "ü", "k", "v", maxIdle(1))
	small.raw(call(2, 1, 0, 70_000, writeOp(wire.OpReplace, "m", "k", "w")))
	f.Add(unseal(snapshotBytes(f, small.State)))
	small.raw(lockOp(wire.OpLock, "m", "k", 1, 5000, 1))
	small.raw(lockOp(wire.OpLock, "m", "k", 2, 5000, 1))
	small.raw(lockOp(wire.OpLock, "m", "l", 2, 5000))
	small.raw(unlockOp("m", "l", 2, 0))
	f.Add(unseal(snapshotBytes(f, small.State)))
	f.Add(unseal(snapshotBytes(f, New(1, Limits{}))))
	f.Fuzz(func(t *testing.T, payload []byte) {
		snapshot := seal(payload)
		s, err := Restore(bytes.NewReader(snapshot), Limits{RingBytes: 1 << 30, RingEvents: 1 << 30})
		if err != nil {
			if !errors.Is(err, ErrSnapshot) {
				t.Fatalf("%v", err)
			}
			return
		}
		if err := s.checkInvariants(); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(snapshotBytes(t, s), snapshot) {
			t.Fatal("another snapshot than it was restored from")
		}
		s.Advance(s.Clock()+1000, 0)
		s.Apply(&entry.Op{Code: wire.OpSweep, Body: wire.AppendSweepBody(nil, wire.SweepBody{Limit: 100})})
		s.Apply(call(1, 9, 9, s.Clock(), writeOp(wire.OpPut, "m", "k", "w")))
		s.Apply(unlockOp("m", "k", 1, 0))
		s.Apply(lockOp(wire.OpLock, "m", "k", 3, 1))
		if err := s.checkInvariants(); err != nil {
			t.Fatal(err)
		}
	})
}
