//go:build chaos

package grid_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/benchmarks/proc"
	"github.com/gridiron-io/gridiron/sdk"
)

// These are clusters of real processes with the product's own number of partitions, whose members come and go.

const (
	// processPatience bounds what a cluster may need to be whole again.
	processPatience = 120 * time.Second
	// lookEvery is how often a cluster is asked how it is.
	lookEvery = 50 * time.Millisecond
)

// startProcesses starts a cluster that ends with the test, and shows what its members logged if that fails.
func startProcesses(t *testing.T, cfg proc.Config) *proc.Cluster {
	t.Helper()
	cfg.Binary = buildGrid(t)
	ctx, cancel := context.WithTimeout(t.Context(), processPatience)
	defer cancel()
	cl, err := proc.Start(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			for i := range cl.Addrs() {
				logs, err := cl.Logs(i)
				t.Logf("member %d: %v\n%s", i, err, logs)
			}
		}
		if err := cl.Close(); err != nil {
			t.Error(err)
		}
	})
	return cl
}

// processClient returns a client that ends with the test.
func processClient(t *testing.T, addrs ...string) *sdk.Client {
	t.Helper()
	c, err := sdk.Connect(t.Context(), addrs, sdk.WithTimeout(chaosPatience))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// awaitStatus waits until a member says of the cluster what is wanted, and returns how long that took.
func awaitStatus(t *testing.T, c *sdk.Client, what string, ok func(s *sdk.ClusterStatus) bool) time.Duration {
	t.Helper()
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), processPatience)
	defer cancel()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		s, err := c.Cluster(ctx)
		if err == nil && ok(&s) {
			return time.Since(began)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("wait for a cluster that is %s: it is %+v, %v", what, s, err)
		}
	}
}

// whole returns whether a cluster of so many members has all the replicas that it should have.
func whole(members int) func(s *sdk.ClusterStatus) bool {
	return func(s *sdk.ClusterStatus) bool {
		return s.Safe && s.Members == members && s.Ready == members && s.Tolerates == (min(members, 3)-1)/2
	}
}

// entries are keys whose values are known.
type entries struct {
	m *sdk.Map[int, string]
	n int
}

// chunkOf is how many entries one call moves.
const chunkOf = 2000

func valueOf(k int) string { return fmt.Sprint("value ", k) }

// fillEntries writes n entries.
func fillEntries(t *testing.T, c *sdk.Client, name string, n int) *entries {
	t.Helper()
	m, err := sdk.OpenMap[int, string](c, name)
	if err != nil {
		t.Fatal(err)
	}
	e := &entries{m: m, n: n}
	for from := 0; from < n; from += chunkOf {
		chunk := make(map[int]string, chunkOf)
		for k := from; k < min(n, from+chunkOf); k++ {
			chunk[k] = valueOf(k)
		}
		if err := m.SetAll(t.Context(), chunk); err != nil {
			t.Fatal(err)
		}
	}
	return e
}

// verify reads every entry and counts those that are there with another value than was written, or not at all.
func (e *entries) verify(t *testing.T) (wrong, missing int) {
	t.Helper()
	for from := 0; from < e.n; from += chunkOf {
		keys := make([]int, 0, chunkOf)
		for k := from; k < min(e.n, from+chunkOf); k++ {
			keys = append(keys, k)
		}
		got, err := e.m.GetAll(t.Context(), keys...)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range keys {
			switch v, ok := got[k]; {
			case !ok:
				missing++
			case v != valueOf(k):
				wrong++
			}
		}
	}
	return wrong, missing
}

// all requires every entry to be there with its value, and no more to be counted than there are.
func (e *entries) all(t *testing.T) {
	t.Helper()
	if wrong, missing := e.verify(t); wrong+missing > 0 {
		t.Errorf("of %d entries %d are gone and %d have another value", e.n, missing, wrong)
	}
	if n, err := e.m.Size(t.Context()); err != nil || n != e.n {
		t.Errorf("the map has %d entries, %v; want %d", n, err, e.n)
	}
}

// watched reads and writes entries one after the other until its end, and keeps the longest call.
type watched struct {
	end     context.CancelFunc
	wg      sync.WaitGroup
	calls   int
	longest time.Duration
	err     error
}

