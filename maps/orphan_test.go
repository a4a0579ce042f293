package maps

import (
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gridiron-io/gridiron/partition"
	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// line is a caller whose connection the test ends. What is delivered on it leaves at once, unless it is blocked.
type line struct {
	heard
	mu      sync.Mutex // guards the following
	over    bool
	blocked bool
	waiting []func(bool)
}

func (c *line) Ended() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.over
}

func (c *line) Deliver(id uint64, code wire.Code, body []byte, told func(bool)) {
	c.Answer(id, code, body)
	c.mu.Lock()
	if !c.over && c.blocked {
		c.waiting = append(c.waiting, told)
		c.mu.Unlock()
		return
	}
	left := !c.over
	c.mu.Unlock()
	told(left)
}

// cut ends the connection.
func (c *line) cut(l *lot) {
	c.mu.Lock()
	c.over = true
	list := c.waiting
	c.waiting = nil
	c.mu.Unlock()
	for _, told := range list {
		told(false)
	}
	l.gone(c)
}

// holds checks who holds the lock of k.
func (l *lot) holds(what string, want byte) {
	l.t.Helper()
	synctest.Wait()
	if got := l.holder("k"); got != want {
		l.t.Fatalf("%s: %d holds the lock, want %d", what, got, want)
	}
}

