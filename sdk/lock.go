package sdk

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

const (
	// lockLease is the lease of a lock unless another is asked for.
	lockLease = 30 * time.Second
	// lockSlice is how long one call waits for a lock. Waiting is made of such calls, under one lock ID.
	lockSlice = 20 * time.Second
	// lockKeep is how long a place in the queue is kept beyond the end of the call that asked for it.
	lockKeep = 10 * time.Second
	// lockDoubt is how long after the end of its lease a lock counts as held of which nothing was heard: members do not end a
	// lease while its partition has no owner.
	lockDoubt = 10 * time.Second
	// leaveTime bounds giving up a place for which nobody waits any more.
	leaveTime = 5 * time.Second
	// minRenewal is the shortest time between two renewals of a lease.
	minRenewal = 5 * time.Millisecond
)

// LockOption changes how a lock is taken. See [Lease].
type LockOption interface{ applyLock(*lockConfig) error }

type lockConfig struct{ lease uint64 } // milliseconds

type leaseOption time.Duration

func (o leaseOption) applyLock(c *lockConfig) (err error) {
	if o == 0 {
		return errors.New("Lease(0): a lock that is not held")
	}
	c.lease, err = wire.Milliseconds("Lease", time.Duration(o))
	return err
}

// Lease sets how long members hold the lock unless the holder renews it. The default is 30 seconds. A Lock renews after each
// third of that time, so the lease is how long others wait for a holder that died. d must be above zero, otherwise it is
// ErrInvalid. A fraction of a millisecond counts as a whole one.
//
// NOTE: no lease ends while the key's partition has no owner, nor in the five seconds after that.
func Lease(d time.Duration) LockOption { return leaseOption(d) }

// Lock is the lock of one key of a map. Whoever has the *Lock holds the lock: it belongs to no goroutine and no client, and it
// is not reentrant. The client renews its lease in the background until Unlock, until the lock is lost, or until the client is
// closed. It is safe for concurrent use.
type Lock struct {
	c         *Client
	name      string // of the map
	key       []byte // encoded
	partition int
	id        wire.ID // the ID by which members know the holder
	lease     uint64  // milliseconds
	fence     uint64
	cluster   wire.ID // the cluster that granted the lock: in another cluster the fence means nothing
	lost      chan struct{}

	mu      sync.Mutex // guards the following
	timer   *time.Timer
	until   int64 // local time from which on the lock counts as lost unless it is renewed
	watched bool  // somebody waits for Lost
	closed  bool  // Unlock was called, or the lock is lost
}

// Fence returns the lock's fencing token. Every later grant of the key's lock has a greater one, at any owner and after any
// failure. A system that sees fences can therefore refuse a holder that has lost its lock without knowing it. Maps do so for
// writes with [WithFence].
func (l *Lock) Fence() uint64 { return l.fence }

// Lost returns a channel that is closed when the lock is lost: because its lease ended without a renewal, or because of
// [Map.ForceUnlock]. From the first call of Lost on, the owner tells the client at once. Without that call the client notices at
// the next renewal.
//
// The channel is also closed 10 seconds after the end of a lease about which the client heard nothing. It is closed as well when
// the client was closed and cannot renew the lease. Unlock does not close it.
func (l *Lock) Lost() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.watched {
		// Renewals wait at the owner from now on, and the owner answers them when the lock is lost. The first one begins at once.
		l.watched = true
		if !l.closed && l.timer.Stop() { // otherwise a renewal is under way
			l.timer.Reset(0)
		}
	}
	return l.lost
}

// Unlock releases the lock and gives it to the next waiter. It also stops the renewals, so the lock ends by itself if Unlock
// fails.
//
// Errors: ErrLockNotHeld if the lock was lost, or unlocked before; ErrUnknownOutcome, ErrTimeout and ErrUnavailable, after which
// Unlock may be called again; ErrClosed.
func (l *Lock) Unlock(ctx context.Context) error {
	l.mu.Lock()
	// A renewal that is under way sees closed and does not begin another one.
	l.closed = true
	if l.timer != nil {
		l.timer.Stop()
	}
	l.mu.Unlock()

	cl := l.call(wire.OpUnlock)
	defer cl.release()
	cl.body = wire.AppendUnlockBody(cl.body[:0], &wire.UnlockBody{Map: []byte(l.name), Key: l.key, ID: l.id, Fence: l.fence})
	return l.c.run(ctx, cl)
}

// call returns a call of op for the lock, without a body.
func (l *Lock) call(op wire.Op) *call {
	cl := newCall(op, l.name, uint32(l.partition))
	if op != wire.OpLock { // the lock exists only in the cluster that granted it
		cl.cluster, cl.bound = l.cluster, ErrLockNotHeld
	}
	return cl
}

