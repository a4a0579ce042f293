package grid_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/gridiron-io/gridiron/grid/gridtest"
	"github.com/gridiron-io/gridiron/sdk"
)

// TestLocks holds locks to their contract, by a client in a member's process and by one over the network, on one member and on
// three.
func TestLocks(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 3} {
		t.Run(fmt.Sprintf("%d members", n), func(t *testing.T) {
			cl := gridtest.New(t, n)
			for where, c := range map[string]*sdk.Client{"embedded": cl.Member(n - 1).Client(), "remote": cl.Client()} {
				for name, f := range map[string]func(*testing.T, context.Context, *sdk.Client, *sdk.Map[string, int]){
					"exclusive": lockExclusive, "entries": lockEntries, "fences": lockFences, "leases": lockLeases, "force": lockForce,
					"contexts": lockContexts, "a dead waiter": lockDeadWaiter, "a hundred": lockHundred,
				} {
					t.Run(where+"/"+name, func(t *testing.T) {
						ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
						defer cancel()
						f(t, ctx, c, openMap[string, int](t, c, where+"/"+name))
					})
				}
			}
		})
	}
}

// waitFor waits until ok reports true.
func waitFor(t *testing.T, ctx context.Context, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal(ctx.Err())
		}
	}
}

// waiting returns how many wait for the lock of a key that somebody holds.
func waiting(t *testing.T, ctx context.Context, m *sdk.Map[string, int], key string) int {
	t.Helper()
	info, err := m.LockInfo(ctx, key)
	must(t, err)
	return info.Waiting
}

// isLocked checks whether a key is locked.
func isLocked(t *testing.T, ctx context.Context, m *sdk.Map[string, int], key string, want bool) {
	t.Helper()
	if got, err := m.IsLocked(ctx, key); err != nil || got != want {
		t.Fatalf("IsLocked(%s) = %v, %v, want %v", key, got, err, want)
	}
}

// tryLock tries to lock a key and checks whether that succeeds.
func tryLock(t *testing.T, ctx context.Context, m *sdk.Map[string, int], key string, want bool, opts ...sdk.LockOption) *sdk.Lock {
	t.Helper()
	l, ok, err := m.TryLock(ctx, key, opts...)
	if err != nil || ok != want || (l != nil) != want {
		t.Fatalf("TryLock(%s) = %v, %v, %v, want %v", key, l, ok, err, want)
	}
	return l
}

// is checks for an error.
func is(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("%s: %v, want %v", what, err, want)
	}
}

func lockExclusive(t *testing.T, ctx context.Context, _ *sdk.Client, m *sdk.Map[string, int]) {
	isLocked(t, ctx, m, "k", false)
	l, err := m.Lock(ctx, "k")
	must(t, err)
	isLocked(t, ctx, m, "k", true)
	isLocked(t, ctx, m, "other", false)
	tryLock(t, ctx, m, "k", false)
	must(t, tryLock(t, ctx, m, "other", true).Unlock(ctx))

	// Those who wait get the lock in the order in which they came.
	const waiters = 4
	order := make(chan int, waiters)
	var wg sync.WaitGroup
	for i := range waiters {
		wg.Go(func() {
			w, err := m.Lock(ctx, "k")
			if err != nil {
				t.Errorf("waiter %d: %v", i, err)
				return
			}
			order <- i
			if err := w.Unlock(ctx); err != nil {
				t.Errorf("waiter %d unlocks: %v", i, err)
			}
		})
		waitFor(t, ctx, func() bool { return waiting(t, ctx, m, "k") == i+1 })
	}
	must(t, l.Unlock(ctx))
	is(t, "unlock again", l.Unlock(ctx), sdk.ErrLockNotHeld)
	wg.Wait()
	for i := range waiters {
		if got := <-order; got != i {
			t.Fatalf("waiter %d came in the place of %d", got, i)
		}
	}
	isLocked(t, ctx, m, "k", false)
}

