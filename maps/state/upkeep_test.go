package state

import (
	"slices"
	"testing"

	"github.com/gridiron-io/gridiron/maps/internal/use"
	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// owner applies an operation of the owner and returns how many entries it concerned.
func (s *script) owner(code wire.Op, body []byte) uint64 {
	s.t.Helper()
	r := s.raw(&entry.Op{Code: code, Body: body})
	d := wire.NewReader(r.Body)
	n := d.Uvarint()
	if err := d.Done(); err != nil || r.Code != wire.CodeOK {
		s.t.Fatalf("%v: %v, %v", code, r.Code, err)
	}
	return n
}

func (s *script) touch(name, key string, at int64) uint64 {
	s.t.Helper()
	return s.owner(wire.OpTouch, wire.AppendTouchBody(nil, &wire.TouchBody{Map: []byte(name), Keys: [][]byte{[]byte(key)}, At: []int64{at}}))
}

func (s *script) evict(name, key string, version uint64) uint64 {
	s.t.Helper()
	return s.owner(wire.OpEvictMany, wire.AppendEvictBody(nil, &wire.EvictBody{Map: []byte(name), Keys: [][]byte{[]byte(key)}, Versions: []uint64{version}}))
}

// A touch has the max-idle run from when the entry was used, and is no change of the entry.
func TestTouch(t *testing.T) {
	s := newScript(t, Limits{})
	set := s.do(wire.OpSet, "m", "k", "v", maxIdle(100), ttl(500))
	s.do(wire.OpSet, "m", "stays", "v", ttl(500))
	s.at(1060)
	if n := s.touch("m", "k", 1050); n != 1 {
		t.Fatalf("%d touched", n)
	}
	v, _ := s.Get([]byte("m"), []byte("k"))
	if v.Expires != 1150 || v.Touched != 1050 || v.Version != set.Version || v.Updated != 1000 || string(v.Value) != "v" {
		t.Fatalf("%+v", v)
	}
	if got := s.kinds("m"); got != "AA" || s.Counter() != 2 {
		t.Fatalf("events %s, counter %d", got, s.Counter())
	}
	for _, c := range []struct {
		key     string
		at      int64
		touched uint64
		expires int64
	}{
		{"k", 1040, 0, 1150}, // known to have been used later
		{"k", 1050, 0, 1150},
		{"stays", 1060, 0, 1500}, // without a max-idle
		{"missing", 1060, 0, 0},
		{"k", 9000, 1, 1160}, // no later than the clock
	} {
		n := s.touch("m", c.key, c.at)
		if v, _ := s.Get([]byte("m"), []byte(c.key)); n != c.touched || v.Expires != c.expires {
			t.Errorf("touch of %s at %d: %d touched, expires at %d", c.key, c.at, n, v.Expires)
		}
	}
	s.at(1160)
	if n := s.touch("m", "k", 1160); n != 0 || s.value("m", "k") != "" {
		t.Fatalf("%d touched: what has expired stays so", n)
	}
	if at, _ := s.NextDue(); at != 1160 || s.sweepUp(9) != 1 || s.kinds("m") != "AAX" {
		t.Fatalf("due at %d, events %s", at, s.kinds("m"))
	}
	if s.touch("nothing", "k", 1) != 0 {
		t.Fatal("a map that does not exist was touched")
	}
}

// An eviction takes the entry that was chosen and no other.
func TestEvictMany(t *testing.T) {
	s := newScript(t, Limits{})
	old := s.do(wire.OpSet, "m", "k", "v")
	again := s.do(wire.OpSet, "m", "k", "w")
	short := s.do(wire.OpSet, "m", "x", "v", ttl(10))
	if s.evict("m", "k", old.Version) != 0 || s.value("m", "k") != "w" {
		t.Fatal("an entry that was written since it was chosen is gone")
	}
	s.at(1010)
	if s.evict("m", "x", short.Version) != 0 || s.evict("m", "missing", 1) != 0 || s.evict("n", "k", again.Version) != 0 {
		t.Fatal("what has expired or never was, was evicted")
	}
	l := s.lock(lockOp(wire.OpLock, "m", "k", 1, 60_000))
	if s.evict("m", "k", again.Version) != 0 || s.value("m", "k") != "w" {
		t.Fatal("the entry of a locked key is gone")
	}
	s.raw(&entry.Op{Code: wire.OpUnlock, Body: wire.AppendUnlockBody(nil, &wire.UnlockBody{Map: []byte("m"), Key: []byte("k"), ID: wire.ID{1}, Fence: l.Fence})})
	if s.evict("m", "k", again.Version) != 1 || s.value("m", "k") != "" {
		t.Fatal("the entry that was chosen is still there")
	}
	if s.sweepUp(9) != 1 || s.kinds("m") != "AUAEX" {
		t.Fatalf("events %s", s.kinds("m"))
	}
	if got := s.Stats([]byte("m")); got.Entries != 0 || got.Expired != 1 || got.Evicted != 1 || got.Kept != 5 {
		t.Fatalf("%+v", got)
	}
	if got := s.Stats([]byte("n")); got != (MapStats{}) {
		t.Fatalf("%+v", got)
	}
}

func TestStatsOfWhatWaitsForTheSweep(t *testing.T) {
	s := newScript(t, Limits{})
	s.do(wire.OpSet, "m", "a", "v")
	one := s.Stats([]byte("m"))
	s.do(wire.OpSet, "m", "b", "v", ttl(10))
	s.at(1017)
	got := s.Stats([]byte("m"))
	if got.Entries != 1 || got.Held != 2 || got.Bytes <= one.Bytes || got.Expired != 0 {
		t.Fatalf("%+v", got)
	}
	s.sweepUp(9)
	one.ExpiryLag = 7
	one.Expired, one.Kept, one.KeptBytes = 1, 3, 3*34 // both were added, and one expired
	if got := s.Stats([]byte("m")); got != one {
		t.Fatalf("%+v, want %+v", got, one)
	}
}

func TestCandidates(t *testing.T) {
	s := newScript(t, Limits{})
	for _, key := range []string{"d", "b", "a", "c"} {
		s.do(wire.OpSet, "m", key, "v")
	}
	s.do(wire.OpSet, "m", "aa", "v", ttl(10))
	s.lock(lockOp(wire.OpLock, "m", "c", 1, 60_000))
	s.at(1010)
	var got []string
	for i := range s.Stats([]byte("m")).Held + 1 {
		if key, v, ok := s.Candidate([]byte("m"), i); ok {
			got = append(got, string(key)+string(v.Value))
		}
	}
	slices.Sort(got)
	// Neither the expired entry nor the locked entry is among them.
	if _, _, ok := s.Candidate([]byte("n"), 0); ok || !slices.Equal(got, []string{"av", "bv", "dv"}) {
		t.Fatalf("candidates %s", got)
	}
}

// The use stays with the key through writes of the entry, and is nothing that replicas share.
func TestUse(t *testing.T) {
	s := newScript(t, Limits{})
	used := func() *use.Word {
		v, ok := s.Get([]byte("m"), []byte("k"))
		if !ok {
			t.Fatal("no entry")
		}
		return v.Use
	}
	for size := range 20 { // wherever the word comes to stand
		s.do(wire.OpSet, "m", "k", "0123456789abcdefghijklmn"[:1+size])
		if size > 0 && *used() != use.Word(size) {
			t.Fatalf("%d after %d writes", *used(), size)
		}
		before := s.Hash()
		*used()++
		if s.Hash() != before {
			t.Fatal("the hash has changed with the use")
		}
	}
	s.do(wire.OpSetTTL, "m", "k", "", ttl(50), maxIdle(20))
	s.at(1001)
	s.touch("m", "k", 1001)
	if *used() != 20 {
		t.Fatalf("%d after SetTTL and a touch", *used())
	}
	restored, err := Restore(bytesOf(t, s.State), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if v, _ := restored.Get([]byte("m"), []byte("k")); *v.Use != 0 {
		t.Fatalf("%d after a restore", *v.Use)
	}
	s.do(wire.OpDelete, "m", "k", "")
	s.do(wire.OpSet, "m", "k", "v")
	if *used() != 0 {
		t.Fatalf("a new entry begins with %d", *used())
	}
}
