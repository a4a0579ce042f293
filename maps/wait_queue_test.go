package maps

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gridiron-io/gridiron/maps/state"
	"github.com/gridiron-io/gridiron/partition"
	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// lot is a wait queue of two partitions with a state of its own behind it, which the test drives in place of a log.
type lot struct {
	*waitQueue
	t     *testing.T
	s     *Service
	mu    sync.Mutex // guards the following
	st    *state.State
	epoch uint64

	unapplied int64
	slow      func(carryOut func(o partition.Outcome)) // if not nil: takes what is submitted, and has it carried out in time
}

func (l *lot) Submit(_ int, op *entry.Op, c partition.Completion) {
	carryOut := func(o partition.Outcome) {
		if o == partition.Applied {
			l.apply(op)
		}
		c.Complete(o, entry.Result{})
	}
	l.mu.Lock()
	slow := l.slow
	l.mu.Unlock()
	if slow != nil {
		slow(carryOut)
		return
	}
	carryOut(partition.Applied)
}

// hold has what is submitted from now on carried out by the function that it returns, in its order.
func (l *lot) hold() (release func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var list []func(partition.Outcome)
	l.slow = func(f func(partition.Outcome)) { list = append(list, f) }
	return func() {
		synctest.Wait()
		if len(list) == 0 {
			l.t.Fatal("nothing was submitted")
		}
		for _, f := range list {
			f(partition.Applied)
		}
		l.mu.Lock()
		l.slow = nil
		l.mu.Unlock()
	}
}

func (l *lot) Flush(int) {}

// Unapplied tells of a call that waits for the group while the test says so.
func (l *lot) Unapplied(int) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.unapplied
}

func (l *lot) Serving(int) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.epoch
}

func (l *lot) Inspect(_ int, f func(partition.Machine)) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	f(machine{l.st})
	return true
}

// newLot returns a lot whose wait queue has started. Cluster time is that of the bubble in which the test runs.
func newLot(t *testing.T) *lot {
	l := &lot{t: t, st: state.New(1, state.Limits{}), epoch: 7}
	now := func() int64 { return time.Now().UnixMilli() }
	l.waitQueue = newWaitQueue(l, now, 2)
	l.s = &Service{cfg: Config{Now: now, Owner: func(int) wire.Moved { return wire.Moved{Epoch: 9} }}, waitQueue: l.waitQueue}
	l.start()
	t.Cleanup(l.close)
	return l
}

// successor returns the lot of the next owner, which has the state and knows nothing of the callers.
func (l *lot) successor() *lot {
	l.mu.Lock()
	st, epoch := l.st, l.epoch
	l.epoch = 0
	l.mu.Unlock()
	l.touched(1)
	next := newLot(l.t)
	next.mu.Lock()
	next.st, next.epoch = st, epoch+1
	next.mu.Unlock()
	next.touched(1)
	synctest.Wait()
	return next
}

// heard is what callers were answered.
type heard struct {
	mu  sync.Mutex
	all []wire.Answer
}

func (h *heard) Answer(id uint64, code wire.Code, body []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all = append(h.all, wire.Answer{ID: id, Code: code, Body: append([]byte(nil), body...)})
}

// take returns the answers so far, in place of none.
func (h *heard) take() []wire.Answer {
	synctest.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	all := h.all
	h.all = nil
	return all
}

// lock has a call wait for the lock of a key, as a call of so long.
func (l *lot) lock(h Caller, request uint64, key string, id byte, d time.Duration) {
	l.call(h, request, wire.OpLock, key, id, d)
}

// watch has a call renew a lock and wait for its loss.
func (l *lot) watch(h Caller, request uint64, key string, id byte, d time.Duration) {
	l.call(h, request, wire.OpRenew, key, id, d)
}