func lockEntries(t *testing.T, ctx context.Context, _ *sdk.Client, m *sdk.Map[string, int]) {
	l := tryLock(t, ctx, m, "k", true)
	must(t, m.Set(ctx, "k", 1, sdk.WithTTL(time.Millisecond)))
	waitFor(t, ctx, func() bool { there, err := m.ContainsKey(ctx, "k"); return err == nil && !there })
	must(t, m.Set(ctx, "k", 2))
	_, err := m.Delete(ctx, "k")
	must(t, err, m.Set(ctx, "k", 3), m.Clear(ctx))
	isLocked(t, ctx, m, "k", true)
	must(t, m.Destroy(ctx))
	isLocked(t, ctx, m, "k", false)
	is(t, "unlock after Destroy", l.Unlock(ctx), sdk.ErrLockNotHeld)
	is(t, "write after Destroy", m.Set(ctx, "k", 4, sdk.WithFence(l)), sdk.ErrFenced)
	must(t, tryLock(t, ctx, m, "k", true).Unlock(ctx))
}

func lockFences(t *testing.T, ctx context.Context, _ *sdk.Client, m *sdk.Map[string, int]) {
	first := tryLock(t, ctx, m, "k", true)
	must(t, m.Set(ctx, "k", 1, sdk.WithFence(first)), first.Unlock(ctx))
	must(t, m.Set(ctx, "k", 2, sdk.WithFence(first))) // nobody has come since
	second := tryLock(t, ctx, m, "k", true)
	if second.Fence() <= first.Fence() {
		t.Fatalf("fence %d after %d", second.Fence(), first.Fence())
	}
	is(t, "a stale write", m.Set(ctx, "k", 3, sdk.WithFence(first)), sdk.ErrFenced)
	_, err := m.ReplaceIfSame(ctx, "k", 2, 3, sdk.WithFence(first))
	is(t, "a stale replacement", err, sdk.ErrFenced)
	is(t, "another key", m.Set(ctx, "other", 3, sdk.WithFence(second)), sdk.ErrInvalid)
	_, existed, err := m.Put(ctx, "k", 4, sdk.WithFence(second), sdk.WithTTL(time.Hour))
	if must(t, err); !existed {
		t.Fatal("the entry is gone")
	}
	is(t, "unlock by a stale fence", m.UnlockFence(ctx, "k", first.Fence()), sdk.ErrLockNotHeld)
	must(t, m.UnlockFence(ctx, "k", second.Fence()))
	if v, _, err := m.Get(ctx, "k"); v != 4 || err != nil {
		t.Fatalf("%d, %v", v, err)
	}
}

// connectTo returns another client of the cluster.
func connectTo(t *testing.T, ctx context.Context, c *sdk.Client) *sdk.Client {
	t.Helper()
	members, err := c.Members(ctx)
	must(t, err)
	var addrs []string
	for _, mb := range members {
		addrs = append(addrs, mb.Addr)
	}
	other, err := sdk.Connect(ctx, addrs)
	must(t, err)
	t.Cleanup(func() { _ = other.Close() })
	return other
}

// Who waits and dies does not get the lock: the next does.
func lockDeadWaiter(t *testing.T, ctx context.Context, c *sdk.Client, m *sdk.Map[string, int]) {
	l := tryLock(t, ctx, m, "k", true)
	mortal := connectTo(t, ctx, c)
	mm := openMap[string, int](t, mortal, m.Name())
	dead := make(chan error, 1)
	go func() {
		_, err := mm.Lock(ctx, "k", sdk.Lease(time.Hour))
		dead <- err
	}()
	waitFor(t, ctx, func() bool { return waiting(t, ctx, m, "k") == 1 })
	next := make(chan *sdk.Lock, 1)
	go func() {
		l, err := m.Lock(ctx, "k")
		if err != nil {
			t.Errorf("the next: %v", err)
		}
		next <- l
	}()
	waitFor(t, ctx, func() bool { return waiting(t, ctx, m, "k") == 2 })
	_ = mortal.Close()
	is(t, "a wait whose client is closed", <-dead, sdk.ErrClosed)
	waitFor(t, ctx, func() bool { return waiting(t, ctx, m, "k") == 1 })
	must(t, l.Unlock(ctx))
	if l := <-next; l != nil {
		must(t, l.Unlock(ctx))
	}
}

// A holder that died, which is one whose client is closed, loses the lock with its lease. One that lives does not.
func lockLeases(t *testing.T, ctx context.Context, c *sdk.Client, m *sdk.Map[string, int]) {
	// A process that is held up for longer than a lease cannot renew it: where the machine is that busy, a longer one is tried.
	for lease := 500 * time.Millisecond; !locksAreRenewed(t, ctx, c, m, lease); lease *= 2 {
		if lease > 5*time.Second {
			t.Fatal("a lock that is renewed was lost, whatever its lease")
		}
	}
}

