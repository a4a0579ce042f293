package sdk

import (
	"context"
	"errors"
	"time"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// loadLease is how long others wait for the value of a loader that has died. One that lives renews its lease each third of that.
const loadLease = 5 * time.Second

// GetOrLoad returns the value under key; where there is none, the one that load returns, which is stored, with opts, if there still is
// none. In the whole cluster one load of a key runs at a time: other callers of GetOrLoad wait for its value. Should it return an
// error, that is its caller's alone, and the next who waits loads; likewise within some seconds if its client dies.
//
// A value that comes too late is not stored: when another value was written meanwhile, GetOrLoad returns that; when the key was
// deleted meanwhile, so that what was read before may be stale, or the client was cut off from the cluster for longer than others wait,
// it returns what load returned, and the next caller loads anew. Delete, Remove, Evict, DeleteAll, RemoveAll, Clear and Destroy delete in
// this sense also where there is nothing.
//
// load runs in the caller's goroutine, with a context that ends with ctx. ctx bounds all together, the client's timeout where it has no
// deadline. If load succeeded and its value could not be stored, GetOrLoad returns the value and the error.
//
// Errors: load's own, as it is. Those of Get and of Set. ErrTimeout when ctx ends while another loads. ErrInvalid for IfVersion and
// WithFence, which say nothing about a key without an entry.
func (m *Map[K, V]) GetOrLoad(ctx context.Context, key K, load func(context.Context, K) (V, error), opts ...WriteOption) (V, error) {
	var zero V
	w, err := writeOptions(wire.OpLoaded, m.name, opts)
	switch {
	case err != nil:
		return zero, err
	case load == nil:
		return zero, invalidf(wire.OpLoad.String(), m.name, "nothing to load with")
	case w.Flags&(wire.WriteVersion|wire.WriteFence) != 0:
		return zero, invalidf(wire.OpLoad.String(), m.name, "IfVersion or WithFence on GetOrLoad, which writes only where there is no entry")
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, m.c.cfg.timeout)
		defer cancel()
	}
	v, found, err := m.Get(ctx, key)
	if err != nil || found {
		return v, err
	}
	cl, err := m.keyed(wire.OpLoad, key)
	if err != nil {
		return zero, err
	}
	l := &loading{c: m.c, name: m.name, key: append([]byte(nil), cl.key...), partition: cl.req.Partition, id: newLockID()}
	cl.release()
	for {
		mine, err := l.wait(ctx)
		if err != nil {
			return zero, err
		}
		if mine {
			return m.load(ctx, l, key, load, w)
		}
		if v, found, err := m.Get(ctx, key); err != nil || found {
			return v, err
		}
	}
}

// load loads the value of a key as l has been told to.
func (m *Map[K, V]) load(ctx context.Context, l *loading, key K, load func(context.Context, K) (V, error), w wire.WriteOptions) (v V, err error) {
	settled := false
	defer l.renewing()()
	defer func() { // also when load panics
		if !settled {
			l.leave()
		}
	}()
	if v, err = load(ctx, key); err != nil {
		var zero V
		return zero, err
	}
	value, err := m.encodeValue(wire.OpLoaded, nil, v)
	if err != nil {
		return v, err
	}
	err = l.loaded(ctx, w, value)
	if !errors.Is(err, ErrLockNotHeld) {
		settled = err == nil
		return v, err
	}
	settled = true
	if other, found, err := m.Get(ctx, key); err == nil && found {
		return other, nil
	}
	return v, nil
}

// loading is the task to load the value of a key: as long as it waits for others that have it, and when it has it itself.
type loading struct {
	c         *Client
	name      string
	key       []byte // encoded
	partition uint32
	id        wire.ID // under which members know it
	fence     uint64  // once it is its own
}

// ask runs OpLoad.
func (l *loading) ask(ctx context.Context, flags uint8) (wire.LockResult, error) {
	cl := newCall(wire.OpLoad, l.name, l.partition)
	defer cl.release()
	b := wire.LockBody{Map: []byte(l.name), Key: l.key, ID: l.id, Lease: uint64(loadLease.Milliseconds()), Flags: flags}
	cl.slice = loadLease
	if flags&wire.LockWait != 0 {
		cl.slice = lockSlice
		if at, ok := ctx.Deadline(); !ok || time.Until(at) > lockSlice { // else no other call follows
			b.Keep = uint64(lockKeep.Milliseconds())
		}
	}
	return l.c.askLock(ctx, cl, &b)
}

// wait waits until the value is there, or is to be loaded by the caller: then mine is true. After an error neither is.
func (l *loading) wait(ctx context.Context) (mine bool, err error) {
	placed := false // it may be that members know of it
	for pause := firstBackoff; ; pause = min(2*pause, maxBackoff) {
		began := l.c.clock.now()
		r, err := l.ask(ctx, wire.LockWait)
		placed = placed || err == nil || errors.Is(err, ErrUnknownOutcome)
		switch {
		case err == nil && r.Flags&wire.LockHeld != 0:
			l.fence = r.Fence
			return true, nil
		case err == nil && r.Flags&wire.LockLoaded != 0:
			return false, nil
		case l.c.life.Err() != nil:
			return false, l.fail(ErrClosed, "")
		case ctx.Err() != nil:
			if !placed {
				return false, err
			}
			l.leave()
			return false, l.fail(because(ErrTimeout, ctx.Err()), "another loads the value")
		case err == nil, errors.Is(err, ErrUnknownOutcome), errors.Is(err, ErrTimeout), errors.Is(err, ErrUnavailable):
		default:
			if placed {
				l.leave()
			}
			return false, err
		}
		// A member holds the call as long as it can. One that does not is not asked all the time.
		if time.Duration(l.c.clock.now()-began) > maxBackoff {
			pause = firstBackoff
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		case <-l.c.life.Done():
		}
	}
}

func (l *loading) fail(err error, hint string) error {
	return &Error{Op: wire.OpLoad.String(), Name: l.name, Partition: int(l.partition), Err: err, Hint: hint}
}

// renewing renews the lease in the background, until the function that it returns is called or the task is another's.
func (l *loading) renewing() (stop func()) {
	ctx, cancel := context.WithCancel(l.c.life)
	l.c.spawn(func() {
		tick := time.NewTicker(loadLease / 3)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if _, err := l.ask(ctx, wire.LockAgain); errors.Is(err, ErrLockNotHeld) {
				return
			}
		}
	})
	return cancel
}

// loaded hands in the value. It is ErrLockNotHeld if that came too late.
func (l *loading) loaded(ctx context.Context, w wire.WriteOptions, value []byte) error {
	cl := newCall(wire.OpLoaded, l.name, l.partition)
	defer cl.release()
	cl.body = wire.AppendLoadedBody(cl.body[:0], &wire.LoadedBody{Map: []byte(l.name), Key: l.key, ID: l.id, Fence: l.fence, WriteOptions: w, Value: value})
	return l.c.run(ctx, cl)
}

// leave says that the caller neither loads nor waits any more, in the background. Where that fails, the lease ends by itself.
func (l *loading) leave() {
	l.c.spawn(func() {
		ctx, cancel := context.WithTimeout(l.c.life, leaveTime)
		defer cancel()
		body := wire.AppendLoadedBody(nil, &wire.LoadedBody{Map: []byte(l.name), Key: l.key, ID: l.id})
		_, _ = l.c.callPartition(ctx, wire.OpLoaded, l.name, int(l.partition), body)
	})
}
