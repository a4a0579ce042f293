package sdk

import (
	"context"
	"errors"
	"time"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// loadLease is how long others wait for the value of a loader that has died. A living loader renews its lease after each third of it.
const loadLease = 5 * time.Second

// GetOrLoad returns the value of key. If key has none, it calls load, stores what load returns with opts, unless a value has
// appeared meanwhile, and returns it. In the whole cluster one load of a key runs at a time; other callers of GetOrLoad wait for
// its value.
//
// If load fails, only its caller gets the error, and the next waiting caller loads. The same happens within seconds if the
// client of the loading caller dies. Callers of one client share one wait, so any number of them may want the same key. The opts
// of the caller whose load ran apply.
//
// A value that comes too late is not stored. If another value was written meanwhile, GetOrLoad returns the other value. If the key was
// deleted meanwhile, the loaded value may be stale: GetOrLoad returns it without storing it, and the next caller loads again.
// The same holds if the client was cut off from the cluster for longer than others wait. Delete, Remove, Evict, DeleteAll,
// RemoveAll, Clear and Destroy all count as deleting, also if there was no entry.
//
// load runs on the caller's goroutine, with a context that ends with ctx. ctx bounds everything together; without a deadline the
// client's timeout does. If load succeeds and its value cannot be stored, GetOrLoad returns the value and the error. While
// members are overloaded, or 1,024 clients already wait, it asks again until ctx ends.
//
// Errors: load's own, unchanged; those of Get and Set; ErrTimeout if ctx ends while another caller loads; ErrInvalid for
// IfVersion and WithFence, which do not apply to a key without an entry.
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

	// The call is never sent. It only encodes the key, by which callers of this client find each other.
	cl, err := m.keyed(wire.OpLoad, key)
	if err != nil {
		return zero, err
	}
	at := flightKey{m.name, string(cl.key), cl.req.Partition}
	cl.release()

	// A flight may end without a value for this caller, which then begins again.
	for {
		if v, found, err := m.getPatiently(ctx, key); err != nil || found {
			return v, err
		}
		if v, over, err := m.fly(ctx, m.c.loads.join(m.c, at), key, load, w); over {
			return v, err
		}
	}
}

// getPatiently is Get from the owner, which asks again while members are overloaded.
func (m *Map[K, V]) getPatiently(ctx context.Context, key K) (v V, found bool, err error) {
	for n := 0; ; n++ {
		v, found, err = m.get(ctx, nil, key)
		if !errors.Is(err, ErrOverloaded) || !m.c.pauseLoad(ctx, backoff(n)) {
			return v, found, err
		}
	}
}

// pauseLoad waits, and reports whether neither ctx nor the client has ended.
func (c *Client) pauseLoad(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	case <-c.life.Done():
	}
	return ctx.Err() == nil && c.life.Err() == nil
}

// fly takes part in a flight that was joined, until there is something to return; else over is false.
func (m *Map[K, V]) fly(ctx context.Context, f *flight, key K, load func(context.Context, K) (V, error), w wire.WriteOptions) (v V, over bool, err error) {
	defer m.c.loads.leave(f)
	select {
	case <-f.landed:
		// Nothing was stored that this caller could share, so the caller begins again.
		if f.value == nil {
			return v, false, nil
		}
		v, err = m.decodeLoaded(f)
		return v, true, err
	case <-f.lead:
		// The leader before has failed, or there was none yet.
		return m.lead(ctx, f, key, load, w)
	case <-m.c.life.Done():
		return v, true, f.l.fail(ErrClosed, "")
	case <-ctx.Done():
		return v, true, f.l.fail(because(ErrTimeout, ctx.Err()), "another loads the value")
	}
}

// lead waits for the value on behalf of all callers in the flight, and loads the value if members give the task to this client. A caller
// that fails leaves the lead to another one.
func (m *Map[K, V]) lead(ctx context.Context, f *flight, key K, load func(context.Context, K) (V, error), w wire.WriteOptions) (v V, over bool, err error) {
	landed := false
	defer func() { // also when load panics
		if !landed {
			f.lead <- struct{}{}
		}
	}()

	// The wait has one place in the members' queue for all callers of this client.
	mine, err := f.l.wait(ctx)
	if err != nil {
		return v, true, err
	}

	if mine {
		v, landed, err = m.load(ctx, f, key, load, w)
		return v, true, err
	}
	// From here on nobody joins. So all callers of the flight asked before the value is read, and the value is not too old for them.
	m.c.loads.close(f)
	landed = true
	value, found, err := m.getEncoded(ctx, key)
	f.land(value)
	if err != nil || !found { // where members are overloaded, all ask again
		return v, err != nil && !errors.Is(err, ErrOverloaded), err
	}

	v, err = m.decodeLoaded(f)
	return v, true, err
}

// getEncoded is Get without decoding the value. The value belongs to the caller.
func (m *Map[K, V]) getEncoded(ctx context.Context, key K) (value []byte, found bool, err error) {
	cl, err := m.keyed(wire.OpGet, key)
	if err != nil {
		return nil, false, err
	}
	defer cl.release()

	r, err := m.read(ctx, cl)
	if err != nil || r.Flags&wire.ResultFound == 0 {
		return nil, false, err
	}

	// A copy, since several callers share the value and the call goes back to the pool.
	return append([]byte(nil), r.Value...), true, nil
}