// locksAreRenewed reports whether a lock was held for three times its lease.
func locksAreRenewed(t *testing.T, ctx context.Context, c *sdk.Client, m *sdk.Map[string, int], lease time.Duration) bool {
	mortal := connectTo(t, ctx, c)
	mm := openMap[string, int](t, mortal, m.Name())
	dead := tryLock(t, ctx, mm, "k", true, sdk.Lease(lease))
	alive := tryLock(t, ctx, m, "l", true, sdk.Lease(lease))
	_ = mortal.Close()
	start := time.Now()
	next, err := m.Lock(ctx, "k")
	must(t, err)
	if d := time.Since(start); d > 2*time.Minute || next.Fence() <= dead.Fence() {
		t.Fatalf("fence %d after %d, after %v", next.Fence(), dead.Fence(), d)
	}
	waitFor(t, ctx, func() bool { return time.Since(start) > 3*lease })
	must(t, next.Unlock(ctx))
	select {
	case <-alive.Lost():
		return false
	default:
	}
	err = alive.Unlock(ctx)
	if !errors.Is(err, sdk.ErrLockNotHeld) {
		must(t, err)
	}
	return err == nil
}

func lockForce(t *testing.T, ctx context.Context, _ *sdk.Client, m *sdk.Map[string, int]) {
	must(t, m.ForceUnlock(ctx, "k"))
	l := tryLock(t, ctx, m, "k", true, sdk.Lease(time.Hour))
	lost := l.Lost()
	must(t, m.ForceUnlock(ctx, "k"))
	isLocked(t, ctx, m, "k", false)
	next := tryLock(t, ctx, m, "k", true)
	select {
	case <-lost:
	case <-ctx.Done():
		t.Fatal("the holder was not told")
	}
	is(t, "unlock", l.Unlock(ctx), sdk.ErrLockNotHeld)
	must(t, next.Unlock(ctx))
}

// A lock outlives the context that it was made with; a wait ends with its context and leaves no trace.
func lockContexts(t *testing.T, ctx context.Context, _ *sdk.Client, m *sdk.Map[string, int]) {
	short, cancel := context.WithCancel(ctx)
	l, err := m.Lock(short, "k")
	cancel()
	must(t, err)
	waits, cancel := context.WithCancel(ctx)
	defer cancel()
	left := make(chan error, 1)
	go func() {
		_, err := m.Lock(waits, "k")
		left <- err
	}()
	waitFor(t, ctx, func() bool { return waiting(t, ctx, m, "k") == 1 })
	cancel()
	err = <-left
	is(t, "a wait that was ended", err, sdk.ErrTimeout)
	is(t, "a wait that was ended", err, context.Canceled)
	waitFor(t, ctx, func() bool { return waiting(t, ctx, m, "k") == 0 })
	passing, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	_, err = m.Lock(passing, "k")
	is(t, "a wait whose time was up", err, context.DeadlineExceeded)
	isLocked(t, ctx, m, "k", true)
	must(t, l.Unlock(ctx))
	waitFor(t, ctx, func() bool { locked, err := m.IsLocked(ctx, "k"); return err == nil && !locked })
}

// A hundred want the same lock, ten times each, and what they do under it is done by one at a time.
func lockHundred(t *testing.T, ctx context.Context, _ *sdk.Client, m *sdk.Map[string, int]) {
	const contenders, rounds = 100, 3
	var inside, fence, done atomic.Int64
	var wg sync.WaitGroup
	for range contenders {
		wg.Go(func() {
			for range rounds {
				l, err := m.Lock(ctx, "k")
				if err != nil {
					t.Errorf("lock: %v", err)
					return
				}
				if n := inside.Add(1); n != 1 {
					t.Errorf("%d hold the lock", n)
				}
				if before := fence.Swap(int64(l.Fence())); before >= int64(l.Fence()) {
					t.Errorf("fence %d after %d", l.Fence(), before)
				}
				done.Add(1)
				inside.Add(-1)
				if err := l.Unlock(ctx); err != nil {
					t.Errorf("unlock: %v", err)
				}
			}
		})
	}
	wg.Wait()
	if done.Load() != contenders*rounds {
		t.Fatalf("%d of %d turns", done.Load(), contenders*rounds)
	}
}

