package sdk

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gridiron-io/gridiron/sdk/internal/fakegrid"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// lockInBubble runs f with a grid of two members, one partition and a map in it, on a clock that moves when everybody waits.
func lockInBubble(t *testing.T, f func(t *testing.T, g *fakegrid.Grid, c *Client, m *Map[string, string])) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		g := fakegrid.NewPiped(t, 2, 1)
		c := connected(t, g, WithDialer(g.Dial))
		f(t, g, c, opened[string, string](t, c, "m"))
	})
}

// isLost reports whether the lock has been lost by now.
func isLost(l *Lock) bool {
	select {
	case <-l.Lost():
		return true
	default:
		return false
	}
}

// locked returns the lock of a key that is free.
func locked(t *testing.T, m *Map[string, string], key string, opts ...LockOption) *Lock {
	t.Helper()
	l, ok, err := m.TryLock(t.Context(), key, opts...)
	if err != nil || !ok {
		t.Fatalf("TryLock(%q): %v, %v", key, ok, err)
	}
	return l
}

func TestTryLock(t *testing.T) {
	_, _, m := one(t)
	l := locked(t, m, "a")
	if other, ok, err := m.TryLock(t.Context(), "a"); other != nil || ok || err != nil {
		t.Fatalf("a second holder: %v, %v, %v", other, ok, err)
	}
	if is, err := m.IsLocked(t.Context(), "a"); !is || err != nil {
		t.Fatalf("IsLocked: %v, %v", is, err)
	}
	if l.Fence() == 0 {
		t.Fatal("no fence")
	}
	noErr(t, l.Unlock(t.Context()))
	wantErr(t, l.Unlock(t.Context()), ErrLockNotHeld)
	if is, err := m.IsLocked(t.Context(), "a"); is || err != nil {
		t.Fatalf("IsLocked: %v, %v", is, err)
	}
	if next := locked(t, m, "a"); next.Fence() <= l.Fence() {
		t.Fatalf("fence %d after %d", next.Fence(), l.Fence())
	}
	if isLost(l) {
		t.Fatal("unlocking has lost the lock")
	}
}