// ask runs OpLock or OpRenew. With a slice the call waits for so long: for the lock, or for its loss. placed reports whether members may
// know the holder because of the call.
func (l *Lock) ask(ctx context.Context, op wire.Op, slice time.Duration) (r wire.LockResult, placed bool, err error) {
	cl := l.call(op)
	defer cl.release()
	b := wire.LockBody{Map: []byte(l.name), Key: l.key, ID: l.id, Lease: l.lease}
	if slice > 0 {
		b.Flags, cl.slice = wire.LockWait, slice
		// The place is kept until the next call of the same wait. After the last call nobody would come for it.
		if at, ok := ctx.Deadline(); op == wire.OpLock && (!ok || time.Until(at) > slice) {
			b.Keep = uint64(lockKeep / time.Millisecond)
		}
	}
	return l.c.askLock(ctx, cl, &b)
}

// askLock makes a call with body b whose answer is a LockResult. placed reports whether members may know b.ID because of the call, that
// is, whether an attempt was sent that was not refused. An owner that gives up its partition answers *moved* to a call that waits, but
// the call stands in the log.
func (c *Client) askLock(ctx context.Context, cl *call, b *wire.LockBody) (r wire.LockResult, placed bool, err error) {
	cl.body = wire.AppendLockBody(cl.body[:0], b)
	err = c.run(ctx, cl)
	placed = cl.sent > 0 && (cl.sent > 1 || err == nil || !cl.refused())
	if err != nil {
		return wire.LockResult{}, placed, err
	}

	r, err = wire.DecodeLockResult(cl.Answer.Body)
	if err != nil {
		return wire.LockResult{}, true, cl.fail(ErrUnknownOutcome, "the answer cannot be read: "+err.Error())
	}
	// The answer may be that of an earlier copy, and older than the lease.
	if r.Flags&wire.LockHeld != 0 && r.Ends <= c.clock.cluster(c.clock.now()) {
		r.Flags &^= wire.LockHeld
	}
	return r, placed, nil
}

// acquire waits for the lock as long as ctx does.
func (l *Lock) acquire(ctx context.Context) error {
	// placed: members may know the ID. waited: a member said that the caller waits, or did not answer. unreached: the last call found no owner.
	placed, waited, unreached := false, false, false
	for pause := firstBackoff; ; {
		// Long waits are made of slices, so that a lost answer costs one slice and not the whole wait.
		began := l.c.clock.now()
		r, may, err := l.ask(ctx, wire.OpLock, lockSlice)
		placed = placed || may
		// A call without an answer may stand in the queue.
		waited = waited || err == nil || errors.Is(err, ErrUnknownOutcome)

		switch {
		case err == nil && r.Flags&wire.LockHeld != 0:
			l.granted(r)
			return nil
		case ctx.Err() != nil:
			// Otherwise the lock may be granted to a caller that has gone, for a whole lease.
			if placed {
				l.leave()
			}
			switch {
			case waited:
				return l.fail(because(ErrTimeout, ctx.Err()), "another holds the lock")
			case unreached || errors.Is(err, ErrUnavailable):
				return l.fail(because(ErrUnavailable, ctx.Err()), "")
			}
			return err
		case err == nil, errors.Is(err, ErrUnknownOutcome), errors.Is(err, ErrTimeout), errors.Is(err, ErrUnavailable),
			errors.Is(err, ErrOverloaded) && waited: // a caller that has a place keeps it
			// The next call has the same ID. It keeps the place, or learns that the lock was granted meanwhile.
			if l.c.life.Err() != nil {
				return l.fail(ErrClosed, "")
			}
			unreached = errors.Is(err, ErrUnavailable)
		default:
			// Any other answer is final: the next call would get the same.
			if placed {
				l.leave()
			}
			return err
		}
		// A member normally holds the call while the lock is taken. A member that answers early is asked again only after a pause.
		if time.Duration(l.c.clock.now()-began) > maxBackoff {
			pause = firstBackoff
			continue
		}

		// If ctx or the client has ended, the next call fails at once and ends the wait.
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		case <-l.c.life.Done():
		}
		pause = min(2*pause, maxBackoff)
	}
}

func (l *Lock) fail(err error, hint string) error {
	return &Error{Op: wire.OpLock.String(), Name: l.name, Partition: l.partition, Err: err, Hint: hint}
}

// leave gives up the place in the queue in the background, or the lock if it was granted meanwhile. If that fails, the place and then
// the lease end by themselves.
func (l *Lock) leave() {
	l.c.spawn(func() {
		ctx, cancel := context.WithTimeout(l.c.life, leaveTime)
		defer cancel()
		body := wire.AppendUnlockBody(nil, &wire.UnlockBody{Map: []byte(l.name), Key: l.key, ID: l.id})
		_, _ = l.c.callPartition(ctx, wire.OpUnlock, l.name, l.partition, body)
	})
}

// granted notes that the lock is held, and begins to renew its lease.
func (l *Lock) granted(r wire.LockResult) {
	l.mu.Lock()
	defer l.mu.Unlock()
	// Nobody else has the Lock yet. The mutex is for extendLocked, which requires it.
	l.fence, l.cluster = r.Fence, l.c.table.Load().cluster
	l.extendLocked(r, false)
}

