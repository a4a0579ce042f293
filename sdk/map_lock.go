package sdk

import (
	"context"
	"time"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Lock waits for the lock of a key for as long as ctx lasts; the client's timeout does not apply. Waiters get the lock in the
// order in which they came. The *Lock that it returns outlives ctx. See [Lock] and [Lease].
//
// Locks are advisory: they keep out other locks of the key, not reads and writes. [WithFence] protects a write. A key can be
// locked without having an entry. Its lock survives Delete, Clear and expiry of the key, and ends with Destroy.
//
// Errors: ErrTimeout, which also is ctx.Err(), if ctx ends first: the place in the queue is then given up. ErrUnavailable, which
// also is ctx.Err(), if no owner could be reached. ErrOverloaded if 1,024 callers already wait, or if too many locks are held in
// the partition. ErrInvalid and ErrTooLarge for key and options. ErrClosed.
//
// NOTE: if giving up the place fails too, the lock may be granted to nobody for up to its lease.
func (m *Map[K, V]) Lock(ctx context.Context, key K, opts ...LockOption) (*Lock, error) {
	l, err := m.newLock(key, opts)
	if err == nil {
		err = l.acquire(ctx)
	}
	if err != nil {
		return nil, err
	}
	return l, nil
}

// TryLock takes the lock of a key if nobody holds it, and reports whether it did. It does not wait for another holder; otherwise
// it works as Lock does.
//
// NOTE: after ErrUnknownOutcome the lock may be held by nobody for up to its lease.
func (m *Map[K, V]) TryLock(ctx context.Context, key K, opts ...LockOption) (*Lock, bool, error) {
	l, err := m.newLock(key, opts)
	if err != nil {
		return nil, false, err
	}
	for {
		r, placed, err := l.ask(ctx, wire.OpLock, 0)
		switch {
		case err != nil:
			// The lock may have been granted although the call failed.
			if placed {
				l.leave()
			}
			return nil, false, err
		case r.Flags&wire.LockLapsed != 0: // the lock was granted and taken back before the client could be told
			continue
		case r.Flags&wire.LockHeld == 0:
			return nil, false, nil
		}

		l.granted(r)
		return l, true, nil
	}
}

// newLock returns the lock of a key before it is held.
func (m *Map[K, V]) newLock(key K, opts []LockOption) (*Lock, error) {
	cfg := lockConfig{lease: uint64(lockLease.Milliseconds())}
	for _, o := range opts {
		if o == nil {
			return nil, invalidf(wire.OpLock.String(), m.name, "a nil option")
		}
		if err := o.applyLock(&cfg); err != nil {
			return nil, invalidf(wire.OpLock.String(), m.name, "%v", err)
		}
	}

	cl, err := m.keyed(wire.OpLock, key)
	if err != nil {
		return nil, err
	}
	defer cl.release()

	// The key outlives the call, whose buffers go back to the pool.
	return &Lock{c: m.c, name: m.name, key: append([]byte(nil), cl.key...), partition: int(cl.req.Partition), id: newLockID(),
		lease: cfg.lease, lost: make(chan struct{})}, nil
}

// ForceUnlock takes the lock of a key from its holder and gives it to the next waiter. It is no error if nobody holds the lock.
func (m *Map[K, V]) ForceUnlock(ctx context.Context, key K) error {
	cl, err := m.keyed(wire.OpForceUnlock, key)
	if err != nil {
		return err
	}
	defer cl.release()
	cl.body = wire.AppendKeyBody(cl.body[:0], m.name, cl.key)
	return m.run(ctx, cl)
}

// UnlockFence releases the lock of a key whose holder got the given fence. It is for programs that pass on fences instead of
// Locks. It is ErrLockNotHeld if the holder has another fence.
func (m *Map[K, V]) UnlockFence(ctx context.Context, key K, fence uint64) error {
	if fence == 0 {
		return invalidf(wire.OpUnlock.String(), m.name, "fence 0: no lock has that")
	}

	cl, err := m.keyed(wire.OpUnlock, key)
	if err != nil {
		return err
	}
	defer cl.release()
	cl.body = wire.AppendUnlockBody(cl.body[:0], &wire.UnlockBody{Map: m.wire, Key: cl.key, Fence: fence})
	return m.run(ctx, cl)
}

// IsLocked reports whether somebody holds the lock of a key.
func (m *Map[K, V]) IsLocked(ctx context.Context, key K) (bool, error) {
	info, err := m.LockInfo(ctx, key)
	return info.Locked, err
}

// LockInfo is what members know about the lock of a key.
type LockInfo struct {
	Locked  bool
	Fence   uint64    // the holder's
	Ends    time.Time // when the holder's lease ends without a renewal
	Waiting int       // callers that wait for the lock
}

// LockInfo returns what members know about the lock of a key. It is the zero value if nobody holds the lock.
func (m *Map[K, V]) LockInfo(ctx context.Context, key K) (LockInfo, error) {
	cl, err := m.keyed(wire.OpIsLocked, key)
	if err != nil {
		return LockInfo{}, err
	}
	defer cl.release()
	cl.body = wire.AppendKeyBody(cl.body[:0], m.name, cl.key)
	if err := m.run(ctx, cl); err != nil {
		return LockInfo{}, err
	}

	r, err := wire.DecodeLockResult(cl.Answer.Body)
	if err != nil {
		return LockInfo{}, unreadable(cl.req.Op, m.name, int(cl.req.Partition), err)
	}

	// Fence and end may be those of the last holder, and mean nothing any more.
	if r.Flags&wire.LockHeld == 0 {
		return LockInfo{}, nil
	}
	return LockInfo{Locked: true, Fence: r.Fence, Ends: instant(r.Ends), Waiting: int(r.Waiting)}, nil
}