// A lock is held through the death of its key's owner, however short its lease, and those who wait keep their places.
func TestLocksSurviveTheOwner(t *testing.T) {
	t.Parallel()
	cl := gridtest.New(t, 3, gridtest.WithPartitions(6))
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	m := openMap[string, int](t, cl.Client(), "locks")
	const keys, waiters = 12, 3
	locks := make([]*sdk.Lock, keys)
	order := make([]chan int, keys)
	var wg sync.WaitGroup
	for k := range keys {
		key := fmt.Sprint(k)
		locks[k] = tryLock(t, ctx, m, key, true, sdk.Lease(2*time.Second))
		order[k] = make(chan int, waiters)
		for w := range waiters {
			wg.Go(func() {
				l, err := m.Lock(ctx, key)
				if err != nil {
					t.Errorf("lock %s, waiter %d: %v", key, w, err)
					return
				}
				order[k] <- w
				if err := l.Unlock(ctx); err != nil {
					t.Errorf("lock %s, waiter %d unlocks: %v", key, w, err)
				}
			})
			waitFor(t, ctx, func() bool { return waiting(t, ctx, m, key) == w+1 })
		}
	}
	cl.Kill(1)
	for k, l := range locks {
		key := fmt.Sprint(k)
		isLocked(t, ctx, m, key, true)
		must(t, m.Set(ctx, key, k, sdk.WithFence(l)))
		must(t, l.Unlock(ctx))
	}
	wg.Wait()
	for k := range keys {
		for w := range waiters {
			if got := <-order[k]; got != w {
				t.Errorf("lock %d: waiter %d came in the place of %d", k, got, w)
			}
		}
	}
}

// lease is an operation on a lock or on the value that it protects, for the checker of histories.
type lockOp struct {
	key   string
	kind  byte // l(ock), t(ry), u(nlock), f(orce), w(rite with fence), r(ead)
	fence uint64
	value int
}

// lockSeen is what came of it.
type lockSeen struct {
	did   bool
	fence uint64
	value int
}

// lockCell is a lock and the value under its key.
type lockCell struct {
	held  bool
	fence uint64 // the last one given out
	value int
}