// extendLocked notes when the lease ends. The next renewal begins when two thirds of the lease are left, or now if again is set.
// REQUIRES l.mu.
func (l *Lock) extendLocked(r wire.LockResult, again bool) {
	now := l.c.clock.now()
	left := ahead(uint64(max(0, r.Ends-l.c.clock.cluster(now))))
	// Ends is cluster time. From here on the lease is reckoned by the local clock.
	l.until = now + int64(left) + int64(lockDoubt)
	// A third of the lease passes before a renewal, so two thirds are left for further attempts.
	next := left - 2*l.third()
	if again {
		// A holder that waits for Lost keeps a renewal open at the owner, which answers when the lock is lost.
		next = 0
	}
	l.timer = time.AfterFunc(max(next, minRenewal), l.renewal)
}

// third returns a third of the lease.
func (l *Lock) third() time.Duration { return ahead(l.lease) / 3 }

// ahead returns so many milliseconds, at most a hundred years.
func ahead(ms uint64) time.Duration {
	return time.Duration(min(ms, 100*365*24*3600*1000)) * time.Millisecond
}

// renewal begins to renew the lease. It is called by the timer.
func (l *Lock) renewal() {
	// The client is closed, so nothing renews the lease.
	if !l.c.spawn(l.renew) {
		l.lose()
	}
}

// renew renews the lease, however often it takes, until that is no longer of use.
func (l *Lock) renew() {
	for {
		l.mu.Lock()
		// until is a local time, so between two answers nothing depends on the estimate of cluster time.
		closed, left := l.closed, time.Duration(l.until-l.c.clock.now())

		slice := time.Duration(0)
		if l.watched {
			// The renewal waits at the owner, but not for so long that the lease could end meanwhile.
			slice = min(max(l.third(), minRenewal), lockSlice)
		}
		l.mu.Unlock()

		// Unlock has ended the renewals, so the end of this lock is no loss.
		if closed {
			return
		}

		// Nobody can tell any more whether the lock is held, so the holder must not rely on it.
		if left <= 0 || l.c.life.Err() != nil {
			l.lose()
			return
		}

		// The call may wait longer than one attempt, but never beyond the moment at which the lock counts as lost.
		began := l.c.clock.now()
		ctx, cancel := context.WithTimeout(l.c.life, min(left, lockSlice))
		r, _, err := l.ask(ctx, wire.OpRenew, slice)
		cancel()

		switch {
		case err == nil && r.Flags&wire.LockHeld != 0:
			l.mu.Lock()
			if !l.closed {
				// While somebody waits for Lost, a renewal always waits at the owner. An owner that answers early is not asked at once.
				held := time.Duration(l.c.clock.now()-began) > slice/2
				l.extendLocked(r, l.watched && (slice == 0 || held))
			}
			l.mu.Unlock()
			return
		case err == nil: // the answer took longer than the lease
		case errors.Is(err, ErrLockNotHeld):
			l.lose()
			return
		// Members end no lease while its partition has no owner. The lease may still be renewed.
		case errors.Is(err, ErrUnknownOutcome), Retryable(err):
		default:
			l.lose()
			return
		}

		select {
		case <-time.After(maxBackoff):
		case <-l.c.life.Done():
		}
	}
}

// lose says that the lock is lost, unless it was given up.
func (l *Lock) lose() {
	l.mu.Lock()
	defer l.mu.Unlock()
	// After Unlock nothing is lost, and a channel can be closed only once.
	if !l.closed {
		l.closed = true
		close(l.lost)
	}
}

// fenceOption is WithFence.
type fenceOption struct{ l *Lock }

func (o fenceOption) applyWrite(w *wire.WriteOptions) error {
	if o.l == nil {
		return fmt.Errorf("WithFence(nil)")
	}
	w.Flags |= wire.WriteFence
	w.Fence = o.l.fence
	return nil
}

// WithFence makes the write only if no fence later than l's was given out for the key. Otherwise the write is ErrFenced. So a
// holder that has lost its lock without knowing it changes nothing. The write must be to l's map and key, otherwise it is
// ErrInvalid.
//
// NOTE: members also remember fences of released locks, but only for about the last thousand locks of a partition.
func WithFence(l *Lock) WriteOption { return fenceOption{l} }

// checkFence returns an error if opts hold the fence of a lock of another key.
func checkFence(op wire.Op, name string, key []byte, opts []WriteOption) error {
	for _, o := range opts {
		if f, ok := o.(fenceOption); ok && (f.l.name != name || string(f.l.key) != string(key)) {
			return invalidf(op.String(), name, "WithFence with the lock of another key")
		}
	}
	return nil
}

// fencedBy returns the cluster that granted the lock whose fence opts hold.
func fencedBy(opts []WriteOption) (cluster wire.ID) {
	for _, o := range opts {
		if f, ok := o.(fenceOption); ok {
			cluster = f.l.cluster
		}
	}
	return cluster
}

// newLockID returns an ID that nobody else has.
func newLockID() (id wire.ID) {
	_, _ = rand.Read(id[:]) // never fails
	return id
}