func (l *lot) call(h Caller, request uint64, op wire.Op, key string, id byte, d time.Duration) {
	b := wire.LockBody{Map: []byte("m"), Key: []byte(key), ID: wire.ID{id}, Lease: 60_000}
	if d > 0 {
		b.Flags = wire.LockWait
	}
	if op == wire.OpLock {
		b.Keep = 10_000
	}
	l.ask(h, &wire.Request{ID: request, Op: op, Partition: 1, Deadline: time.Now().Add(d).UnixMilli(), Body: wire.AppendLockBody(nil, &b)})
}

// ask has a request applied.
func (l *lot) ask(h Caller, req *wire.Request) {
	c := newCall(l.s, req, h, Moment{Local: time.Now()})
	c.locks, c.body = true, append(c.body[:0], req.Body...)
	l.mu.Lock()
	r := l.st.Apply(&entry.Op{Code: req.Op, Deadline: req.Deadline, Body: req.Body})
	l.mu.Unlock()
	c.Complete(partition.Applied, r)
}

// copy has the copy of a call come that got the lock of a key.
func (l *lot) copy(h Caller, request uint64, key string, id byte) {
	b := wire.LockBody{Map: []byte("m"), Key: []byte(key), ID: wire.ID{id}, Lease: 60_000}
	req := &wire.Request{ID: request, Op: wire.OpLock, Flags: wire.FlagRetry, Partition: 1, Deadline: time.Now().Add(20 * time.Second).UnixMilli()}
	c := newCall(l.s, req, h, Moment{Local: time.Now()})
	c.locks, c.body = true, wire.AppendLockBody(c.body[:0], &b)
	c.Complete(partition.Applied, entry.Result{Body: wire.AppendLockResult(nil, &wire.LockResult{Flags: wire.LockHeld, Fence: 1, Ends: 1 << 60})})
}

// apply applies an operation that nobody waits for.
func (l *lot) apply(op *entry.Op) {
	l.mu.Lock()
	l.st.Apply(op)
	l.mu.Unlock()
	l.touched(1)
}

func (l *lot) unlock(key string, id byte) {
	l.apply(&entry.Op{Code: wire.OpUnlock, Body: wire.AppendUnlockBody(nil, &wire.UnlockBody{Map: []byte("m"), Key: []byte(key), ID: wire.ID{id}})})
}

// waits reports whether an ID has a place in the queue of a lock.
func (l *lot) waits(key string, id byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.st.WaitsForLock([]byte("m"), []byte(key), wire.ID{id})
}

// holder returns who holds the lock of a key.
func (l *lot) holder(key string) byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.st.Lock([]byte("m"), []byte(key)).Holder[0]
}

// loader returns who loads the value of a key.
func (l *lot) loader(key string) byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	v, _ := l.st.Loader([]byte("m"), []byte(key))
	return v.Holder[0]
}

// only checks that there is one answer, to a request, and returns its result.
func (l *lot) only(what string, got []wire.Answer, request uint64) wire.LockResult {
	l.t.Helper()
	if len(got) != 1 || got[0].ID != request || got[0].Code != wire.CodeOK {
		l.t.Fatalf("%s: %+v, want an answer to request %d", what, got, request)
	}
	r, err := wire.DecodeLockResult(got[0].Body)
	if err != nil {
		l.t.Fatalf("%s: %v", what, err)
	}
	return r
}

// idle checks that nothing is kept.
func (l *lot) idle() {
	l.t.Helper()
	l.waitQueue.mu.Lock()
	defer l.waitQueue.mu.Unlock()
	if l.count[1].Load() != 0 || l.parked[1] != nil || len(l.grants) > 0 || len(l.orphans) > 0 {
		l.t.Fatalf("%d calls are counted, %d locks are waited for, %d grants are on their way, %d callers may come back",
			l.count[1].Load(), len(l.parked[1]), len(l.grants), len(l.orphans))
	}
}