// decodeLoaded reads the value that a flight has brought. Each caller gets a V of its own.
func (m *Map[K, V]) decodeLoaded(f *flight) (V, error) {
	cl := newCall(wire.OpLoad, m.name, f.at.partition)
	defer cl.release()
	return m.decodeValue(cl, f.value)
}

// load loads the value of a key as the flight has been told to. landed says that the flight is over.
func (m *Map[K, V]) load(ctx context.Context, f *flight, key K, load func(context.Context, K) (V, error), w wire.WriteOptions) (v V, landed bool, err error) {
	settled, l := false, f.l
	defer l.renewing()()
	defer func() { // also when load panics
		if !settled {
			l.leave()
		}
		if !landed {
			f.l = newLoading(m.c, f.at) // the next leader gets a place of its own
		}
	}()

	// The deferred leave gives the task to the next caller, here or at another client.
	if v, err = load(ctx, key); err != nil {
		var zero V
		return zero, false, err
	}
	value, err := m.encodeValue(wire.OpLoaded, nil, v)
	if err != nil {
		return v, false, err
	}

	// From here on nobody joins. A caller that asks after the value was stored might also ask after it was deleted.
	m.c.loads.close(f)
	landed = true
	defer func() { f.land(value) }()

	err = l.loaded(ctx, w, value)
	if err == nil {
		settled = true
		return v, landed, nil
	}

	// The value was not stored. Those who share the flight must look again, unless another value is found below.
	value = nil
	if !errors.Is(err, ErrLockNotHeld) {
		return v, landed, err
	}

	// The task was no longer the caller's, so it need not be given up. Where the key has a value by now, everyone gets that.
	settled = true
	other, found, err := m.getEncoded(ctx, key)
	if err != nil || !found {
		return v, landed, nil
	}

	value = other
	cl := newCall(wire.OpLoad, m.name, f.at.partition)
	defer cl.release()
	if stored, err := m.decodeValue(cl, other); err == nil {
		return stored, landed, nil
	}
	return v, landed, nil
}

// loading is a client's part in the task to load the value of a key: first it may wait until others are done, then it has the task.
type loading struct {
	c         *Client
	name      string
	key       []byte // encoded
	partition uint32
	id        wire.ID // the ID by which members know the client's part
	placed    bool    // members may know id
	fence     uint64  // set once the task is the client's
}

func newLoading(c *Client, at flightKey) *loading {
	return &loading{c: c, name: at.name, key: []byte(at.key), partition: at.partition, id: newLockID()}
}

// ask runs OpLoad. placed is as that of askLock.
func (l *loading) ask(ctx context.Context, flags uint8) (r wire.LockResult, placed bool, err error) {
	cl := newCall(wire.OpLoad, l.name, l.partition)
	defer cl.release()
	b := wire.LockBody{Map: []byte(l.name), Key: l.key, ID: l.id, Lease: uint64(loadLease.Milliseconds()), Flags: flags}

	// A renewal that takes longer than the lease comes too late.
	cl.slice = loadLease
	if flags&wire.LockWait != 0 {
		cl.slice = lockSlice
		// The place is kept until the next call of the same wait.
		if at, ok := ctx.Deadline(); !ok || time.Until(at) > lockSlice {
			b.Keep = uint64(lockKeep.Milliseconds())
		}
	}
	return l.c.askLock(ctx, cl, &b)
}

// wait waits until the key has a value, or until the caller has the task to load it: then mine is true. After an error the place in
// the queue stays, for the next call of wait or leave.
func (l *loading) wait(ctx context.Context) (mine bool, err error) {
	hint, waited := "", false // hint: why the caller does not load yet; waited: a member said so, or did not answer
	for n := 0; ; n++ {
		began := l.c.clock.now()
		r, placed, err := l.ask(ctx, wire.LockWait)
		l.placed = l.placed || placed

		// What is remembered here becomes the reason if ctx ends during a later attempt.
		switch {
		case err == nil, errors.Is(err, ErrUnknownOutcome):
			hint, waited = "another loads the value", true
		case errors.Is(err, ErrOverloaded):
			hint, waited = err.Error(), true
		}

		switch {
		case err == nil && r.Flags&wire.LockHeld != 0:
			l.fence = r.Fence
			return true, nil
		case err == nil && r.Flags&wire.LockLoaded != 0:
			// The key has an entry, which has ended the task and all places.
			l.placed = false
			return false, nil
		case l.c.life.Err() != nil:
			return false, l.fail(ErrClosed, "")
		case ctx.Err() != nil:
			if waited {
				return false, l.fail(because(ErrTimeout, ctx.Err()), hint)
			}
			return false, err
		case err == nil, errors.Is(err, ErrUnknownOutcome), errors.Is(err, ErrTimeout), errors.Is(err, ErrUnavailable), errors.Is(err, ErrOverloaded):
		default:
			return false, err
		}
		// A member normally holds the call while another loads. A member that answers early is asked again only after a pause.
		if time.Duration(l.c.clock.now()-began) > maxBackoff {
			n = 0
		}
		l.c.pauseLoad(ctx, backoff(n))
	}
}

func (l *loading) fail(err error, hint string) error {
	return &Error{Op: wire.OpLoad.String(), Name: l.name, Partition: int(l.partition), Err: err, Hint: hint}
}

// renewing renews the lease in the background until stop is called or the task is no longer the client's.
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

			// Any other failure may pass before the lease ends.
			if _, _, err := l.ask(ctx, wire.LockAgain); errors.Is(err, ErrLockNotHeld) {
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