// A lock that is given to a caller whose connection has ended goes to the next within a second, whenever it ended. That may be
// while the caller waited, within the second after that, before the lock was given to it, or before the answer had left. A
// caller that has come back, or was told, keeps it.
func TestLockOfACallerThatIsGone(t *testing.T) {
	const long = 20 * time.Second
	for name, f := range map[string]func(l *lot, h *heard){
		"granted within the second that it is given": func(l *lot, h *heard) {
			dead := &line{}
			l.lock(h, 1, "k", 1, long)
			l.lock(dead, 2, "k", 2, long)
			l.lock(h, 3, "k", 3, long)
			dead.cut(l)
			time.Sleep(orphanTime / 2)
			l.unlock("k", 1)
			l.holds("at once", 2)
			time.Sleep(orphanTime)
			l.holds("after the second", 3)
		},
		"granted when the connection has ended": func(l *lot, h *heard) {
			dead := &line{}
			dead.cut(l)
			l.lock(dead, 1, "k", 1, long)
			l.lock(h, 2, "k", 2, long)
			l.holds("at once", 1)
			time.Sleep(orphanTime + time.Millisecond)
			l.holds("after the second", 2)
		},
		"parked when the connection has ended": func(l *lot, h *heard) {
			dead := &line{}
			l.lock(h, 1, "k", 1, long)
			dead.cut(l)
			l.lock(dead, 2, "k", 2, long)
			if !l.waits("k", 2) {
				l.t.Fatal("it does not wait")
			}
			time.Sleep(orphanTime + time.Millisecond)
			if synctest.Wait(); l.waits("k", 2) {
				l.t.Fatal("it still waits")
			}
		},
		"not known to be applied when the connection has ended": func(l *lot, h *heard) {
			dead := &line{}
			dead.cut(l)
			b := wire.LockBody{Map: []byte("m"), Key: []byte("k"), ID: wire.ID{1}, Lease: 60_000}
			c := newCall(l.s, &wire.Request{ID: 1, Op: wire.OpLock, Partition: 1}, dead, Moment{Local: time.Now()})
			c.locks, c.body = true, wire.AppendLockBody(c.body[:0], &b)
			c.Complete(partition.Unknown, entry.Result{})
			l.apply(&entry.Op{Code: wire.OpLock, Body: wire.AppendLockBody(nil, &b)})
			l.holds("applied after all", 1)
			time.Sleep(orphanTime + time.Millisecond)
			l.holds("after the second", 0)
		},
		"the answer has not left": func(l *lot, h *heard) {
			dead := &line{blocked: true}
			l.lock(h, 1, "k", 1, long)
			l.lock(dead, 2, "k", 2, long)
			l.lock(dead, 3, "other", 2, long)
			l.unlock("k", 1)
			l.lock(h, 4, "k", 4, long)
			l.lock(h, 5, "other", 4, long)
			l.holds("at once", 2)
			time.Sleep(10 * orphanTime)
			l.holds("the connection is slow", 2)
			dead.cut(l)
			time.Sleep(orphanTime + time.Millisecond)
			if l.holds("after the second", 4); l.holder("other") != 4 {
				l.t.Fatalf("the other is held by %d", l.holder("other"))
			}
		},
		"the answer has left": func(l *lot, h *heard) {
			c := &line{}
			l.lock(c, 1, "k", 1, long)
			c.cut(l)
			time.Sleep(10 * orphanTime)
			l.holds("the holder was told", 1)
		},
		"it has come back by another call": func(l *lot, h *heard) {
			for what, back := range map[string]func(){
				"lock":  func() { l.lock(h, 2, "k", 1, long) },
				"renew": func() { l.call(h, 2, wire.OpRenew, "k", 1, 0) },
			} {
				dead := &line{}
				dead.cut(l)
				l.lock(dead, 1, "k", 1, long)
				time.Sleep(orphanTime / 2)
				back()
				time.Sleep(2 * orphanTime)
				l.holds(what, 1)
				l.unlock("k", 1)
			}
		},
		"it has come back before the connection was found to have ended": func(l *lot, h *heard) {
			dead := &line{blocked: true}
			l.lock(dead, 1, "k", 1, long)
			l.lock(h, 2, "k", 1, long)
			dead.cut(l)
			time.Sleep(2 * orphanTime)
			l.holds("told on another", 1)
		},
		"it comes back by a copy too late": func(l *lot, h *heard) {
			dead := &line{}
			dead.cut(l)
			l.lock(dead, 1, "k", 1, long)
			h.take()
			time.Sleep(orphanTime + time.Millisecond)
			l.holds("given up", 0)
			l.copy(h, 2, "k", 1)
			if r := l.only("the copy", h.take(), 2); r.Flags != wire.LockLapsed {
				l.t.Fatalf("%+v", r)
			}
			// While it has the lock, a copy is told so.
			l.lock(dead, 3, "k", 1, long)
			l.copy(h, 4, "k", 1)
			if r := l.only("the copy", h.take(), 4); r.Flags != wire.LockHeld || r.Fence == 0 {
				l.t.Fatalf("%+v", r)
			}
			time.Sleep(2 * orphanTime)
			l.holds("the copy was told", 1)
		},
		"another owner": func(l *lot, h *heard) {
			dead := &line{}
			dead.cut(l)
			l.lock(dead, 1, "k", 1, long)
			l.mu.Lock()
			l.epoch++
			l.mu.Unlock()
			time.Sleep(2 * orphanTime)
			l.holds("it may have come back there", 1)
		},
		"the member stops": func(l *lot, h *heard) {
			dead := &line{blocked: true}
			l.lock(dead, 1, "k", 1, long)
			l.close()
			dead.cut(l)
			time.Sleep(2 * orphanTime)
			l.holds("nothing is done any more", 1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLot(t)
				f(l, &heard{})
				l.close()
				synctest.Wait()
				l.idle()
			})
		})
	}
}