func TestWaitQueue(t *testing.T) {
	for name, f := range map[string]func(l *lot, h *heard){
		"the next is told, and no other": func(l *lot, h *heard) {
			l.lock(h, 1, "k", 1, time.Minute)
			first := l.only("granted at once", h.take(), 1)
			l.lock(h, 2, "k", 2, time.Minute)
			l.lock(h, 3, "k", 3, time.Minute)
			l.lock(h, 4, "other", 3, time.Minute)
			l.only("another key", h.take(), 4)
			l.unlock("k", 1)
			if r := l.only("passed on", h.take(), 2); r.Flags != wire.LockHeld || r.Fence <= first.Fence || r.Ends == 0 || r.Waiting != 1 {
				l.t.Fatalf("%+v", r)
			}
			l.unlock("k", 2)
			l.only("passed on again", h.take(), 3)
		},
		"whose time is up is told that it waits": func(l *lot, h *heard) {
			l.lock(h, 1, "k", 1, time.Minute)
			h.take()
			l.lock(h, 2, "k", 2, 20*time.Second)
			time.Sleep(20*time.Second - answerTime - time.Millisecond)
			if got := h.take(); len(got) != 0 {
				l.t.Fatalf("too early: %+v", got)
			}
			time.Sleep(time.Millisecond)
			if r := l.only("in time", h.take(), 2); r.Flags != wire.LockQueued {
				l.t.Fatalf("%+v", r)
			}
			l.unlock("k", 1)
			if got := h.take(); len(got) != 0 {
				l.t.Fatalf("told twice: %+v", got)
			}
			// It asks again, and has the lock already.
			l.lock(h, 3, "k", 2, 20*time.Second)
			if r := l.only("asked again", h.take(), 3); r.Flags != wire.LockHeld {
				l.t.Fatalf("%+v", r)
			}
		},
		"a copy that comes after the grant": func(l *lot, h *heard) {
			l.lock(h, 1, "k", 1, time.Minute)
			h.take()
			// What the state remembers of the call is that it waits, which is no longer so.
			b := wire.LockBody{Map: []byte("m"), Key: []byte("k"), ID: wire.ID{1}, Lease: 60_000, Flags: wire.LockWait}
			req := &wire.Request{ID: 2, Op: wire.OpLock, Partition: 1, Deadline: time.Now().Add(time.Minute).UnixMilli()}
			c := newCall(l.s, req, h, Moment{Local: time.Now()})
			c.locks, c.body = true, wire.AppendLockBody(c.body[:0], &b)
			c.Complete(partition.Applied, entry.Result{Body: wire.AppendLockResult(nil, &wire.LockResult{Flags: wire.LockQueued})})
			if r := l.only("the copy", h.take(), 2); r.Flags != wire.LockHeld {
				l.t.Fatalf("%+v", r)
			}
		},
		"a copy takes the place of the one before": func(l *lot, h *heard) {
			l.lock(h, 1, "k", 1, time.Minute)
			h.take()
			l.lock(h, 2, "k", 2, time.Minute)
			h.take()
			l.lock(h, 3, "k", 2, time.Minute)
			if r := l.only("the one before", h.take(), 2); r.Flags != wire.LockQueued {
				l.t.Fatalf("%+v", r)
			}
			l.unlock("k", 1)
			l.only("the copy", h.take(), 3)
		},
		"who no longer waits": func(l *lot, h *heard) {
			l.lock(h, 1, "k", 1, time.Minute)
			h.take()
			l.lock(h, 2, "k", 2, time.Minute)
			l.lock(h, 3, "k", 3, time.Minute)
			l.unlock("k", 2)
			if r := l.only("has left", h.take(), 2); r.Flags != 0 {
				l.t.Fatalf("%+v", r)
			}
			l.apply(&entry.Op{Code: wire.OpDestroy, Body: wire.AppendMapBody(nil, "m")})
			if r := l.only("the map was destroyed", h.take(), 3); r.Flags != 0 {
				l.t.Fatalf("%+v", r)
			}
		},
		"the holder is told that it has lost the lock": func(l *lot, h *heard) {
			l.lock(h, 1, "k", 1, time.Minute)
			h.take()
			l.watch(h, 2, "k", 1, 20*time.Second)
			l.apply(&entry.Op{Code: wire.OpSet})
			time.Sleep(20 * time.Second)
			if r := l.only("in time", h.take(), 2); r.Flags != wire.LockHeld || r.Fence == 0 {
				l.t.Fatalf("%+v", r)
			}
			l.watch(h, 3, "k", 1, 20*time.Second)
			l.lock(h, 4, "k", 2, 20*time.Second)
			if got := h.take(); len(got) != 0 {
				l.t.Fatalf("too early: %+v", got)
			}
			l.apply(&entry.Op{Code: wire.OpForceUnlock, Body: wire.AppendKeyBody(nil, "m", []byte("k"))})
			got := h.take()
			if len(got) == 2 && got[0].ID == 4 {
				got[0], got[1] = got[1], got[0]
			}
			if len(got) != 2 || got[0].ID != 3 || got[0].Code != wire.CodeLockNotHeld {
				l.t.Fatalf("%+v", got)
			}
			l.only("the next", got[1:], 4)
			l.watch(h, 5, "k", 1, 20*time.Second)
			if got := h.take(); len(got) != 1 || got[0].Code != wire.CodeLockNotHeld {
				l.t.Fatalf("%+v", got)
			}
		},
		"who waits and goes away": func(l *lot, h *heard) {
			l.lock(h, 1, "k", 1, time.Minute)
			h.take()
			other := &heard{}
			l.lock(h, 2, "k", 2, 20*time.Second)
			l.lock(other, 3, "k", 3, 20*time.Second)
			l.lock(h, 4, "k", 4, 20*time.Second)
			l.gone(h)
			if got := h.take(); len(got) != 2 || got[0].Code != wire.CodeNotReady || got[1].Code != wire.CodeNotReady {
				l.t.Fatalf("%+v", got)
			}
			// One asks again on another connection.
			time.Sleep(orphanTime / 2)
			l.lock(other, 5, "k", 4, 20*time.Second)
			time.Sleep(orphanTime)
			if l.waits("k", 2) || l.st.Lock([]byte("m"), []byte("k")).Waiting != 2 {
				l.t.Fatalf("%+v", l.st.Lock([]byte("m"), []byte("k")))
			}
			l.unlock("k", 1)
			l.only("the one who stayed", other.take(), 3)
			l.unlock("k", 3)
			l.only("the one who came back", other.take(), 5)
		},
		"another owner": func(l *lot, h *heard) {
			l.lock(h, 1, "k", 1, time.Minute)
			h.take()
			l.lock(h, 2, "k", 2, time.Minute)
			h.take()
			l.mu.Lock()
			l.epoch = 0
			l.mu.Unlock()
			l.touched(1)
			if got := h.take(); len(got) != 1 || got[0].Code != wire.CodeMoved {
				l.t.Fatalf("%+v", got)
			}
		},
		"the member stops": func(l *lot, h *heard) {
			l.lock(h, 1, "k", 1, time.Minute)
			h.take()
			l.lock(h, 2, "k", 2, time.Minute)
			h.take()
			l.close()
			if got := h.take(); len(got) != 1 || got[0].Code != wire.CodeNotReady {
				l.t.Fatalf("%+v", got)
			}
			l.lock(h, 3, "k", 3, time.Minute)
			if r := l.only("too late", h.take(), 3); r.Flags != wire.LockQueued {
				l.t.Fatalf("%+v", r)
			}
			l.close()
		},
		"what was not applied is not parked": func(l *lot, h *heard) {
			for o, code := range map[partition.Outcome]wire.Code{partition.Moved: wire.CodeMoved, partition.Unknown: wire.CodeUnknown, partition.Overloaded: wire.CodeOverloaded} {
				c := newCall(l.s, &wire.Request{ID: 1, Op: wire.OpLock, Partition: 1}, h, Moment{Local: time.Now()})
				c.locks = true
				c.Complete(o, entry.Result{})
				if got := h.take(); len(got) != 1 || got[0].Code != code {
					l.t.Fatalf("%+v, want %v", got, code)
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLot(t)
				f(l, &heard{})
				l.idle()
			})
		})
	}
}
