package state

import (
	"encoding/binary"
	"strconv"
	"testing"

	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// lock applies an OpLock or OpRenew that must be answered, and returns the answer.
func (s *script) lock(op *entry.Op) wire.LockResult {
	s.t.Helper()
	r := s.raw(op)
	l, err := wire.DecodeLockResult(r.Body)
	if err != nil || r.Code != wire.CodeOK {
		s.t.Fatalf("%v: %v %q, %v", op.Code, r.Code, r.Body, err)
	}
	return l
}

// holder returns the first byte of the ID that holds the lock, 0 for nobody.
func (s *script) holder(name, key string) byte { return s.Lock([]byte(name), []byte(key)).Holder[0] }

// code applies an operation and returns the code of its result.
func (s *script) code(op *entry.Op) wire.Code {
	s.t.Helper()
	return s.raw(op).Code
}

func fence(f uint64) func(*wire.WriteBody) {
	return func(w *wire.WriteBody) { w.Flags |= wire.WriteFence; w.Fence = f }
}

// A lock is held by one, whatever the others ask for, until that one gives it up. Locking and unlocking is two operations, and
// neither needs the key to exist.
func TestLockIsHeldByOne(t *testing.T) {
	s := newScript(t, Limits{})
	first := s.lock(lockOp(wire.OpLock, "m", "k", 1, 500))
	if first.Flags != wire.LockHeld || first.Fence != s.version() || first.Ends != 1500 {
		t.Fatalf("%+v", first)
	}
	if again := s.lock(lockOp(wire.OpLock, "m", "k", 1, 600)); again.Flags != wire.LockHeld || again.Fence != first.Fence || again.Ends != 1600 {
		t.Fatalf("the holder asks again: %+v", again)
	}
	if other := s.lock(lockOp(wire.OpLock, "m", "k", 2, 500)); other != (wire.LockResult{}) {
		t.Fatalf("another tries: %+v", other)
	}
	for _, op := range []*entry.Op{unlockOp("m", "k", 2, 0), unlockOp("m", "k", 0, first.Fence+1), unlockOp("m", "k", 2, first.Fence),
		unlockOp("m", "other", 1, 0), lockOp(wire.OpRenew, "m", "k", 2, 5), lockOp(wire.OpRenew, "m", "other", 1, 5)} {
		if code := s.code(op); code != wire.CodeLockNotHeld {
			t.Fatalf("%v of another: %v", op.Code, code)
		}
	}
	if l := s.lock(lockOp(wire.OpLock, "m", "other", 2, 500)); l.Flags != wire.LockHeld || l.Fence <= first.Fence {
		t.Fatalf("another key: %+v", l)
	}
	if code := s.code(unlockOp("m", "k", 0, first.Fence)); code != wire.CodeOK || s.holder("m", "k") != 0 {
		t.Fatalf("unlock: %v", code)
	}
	if code := s.code(unlockOp("m", "k", 0, first.Fence)); code != wire.CodeLockNotHeld {
		t.Fatalf("unlock again: %v", code)
	}
	if l := s.lock(lockOp(wire.OpLock, "m", "k", 2, 500)); l.Flags != wire.LockHeld || l.Fence <= first.Fence {
		t.Fatalf("%+v after fence %d", l, first.Fence)
	}
	if len(s.infos()) != 0 {
		t.Fatal("locking has made a map")
	}
}

// Who waits gets the lock in the order in which they came, and only as long as they wait.
func TestWaitersAreServedInOrder(t *testing.T) {
	s := newScript(t, Limits{})
	s.lock(lockOp(wire.OpLock, "m", "k", 1, 500))
	for i, keep := range []uint64{100, 5, 100, 100} { // 2, 3, 4, 5
		if l := s.lock(lockOp(wire.OpLock, "m", "k", byte(2+i), 70, keep)); l.Flags != wire.LockQueued || l.Waiting != uint64(1+i) {
			t.Fatalf("%+v", l)
		}
	}
	// 2 asks again, as its client does after a failover, and keeps its place; 4 no longer wants it.
	if l := s.lock(lockOp(wire.OpLock, "m", "k", 2, 70, 200)); l.Flags != wire.LockQueued || l.Waiting != 4 {
		t.Fatalf("asking again: %+v", l)
	}
	if r := s.raw(unlockOp("m", "k", 4, 0)); r.Code != wire.CodeOK || s.Lock([]byte("m"), []byte("k")).Waiting != 3 {
		t.Fatalf("leaving the queue: %v", r.Code)
	}
	s.at(1005) // 3 has given up
	fences := []uint64{s.Lock([]byte("m"), []byte("k")).Fence}
	for _, next := range []byte{2, 5, 0} {
		s.code(unlockOp("m", "k", s.holder("m", "k"), 0))
		if got := s.holder("m", "k"); got != next {
			t.Fatalf("%d holds the lock, want %d", got, next)
		}
		v := s.Lock([]byte("m"), []byte("k"))
		if next == 0 {
			break
		}
		if v.Fence <= fences[len(fences)-1] || v.Ends != 1075 {
			t.Fatalf("%+v after fences %v", v, fences)
		}
		fences = append(fences, v.Fence)
	}
}

// A waiter's place is kept beyond the deadline of its call, so that the next call finds it.
func TestPlaceOutlivesTheCall(t *testing.T) {
	s := newScript(t, Limits{})
	s.lock(lockOp(wire.OpLock, "m", "k", 1, 60_000))
	s.lock(call(1, 1, 1, 21_000, lockOp(wire.OpLock, "m", "k", 2, 500, 10_000)))
	s.lock(lockOp(wire.OpLock, "m", "k", 3, 500, 50_000))
	s.at(30_999)
	if l := s.lock(call(1, 2, 2, 50_000, lockOp(wire.OpLock, "m", "k", 2, 500, 10_000))); l.Flags != wire.LockQueued {
		t.Fatalf("%+v", l)
	}
	s.at(59_000)
	if s.code(unlockOp("m", "k", 1, 0)); s.holder("m", "k") != 2 {
		t.Fatalf("%d holds the lock", s.holder("m", "k"))
	}
}

// A lease that is over passes the lock on, whoever notices: a sweep, another who wants the lock, the holder who unlocks too late.
func TestLeaseEnds(t *testing.T) {
	for name, notice := range map[string]func(s *script){
		"sweep": func(s *script) { s.sweepUp(5); s.sweepUp(5) },
		"try":   func(s *script) { s.lock(lockOp(wire.OpLock, "m", "k", 3, 9)) },
		"unlock": func(s *script) {
			if code := s.code(unlockOp("m", "k", 1, 0)); code != wire.CodeLockNotHeld {
				s.t.Fatal(code)
			}
		},
	} {
		s := newScript(t, Limits{})
		first := s.lock(lockOp(wire.OpLock, "m", "k", 1, 100))
		s.lock(lockOp(wire.OpLock, "m", "k", 2, 70, 5000))
		s.at(1050)
		if l := s.lock(lockOp(wire.OpRenew, "m", "k", 1, 100)); l.Ends != 1150 {
			t.Fatalf("%s: renewed until %d", name, l.Ends)
		}
		s.at(1149)
		if name == "sweep" || name == "try" {
			if notice(s); s.holder("m", "k") != 1 {
				t.Fatalf("%s: %d holds the lock before the lease is over", name, s.holder("m", "k"))
			}
		}
		s.at(1150)
		notice(s)
		if v := s.Lock([]byte("m"), []byte("k")); v.Holder != (wire.ID{2}) || v.Fence <= first.Fence || v.Ends != 1220 {
			t.Fatalf("%s: %+v", name, v)
		}
	}
}

// A renewal that comes late is not too late while nobody else has got the lock.
func TestLateRenewal(t *testing.T) {
	s := newScript(t, Limits{})
	first := s.lock(lockOp(wire.OpLock, "m", "k", 1, 100))
	s.at(1500)
	if l := s.lock(lockOp(wire.OpRenew, "m", "k", 1, 100)); l.Flags != wire.LockHeld || l.Fence != first.Fence || l.Ends != 1600 {
		t.Fatalf("%+v", l)
	}
	s.at(1600)
	s.lock(lockOp(wire.OpLock, "m", "k", 2, 100))
	if code := s.code(lockOp(wire.OpRenew, "m", "k", 1, 100)); code != wire.CodeLockNotHeld {
		t.Fatal(code)
	}
}

// A sweep passes on the locks whose leases had ended at the sweep before; a tick of the clock is none.
func TestSweepOfLocksComesInTwo(t *testing.T) {
	s := newScript(t, Limits{})
	s.lock(lockOp(wire.OpLock, "m", "k", 1, 100))
	s.at(1100)
	for i, want := range []uint64{0, 0, 1, 0} {
		limit := uint32(5)
		if i == 0 {
			limit = 0
		}
		if n := s.sweepUp(limit); n != want {
			t.Fatalf("sweep %d: %d", i, n)
		}
	}
}

// The end of a lease is due as the expiry of an entry is, and is seen to by the same sweep.
func TestLeaseIsDue(t *testing.T) {
	s := newScript(t, Limits{})
	s.lock(lockOp(wire.OpLock, "m", "k", 1, 100))
	s.do(wire.OpSet, "m", "k", "v", ttl(200))
	s.do(wire.OpSet, "m", "l", "v", ttl(300))
	for _, want := range []int64{1100, 1200, 1300} {
		if at, ok := s.NextDue(); !ok || at != want {
			t.Fatalf("due at %d, %v, want %d", at, ok, want)
		}
		s.at(want)
		if want == 1100 {
			s.sweepUp(1)
		}
		if n := s.sweepUp(1); n != 1 {
			t.Fatalf("%d swept at %d", n, want)
		}
	}
	if _, ok := s.NextDue(); ok {
		t.Fatal("something is due")
	}
}

// Locks survive what is done to entries, but not Destroy, which leaves no fence good.
func TestLocksAndEntries(t *testing.T) {
	s := newScript(t, Limits{})
	s.do(wire.OpSet, "m", "k", "v", ttl(10))
	l := s.lock(lockOp(wire.OpLock, "m", "k", 1, 60_000))
	s.lock(lockOp(wire.OpLock, "m", "k", 2, 60_000, 60_000))
	s.lock(lockOp(wire.OpLock, "n", "k", 1, 60_000))
	s.at(1010)
	s.sweepUp(9)
	s.do(wire.OpSet, "m", "k", "plain writes pass")
	s.do(wire.OpDelete, "m", "k", "")
	s.do(wire.OpSet, "m", "l", "v")
	s.whole(wire.OpClear, "m")
	s.do(wire.OpSet, "m", "k", "v", fence(l.Fence))
	if s.holder("m", "k") != 1 {
		t.Fatal("the lock is gone")
	}
	if r := s.whole(wire.OpDestroy, "m"); r.Flags&wire.ResultApplied == 0 || s.Lock([]byte("m"), []byte("k")) != (LockState{}) {
		t.Fatalf("%+v", r)
	}
	if code := s.code(writeOp(wire.OpSet, "m", "k", "v", fence(l.Fence))); code != wire.CodeFenced {
		t.Fatalf("a fence from before Destroy: %v", code)
	}
	// The map of the other lock has never had an entry.
	if r := s.whole(wire.OpDestroy, "n"); r.Flags != wire.ResultApplied || r.Version != s.version() || s.holder("n", "k") != 0 {
		t.Fatalf("%+v", r)
	}
}

// A write under a fence is made while no later one was given out, also after the lock was released, and not afterwards.
func TestFencedWrites(t *testing.T) {
	s := newScript(t, Limits{})
	f1 := s.lock(lockOp(wire.OpLock, "m", "k", 1, 100)).Fence
	s.do(wire.OpSet, "m", "k", "v1", fence(f1))
	s.code(unlockOp("m", "k", 1, 0))
	s.do(wire.OpPut, "m", "k", "v2", fence(f1))
	f2 := s.lock(lockOp(wire.OpLock, "m", "k", 2, 100)).Fence
	for _, op := range []*entry.Op{
		writeOp(wire.OpSet, "m", "k", "stale", fence(f1)),
		writeOp(wire.OpPutIfAbsent, "m", "k", "stale", fence(f1)),
		writeOp(wire.OpReplaceIfSame, "m", "k", "stale", fence(f1), expect("v2")),
		writeOp(wire.OpSet, "m", "other", "of no lock", fence(f2)),
		writeOp(wire.OpSet, "n", "k", "of no lock", fence(f2)),
	} {
		if r := s.raw(call(1, s.counter+100, 0, 5000, op)); r.Code != wire.CodeFenced || len(r.Body) == 0 {
			t.Fatalf("%v: %v", op.Code, r.Code)
		}
	}
	s.at(1100) // the lease is over, but nobody has the lock: no later fence was given out
	s.do(wire.OpReplace, "m", "k", "v3", fence(f2))
	s.sweepUp(5)
	s.sweepUp(5)
	s.do(wire.OpReplaceIfSame, "m", "k", "v4", fence(f2), expect("v3"))
	if v := s.value("m", "k"); v != "v4" {
		t.Fatalf("%q", v)
	}
	many := wire.ManyBody{Map: []byte("m"), Keys: [][]byte{[]byte("k"), []byte("l")}, Values: [][]byte{[]byte("v5"), []byte("v")}}
	many.Flags, many.Fence = wire.WriteFence, f2
	r := s.raw(&entry.Op{Code: wire.OpSetMany, Body: wire.AppendManyBody(nil, &many)})
	b, err := wire.DecodeBulkResult(r.Body)
	if err != nil || b.Applied != 1 || len(b.Failed) != 1 || b.Failed[0] != (wire.BulkError{Index: 1, Code: wire.CodeFenced}) || s.value("m", "k") != "v5" {
		t.Fatalf("%+v, %v", b, err)
	}
}

// A generation that goes on with the state of the one before has its locks and queues; fences grow into it, as versions do, and
// into one that begins empty.
func TestFencesGrowOverGenerations(t *testing.T) {
	s := newScript(t, Limits{})
	for range 9 {
		s.do(wire.OpSet, "m", "k", "v")
	}
	old := s.lock(lockOp(wire.OpLock, "m", "k", 1, 60_000)).Fence
	s.lock(lockOp(wire.OpLock, "m", "k", 2, 60_000, 60_000))
	if err := s.Continue(2); err != nil {
		t.Fatal(err)
	}
	if l := s.lock(lockOp(wire.OpRenew, "m", "k", 1, 60_000)); l.Fence != old || l.Waiting != 1 {
		t.Fatalf("%+v, the fence was %d", l, old)
	}
	s.do(wire.OpSet, "m", "k", "w", fence(old))
	s.code(unlockOp("m", "k", 1, old))
	if v := s.Lock([]byte("m"), []byte("k")); v.Holder != (wire.ID{2}) || v.Fence <= old {
		t.Fatalf("%+v after fence %d", v, old)
	}
	if code := s.code(writeOp(wire.OpSet, "m", "k", "stale", fence(old))); code != wire.CodeFenced {
		t.Fatal(code)
	}
	empty := &script{New(2, Limits{}), t}
	if f := empty.lock(lockOp(wire.OpLock, "m", "k", 1, 100)).Fence; f <= old {
		t.Fatalf("fence %d in the next generation, %d in the one before", f, old)
	}
}

func TestForceUnlock(t *testing.T) {
	s := newScript(t, Limits{})
	force := &entry.Op{Code: wire.OpForceUnlock, Body: wire.AppendKeyBody(nil, "m", []byte("k"))}
	for _, want := range []uint8{wire.ResultFound | wire.ResultApplied, wire.ResultFound | wire.ResultApplied, 0} {
		if want != 0 && s.holder("m", "k") == 0 {
			s.lock(lockOp(wire.OpLock, "m", "k", 1, 500))
			s.lock(lockOp(wire.OpLock, "m", "k", 2, 500, 500))
		}
		r := s.raw(force)
		if w, err := wire.DecodeWriteResult(r.Body); err != nil || r.Code != wire.CodeOK || w.Flags != want {
			t.Fatalf("%v %+v, %v", r.Code, w, err)
		}
	}
	if code := s.code(lockOp(wire.OpRenew, "m", "k", 1, 500)); code != wire.CodeLockNotHeld {
		t.Fatal(code)
	}
}

// A repeated call to lock gets the answer of the first copy, also when things have changed since.
func TestLockCallIsExecutedOnce(t *testing.T) {
	s := newScript(t, Limits{})
	s.lock(call(1, 1, 0, 5000, lockOp(wire.OpLock, "m", "k", 1, 500)))
	s.lock(call(2, 1, 0, 5000, lockOp(wire.OpLock, "m", "k", 2, 500, 500)))
	s.code(call(1, 2, 0, 5000, unlockOp("m", "k", 1, 0)))
	if l := s.lock(call(1, 1, 0, 5000, lockOp(wire.OpLock, "m", "k", 1, 500))); l.Flags != wire.LockHeld || s.holder("m", "k") != 2 {
		t.Fatalf("%+v, held by %d", l, s.holder("m", "k"))
	}
	if l := s.lock(call(2, 1, 0, 5000, lockOp(wire.OpLock, "m", "k", 2, 500, 500))); l.Flags != wire.LockQueued || s.Lock([]byte("m"), []byte("k")).Waiting != 0 {
		t.Fatalf("%+v", l)
	}
	if code := s.code(call(1, 2, 0, 5000, unlockOp("m", "k", 1, 0))); code != wire.CodeOK || s.holder("m", "k") != 2 {
		t.Fatalf("a repeated unlock: %v, held by %d", code, s.holder("m", "k"))
	}
}

// No lease ends within ResumeLease after an owner has begun to serve, nor does a waiter lose its place, unless it began later.
func TestResumeExtendsLeases(t *testing.T) {
	s := newScript(t, Limits{})
	s.lock(lockOp(wire.OpLock, "m", "short", 1, 100))
	s.lock(lockOp(wire.OpLock, "m", "short", 2, 100, 50))
	s.lock(lockOp(wire.OpLock, "m", "long", 1, 60_000))
	s.at(20_000) // nobody was there to renew it with
	r := s.raw(&entry.Op{Code: wire.OpResume})
	if n, _ := binary.Uvarint(r.Body); n != 1 || r.Code != wire.CodeOK {
		t.Fatalf("%d leases extended, %v", n, r.Code)
	}
	later := s.lock(lockOp(wire.OpLock, "m", "later", 1, 100))
	if later.Ends != 20_100 {
		t.Fatalf("a lease that began later ends at %d", later.Ends)
	}
	s.at(20_000 + ResumeLease - 1)
	s.sweepUp(9)
	s.sweepUp(9)
	if v := s.Lock([]byte("m"), []byte("short")); v.Holder != (wire.ID{1}) || v.Waiting != 1 || s.holder("m", "later") != 0 {
		t.Fatalf("%+v, %d", v, s.holder("m", "later"))
	}
	s.lock(lockOp(wire.OpRenew, "m", "short", 1, 100))
	s.at(20_000 + ResumeLease + 99)
	s.sweepUp(9)
	s.sweepUp(9)
	if v := s.Lock([]byte("m"), []byte("short")); v.Holder != (wire.ID{}) {
		t.Fatalf("%+v: neither the holder nor the waiter was heard of", v)
	}
	if v := s.Lock([]byte("m"), []byte("long")); v.Ends != 61_000 {
		t.Fatalf("%+v", v)
	}
}

func TestLockBounds(t *testing.T) {
	s := newScript(t, Limits{LockWaiters: 2, LockBytes: 4 * (lockCost + 3), FreeLockBytes: 2*(lockCost+3) + 1})
	s.lock(lockOp(wire.OpLock, "m", "k0", 1, 500))
	s.lock(lockOp(wire.OpLock, "m", "k0", 2, 500, 50))
	s.lock(lockOp(wire.OpLock, "m", "k0", 3, 500, 90))
	if r := s.raw(lockOp(wire.OpLock, "m", "k0", 4, 500, 90)); r.Code != wire.CodeOverloaded || string(r.Body) != textWaiters {
		t.Fatalf("%v %q", r.Code, r.Body)
	}
	s.at(1050) // 2 has given up
	s.lock(lockOp(wire.OpLock, "m", "k0", 4, 500, 90))
	for i := 1; i < 4; i++ {
		s.lock(lockOp(wire.OpLock, "m", "k"+strconv.Itoa(i), 1, 500))
	}
	if r := s.raw(lockOp(wire.OpLock, "m", "k9", 1, 500)); r.Code != wire.CodeOverloaded || string(r.Body) != textManyHeld {
		t.Fatalf("%v %q", r.Code, r.Body)
	}
	if r := s.raw(lockOp(wire.OpLock, "m", "k1", 2, 500, 50)); r.Code != wire.CodeOverloaded || string(r.Body) != textManyHeld {
		t.Fatalf("%v %q", r.Code, r.Body)
	}
	// Of the locks that are released the last two are remembered.
	for i := 3; i > 0; i-- {
		s.code(unlockOp("m", "k"+strconv.Itoa(i), 1, 0))
	}
	for i, want := range map[int]bool{1: true, 2: true, 3: false} {
		if v := s.Lock([]byte("m"), []byte("k"+strconv.Itoa(i))); (v.Fence != 0) != want {
			t.Fatalf("lock %d: %+v", i, v)
		}
	}
}

func TestIsLocked(t *testing.T) {
	s := newScript(t, Limits{})
	ask := func(now int64) (locked, sure bool) {
		r, ok := s.IsLocked([]byte("m"), []byte("k"), now)
		return r.Flags&wire.LockHeld != 0, ok
	}
	for _, c := range []struct {
		what         string
		do           func()
		ahead        int64
		locked, sure bool
	}{
		{"never locked", func() {}, 0, false, true},
		{"held", func() { s.lock(lockOp(wire.OpLock, "m", "k", 1, 100)) }, 99, true, true},
		{"about to end", func() {}, 100, true, false},
		{"ended", func() { s.at(1100) }, 0, false, true},
		{"swept", func() { s.sweepUp(1); s.sweepUp(1) }, 0, false, true},
		{"somebody waits", func() {
			s.lock(lockOp(wire.OpLock, "m", "k", 1, 100))
			s.lock(lockOp(wire.OpLock, "m", "k", 2, 100, 500))
			s.at(1200)
		}, 0, true, true},
		{"nobody waits any more", func() { s.at(1700) }, 0, false, true},
	} {
		c.do()
		if locked, sure := ask(s.Clock() + c.ahead); sure != c.sure || sure && locked != c.locked {
			t.Errorf("%s: %v, %v", c.what, locked, sure)
		}
	}
}