// A caller may come back just when what it has is given up, so that its call stands in the log before that. It is not told that it has a
// lock which then is taken from it.
func TestLockOfACallerThatComesBackTooLate(t *testing.T) {
	const long = 20 * time.Second
	for name, f := range map[string]func(l *lot, h *heard){
		"the holder": func(l *lot, h *heard) {
			dead := &line{}
			dead.cut(l)
			l.lock(dead, 1, "k", 1, long)
			l.lock(h, 2, "k", 2, long)
			release := l.hold()
			time.Sleep(orphanTime + time.Millisecond)
			l.lock(h, 3, "k", 1, long)
			if got := h.take(); len(got) > 0 {
				l.t.Fatalf("told too early: %+v", got)
			}
			release()
			got := h.take()
			if len(got) == 2 && got[0].ID == 2 {
				got[0], got[1] = got[1], got[0]
			}
			if len(got) != 2 {
				l.t.Fatalf("%+v", got)
			}
			if r := l.only("the one who came back", got[:1], 3); r.Flags != wire.LockLapsed {
				l.t.Fatalf("%+v", r)
			}
			if r := l.only("the next", got[1:], 2); r.Flags != wire.LockHeld {
				l.t.Fatalf("%+v", r)
			}
		},
		"the holder, who renews": func(l *lot, h *heard) {
			dead := &line{}
			dead.cut(l)
			l.lock(dead, 1, "k", 1, long)
			release := l.hold()
			time.Sleep(orphanTime + time.Millisecond)
			l.call(h, 2, wire.OpRenew, "k", 1, long)
			l.lock(h, 3, "k", 1, long)
			if got := h.take(); len(got) != 1 || got[0].ID != 2 || got[0].Code != wire.CodeOK {
				// The second call under the ID takes the place of the first, which waited for the loss only.
				l.t.Fatalf("told too early: %+v", got)
			}
			release()
			if r := l.only("the one who came back", h.take(), 3); r.Flags != wire.LockLapsed {
				l.t.Fatalf("%+v", r)
			}
		},
		"the holder, who renews and does not wait": func(l *lot, h *heard) {
			dead := &line{}
			dead.cut(l)
			l.lock(dead, 1, "k", 1, long)
			release := l.hold()
			time.Sleep(orphanTime + time.Millisecond)
			b := wire.LockBody{Map: []byte("m"), Key: []byte("k"), ID: wire.ID{1}, Lease: 60_000}
			l.ask(h, &wire.Request{ID: 2, Op: wire.OpRenew, Partition: 1, Deadline: time.Now().Add(long).UnixMilli(), Body: wire.AppendLockBody(nil, &b)})
			if got := h.take(); len(got) > 0 {
				l.t.Fatalf("told too early: %+v", got)
			}
			release()
			if got := h.take(); len(got) != 1 || got[0].Code != wire.CodeLockNotHeld {
				l.t.Fatalf("%+v", got)
			}
		},
		"who waits": func(l *lot, h *heard) {
			dead := &line{}
			l.lock(h, 1, "k", 1, long)
			h.take()
			l.lock(dead, 2, "k", 2, long)
			dead.cut(l)
			release := l.hold()
			time.Sleep(orphanTime + time.Millisecond)
			l.lock(h, 3, "k", 2, long)
			l.unlock("k", 1)
			l.holds("passed on", 2)
			if got := h.take(); len(got) > 0 {
				l.t.Fatalf("told too early: %+v", got)
			}
			release()
			if r := l.only("the one who came back", h.take(), 3); r.Flags != 0 {
				l.t.Fatalf("%+v", r)
			}
			l.holds("given up", 0)
		},
		"giving up is refused for a while": func(l *lot, h *heard) {
			dead := &line{}
			dead.cut(l)
			refused := 0
			l.slow = func(carryOut func(partition.Outcome)) {
				if refused++; refused <= 2 {
					carryOut(partition.Overloaded)
					return
				}
				carryOut(partition.Applied)
			}
			l.lock(dead, 1, "k", 1, long)
			time.Sleep(2*orphanTime + time.Millisecond)
			l.holds("not yet", 1)
			time.Sleep(orphanTime)
			l.holds("in the end", 0)
		},
		"nothing is known of a copy that came before": func(l *lot, h *heard) {
			dead := &line{}
			dead.cut(l)
			l.lock(h, 1, "k", 1, long)
			b := wire.LockBody{Map: []byte("m"), Key: []byte("k"), ID: wire.ID{1}, Lease: 60_000}
			c := newCall(l.s, &wire.Request{ID: 2, Op: wire.OpLock, Partition: 1}, dead, Moment{Local: time.Now()})
			c.locks, c.body = true, wire.AppendLockBody(c.body[:0], &b)
			c.Complete(partition.Unknown, entry.Result{})
			time.Sleep(2 * orphanTime)
			l.holds("the holder was told by another", 1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLot(t)
				f(l, &heard{})
				l.close()
				synctest.Wait()
				l.idle()
			})
		})
	}
}

// ending is a connection that ends right after it was asked whether it has.
type ending struct {
	heard
	once sync.Once
	l    *lot
}

