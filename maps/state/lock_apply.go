package state

import (
	"math"
	"slices"

	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Texts of refusals that concern locks.
const (
	textFence    = "another fence was given out for the key, or the given fence is not remembered any more"
	textNotHeld  = "the lease has ended, or the lock is another's"
	textWaiters  = "too many wait for the lock"
	textManyHeld = "too many locks are held in the partition"
)

// later returns the time that is d milliseconds after at, or the end of time.
func later(at int64, d uint64) int64 {
	if d > uint64(math.MaxInt64-at) {
		return math.MaxInt64
	}
	return at + int64(d)
}

var lockOperations = []operation{
	{wire.OpLock, (*State).applyLock},
	{wire.OpRenew, (*State).applyLock},
	{wire.OpUnlock, (*State).applyUnlock},
	{wire.OpForceUnlock, (*State).applyForceUnlock},
	{wire.OpResume, (*State).applyResume},
}

var lockReads = []reader{
	{wire.OpIsLocked, (*State).readIsLocked},
}

func (s *State) readIsLocked(r *Reading, at *ReadPoint) bool {
	name, key, _ := wire.DecodeKeyBody(r.Body)
	res, ok := s.IsLocked(name, key, at.Now)
	r.text = wire.AppendLockResult(r.text, &res)
	return ok
}

func (s *State) applyLock(op *entry.Op) outcome {
	b, err := wire.DecodeLockBody(op.Body)
	// The owner has checked the body. Replicas check it again, since nothing that stands in the log may make them fail.
	if err == nil {
		err = wire.CheckLock(op.Code, &b)
	}
	if err != nil {
		return malformed(err)
	}

	if op.Code == wire.OpRenew {
		return s.renew(&b)
	}
	return s.lock(&s.locks, &b, op.Deadline)
}

func (s *State) applyUnlock(op *entry.Op) outcome {
	b, err := wire.DecodeUnlockBody(op.Body)
	if err != nil {
		return malformed(err)
	}
	return s.unlock(&b)
}

func (s *State) applyForceUnlock(op *entry.Op) outcome {
	name, key, err := wire.DecodeKeyBody(op.Body)
	if err != nil {
		return malformed(err)
	}
	return s.forceUnlock(name, key)
}

func (s *State) applyResume(op *entry.Op) outcome {
	if len(op.Body) > 0 {
		return refused(wire.CodeInvalid, "a body where there is none")
	}
	return s.resume()
}

// lockOutcome returns the outcome of an operation that answers with l.
func lockOutcome(l *lock, flags uint8) outcome {
	r := l.result(flags)
	return outcome{data: wire.AppendLockResult(nil, &r), whole: true}
}

// settled returns the lock of a key, or nil. It first passes the lock on if the holder's lease has ended.
func (s *State) settled(k *locks, name, key []byte) *lock {
	l := k.find(name, key)
	if l != nil && l.freed == 0 && l.ends <= s.clock {
		s.passOn(k, l)
		// Passing the lock on may have copied or forgotten it: l may be out of date.
		return k.find(name, key)
	}

	return l
}

// grant makes id the holder of l and gives out the next fence. REQUIRES l to be taken.
func (s *State) grant(l *lock, id wire.ID, lease uint64) {
	l.holder, l.lease, l.freed = id, lease, 0
	l.fence, l.ends = s.nextVersion(), later(s.clock, lease)
}

// passOn takes a lock of k from its holder and gives it to the first waiter. Without a waiter nobody holds the lock, and it may be
// forgotten.
func (s *State) passOn(k *locks, l *lock) {
	k.moves++
	l = k.take(l)

	if w, ok := l.next(s.clock); ok {
		s.grant(l, w.id, w.lease)
		k.put(l)
		return
	}

	l.holder, l.lease, l.ends, l.freed = wire.ID{}, 0, 0, s.nextVersion()
	k.put(l)

	// Released locks are kept for their fences alone, and only within a bound.
	k.trim(k.most)
}

// lock executes OpLock. A caller gets a lock that nobody holds, and keeps its own. Else it waits if it asks to, and a caller that waits
// already keeps its place. deadline is the call's.
func (s *State) lock(k *locks, b *wire.LockBody, deadline int64) outcome {
	l := s.settled(k, b.Map, b.Key)
	switch {
	case l == nil || l.freed != 0:
		// The bound is checked before the lock is taken: a refusal must leave the accounts as they are.
		if k.bytes >= s.lim.LockBytes {
			return refused(wire.CodeOverloaded, textManyHeld)
		}
		if l == nil {
			l = k.add(b.Map, b.Key)
		} else {
			l = k.take(l)
		}
		s.grant(l, b.ID, b.Lease)
		k.put(l)
		return lockOutcome(l, wire.LockHeld)

	// The holder asks again: an earlier answer may have been lost. The holder must not wait for itself.
	case l.holder == b.ID:
		return s.extend(k, l, b.Lease)

	// Another caller has the lock, and this caller does not wait. That is an answer, and no refusal.
	case b.Flags&wire.LockWait == 0:
		return lockOutcome(l, 0)
	}

	// The place outlives the call's deadline by what the caller asks for, so a caller that repeats its call keeps its place.
	w := waiter{b.ID, b.Lease, later(max(deadline, s.clock), b.Keep)}
	l = k.take(l)
	defer k.put(l)

	// Waiters whose time is up must not count against the bounds below.
	l.prune(s.clock)

	switch i := l.waiter(b.ID); {
	case i >= 0:
		// A copy that comes late must not shorten the time that a newer one has given.
		w.until = max(w.until, l.waiters[i].until)
		l.waiters[i] = w
	case len(l.waiters) >= s.lim.LockWaiters:
		return refused(wire.CodeOverloaded, textWaiters)
	case k.bytes+l.cost() >= s.lim.LockBytes:
		return refused(wire.CodeOverloaded, textManyHeld)
	default:
		l.waiters = append(l.waiters, w)
	}
	return lockOutcome(l, wire.LockQueued)
}

// extend restarts the holder's lease. The lease never gets shorter: OpResume may have extended it.
func (s *State) extend(k *locks, l *lock, lease uint64) outcome {
	l = k.take(l)
	l.lease, l.ends = lease, max(l.ends, later(s.clock, lease))
	k.put(l)
	return lockOutcome(l, wire.LockHeld)
}

// renew executes OpRenew. A holder may renew its lease after the end, as long as the lock was not passed on.
func (s *State) renew(b *wire.LockBody) outcome {
	l := s.locks.find(b.Map, b.Key)
	if l == nil || l.holder != b.ID {
		return refused(wire.CodeLockNotHeld, textNotHeld)
	}

	return s.extend(&s.locks, l, b.Lease)
}

// unlock executes OpUnlock: the holder gives up the lock, or a waiter gives up its place.
func (s *State) unlock(b *wire.UnlockBody) outcome {
	l := s.settled(&s.locks, b.Map, b.Key)
	if l == nil || l.freed != 0 {
		return refused(wire.CodeLockNotHeld, textNotHeld)
	}

	// A caller may know the lock by the ID, by the fence, or by both. Each that it names must fit.
	if (b.ID.IsZero() || b.ID == l.holder) && (b.Fence == 0 || b.Fence == l.fence) {
		s.passOn(&s.locks, l)
		return outcome{flags: wire.ResultFound | wire.ResultApplied, version: s.version()}
	}

	// A fence is given to holders alone: a caller that names one does not mean a place in the queue.
	if i := l.waiter(b.ID); i >= 0 && b.Fence == 0 {
		l = s.locks.take(l)
		l.waiters = slices.Delete(l.waiters, i, i+1)
		s.locks.moves++
		s.locks.put(l)
		return outcome{flags: wire.ResultApplied}
	}
	return refused(wire.CodeLockNotHeld, textNotHeld)
}

// forceUnlock takes the lock from whoever holds it.
func (s *State) forceUnlock(name, key []byte) outcome {
	l := s.settled(&s.locks, name, key)
	if l == nil || l.freed != 0 {
		return outcome{}
	}

	// The first waiter gets the lock, as it does when the holder unlocks.
	s.passOn(&s.locks, l)
	return outcome{flags: wire.ResultFound | wire.ResultApplied, version: s.version()}
}

// sweepLocks passes on at most limit locks of k whose leases had ended at the previous sweep, in the order of their ends. It returns how
// many.
//
// The owner proposes a sweep after the previous one was applied. So a lease ends only if the owner committed entries after the end of the
// lease. A sweep that the owner proposed while it had no majority comes late and ends no lease. The owner knows that it was stalled, and
// begins what it proposes next with the resume marker.
func (s *State) sweepLocks(k *locks, limit uint64) (n uint64) {
	// The owner proposes ticks of the clock without waiting for earlier ones: they prove nothing about its majority.
	if limit == 0 {
		return 0
	}

	for ; n < limit; n++ {
		first, ok := k.ends.Min()
		if !ok || first.at > k.swept {
			break
		}
		slot, _ := k.byKey.Get(lockSlot{name: first.ref.name, key: first.ref.key})
		s.passOn(k, slot.l)
	}

	// The sweep counts even if it has ended nothing: the leases that have ended by now are due at the next one.
	k.swept = s.clock
	return n
}

// resume executes OpResume, the resume marker with which an owner begins to serve. Without an owner nobody could renew a lease, or ask
// again. So each holder and each waiter has ResumeLease from now on. The answer is the number of leases that were extended, as uvarint.
func (s *State) resume() outcome {
	until := later(s.clock, ResumeLease)
	n := s.locks.extendAll(until) + s.loads.extendAll(until)
	return outcome{data: wire.AppendUvarint(nil, n), whole: true}
}

// extendAll makes no lease, and no place in a queue, end before the given time. It returns how many leases it has extended.
func (k *locks) extendAll(until int64) (n uint64) {
	// First collect: changing a lock changes the tree that is being scanned.
	var late []*lock
	k.byKey.Scan(func(slot lockSlot) bool {
		l := slot.l
		if l.freed == 0 && (l.ends < until || slices.ContainsFunc(l.waiters, func(w waiter) bool { return w.until < until })) {
			late = append(late, l)
		}
		return true
	})

	for _, l := range late {
		l = k.take(l)

		// Only leases count in the answer. A lock may be here for its waiters alone.
		if l.ends < until {
			l.ends = until
			n++
		}

		for i := range l.waiters {
			l.waiters[i].until = max(l.waiters[i].until, until)
		}

		k.put(l)
	}
	return n
}

// of returns the locks of a map.
func (k *locks) of(name []byte) (all []*lock) {
	k.byKey.Ascend(lockSlot{name: asString(name)}, func(slot lockSlot) bool {
		if slot.name != string(name) {
			return false
		}
		all = append(all, slot.l)
		return true
	})
	return all
}

// destroyLocks ends all locks of a map, with their queues, and reports whether there were any locks.
func (s *State) destroyLocks(name []byte) (ended bool) {
	// Without its load, a value that comes later is refused.
	for _, l := range s.loads.of(name) {
		s.loads.drop(l)
	}

	all := s.locks.of(name)
	for _, l := range all {
		s.locks.drop(l)
	}

	return len(all) > 0
}