// What is no lock is refused before anybody is asked.
func TestLockRefuses(t *testing.T) {
	g, _, m := one(t)
	l := locked(t, m, "a")
	g.Record()
	for name, opt := range map[string]LockOption{"nil": nil, "no lease": Lease(0), "a negative lease": Lease(-time.Second)} {
		_, err := m.Lock(t.Context(), "a", opt)
		if !errors.Is(err, ErrInvalid) {
			t.Errorf("Lock with %s: %v", name, err)
		}
		if _, _, err := m.TryLock(t.Context(), "a", opt); !errors.Is(err, ErrInvalid) {
			t.Errorf("TryLock with %s: %v", name, err)
		}
	}
	other := opened[string, string](t, m.c, "other")
	for name, err := range map[string]error{
		"another key": m.Set(t.Context(), "b", "v", WithFence(l)),
		"another map": other.Set(t.Context(), "a", "v", WithFence(l)),
		"no lock":     m.Set(t.Context(), "a", "v", WithFence(nil)),
		"several":     m.SetAll(t.Context(), map[string]string{"a": "v", "b": "v"}, WithFence(l)),
		"fence 0":     m.UnlockFence(t.Context(), "a", 0),
	} {
		if !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if list := g.Requests(); len(list) > 0 {
		t.Errorf("asked: %+v", list)
	}
}

func TestWithFence(t *testing.T) {
	_, _, m := one(t)
	stale := locked(t, m, "a")
	noErr(t, m.Set(t.Context(), "a", "1", WithFence(stale)))
	noErr(t, m.ForceUnlock(t.Context(), "a"))
	l := locked(t, m, "a")
	noErr(t, m.SetAll(t.Context(), map[string]string{"a": "2"}, WithFence(l)))
	wantErr(t, m.Set(t.Context(), "a", "3", WithFence(stale)), ErrFenced)
	_, _, err := m.Put(t.Context(), "a", "3", WithFence(stale))
	wantErr(t, err, ErrFenced)
	if v, _, err := m.Get(t.Context(), "a"); v != "2" || err != nil {
		t.Fatalf("%q, %v", v, err)
	}
	wantErr(t, m.UnlockFence(t.Context(), "a", stale.Fence()), ErrLockNotHeld)
	noErr(t, m.UnlockFence(t.Context(), "a", l.Fence()))
}

// Locking and unlocking what nobody else wants is two operations, whatever the lease.
func TestUncontendedLockIsTwoOperations(t *testing.T) {
	lockInBubble(t, func(t *testing.T, g *fakegrid.Grid, c *Client, m *Map[string, string]) {
		g.Record()
		l, err := m.Lock(t.Context(), "a")
		noErr(t, err)
		noErr(t, l.Unlock(t.Context()))
		time.Sleep(time.Hour)
		if list := g.Requests(wire.OpLock, wire.OpUnlock, wire.OpRenew); len(list) != 2 {
			t.Fatalf("%+v", list)
		}
	})
}

// A lease is renewed when a third of it is over, and the lock outlives the context that it was made with.
func TestLeaseIsRenewed(t *testing.T) {
	lockInBubble(t, func(t *testing.T, g *fakegrid.Grid, c *Client, m *Map[string, string]) {
		g.Record()
		ctx, cancel := context.WithCancel(t.Context())
		l, err := m.Lock(ctx, "a", Lease(30*time.Second))
		noErr(t, err)
		cancel()
		start := time.Now()
		time.Sleep(95 * time.Second)
		if n := len(g.Requests(wire.OpRenew)); n != 9 {
			t.Fatalf("%d renewals in %v", n, time.Since(start))
		}
		noErr(t, l.Unlock(t.Context()))
		time.Sleep(time.Minute)
		if n := len(g.Requests(wire.OpRenew)); n != 9 {
			t.Fatalf("%d renewals after Unlock", n-9)
		}
	})
}

// The holder learns that the lock was taken from it when it next renews; nothing is renewed after that.
func TestForceUnlockIsNoticed(t *testing.T) {
	lockInBubble(t, func(t *testing.T, g *fakegrid.Grid, c *Client, m *Map[string, string]) {
		l := locked(t, m, "a", Lease(3*time.Second))
		noErr(t, m.ForceUnlock(t.Context(), "a"))
		start := time.Now()
		<-l.Lost()
		if d := time.Since(start); d > 1100*time.Millisecond {
			t.Fatalf("after %v", d)
		}
		g.Record()
		time.Sleep(time.Minute)
		if list := g.Requests(wire.OpRenew); len(list) > 0 {
			t.Fatalf("renewed after it was lost: %+v", list)
		}
		wantErr(t, l.Unlock(t.Context()), ErrLockNotHeld)
	})
}

// While no owner can be reached a lock counts as held beyond the end of its lease, because members hold it then; not for ever.
func TestLockThroughAnOutage(t *testing.T) {
	lockInBubble(t, func(t *testing.T, g *fakegrid.Grid, c *Client, m *Map[string, string]) {
		l := locked(t, m, "a", Lease(3*time.Second))
		g.Move(0, -1, true)
		time.Sleep(8 * time.Second)
		if isLost(l) {
			t.Fatal("lost while there was no owner")
		}
		// The fake's lease is over by now; members let it go on, so it is one that was taken again.
		g.OnRequest(func(_ *fakegrid.Member, req *wire.Request) fakegrid.Verdict {
			if req.Op != wire.OpRenew {
				return fakegrid.Verdict{}
			}
			r := wire.LockResult{Flags: wire.LockHeld, Fence: l.Fence(), Ends: g.Now() + 3000}
			a := wire.Answer{ID: req.ID, Time: g.Now(), Body: wire.AppendLockResult(nil, &r)}
			return fakegrid.Verdict{Raw: wire.AppendAnswer(nil, &a)}
		})
		g.Move(0, 1, true)
		time.Sleep(8 * time.Second)
		if isLost(l) {
			t.Fatal("lost though it was renewed")
		}
		g.Move(0, -1, true)
		start := time.Now()
		<-l.Lost()
		if d := time.Since(start); d < 12*time.Second || d > 14*time.Second {
			t.Fatalf("lost after %v without an owner", d)
		}
	})
}

// Who waits asks again under the same lock ID for as long as the context lasts, each time as another call of at most 20 seconds.
func TestLockWaits(t *testing.T) {
	lockInBubble(t, func(t *testing.T, g *fakegrid.Grid, c *Client, m *Map[string, string]) {
		var mu sync.Mutex
		ids, seqs := map[wire.ID]int{}, map[uint64]bool{}
		g.OnRequest(func(_ *fakegrid.Member, req *wire.Request) fakegrid.Verdict {
			if req.Op != wire.OpLock {
				return fakegrid.Verdict{}
			}
			b, err := wire.DecodeLockBody(req.Body)
			if err != nil || b.Flags != wire.LockWait || b.Keep != 10_000 || b.Lease != 5000 {
				t.Errorf("%+v, %v", b, err)
			}
			if left := req.Deadline - g.Now(); left > 20_010 {
				t.Errorf("a call of %d ms", left)
			}
			mu.Lock()
			defer mu.Unlock()
			ids[b.ID]++
			seqs[req.Seq] = true
			return fakegrid.Verdict{Ignore: len(seqs) < 4}
		})
		start := time.Now()
		l, err := m.Lock(t.Context(), "a", Lease(5*time.Second))
		noErr(t, err)
		mu.Lock()
		if d := time.Since(start); len(ids) != 1 || len(seqs) != 4 || d < 60*time.Second || d > 61*time.Second {
			t.Fatalf("%d IDs, %d calls in %v", len(ids), len(seqs), d)
		}
		mu.Unlock()
		noErr(t, l.Unlock(t.Context()))
	})
}

// A wait ends with its context, and the place in the queue is given up.
func TestLockEndsWithItsContext(t *testing.T) {
	lockInBubble(t, func(t *testing.T, g *fakegrid.Grid, c *Client, m *Map[string, string]) {
		held := locked(t, m, "a")
		for name, ctx := range map[string]func() (context.Context, context.CancelFunc){
			"deadline":  func() (context.Context, context.CancelFunc) { return context.WithTimeout(t.Context(), 3*time.Second) },
			"cancelled": func() (context.Context, context.CancelFunc) { return context.WithCancel(t.Context()) },
		} {
			var mu sync.Mutex
			var id, left wire.ID
			g.OnRequest(func(_ *fakegrid.Member, req *wire.Request) fakegrid.Verdict {
				mu.Lock()
				defer mu.Unlock()
				switch req.Op {
				case wire.OpLock:
					b, _ := wire.DecodeLockBody(req.Body)
					id = b.ID
					return fakegrid.Verdict{Ignore: true}
				case wire.OpUnlock:
					b, _ := wire.DecodeUnlockBody(req.Body)
					left = b.ID
				}
				return fakegrid.Verdict{}
			})
			ctx, cancel := ctx()
			time.AfterFunc(3*time.Second, cancel)
			l, err := m.Lock(ctx, "a")
			if l != nil || !errors.Is(err, ErrTimeout) || !errors.Is(err, ctx.Err()) || errors.Is(err, ErrUnknownOutcome) {
				t.Fatalf("%s: %v, %v", name, l, err)
			}
			time.Sleep(time.Second)
			mu.Lock()
			if id.IsZero() || left != id {
				t.Errorf("%s: %v waited, %v left", name, id, left)
			}
			mu.Unlock()
		}
		g.OnRequest(nil)
		noErr(t, held.Unlock(t.Context()))
		g.Move(0, -1, true)
		_, err := m.Lock(lasting(t, 30*time.Second), "a")
		wantErr(t, err, ErrUnavailable, context.DeadlineExceeded)
	})
}

// A call to lock that was answered "held" by a copy from before the lease ended does not make a holder.
func TestOldGrantIsNoLock(t *testing.T) {
	lockInBubble(t, func(t *testing.T, g *fakegrid.Grid, c *Client, m *Map[string, string]) {
		var n atomic.Int32
		g.OnRequest(func(_ *fakegrid.Member, req *wire.Request) fakegrid.Verdict {
			if req.Op != wire.OpLock {
				return fakegrid.Verdict{}
			}
			if n.Add(1) > 1 {
				return fakegrid.Verdict{}
			}
			r := wire.LockResult{Flags: wire.LockHeld, Fence: 7777, Ends: g.Now() - 1}
			a := wire.Answer{ID: req.ID, Time: g.Now(), Body: wire.AppendLockResult(nil, &r)}
			return fakegrid.Verdict{Raw: wire.AppendAnswer(nil, &a)}
		})
		l, err := m.Lock(t.Context(), "a")
		noErr(t, err)
		if l.Fence() == 7777 || n.Load() != 2 {
			t.Fatalf("fence %d after %d calls", l.Fence(), n.Load())
		}
	})
}

// A try of unknown outcome is given up, so that nobody holds the lock for long.
func TestTryOfUnknownOutcomeIsGivenUp(t *testing.T) {
	lockInBubble(t, func(t *testing.T, g *fakegrid.Grid, c *Client, m *Map[string, string]) {
		g.Record()
		g.OnRequest(func(_ *fakegrid.Member, req *wire.Request) fakegrid.Verdict {
			return fakegrid.Verdict{Ignore: req.Op == wire.OpLock}
		})
		_, _, err := m.TryLock(lasting(t, time.Second), "a")
		wantErr(t, err, ErrUnknownOutcome, context.DeadlineExceeded)
		time.Sleep(time.Second)
		if n := len(g.Requests(wire.OpUnlock)); n != 1 {
			t.Fatalf("%d attempts to give it up", n)
		}
	})
}

// Close ends renewals; what was held is then lost as far as its holder knows.
func TestLocksEndWithTheClient(t *testing.T) {
	lockInBubble(t, func(t *testing.T, g *fakegrid.Grid, c *Client, m *Map[string, string]) {
		l := locked(t, m, "a", Lease(3*time.Second))
		waits := make(chan error, 1)
		go func() {
			_, err := m.Lock(t.Context(), "a")
			waits <- err
		}()
		time.Sleep(5 * time.Second)
		synctest.Wait() // a renewal is due at this very instant
		g.Record()
		_ = c.Close()
		wantErr(t, <-waits, ErrClosed)
		<-l.Lost()
		wantErr(t, l.Unlock(t.Context()), ErrClosed)
		if list := g.Requests(wire.OpRenew); len(list) > 0 {
			t.Fatalf("%+v", list)
		}
	})
}

// An owner that refuses says why.
func TestLockErrors(t *testing.T) {
	g, _, m := one(t)
	for code, want := range map[wire.Code]error{wire.CodeOverloaded: ErrOverloaded, wire.CodeForbidden: ErrForbidden, wire.CodeInvalid: ErrInvalid} {
		g.OnRequest(func(_ *fakegrid.Member, req *wire.Request) fakegrid.Verdict {
			if req.Op == wire.OpLock {
				return fakegrid.Verdict{Code: code}
			}
			return fakegrid.Verdict{}
		})
		_, err := m.Lock(t.Context(), fmt.Sprint(code))
		wantErr(t, err, want)
		_, _, err = m.TryLock(t.Context(), fmt.Sprint(code))
		wantErr(t, err, want)
	}
}