// lockModel is a lock per key: one holds it, fences grow, and a write is made under the last fence that was given out only.
var lockModel = porcupine.Model{
	Partition: perKey(func(in lockOp) string { return in.key }),
	Init:      func() any { return lockCell{} },
	Step: func(state, input, output any) (bool, any) {
		now, in, out := state.(lockCell), input.(lockOp), output.(lockSeen)
		switch in.kind {
		case 'l', 't':
			if !out.did {
				return now.held, now
			}
			return !now.held && out.fence > now.fence, lockCell{true, out.fence, now.value}
		case 'u':
			mine := now.held && now.fence == in.fence
			if mine {
				now.held = false
			}
			return out.did == mine, now
		case 'f':
			now.held = false
			return true, now
		case 'w':
			mine := now.fence == in.fence
			if mine {
				now.value = in.value
			}
			return out.did == mine, now
		default: // 'r'
			return out.value == now.value, now
		}
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v -> %+v", input, output) },
}

// The checker notices two holders, a fence that does not grow, and a write under a fence after which another was given out.
func TestLockModel(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		ops []lockOp
		out []lockSeen
		ok  bool
	}{
		"one after the other": {[]lockOp{{"k", 'l', 0, 0}, {"k", 'w', 1, 7}, {"k", 'u', 1, 0}, {"k", 't', 0, 0}, {"k", 'w', 1, 8}, {"k", 'r', 0, 0}},
			[]lockSeen{{true, 1, 0}, {did: true}, {did: true}, {true, 2, 0}, {}, {value: 7}}, true},
		"two holders":                  {[]lockOp{{"k", 'l', 0, 0}, {"k", 't', 0, 0}}, []lockSeen{{true, 1, 0}, {true, 2, 0}}, false},
		"a fence that does not grow":   {[]lockOp{{"k", 'l', 0, 0}, {"k", 'f', 0, 0}, {"k", 'l', 0, 0}}, []lockSeen{{true, 2, 0}, {}, {true, 2, 0}}, false},
		"a stale write":                {[]lockOp{{"k", 'l', 0, 0}, {"k", 'f', 0, 0}, {"k", 'l', 0, 0}, {"k", 'w', 1, 7}}, []lockSeen{{true, 1, 0}, {}, {true, 2, 0}, {did: true}}, false},
		"a value that goes back":       {[]lockOp{{"k", 'l', 0, 0}, {"k", 'w', 1, 7}, {"k", 'r', 0, 0}}, []lockSeen{{true, 1, 0}, {did: true}, {}}, false},
		"refused though it is free":    {[]lockOp{{"k", 't', 0, 0}}, []lockSeen{{}}, false},
		"an unlock of somebody else's": {[]lockOp{{"k", 'l', 0, 0}, {"k", 'u', 9, 0}}, []lockSeen{{true, 1, 0}, {did: true}}, false},
	} {
		var history []porcupine.Operation
		for i := range c.ops {
			history = append(history, porcupine.Operation{Input: c.ops[i], Output: c.out[i], Call: int64(2 * i), Return: int64(2*i + 1)})
		}
		if got := porcupine.CheckOperations(lockModel, history); got != c.ok {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestLockHistories has clients lock a few keys, write under their fences, also under those that they have lost, and take locks
// from each other by force, while owners are killed. What they saw must be explained by one order of all operations on each
// key.
func TestLockHistories(t *testing.T) {
	t.Parallel()
	cl := gridtest.New(t, 3, gridtest.WithPartitions(6))
	const clients, keys = 6, 3
	h := &lockHistory{start: time.Now()}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for w := range clients {
		c, err := sdk.Connect(t.Context(), cl.Addrs())
		must(t, err)
		m := openMap[string, int](t, c, "cells")
		wg.Go(func() {
			defer func() { _ = c.Close() }()
			r := rand.New(rand.NewPCG(3, uint64(w)))
			stale := make(map[string]*sdk.Lock)
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := h.turn(m, w, fmt.Sprint(r.IntN(keys)), r, stale); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	awaitSteps(t, &h.steps, 300)
	cl.Kill(2)
	awaitSteps(t, &h.steps, h.steps.Load()+300)
	cl.Restart(2)
	cl.WaitSafe()
	cl.Kill(0)
	awaitSteps(t, &h.steps, h.steps.Load()+300)
	close(stop)
	wg.Wait()
	if res := porcupine.CheckOperationsTimeout(lockModel, h.list, 30*time.Second); res != porcupine.Ok {
		t.Fatalf("a history of %d operations cannot be explained: %v", len(h.list), res)
	}
}

// lockHistory is what clients have seen.
type lockHistory struct {
	start  time.Time
	steps  atomic.Int64
	unique atomic.Int64
	mu     sync.Mutex // guards the following
	list   []porcupine.Operation
}

// turn has a client take a lock, work under it, and give it up, mostly. stale are locks that it had before.
func (h *lockHistory) turn(m *sdk.Map[string, int], client int, key string, r *rand.Rand, stale map[string]*sdk.Lock) error {
	ctx, cancel := context.WithTimeout(context.Background(), 3*callTime)
	defer cancel()
	var l *sdk.Lock
	do := func(in lockOp, f func() (lockSeen, error)) error {
		in.key = key
		called := time.Since(h.start)
		out, err := f()
		if err != nil {
			return fmt.Errorf("%c of %s: %w", in.kind, key, err)
		}
		returned := time.Since(h.start)
		h.mu.Lock()
		h.list = append(h.list, porcupine.Operation{ClientId: client, Input: in, Call: int64(called), Output: out, Return: int64(returned)})
		h.mu.Unlock()
		h.steps.Add(1)
		return nil
	}
	write := func(l *sdk.Lock) error {
		v := int(h.unique.Add(1))
		return do(lockOp{kind: 'w', fence: l.Fence(), value: v}, func() (lockSeen, error) {
			return did(m.Set(ctx, key, v, sdk.WithFence(l)), sdk.ErrFenced)
		})
	}
	read := func() error {
		return do(lockOp{kind: 'r'}, func() (lockSeen, error) {
			v, _, err := m.Get(ctx, key)
			return lockSeen{value: v}, err
		})
	}
	if old := stale[key]; old != nil {
		if err := write(old); err != nil {
			return err
		}
	}
	if r.IntN(4) == 0 {
		if err := do(lockOp{kind: 't'}, func() (lockSeen, error) {
			got, ok, err := m.TryLock(ctx, key)
			if ok {
				l = got
				return lockSeen{did: true, fence: l.Fence()}, err
			}
			return lockSeen{}, err
		}); err != nil || l == nil {
			return errors.Join(err, read())
		}
	} else if err := do(lockOp{kind: 'l'}, func() (_ lockSeen, err error) {
		if l, err = m.Lock(ctx, key); err != nil {
			return lockSeen{}, err
		}
		return lockSeen{did: true, fence: l.Fence()}, nil
	}); err != nil {
		return err
	}
	stale[key] = l
	err := errors.Join(write(l), read())
	if r.IntN(5) == 0 {
		err = errors.Join(err, do(lockOp{kind: 'f'}, func() (lockSeen, error) { return lockSeen{}, m.ForceUnlock(ctx, key) }))
	}
	return errors.Join(err, do(lockOp{kind: 'u', fence: l.Fence()}, func() (lockSeen, error) { return did(l.Unlock(ctx), sdk.ErrLockNotHeld) }))
}

// did turns an error that refuses an operation into what was seen of it.
func did(err, refusal error) (lockSeen, error) {
	if errors.Is(err, refusal) {
		return lockSeen{}, nil
	}
	return lockSeen{did: err == nil}, err
}

// While nobody can serve a partition its leases go on: their holders could not renew them.
func TestLeasesGoOnOverAnOutage(t *testing.T) {
	t.Parallel()
	cl := gridtest.New(t, 3, gridtest.WithPartitions(6))
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	m := openMap[string, int](t, cl.Client(), "locks")
	const lease = 2 * time.Second
	locks := make(map[string]*sdk.Lock)
	for k := range 12 {
		locks[fmt.Sprint(k)] = tryLock(t, ctx, m, fmt.Sprint(k), true, sdk.Lease(lease))
	}
	start := time.Now()
	for i := range 3 {
		cl.Isolate(i)
	}
	waitFor(t, ctx, func() bool { return time.Since(start) > lease+lease/2 })
	cl.Heal()
	for key, l := range locks {
		tryLock(t, ctx, m, key, false)
		must(t, m.Set(ctx, key, 1, sdk.WithFence(l)))
		select {
		case <-l.Lost():
			t.Errorf("lock %s was lost", key)
		default:
		}
	}
	t.Logf("without owners for %v", time.Since(start))
	for _, l := range locks {
		must(t, l.Unlock(ctx))
	}
}

// Locks, queues and fences go on in the generation that is recovered from what a survivor has kept, however long that takes.
func TestLocksSurviveAGeneration(t *testing.T) {
	t.Parallel()
	cl := gridtest.New(t, 2, gridtest.WithPartitions(6))
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	m := openMap[string, int](t, cl.Client(), "locks")
	const keys = 12
	locks := make([]*sdk.Lock, keys)
	next := make([]chan *sdk.Lock, keys)
	for k := range keys {
		key := fmt.Sprint(k)
		locks[k] = tryLock(t, ctx, m, key, true, sdk.Lease(2*time.Second))
		next[k] = make(chan *sdk.Lock, 1)
		go func() {
			l, err := m.Lock(ctx, key)
			if err != nil {
				t.Errorf("lock %s: %v", key, err)
			}
			next[k] <- l
		}()
		waitFor(t, ctx, func() bool { return waiting(t, ctx, m, key) == 1 })
	}
	start := time.Now()
	cl.Kill(1)
	cl.Restart(1)
	for k, l := range locks {
		key := fmt.Sprint(k)
		tryLock(t, ctx, m, key, false)
		must(t, m.Set(ctx, key, k, sdk.WithFence(l)), l.Unlock(ctx))
	}
	t.Logf("in use again after %v", time.Since(start))
	for k, l := range locks {
		n := <-next[k]
		if n == nil {
			continue
		}
		if n.Fence() <= l.Fence() {
			t.Errorf("lock %d: fence %d after %d", k, n.Fence(), l.Fence())
		}
		is(t, "a stale write", m.Set(ctx, fmt.Sprint(k), -1, sdk.WithFence(l)), sdk.ErrFenced)
		must(t, n.Unlock(ctx))
	}
}
