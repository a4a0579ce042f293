package state

import (
	"math"
	"testing"

	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// script applies operations to a state and checks its invariants after each.
type script struct {
	*State
	t testing.TB
}

// newScript returns a script over an empty state of generation 1 whose clock shows 1,000.
func newScript(t testing.TB, lim Limits) *script {
	t.Helper()
	s := &script{New(1, lim), t}
	s.at(1000)
	return s
}

// at advances the clock.
func (s *script) at(now int64) {
	s.t.Helper()
	s.Advance(now, 0)
	s.check()
}

func (s *script) check() {
	s.t.Helper()
	if err := s.checkInvariants(); err != nil {
		s.t.Fatal(err)
	}
}

// raw applies an operation and returns its result.
func (s *script) raw(op *entry.Op) entry.Result {
	s.t.Helper()
	r := s.Apply(op)
	s.check()
	return r
}

// do applies a write of one key that must succeed; edit adds to its body.
func (s *script) do(code wire.Op, name, key, value string, edit ...func(*wire.WriteBody)) wire.WriteResult {
	s.t.Helper()
	r := s.raw(writeOp(code, name, key, value, edit...))
	if r.Code != wire.CodeOK {
		s.t.Fatalf("%v: %v %s", code, r.Code, r.Body)
	}
	w, err := wire.DecodeWriteResult(r.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return w
}

// whole applies Clear or Destroy.
func (s *script) whole(code wire.Op, name string) wire.WriteResult {
	s.t.Helper()
	r := s.raw(&entry.Op{Code: code, Body: wire.AppendMapBody(nil, name)})
	w, err := wire.DecodeWriteResult(r.Body)
	if err != nil || r.Code != wire.CodeOK {
		s.t.Fatalf("%v: %v, %v", code, r.Code, err)
	}
	return w
}

// sweepUp applies OpSweep and returns how many entries it removed.
func (s *script) sweepUp(limit uint32) uint64 {
	s.t.Helper()
	r := s.raw(&entry.Op{Code: wire.OpSweep, Body: wire.AppendSweepBody(nil, wire.SweepBody{Limit: limit})})
	d := wire.NewReader(r.Body)
	n := d.Uvarint()
	if err := d.Done(); err != nil || r.Code != wire.CodeOK {
		s.t.Fatalf("sweep: %v, %v", r.Code, err)
	}
	return n
}

// value returns what Get finds, "" for nothing.
func (s *script) value(name, key string) string {
	v, _ := s.Get([]byte(name), []byte(key))
	return string(v.Value)
}

// kinds returns the kinds of the map's events in the ring as one letter each.
func (s *script) kinds(name string) string {
	letters := " AURXELC?T"
	out := ""
	events, _ := s.EventsFrom(0, nil)
	for _, e := range events {
		if e.Map == name {
			out += string(letters[e.Kind])
		}
	}
	return out
}

func writeOp(code wire.Op, name, key, value string, edit ...func(*wire.WriteBody)) *entry.Op {
	w := wire.WriteBody{Map: []byte(name), Key: []byte(key)}
	if value != "" {
		w.Value = []byte(value)
	}
	for _, f := range edit {
		f(&w)
	}
	return &entry.Op{Code: code, Body: wire.AppendWriteBody(nil, &w)}
}

func ttl(ms uint64) func(*wire.WriteBody) {
	return func(w *wire.WriteBody) { w.Flags |= wire.WriteTTL; w.TTL = ms }
}

func maxIdle(ms uint64) func(*wire.WriteBody) {
	return func(w *wire.WriteBody) { w.Flags |= wire.WriteMaxIdle; w.MaxIdle = ms }
}

func keepTTL(w *wire.WriteBody) { w.Flags |= wire.WriteKeepTTL }

func expect(value string) func(*wire.WriteBody) {
	return func(w *wire.WriteBody) { w.Expected = []byte(value) }
}

// boundOp returns OpBoundRing.
func boundOp(entries, bytes uint64) *entry.Op {
	return &entry.Op{Code: wire.OpBoundRing, Body: wire.AppendBoundRingBody(nil, wire.BoundRingBody{Entries: entries, Bytes: bytes})}
}

// call makes op a call of a client.
func call(client byte, seq, lowest uint64, deadline int64, op *entry.Op) *entry.Op {
	op.Client, op.Seq, op.Lowest, op.Deadline = wire.ID{client}, seq, lowest, deadline
	return op
}

// lockOp returns OpLock or OpRenew of a map's key for the ID that begins with id. With a time it waits, and its place is kept
// for that many milliseconds.
func lockOp(code wire.Op, name, key string, id byte, lease uint64, keep ...uint64) *entry.Op {
	b := wire.LockBody{Map: []byte(name), Key: []byte(key), ID: wire.ID{id}, Lease: lease}
	for _, ms := range keep {
		b.Flags, b.Keep = wire.LockWait, ms
	}
	return &entry.Op{Code: code, Body: wire.AppendLockBody(nil, &b)}
}

// unlockOp returns OpUnlock for an ID, a fence, or both; 0 is none.
func unlockOp(name, key string, id byte, fence uint64) *entry.Op {
	return &entry.Op{Code: wire.OpUnlock, Body: wire.AppendUnlockBody(nil, &wire.UnlockBody{Map: []byte(name), Key: []byte(key), ID: wire.ID{id}, Fence: fence})}
}

// infos returns the partition's maps in the order of their names, emptied ones included.
func (s *State) infos() (list []wire.MapInfo) {
	s.EachMap("", math.MaxInt, func(name string, _, _ uint64, stats MapStats) {
		list = append(list, wire.MapInfo{Name: name, Entries: uint64(stats.Entries), Bytes: uint64(stats.Bytes)})
	})
	return list
}
