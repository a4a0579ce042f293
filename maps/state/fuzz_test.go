package state

import (
	"bytes"
	"testing"

	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// FuzzApply applies any bytes as the operations of batches, to two replicas of which one is restored from its snapshot half
// way: nothing may panic, the invariants hold after each operation, and the replicas stay equal.
func FuzzApply(f *testing.F) {
	batch := func(now int64, ops ...*entry.Op) []byte {
		var b entry.Builder
		for _, op := range ops {
			b.Add(op)
		}
		return b.Finish(&entry.Header{Now: now, Published: 1})
	}
	sweep := &entry.Op{Code: wire.OpSweep, Body: wire.AppendSweepBody(nil, wire.SweepBody{Limit: 5})}
	f.Add(batch(5, writeOp(wire.OpSet, "m", "k", "v", ttl(1)), call(1, 1, 0, 9, writeOp(wire.OpPut, "m", "k", "w", maxIdle(2)))),
		batch(8, sweep, &entry.Op{Code: wire.OpClear, Body: wire.AppendMapBody(nil, "m")}))
	many := wire.ManyBody{Map: []byte("m"), Keys: [][]byte{{1}, {2}}, Values: [][]byte{{1}, {2}}}
	f.Add(batch(1, &entry.Op{Code: wire.OpSetMany, Body: wire.AppendManyBody(nil, &many)}, writeOp(wire.OpSetTTL, "m", "\x01", "", ttl(3))),
		batch(4, writeOp(wire.OpRemoveIfSame, "m", "\x02", "", expect("\x02")), &entry.Op{Code: wire.OpDestroy, Body: wire.AppendMapBody(nil, "m")}))
	lock := func(id byte, lease, keep uint64) *entry.Op {
		b := wire.LockBody{Map: []byte("m"), Key: []byte("k"), ID: wire.ID{id}, Lease: lease, Keep: keep, Flags: wire.LockWait}
		return &entry.Op{Code: wire.OpLock, Body: wire.AppendLockBody(nil, &b)}
	}
	unlock := &entry.Op{Code: wire.OpUnlock, Body: wire.AppendUnlockBody(nil, &wire.UnlockBody{Map: []byte("m"), Key: []byte("k"), ID: wire.ID{1}})}
	f.Add(batch(1, lock(1, 5, 0), lock(2, 50, 9), lock(3, 1, 1<<63), &entry.Op{Code: wire.OpResume}),
		batch(6000, sweep, unlock, &entry.Op{Code: wire.OpForceUnlock, Body: wire.AppendKeyBody(nil, "m", []byte("k"))}))
	evict := wire.EvictBody{Map: []byte("m"), Keys: [][]byte{[]byte("k")}, Versions: []uint64{1<<44 | 1}}
	touch := wire.TouchBody{Map: []byte("m"), Keys: [][]byte{[]byte("k")}, At: []int64{7}}
	f.Add(batch(5, writeOp(wire.OpSet, "m", "k", "v", maxIdle(9))),
		batch(8, &entry.Op{Code: wire.OpTouch, Body: wire.AppendTouchBody(nil, &touch)}, &entry.Op{Code: wire.OpEvictMany, Body: wire.AppendEvictBody(nil, &evict)}))
	process := func(p wire.Processor, key, arg string) *entry.Op {
		u := wire.UpdateBody{Map: []byte("m"), Key: []byte(key), Processor: p, Arg: []byte(arg), WriteOptions: wire.WriteOptions{Flags: wire.WriteKeepTTL}}
		return &entry.Op{Code: wire.OpUpdate, Body: wire.AppendUpdateBody(nil, &u)}
	}
	f.Add(batch(5, process(wire.ProcessIncrement, "k", "\x01"), call(1, 1, 0, 9, process(wire.ProcessIncrement, "k", "\x93\x7f\x00\x7f")), process(wire.ProcessSetAdd, "l", "\xa1a")),
		batch(8, process(wire.ProcessMerge, "n", "\x81\xa1a\x81\xa1b\xc0"), call(1, 2, 0, 9, process(wire.ProcessMerge, "n", "\x81\xa1a\xc0"))))
	f.Add(batch(1<<62, call(2, 1<<63, 1<<62, 1<<62, writeOp(wire.OpEvict, "m", "k", ""))), []byte{0, 1, 2})
	f.Fuzz(func(t *testing.T, first, second []byte) {
		lim := Limits{RingBytes: 500, RingEvents: 6, EventValues: 20}
		a, b := New(1, lim), New(1, lim)
		for _, data := range [][]byte{first, second} {
			applyBytes(t, a, data)
			applyBytes(t, b, data)
			restored, err := Restore(bytesOf(t, b), lim)
			if err != nil {
				t.Fatal(err)
			}
			if b = restored; a.Hash() != b.Hash() {
				t.Fatalf("hashes %x, %x", a.Hash(), b.Hash())
			}
		}
	})
}

// applyBytes applies data as a batch, and also as the body of each operation.
func applyBytes(t *testing.T, s *State, data []byte) {
	t.Helper()
	check := func() {
		if err := s.checkInvariants(); err != nil {
			t.Fatal(err)
		}
	}
	if d, err := entry.DecodeBatch(data); err == nil {
		s.Advance(d.Now, d.Published)
		check()
		var op entry.Op
		for d.Next(&op) {
			op.Body = bytes.Clone(op.Body)
			s.Apply(&op)
			clear(op.Body) // nothing kept may alias it
			check()
		}
	}
	for code := wire.OpSet; code <= wire.OpResume+1; code++ {
		s.Apply(&entry.Op{Code: code, Body: data})
		check()
	}
}
