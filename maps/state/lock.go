package state

import (
	"slices"

	"github.com/tidwall/btree"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// ResumeLease is how long after a resume marker no lease ends and no waiter loses its place, in milliseconds. In this time each holder
// and each waiter can reach the new owner.
const ResumeLease = 5_000

const (
	lockCost   = 200 // what a lock is counted with beside the names of its map and key
	waiterCost = 40  // what a waiter is counted with
)

// locks are the locks of the partition's keys: the held ones, and the last ones that were released, for their fences. A lock exists apart
// from the entry under its key.
type locks struct {
	byKey *btree.BTreeG[lockSlot] // by map and key
	bytes int                     // Invariant: the sum of the costs of the locks that are held
	freed int                     // Invariant: the sum of the costs of the released ones

	swept int64 // clock of the last sweep; see sweepLocks

	ends *btree.BTreeG[lockEnd]  // the locks that are held, by the end of their leases. Derived from byKey.
	free *btree.BTreeG[lockFree] // the released ones, by the version of their release. Derived from byKey.

	// moves counts, in this process, the changes that holders and waiters want to hear of.
	moves uint64

	most int // bytes that the released ones may take

	// stamp counts frozen views. Invariant: a lock with an older stamp may be part of a view and is never changed.
	stamp uint64
}

// lock is the lock of one key.
//
// Invariant: a lock that nobody holds has no waiters.
type lock struct {
	ref     *lockRef
	holder  wire.ID // zero: nobody
	fence   uint64  // the last one given out: the version at which the lock was granted
	lease   uint64  // the holder's, in milliseconds
	ends    int64   // when the lease ends unless it is renewed; 0 if nobody holds the lock
	freed   uint64  // version at which it was released; 0 while somebody holds it
	waiters []waiter
	stamp   uint64 // locks.stamp when it became this one
}

// lockRef names the key of a lock. It is immutable.
type lockRef struct{ name, key string }

// waiter is a caller that waits for a lock.
type waiter struct {
	id    wire.ID
	lease uint64
	until int64 // when it loses its place, unless it asks again
}

// lockSlot finds a lock by its map and key.
type lockSlot struct {
	name, key string
	l         *lock
}

// lockEnd is one element of locks.ends.
type lockEnd struct {
	at  int64
	ref *lockRef
}

// lockFree is one element of locks.free.
type lockFree struct {
	version uint64
	ref     *lockRef
}

func newLocks(most int) locks {
	return locks{
		most: most,
		byKey: newTree(func(a, b lockSlot) bool {
			if a.name != b.name {
				return a.name < b.name
			}
			return a.key < b.key
		}),
		ends: newTree(func(a, b lockEnd) bool {
			// Two leases may end in the same millisecond, and replicas must agree on which is passed on first.
			switch {
			case a.at != b.at:
				return a.at < b.at
			case a.ref.name != b.ref.name:
				return a.ref.name < b.ref.name
			}
			return a.ref.key < b.ref.key
		}),
		// No two locks are released at the same version, so it is enough as an order.
		free: newTree(func(a, b lockFree) bool { return a.version < b.version }),
	}
}

// share returns a view of the locks that stays as it is.
func (k *locks) share() *btree.BTreeG[lockSlot] {
	k.stamp++
	return k.byKey.Copy()
}

// find returns the lock of a key, or nil. The caller must not change it.
func (k *locks) find(name, key []byte) *lock {
	// Most partitions have none, and every write asks.
	if k.byKey.Len() == 0 {
		return nil
	}

	slot, _ := k.byKey.Get(lockSlot{name: asString(name), key: asString(key)})
	return slot.l
}

// take takes l out of all accounts and returns it for a change. If l may be part of a frozen view, it returns a copy in the place of l.
// The caller gives it back with put.
func (k *locks) take(l *lock) *lock {
	if l.freed == 0 {
		k.bytes -= l.cost()
		k.ends.Delete(lockEnd{l.ends, l.ref})
	} else {
		k.freed -= l.cost()
		k.free.Delete(lockFree{l.freed, l.ref})
	}

	// A frozen view with this stamp does not exist: nobody else sees the lock.
	if l.stamp == k.stamp {
		return l
	}

	// The view goes on reading the old lock and its queue, so the copy has a queue of its own.
	c := *l
	c.stamp, c.waiters = k.stamp, slices.Clone(l.waiters)
	k.byKey.Set(lockSlot{c.ref.name, c.ref.key, &c})
	return &c
}

// put enters l, which take or add has returned, into the accounts.
func (k *locks) put(l *lock) {
	if l.freed == 0 {
		k.bytes += l.cost()
		k.ends.Set(lockEnd{l.ends, l.ref})
	} else {
		k.freed += l.cost()
		k.free.Set(lockFree{l.freed, l.ref})
	}
}

// add adds the lock of a key that has none. The caller fills it in and gives it back with put.
func (k *locks) add(name, key []byte) *lock {
	l := &lock{ref: &lockRef{string(name), string(key)}, stamp: k.stamp}
	k.byKey.Set(lockSlot{l.ref.name, l.ref.key, l})
	return l
}

// drop forgets l.
func (k *locks) drop(l *lock) {
	// Callers that wait in this process must look again: their lock is gone.
	k.moves++
	l = k.take(l)
	k.byKey.Delete(lockSlot{name: l.ref.name, key: l.ref.key})
}

// trim forgets the locks that were released first, until the released ones take at most so many bytes.
func (k *locks) trim(most int) {
	for k.freed > most {
		// The fence that was released first is the least likely to be used again.
		oldest, _ := k.free.Min()
		slot, _ := k.byKey.Get(lockSlot{name: oldest.ref.name, key: oldest.ref.key})
		k.drop(slot.l)
	}
}

func (l *lock) cost() int {
	return lockCost + len(l.ref.name) + len(l.ref.key) + waiterCost*len(l.waiters)
}

// result returns the lock as answers show it. Without LockHeld in flags it leaves out fence and lease.
func (l *lock) result(flags uint8) wire.LockResult {
	r := wire.LockResult{Flags: flags, Waiting: uint64(len(l.waiters))}
	if flags&wire.LockHeld != 0 {
		r.Fence, r.Ends = l.fence, l.ends
	}
	return r
}

// waiter returns the place of id in the queue; -1 if it does not wait.
func (l *lock) waiter(id wire.ID) int {
	return slices.IndexFunc(l.waiters, func(w waiter) bool { return w.id == id })
}

// prune drops the waiters that no longer wait. REQUIRES l to be taken.
func (l *lock) prune(clock int64) {
	l.waiters = slices.DeleteFunc(l.waiters, func(w waiter) bool { return w.until <= clock })
}

// next takes the first waiter whose time is not up out of the queue, with all before it. It reports whether there is one. REQUIRES l to be
// taken.
func (l *lock) next(clock int64) (w waiter, ok bool) {
	for i := range l.waiters {
		if w = l.waiters[i]; w.until > clock {
			l.waiters = l.waiters[i+1:]
			return w, true
		}
	}
	l.waiters = nil
	return waiter{}, false
}

// LockState is the lock of a key as it stands in the state.
type LockState struct {
	Holder  wire.ID // zero: nobody
	Fence   uint64  // the last one given out; 0 if none is remembered
	Ends    int64   // when the holder's lease ends, in cluster time in milliseconds
	Waiting int     // who waits
}

// Lock returns the lock of a key. A lease that has ended by the clock is shown until an operation has ended it.
func (s *State) Lock(name, key []byte) LockState {
	return s.locks.view(name, key)
}

func (k *locks) view(name, key []byte) LockState {
	l := k.find(name, key)
	if l == nil {
		return LockState{}
	}
	return LockState{Holder: l.holder, Fence: l.fence, Ends: l.ends, Waiting: len(l.waiters)}
}

// LockMoves returns a number that grows when a lock or a load of this State is granted, ends, or loses a waiter. It is not replicated.
func (s *State) LockMoves() uint64 { return s.locks.moves + s.loads.moves }

// EachWaiter calls f for every caller that has a place in the queue of a lock, or, with load set, of a load.
func (s *State) EachWaiter(f func(name, key string, load bool, id wire.ID)) {
	for _, k := range []*locks{&s.locks, &s.loads} {
		// Only a lock that somebody holds has waiters, and those stand in ends.
		k.ends.Scan(func(e lockEnd) bool {
			for _, w := range k.find([]byte(e.ref.name), []byte(e.ref.key)).waiters {
				f(e.ref.name, e.ref.key, k == &s.loads, w.id)
			}
			return true
		})
	}
}

// WaitsForLock reports whether an ID has a place in the queue of a lock.
func (s *State) WaitsForLock(name, key []byte, id wire.ID) bool {
	l := s.locks.find(name, key)
	return l != nil && l.waiter(id) >= 0
}

// IsLocked returns what a read of the lock answers at now, which is cluster time. It reports false if the answer depends on the clock of the
// log, which must be advanced to now first.
func (s *State) IsLocked(name, key []byte, now int64) (r wire.LockResult, ok bool) {
	l := s.locks.find(name, key)
	// Nobody can get the lock without an entry of the log, so no clock changes this answer.
	if l == nil || l.freed != 0 {
		return r, true
	}

	// Between the clock of the log and now the lease may have ended. Only the log decides who holds the lock then.
	if l.ends > s.clock {
		return l.result(wire.LockHeld), l.ends > now
	}

	// The lease has ended. The next operation gives the lock to the first waiter, so it counts as held.
	for _, w := range l.waiters {
		if w.until > s.clock {
			return l.result(wire.LockHeld), true
		}
	}
	return r, true
}

// HeldLocks returns how many locks are held of the keys of each map; nil if there are none. It counts locks whose lease has ended until an
// operation passes them on. It takes time for each held lock.
func (s *State) HeldLocks() map[string]uint64 {
	if s.locks.ends.Len() == 0 {
		return nil
	}

	// Only held locks stand in ends, so released ones cost nothing here.
	held := make(map[string]uint64)
	s.locks.ends.Scan(func(e lockEnd) bool {
		held[e.ref.name]++
		return true
	})
	return held
}

// holdsLock reports whether somebody holds the lock of a key, or waits for it.
func (s *State) holdsLock(name, key []byte) bool {
	l := s.locks.find(name, key)
	return l != nil && l.freed == 0
}

// fenced returns why a write of a key may not be made under the fence that it carries, or "". Only the last fence of the key is good. It
// stays good after the lock was released, as long as the state remembers the lock.
func (s *State) fenced(name, key []byte, o *wire.WriteOptions) string {
	if o.Flags&wire.WriteFence == 0 {
		return ""
	}

	// A lock that is forgotten counts as another fence: nobody can say any more which fence was the last.
	if l := s.locks.find(name, key); l == nil || l.fence != o.Fence {
		return textFence
	}
	return ""
}