func (e *entries) watch(t *testing.T) *watched {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	w := &watched{end: cancel}
	w.wg.Go(func() {
		random := rand.New(rand.NewPCG(1, 2))
		for ctx.Err() == nil && w.err == nil {
			k, began := random.IntN(e.n), time.Now()
			if w.calls%2 == 0 {
				w.err = e.m.Set(context.WithoutCancel(ctx), k, valueOf(k))
			} else if v, ok, err := e.m.Get(context.WithoutCancel(ctx), k); err != nil || !ok || v != valueOf(k) {
				w.err = fmt.Errorf("key %d is %q, %v, %w", k, v, ok, err)
			}
			w.longest = max(w.longest, time.Since(began))
			w.calls++
		}
	})
	t.Cleanup(func() { cancel(); w.wg.Wait() })
	return w
}

// done ends the calls, none of which may have failed.
func (w *watched) done(t *testing.T) {
	t.Helper()
	w.end()
	w.wg.Wait()
	if w.err != nil {
		t.Errorf("a call failed: %v", w.err)
	}
	t.Logf("%d calls meanwhile, the longest took %v", w.calls, w.longest.Round(time.Millisecond))
}

// Three processes that start at the same moment, without anything on disk, are one cluster every time: each says so itself, before a
// client has asked any other.
func TestProcessesBootstrapTogether(t *testing.T) {
	for round := range 3 {
		cl := startProcesses(t, proc.Config{Members: 3})
		first := ""
		for i := range 3 {
			s, err := processClient(t, cl.Addr(i)).Cluster(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				first = s.ID
			}
			if s.ID != first || s.Members != 3 || s.Partitions != 271 || s.Lost != 0 {
				t.Errorf("round %d: member %d is in %+v, member 0 in cluster %s", round, i, s, first)
			}
		}
		took := awaitStatus(t, processClient(t, cl.Addrs()...), "whole", whole(3))
		t.Logf("round %d: one cluster, whole %v after all were ready", round, took.Round(time.Millisecond))
		if err := cl.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Two of four members leave in good order, eight seconds apart, with 100,000 entries: all of them stay, and both exit with 0.
func TestProcessesTwoLeave(t *testing.T) {
	const apart = 8 * time.Second
	cl := startProcesses(t, proc.Config{Members: 4})
	client := processClient(t, cl.Addrs()...)
	awaitStatus(t, client, "whole", whole(4))
	e := fillEntries(t, client, "entries", 100_000)
	load := e.watch(t)
	leave := func(i int) <-chan error {
		ended := make(chan error, 1)
		go func() { // ends with the member
			ctx, cancel := context.WithTimeout(t.Context(), processPatience)
			defer cancel()
			began := time.Now()
			err := cl.Stop(ctx, i)
			t.Logf("member %d left in %v: %v", i, time.Since(began).Round(time.Millisecond), err)
			ended <- err
		}()
		return ended
	}
	second := time.NewTimer(apart)
	first := leave(3)
	<-second.C // whether the first is gone by then or not
	for i, err := range []error{<-leave(1), <-first} {
		if err != nil {
			t.Errorf("the leave before the last %d: %v", i, err)
		}
	}
	load.done(t)
	e.all(t)
	awaitStatus(t, client, "whole", whole(2))
	e.all(t)
}

// A random member is killed and started again, ten times in a row under load: every acknowledged write is there, and each time the
// cluster has all replicas again before the next.
func TestProcessesKilledInARow(t *testing.T) {
	const rounds = 10
	seed := chaosSeedOf(t)
	cl := startProcesses(t, proc.Config{Members: chaosMembers})
	client := processClient(t, cl.Addrs()...)
	awaitStatus(t, client, "whole", whole(chaosMembers))
	e := fillEntries(t, client, "entries", 20_000)
	load := newChaosLoad(t, cl.Addrs(), seed)
	load.start(t)
	random := rand.New(rand.NewPCG(seed, 3))
	for round := range rounds {
		load.waitSteps(t, chaosStep/2)
		victim := random.IntN(chaosMembers)
		if err := cl.Kill(victim); err != nil {
			t.Fatal(err)
		}
		killed := time.Now()
		if round%2 == 0 {
			load.waitSteps(t, 1)
		} // else it comes back before the others have gone on
		on := time.Since(killed)
		restart(t, cl, victim)
		ready := time.Since(killed)
		awaitStatus(t, client, "whole", whole(chaosMembers))
		t.Logf("member %d was killed; the others went on after %v, it was ready after %v, and the cluster whole after %v", victim,
			on.Round(time.Millisecond), ready.Round(time.Millisecond), time.Since(killed).Round(time.Millisecond))
	}
	load.stop()
	load.check(t)
	e.all(t)
	awaitStatus(t, client, "without losses", func(s *sdk.ClusterStatus) bool { return s.Lost == 0 && s.PossibleDataLoss == 0 })
}

// restart starts a member again.
func restart(t *testing.T, cl *proc.Cluster, i int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), processPatience)
	defer cancel()
	if err := cl.Restart(ctx, i); err != nil {
		t.Fatal(err)
	}
}

