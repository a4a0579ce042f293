package state

import (
	"bytes"
	"fmt"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

var (
	machineMaps    = []string{"a", "b", "ü"}
	machineKeys    = []string{"k", "k0", "k1", "l", "m"}
	machineClients = []wire.ID{{}, {1}, {2}, {1, 0, 0, 9}}
	machineLimits  = Limits{RingBytes: 600, RingEvents: 9, EventValues: 24, LockWaiters: 3, LockBytes: 900, FreeLockBytes: 650, EndedBytes: 170}
)

// machine drives a state, a replica of it and the model with the same operations.
type machine struct {
	state, replica *State
	model          *model
	seqs           map[wire.ID]uint64
	sent           []modelOp
}

func newMachine() *machine {
	return &machine{state: New(3, machineLimits), replica: New(3, machineLimits), model: newModel(3, machineLimits), seqs: map[wire.ID]uint64{}}
}

func drawValue(t *rapid.T) []byte {
	return bytes.Repeat([]byte{rapid.Byte().Draw(t, "value")}, rapid.SampledFrom([]int{1, 1, 2, 10, 30, 700}).Draw(t, "size"))
}

func drawOptions(t *rapid.T) (o wire.WriteOptions) {
	duration := rapid.SampledFrom([]uint64{0, 1, 2, 10, 50, 1 << 61, wire.Forever - 1, wire.Forever, 1 << 63})
	switch rapid.IntRange(0, 6).Draw(t, "lifetime") {
	case 0:
		o.Flags, o.TTL = wire.WriteTTL, duration.Draw(t, "ttl")
	case 1:
		o.Flags, o.MaxIdle = wire.WriteMaxIdle, duration.Draw(t, "max-idle")
	case 2:
		o.Flags, o.TTL, o.MaxIdle = wire.WriteTTL|wire.WriteMaxIdle, duration.Draw(t, "ttl"), duration.Draw(t, "max-idle")
	case 3:
		o.Flags = wire.WriteKeepTTL
	case 4: // with the map's own for an entry that does not exist
		o.Flags = wire.WriteKeepTTL | wire.WriteTTL | wire.WriteMaxIdle
		o.TTL, o.MaxIdle = duration.Draw(t, "ttl"), duration.Draw(t, "max-idle")
	}
	return o
}

// drawCondition draws what the write of a key depends on.
func (ma *machine) drawCondition(t *rapid.T, op *modelOp, o *wire.WriteOptions) {
	m := ma.model
	switch rapid.IntRange(0, 9).Draw(t, "condition") {
	case 0:
		o.Flags |= wire.WriteVersion
		o.IfVersion = uint64(wire.StampOf(m.generation, uint64(rapid.IntRange(1, int(m.counter)+1).Draw(t, "version"))))
	case 1:
		o.Flags, o.Fence = o.Flags|wire.WriteFence, ma.drawFence(t, op.name, string(op.write.Key))
	case 2:
		o.Flags |= wire.WriteNoStore
	}
}

func (m *machine) drawOp(t *rapid.T) *modelOp {
	op := &modelOp{code: rapid.SampledFrom([]wire.Op{wire.OpSet, wire.OpSet, wire.OpPut, wire.OpPutIfAbsent, wire.OpReplace, wire.OpReplaceIfSame,
		wire.OpRemove, wire.OpRemoveIfSame, wire.OpDelete, wire.OpSetTTL, wire.OpEvict, wire.OpSetMany, wire.OpDeleteMany, wire.OpClear,
		wire.OpDestroy, wire.OpSweep, wire.OpEvictMany, wire.OpTouch, wire.OpRemoveAll, wire.OpBoundRing,
		wire.OpUpdate, wire.OpUpdate, wire.OpUpdate,
		wire.OpLock, wire.OpLock, wire.OpLock, wire.OpRenew, wire.OpUnlock, wire.OpUnlock, wire.OpForceUnlock, wire.OpResume,
		wire.OpLoad, wire.OpLoad, wire.OpLoaded, wire.OpLoaded}).Draw(t, "op")}
	op.client = rapid.SampledFrom(machineClients).Draw(t, "client")
	if !op.client.IsZero() {
		m.seqs[op.client]++
		op.seq = m.seqs[op.client]
		if rapid.IntRange(0, 4).Draw(t, "order") == 0 {
			op.seq = uint64(rapid.IntRange(0, int(op.seq)+2).Draw(t, "seq"))
		}
		if rapid.IntRange(0, 2).Draw(t, "acknowledge") == 0 {
			op.lowest = uint64(rapid.IntRange(0, int(op.seq)+1).Draw(t, "lowest"))
		}
		op.deadline = m.model.clock + int64(rapid.SampledFrom([]int{-1, 0, 1, 30, 1000, 60_000}).Draw(t, "deadline"))
	}
	name, key := rapid.SampledFrom(machineMaps), rapid.SampledFrom(machineKeys)
	op.name = name.Draw(t, "map")
	op.limit = uint32(rapid.IntRange(0, 4).Draw(t, "limit"))
	op.write.Map, op.write.Key = []byte(op.name), []byte(key.Draw(t, "key"))
	op.many.Map = op.write.Map
	switch op.code {
	case wire.OpClear, wire.OpDestroy, wire.OpSweep, wire.OpBoundRing:
		return op
	case wire.OpLock, wire.OpRenew, wire.OpUnlock, wire.OpForceUnlock, wire.OpResume, wire.OpLoad, wire.OpLoaded:
		m.drawLock(t, op)
		return op
	case wire.OpEvictMany, wire.OpTouch, wire.OpRemoveAll:
		m.drawKeys(t, op)
		return op
	case wire.OpRemove, wire.OpRemoveIfSame, wire.OpDelete, wire.OpEvict:
		m.drawCondition(t, op, &op.write.WriteOptions)
		if rapid.IntRange(0, 19).Draw(t, "misplaced") == 0 {
			op.write.Flags |= wire.WriteKeepTTL
		}
	case wire.OpDeleteMany:
		m.drawCondition(t, op, &op.many.WriteOptions)
	case wire.OpUpdate:
		m.drawUpdate(t, op)
		return op
	default:
		op.write.WriteOptions = drawOptions(t)
		m.drawCondition(t, op, &op.write.WriteOptions)
		op.many.WriteOptions = op.write.WriteOptions
	}
	if op.code == wire.OpSetTTL {
		op.write.Flags = op.write.Flags&^wire.WriteKeepTTL | wire.WriteTTL
	}
	if op.code == wire.OpSetMany || op.code == wire.OpDeleteMany {
		for range rapid.IntRange(0, 4).Draw(t, "keys") {
			op.many.Keys = append(op.many.Keys, []byte(key.Draw(t, "key")))
			if op.code == wire.OpSetMany {
				op.many.Values = append(op.many.Values, drawValue(t))
			}
		}
		if op.code == wire.OpSetMany && op.many.Values == nil {
			op.many.Values = [][]byte{}
		}
		return op
	}
	switch op.code {
	case wire.OpSet, wire.OpPut, wire.OpPutIfAbsent, wire.OpReplace, wire.OpReplaceIfSame:
		op.write.Value = drawValue(t)
	}
	if op.code == wire.OpReplaceIfSame || op.code == wire.OpRemoveIfSame {
		op.write.Expected = []byte{0}
		if mm := m.model.maps[op.name]; mm != nil && rapid.Bool().Draw(t, "same") {
			if e, ok := mm.entries[string(op.write.Key)]; ok {
				op.write.Expected = e.value
			}
		}
	}
	return op
}

// drawUpdate draws a processor, which mostly fits a value that others have stored.
func (m *machine) drawUpdate(t *rapid.T, op *modelOp) {
	op.write.WriteOptions = drawOptions(t)
	m.drawCondition(t, op, &op.write.WriteOptions)
	op.update = wire.UpdateBody{Map: op.write.Map, Key: op.write.Key, WriteOptions: op.write.WriteOptions, Most: 500}
	small := rapid.SampledFrom([]string{"\x01", "\x7f", "\xff", "\xa1a", "\xc0", "\xc4\x01b", "\x91\x01", "\x81\xa1a\x01"})
	switch op.update.Processor = wire.Processor(rapid.IntRange(1, 7).Draw(t, "processor")); op.update.Processor {
	case wire.ProcessIncrement:
		op.update.Arg = []byte(rapid.SampledFrom([]string{"\x01", "\xff", "\x93\x01\x00\x7f"}).Draw(t, "delta"))
	case wire.ProcessCompareAndSet:
		op.update.Arg = []byte("\x92\x00" + small.Draw(t, "value"))
	default:
		op.update.Arg = []byte(small.Draw(t, "argument"))
	}
}

// drawKeys draws what the owner does with keys of a map: those that exist mostly with their own version.
func (m *machine) drawKeys(t *rapid.T, op *modelOp) {
	op.evict.Map, op.touch.Map, op.removal.Map = op.write.Map, op.write.Map, op.write.Map
	op.removal.Next = rapid.SampledFrom([][]byte{nil, []byte("next")}).Draw(t, "next")
	for range rapid.IntRange(0, 3).Draw(t, "keys") {
		key := rapid.SampledFrom(machineKeys).Draw(t, "key")
		version := uint64(rapid.IntRange(0, 3).Draw(t, "version"))
		if mm := m.model.maps[op.name]; mm != nil && version != 0 {
			version = mm.entries[key].version
		}
		op.evict.Keys, op.evict.Versions = append(op.evict.Keys, []byte(key)), append(op.evict.Versions, version)
		op.touch.Keys = append(op.touch.Keys, []byte(key))
		op.removal.Keys, op.removal.Versions = op.evict.Keys, op.evict.Versions
		op.touch.At = append(op.touch.At, m.model.clock-int64(rapid.SampledFrom([]int{-9, 0, 0, 1, 2, 20}).Draw(t, "ago")))
	}
}

// encode returns op as it stands in the log.
func (op *modelOp) encode() *entry.Op {
	e := &entry.Op{Code: op.code, Client: op.client, Seq: op.seq, Lowest: op.lowest, Deadline: op.deadline}
	switch op.code {
	case wire.OpSetMany, wire.OpDeleteMany:
		e.Body = wire.AppendManyBody(nil, &op.many)
	case wire.OpClear, wire.OpDestroy:
		e.Body = wire.AppendMapBody(nil, op.name)
	case wire.OpSweep:
		e.Body = wire.AppendSweepBody(nil, wire.SweepBody{Limit: op.limit})
	case wire.OpLoaded:
		e.Body = wire.AppendLoadedBody(nil, &op.loaded)
	case wire.OpLock, wire.OpRenew, wire.OpLoad:
		e.Body = wire.AppendLockBody(nil, &op.lock)
	case wire.OpUnlock:
		e.Body = wire.AppendUnlockBody(nil, &op.unlock)
	case wire.OpForceUnlock:
		e.Body = wire.AppendKeyBody(nil, op.name, op.write.Key)
	case wire.OpResume:
	case wire.OpBoundRing:
		e.Body = wire.AppendBoundRingBody(nil, op.bounds())
	case wire.OpEvictMany:
		e.Body = wire.AppendEvictBody(nil, &op.evict)
	case wire.OpRemoveAll:
		e.Body = wire.AppendRemovalBody(nil, &op.removal)
	case wire.OpTouch:
		e.Body = wire.AppendTouchBody(nil, &op.touch)
	case wire.OpUpdate:
		e.Body = wire.AppendUpdateBody(nil, &op.update)
	default:
		e.Body = wire.AppendWriteBody(nil, &op.write)
	}
	return e
}

// apply executes op everywhere and compares the answers. Bodies are overwritten afterwards: nothing kept may alias them.
func (m *machine) apply(t *rapid.T, op *modelOp) {
	before := m.model.lockCopies()
	code, body := m.model.apply(op)
	defer m.checkLeases(t, op, before)
	for _, s := range []*State{m.state, m.replica} {
		e := op.encode()
		got := s.Apply(e)
		if got.Code != code {
			t.Fatalf("%v: code %v (%q), want %v", op.code, got.Code, got.Body, code)
		}
		switch code {
		case wire.CodeOK, wire.CodeConflict, wire.CodeFenced, wire.CodeLockNotHeld, wire.CodeOverloaded:
			if !bytes.Equal(got.Body, body) {
				t.Fatalf("%v: body %q, want %q", op.code, got.Body, body)
			}
		default:
			if len(got.Body) == 0 {
				t.Fatalf("%v: %v without a text", op.code, code)
			}
		}
		for i := range e.Body {
			e.Body[i] = 0xee
		}
	}
}

// compare looks at everything that can be read.
func (m *machine) compare(t *rapid.T) {
	s, model := m.state, m.model
	for _, s := range []*State{m.state, m.replica} {
		if err := s.checkInvariants(); err != nil {
			t.Fatal(err)
		}
	}
	if a, b := m.state.Hash(), m.replica.Hash(); a != b {
		t.Fatalf("hashes of two replicas differ: %x, %x", a, b)
	}
	if s.Clock() != model.clock || s.Counter() != model.counter || s.Published() != model.published || s.Generation() != model.generation || s.LastPos() != model.pos {
		t.Fatalf("clock %d, counter %d, published %d, generation %d, last %d: want %d %d %d %d %d", s.Clock(), s.Counter(), s.Published(),
			s.Generation(), s.LastPos(), model.clock, model.counter, model.published, model.generation, model.pos)
	}
	records := 0
	for _, c := range model.clients {
		records += windowCost
		for _, r := range c.records {
			records += recordCost + r.data
		}
	}
	if got := s.RecordBytes(); got != records {
		t.Fatalf("%d bytes of records, want %d", got, records)
	}
	m.compareMaps(t)
	m.compareLocks(t)
	m.compareEvents(t)
}

func (m *machine) compareMaps(t *rapid.T) {
	s, model := m.state, m.model
	var earliest int64
	infos := s.infos()
	if len(infos) != len(model.maps) {
		t.Fatalf("maps %+v, want %d", infos, len(model.maps))
	}
	for _, name := range machineMaps {
		var next int64
		if mm := model.maps[name]; mm != nil {
			for _, e := range mm.entries {
				at := e.expires()
				if at != 0 && (earliest == 0 || at < earliest) {
					earliest = at
				}
				if at > model.clock && (next == 0 || at < next) {
					next = at
				}
			}
		}
		if got, ok := s.MinExpires([]byte(name)); got != next || ok != (next != 0) {
			t.Fatalf("MinExpires(%s) = %d, %v, want %d", name, got, ok, next)
		}
		if got, want := s.Size([]byte(name)), model.size(name); got != want {
			t.Fatalf("Size(%s) = %d, want %d", name, got, want)
		}
		var keys []string
		if s.Scan([]byte(name), nil, 0, 0, func(key []byte, v Entry) bool {
			keys = append(keys, string(key))
			return true
		}) != nil {
			t.Fatalf("Scan(%s) without a bound did not end", name)
		}
		if want := model.keys(name); !reflect.DeepEqual(keys, want) {
			t.Fatalf("Scan(%s) = %q, want %q", name, keys, want)
		}
		m.comparePages(t, name, keys)
		for _, key := range machineKeys {
			m.compareEntry(t, name, key)
		}
	}
	for _, l := range model.locks {
		if l.freed == 0 && (earliest == 0 || l.ends < earliest) {
			earliest = l.ends
		}
	}
	if got, ok := s.NextDue(); got != earliest || ok != (earliest != 0) {
		t.Fatalf("NextDue() = %d, %v, want %d", got, ok, earliest)
	}
}

// comparePages reads the map in pages of two entries.
func (m *machine) comparePages(t *rapid.T, name string, want []string) {
	var got []string
	var after []byte
	for more := true; more; more = after != nil {
		after = m.state.Scan([]byte(name), after, 2, 0, func(key []byte, v Entry) bool {
			got = append(got, string(key))
			return true
		})
		if len(got) > len(want) {
			break
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("pages of %s: %q, want %q", name, got, want)
	}
}

func (m *machine) compareEntry(t *rapid.T, name, key string) {
	v, ok := m.state.Get([]byte(name), []byte(key))
	var want modelEntry
	found := false
	if mm := m.model.maps[name]; mm != nil {
		want, found = mm.entries[key]
		found = found && !m.model.gone(want, m.model.clock)
	}
	if ok != found {
		t.Fatalf("Get(%s, %s) found %v, want %v", name, key, ok, found)
	}
	later := m.model.clock + 5
	if due := m.state.Due([]byte(name), []byte(key), later); due != (found && m.model.gone(want, later)) {
		t.Fatalf("Due(%s, %s, %d) = %v", name, key, later, due)
	}
	if !found {
		return
	}
	got := fmt.Sprintf("%x %d %d %d %d %d %d %d", v.Value, v.Version, v.Created, v.Updated, v.Expires, v.TTL, v.MaxIdle, v.Touched)
	if exp := fmt.Sprintf("%x %d %d %d %d %d %d %d", want.value, want.version, want.created, want.updated, want.expires(), want.ttl, want.maxIdle, want.touched); got != exp {
		t.Fatalf("Get(%s, %s) = %s, want %s", name, key, got, exp)
	}
}

func (m *machine) compareEvents(t *rapid.T) {
	events, lost := m.state.EventsFrom(0, nil)
	if lost != (uint64(len(m.model.ring)) < m.model.pos) || len(events) != len(m.model.ring) {
		t.Fatalf("%d events, lost %v, want %d of %d", len(events), lost, len(m.model.ring), m.model.pos)
	}
	for i, e := range events {
		if want := m.model.shown(m.model.ring[i]); e.Map != want.name || !reflect.DeepEqual(e.Event, want.Event) {
			t.Fatalf("event %d of %s: %+v, want %s: %+v", i, e.Map, e.Event, want.name, want.Event)
		}
	}
	for _, name := range machineMaps {
		instance, seq := m.state.Position([]byte(name))
		if mm := m.model.maps[name]; mm == nil && (instance != 0 || seq != 0) || mm != nil && (instance != mm.instance || seq != mm.seq) {
			t.Fatalf("Position(%s) = %d, %d", name, instance, seq)
		}
		at := m.state.Standing([]byte(name))
		want := wire.Position{Pos: m.model.pos}
		want.Quiet, _ = m.model.endedAt(name)
		if mm := m.model.maps[name]; mm != nil {
			want.Quiet = mm.pos
		}
		if at != want {
			t.Fatalf("Standing(%s) = %+v, want %+v", name, at, want)
		}
		if list, more := m.state.Events([]byte(name), placeAt(m.state, name), 0, 0, nil); len(list) > 0 || more {
			t.Fatalf("events of %s after the present: %v, %v", name, list, more)
		}
	}
}

// restore replaces the replica by what its snapshot gives.
func (m *machine) restore(t *rapid.T) {
	img := m.replica.Freeze()
	defer func() { _ = img.Close() }()
	var buf bytes.Buffer
	if n, err := img.WriteTo(&buf); err != nil || n != int64(buf.Len()) {
		t.Fatalf("WriteTo: %d of %d bytes, %v", n, buf.Len(), err)
	}
	restored, err := Restore(&buf, machineLimits)
	if err != nil {
		t.Fatal(err)
	}
	if buf.Len() != 0 {
		t.Fatalf("%d bytes left", buf.Len())
	}
	if a, b := restored.Hash(), m.replica.Hash(); a != b {
		t.Fatalf("hash after Restore %x, before %x", a, b)
	}
	m.replica = restored
}

// TestStateMachine compares the state with the model over random operations, calls that come again, time that passes, and
// a replica that is now and then rebuilt from its snapshot.
func TestStateMachine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newMachine()
		type view struct {
			img  *Snapshot
			want []byte
		}
		var views []view
		apply := func(t *rapid.T) {
			op := m.drawOp(t)
			m.sent = append(m.sent, *op)
			m.apply(t, op)
		}
		t.Repeat(map[string]func(*rapid.T){
			"":      m.compare,
			"apply": apply, "apply2": apply, "apply3": apply,
			"again": func(t *rapid.T) {
				if len(m.sent) == 0 {
					t.Skip("nothing was sent yet")
				}
				op := rapid.SampledFrom(m.sent).Draw(t, "sent")
				m.apply(t, &op)
			},
			"advance": func(t *rapid.T) {
				now := m.model.clock + int64(rapid.SampledFrom([]int{-5, 0, 1, 1, 2, 10, 40, 2000, 130_000}).Draw(t, "by"))
				published := uint64(rapid.IntRange(0, int(m.model.pos)).Draw(t, "published"))
				m.model.advance(now, published)
				m.state.Advance(now, published)
				m.replica.Advance(now, published)
			},
			"restore": m.restore,
			"freeze": func(t *rapid.T) {
				img := m.state.Freeze()
				views = append(views, view{img, snapshotBytes(t, m.replica)})
			},
			"thaw": func(t *rapid.T) {
				for _, v := range views {
					var buf bytes.Buffer
					if _, err := v.img.WriteTo(&buf); err != nil {
						t.Fatal(err)
					}
					if !bytes.Equal(buf.Bytes(), v.want) {
						t.Fatal("a frozen view has changed")
					}
					if err := v.img.Close(); err != nil {
						t.Fatal(err)
					}
				}
				views = nil
			},
		})
	})
}

// snapshotBytes returns the snapshot of s.
func snapshotBytes(t interface{ Fatal(...any) }, s *State) []byte {
	img := s.Freeze()
	defer func() { _ = img.Close() }()
	var buf bytes.Buffer
	if _, err := img.WriteTo(&buf); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}