func (c *ending) Ended() (yes bool) {
	yes = true
	c.once.Do(func() {
		yes = false
		go c.l.gone(c)
		for range 1000 {
			runtime.Gosched()
		}
	})
	return yes
}

func (c *ending) Deliver(uint64, wire.Code, []byte, func(bool)) {}

// A call that is parked while its connection ends is found.
func TestParkedWhileItsConnectionEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, h := newLot(t), &heard{}
		l.lock(h, 1, "k", 1, 20*time.Second)
		l.lock(&ending{l: l}, 2, "k", 2, 20*time.Second)
		time.Sleep(orphanTime + time.Millisecond)
		if synctest.Wait(); l.waits("k", 2) {
			t.Fatal("it still waits")
		}
	})
}

// A caller has a place in a queue, its connection ends, and within the second that it is given the partition passes to another owner, which knows
// nothing of that. The new owner gives up the places of all who do not ask it again in time. A caller that asks again keeps its place.
func TestPlacesAtAnotherOwner(t *testing.T) {
	const long = 20 * time.Second
	for name, f := range map[string]func(l *lot, h *heard){
		"the holder unlocks later": func(l *lot, h *heard) {
			time.Sleep(returnTime + time.Millisecond)
			l.unlock("k", 1)
			l.holds("the one who asked again", 3)
		},
		"the holder unlocks at once": func(l *lot, h *heard) {
			l.unlock("k", 1)
			l.holds("at once", 2)
			time.Sleep(returnTime + time.Millisecond)
			l.holds("after the time to come back", 3)
		},
		"the caller comes back": func(l *lot, h *heard) {
			l.lock(h, 5, "k", 2, long)
			time.Sleep(returnTime + time.Millisecond)
			l.unlock("k", 1)
			l.holds("who has come back", 2)
		},
		"nothing is applied for longer than that": func(l *lot, h *heard) {
			l.mu.Lock()
			l.unapplied = 1
			l.mu.Unlock()
			time.Sleep(returnTime + time.Second)
			l.mu.Lock()
			l.unapplied = 0
			l.mu.Unlock()
			l.lock(h, 5, "k", 2, long)
			time.Sleep(returnTime)
			l.unlock("k", 1)
			l.holds("whose call had to wait", 2)
		},
		"the partition passes on once more": func(l *lot, h *heard) {
			time.Sleep(returnTime / 2)
			l.mu.Lock()
			l.epoch++
			l.mu.Unlock()
			l.touched(1)
			time.Sleep(returnTime * 3 / 4)
			if synctest.Wait(); !l.waits("k", 2) {
				l.t.Fatal("the caller had no whole time to ask the last owner")
			}
			time.Sleep(returnTime / 2)
			l.unlock("k", 1)
			l.holds("the one who asked again", 3)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				before, h, dead := newLot(t), &heard{}, &line{}
				before.lock(h, 1, "k", 1, long)
				before.lock(dead, 2, "k", 2, long)
				before.lock(h, 3, "k", 3, long)
				dead.cut(before)
				time.Sleep(orphanTime / 2)

				l := before.successor()
				l.lock(h, 4, "k", 3, long)
				f(l, h)
				l.close()
				synctest.Wait()
				l.idle()
			})
		})
	}
}

// Likewise who is to load a value.
func TestLoadOfACallerThatIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, h := newLot(t), &heard{}
		dead, waits := &line{}, &line{}
		dead.cut(l)
		l.call(dead, 1, wire.OpLoad, "k", 1, 20*time.Second)
		l.call(waits, 2, wire.OpLoad, "k", 2, 20*time.Second)
		l.call(h, 3, wire.OpLoad, "k", 3, 20*time.Second)
		waits.cut(l)
		if got := l.loader("k"); got != 1 {
			t.Fatalf("%d loads", got)
		}
		time.Sleep(orphanTime + time.Millisecond)
		if r := l.only("the one who stayed", h.take(), 3); r.Flags != wire.LockHeld || l.loader("k") != 3 {
			t.Fatalf("%+v, and %d loads", r, l.loader("k"))
		}
		l.idle()
	})
}