// A cluster grows from three members to five and shrinks to three others, under load.
func TestProcessesGrowAndShrink(t *testing.T) {
	cl := startProcesses(t, proc.Config{Members: 3})
	client := processClient(t, cl.Addrs()...)
	awaitStatus(t, client, "whole", whole(3))
	e := fillEntries(t, client, "entries", 20_000)
	load := newChaosLoad(t, cl.Addrs(), chaosSeedOf(t))
	load.start(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*processPatience)
	defer cancel()
	for members := 4; members <= 5; members++ {
		began := time.Now()
		if _, err := cl.Add(ctx); err != nil {
			t.Fatal(err)
		}
		ready := time.Since(began)
		awaitStatus(t, client, "whole", whole(members))
		t.Logf("member %d of %d was ready after %v, and the cluster whole after %v", members, members, ready.Round(time.Millisecond),
			time.Since(began).Round(time.Millisecond))
	}
	balanced(t, client, 5)
	for i, members := range []int{4, 3} {
		began := time.Now()
		if err := cl.Stop(ctx, i); err != nil {
			t.Fatal(err)
		}
		left := time.Since(began)
		awaitStatus(t, client, "whole", whole(members))
		t.Logf("member %d left in %v, and the cluster was whole after %v", i, left.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
	}
	load.waitSteps(t, chaosStep/2)
	load.stop()
	load.check(t)
	e.all(t)
}

// balanced waits until every member holds its share of the replicas.
func balanced(t *testing.T, c *sdk.Client, members int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), processPatience)
	defer cancel()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		list, err := c.Partitions(ctx)
		held := make(map[string]int)
		for _, p := range list {
			for _, r := range p.Replicas {
				held[r]++
			}
		}
		share, even := 3*len(list)/members, len(held) == members
		for _, n := range held {
			even = even && n >= share-1 && n <= share+2
		}
		if err == nil && even {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("wait for replicas that are spread evenly: %v, %v", held, err)
		}
	}
}

// Two of three members are killed at once and started again. What the third has is there: everything that it has acknowledged. What
// the two others alone had may be gone, and that is reported.
func TestProcessesTwoOfThreeKilled(t *testing.T) {
	const survivor = 2
	cl := startProcesses(t, proc.Config{Members: 3})
	client := processClient(t, cl.Addrs()...)
	awaitStatus(t, client, "whole", whole(3))
	// While one is paused, what is acknowledged is so by both others.
	signalMember(t, cl, 0, syscall.SIGSTOP)
	held := fillEntries(t, client, "held", 20_000)
	signalMember(t, cl, 0, syscall.SIGCONT)
	awaitStatus(t, client, "whole", whole(3))
	signalMember(t, cl, survivor, syscall.SIGSTOP)
	others := fillEntries(t, client, "others", 5_000)
	for i := range survivor {
		if err := cl.Kill(i); err != nil {
			t.Fatal(err)
		}
	}
	killed := time.Now()
	signalMember(t, cl, survivor, syscall.SIGCONT)
	var wg sync.WaitGroup
	for i := range survivor {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), processPatience)
			defer cancel()
			if err := cl.Restart(ctx, i); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	ready := time.Since(killed)
	awaitStatus(t, client, "whole", whole(3))
	t.Logf("both were ready after %v, and the cluster whole after %v", ready.Round(time.Millisecond), time.Since(killed).Round(time.Millisecond))
	held.all(t)
	status, err := client.Cluster(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	wrong, missing := others.verify(t)
	t.Logf("of %d entries that the survivor has not acknowledged %d are gone; %d partitions are reported with possible data loss and %d as lost", others.n,
		missing, status.PossibleDataLoss, status.Lost)
	if wrong > 0 {
		t.Errorf("%d entries have a value that nobody wrote", wrong)
	}
	if missing > 0 && status.PossibleDataLoss == 0 || status.Lost > 0 {
		t.Errorf("%d entries are gone, and what is reported is %+v", missing, status)
	}
	// And it is a cluster as before.
	again := fillEntries(t, client, "again", 5_000)
	if err := cl.Kill(survivor); err != nil {
		t.Fatal(err)
	}
	again.all(t)
	held.all(t)
}
