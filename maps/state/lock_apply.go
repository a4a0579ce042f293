package state

import (
	"math"
	"slices"

	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Texts of refusals that concern locks.
const (
	textFence    = "another fence was given out for the key, or this one is not remembered any more"
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

func (s *State) applyLock(op *entry.Op) outcome {
	b, err := wire.DecodeLockBody(op.Body)
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

// settled returns the lock of a key, or nil. A holder whose lease has ended has lost it.
func (s *State) settled(k *locks, name, key []byte) *lock {
	l := k.find(name, key)
	if l != nil && l.freed == 0 && l.ends <= s.clock {
		s.passOn(k, l)
		return k.find(name, key)
	}
	return l
}

// grant makes id the holder of l, which is taken, and gives out the next fence.
func (s *State) grant(l *lock, id wire.ID, lease uint64) {
	l.holder, l.lease, l.freed = id, lease, 0
	l.fence, l.ends = s.nextVersion(), later(s.clock, lease)
}

// passOn takes a lock of k from its holder and gives it to the first who waits, else to nobody: then it may be forgotten.
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
	k.trim(k.most)
}

// lock executes OpLock: the caller gets the lock if nobody holds it, keeps it if it is its own, else waits or does not. Who
// waits already keeps its place. deadline is the call's.
func (s *State) lock(k *locks, b *wire.LockBody, deadline int64) outcome {
	l := s.settled(k, b.Map, b.Key)
	switch {
	case l == nil || l.freed != 0:
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
	case l.holder == b.ID:
		return s.extend(k, l, b.Lease)
	case b.Flags&wire.LockWait == 0:
		return lockOutcome(l, 0)
	}
	w := waiter{b.ID, b.Lease, later(max(deadline, s.clock), b.Keep)}
	l = k.take(l)
	l.prune(s.clock)
	defer k.put(l)
	switch i := l.waiter(b.ID); {
	case i >= 0:
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

// extend lets the holder's lease begin again.
func (s *State) extend(k *locks, l *lock, lease uint64) outcome {
	l = k.take(l)
	l.lease, l.ends = lease, max(l.ends, later(s.clock, lease))
	k.put(l)
	return lockOutcome(l, wire.LockHeld)
}

// renew executes OpRenew. It is not too late after the end of the lease as long as the lock was not passed on.
func (s *State) renew(b *wire.LockBody) outcome {
	l := s.locks.find(b.Map, b.Key)
	if l == nil || l.holder != b.ID {
		return refused(wire.CodeLockNotHeld, textNotHeld)
	}
	return s.extend(&s.locks, l, b.Lease)
}

// unlock executes OpUnlock: the holder gives the lock up, or a waiter its place.
func (s *State) unlock(b *wire.UnlockBody) outcome {
	l := s.settled(&s.locks, b.Map, b.Key)
	if l == nil || l.freed != 0 {
		return refused(wire.CodeLockNotHeld, textNotHeld)
	}
	if (b.ID.IsZero() || b.ID == l.holder) && (b.Fence == 0 || b.Fence == l.fence) {
		s.passOn(&s.locks, l)
		return outcome{flags: wire.ResultFound | wire.ResultApplied, version: s.version()}
	}
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
	s.passOn(&s.locks, l)
	return outcome{flags: wire.ResultFound | wire.ResultApplied, version: s.version()}
}

// sweepLocks passes on at most limit locks of k whose leases had ended at the sweep before, in the order of their ends, and returns
// how many.
//
// The owner proposes a sweep when the one before was applied, so a lease ends only after entries of the owner were committed since
// its end: one that was proposed without success while the owner had lost its majority, and comes late, ends none. That the owner was
// stalled it then knows, and begins what it proposes next with OpResume.
func (s *State) sweepLocks(k *locks, limit uint64) (n uint64) {
	if limit == 0 { // a tick of the clock, which does not wait for others
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
	k.swept = s.clock
	return n
}

// resume executes OpResume, with which an owner begins to serve. Nobody could renew a lease, or ask again, while the partition
// had no owner: whoever holds a lock or waits for one gets resumeLease for it from now on. It answers with the number of leases
// that it has extended, as uvarint.
func (s *State) resume() outcome {
	until := later(s.clock, resumeLease)
	n := s.locks.extendAll(until) + s.loads.extendAll(until)
	return outcome{data: wire.AppendUvarint(nil, n), whole: true}
}

// extendAll lets no lease, and no place in a queue, end before the given time, and returns how many leases that has extended.
func (k *locks) extendAll(until int64) (n uint64) {
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
	k.byKey.Ascend(lockSlot{name: view(name)}, func(slot lockSlot) bool {
		if slot.name != string(name) {
			return false
		}
		all = append(all, slot.l)
		return true
	})
	return all
}

// destroyLocks ends all locks of a map and reports whether there were any. Who waits for one is no longer in a queue.
func (s *State) destroyLocks(name []byte) (ended bool) {
	for _, l := range s.loads.of(name) {
		s.loads.drop(l)
	}
	all := s.locks.of(name)
	for _, l := range all {
		s.locks.drop(l)
	}
	return len(all) > 0
}
