package sdk

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/sdk/internal/fakegrid"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// bootstrapAgain ends a grid, waits until its client has noticed, so that nothing more is sent to it, and makes another one of the same
// name at its addresses, of whose members those with the given places run.
func bootstrapAgain(t *testing.T, c *Client, g *fakegrid.Grid, partitions int, members ...int) {
	t.Helper()
	for i := range g.Addrs() {
		g.Kill(i)
	}
	eventually(t, c, "the connections have ended", func() bool { return !c.anyLive() })
	g.Bootstrap(partitions)
	for _, i := range members {
		g.Restart(i)
	}
}

// wantOther checks that err says, without a hope that it may get better, which cluster is there and which was wanted.
func wantOther(t *testing.T, err error, found, wanted wire.ID) {
	t.Helper()
	wantErr(t, err, ErrInvalid)
	other, ok := errors.AsType[*OtherClusterError](err)
	if !ok || other.ID != found.String() || other.WantID != wanted.String() {
		t.Fatalf("%v, want cluster %v in place of %v", err, found, wanted)
	}
	if Retryable(err) {
		t.Errorf("it is retryable: %v", err)
	}
}

// A client goes over to the cluster that was bootstrapped at the addresses of the one before.
func TestClientGoesOverToASuccessor(t *testing.T) {
	g := fakegrid.New(t, 3, 12)
	c := connected(t, g)
	m := opened[string, string](t, c, "m")
	ctx := t.Context()
	noErr(t, m.Set(ctx, "a", "old"))
	before, old := c.id, g.ID
	l, err := m.Lock(ctx, "locked")
	noErr(t, err)

	g.Skew(-10 * time.Minute) // nor has its clock to do with that of the one before
	bootstrapAgain(t, c, g, 12, 0, 1, 2)
	noErr(t, m.Set(ctx, "b", "new"))
	if v, found, err := m.Get(ctx, "a"); found || err != nil {
		t.Errorf("the new cluster has %q, %v", v, err)
	}
	if v, found, err := m.Get(ctx, "b"); v != "new" || !found || err != nil {
		t.Errorf("%q, %v, %v", v, found, err)
	}
	status, err := c.Cluster(ctx)
	if noErr(t, err); status.ID != g.ID.String() || status.ID == old.String() || c.id != before {
		t.Errorf("status of cluster %v", status.ID)
	}
	if apart := c.Now().Sub(time.UnixMilli(g.Now())); apart.Abs() > time.Minute {
		t.Errorf("the client's idea of cluster time is %v off", apart)
	}

	// What belongs to the cluster before is of no use in this one.
	wantErr(t, m.Set(ctx, "locked", "v", WithFence(l)), ErrFenced)
	<-l.Lost()
	wantErr(t, l.Unlock(ctx), ErrLockNotHeld)
	other, err := m.Lock(ctx, "locked")
	noErr(t, err)
	noErr(t, m.Set(ctx, "locked", "v", WithFence(other)))
	noErr(t, other.Unlock(ctx))
}

// A write that may have been executed in the cluster before is not made again in the new one; an iteration does not go on there.
func TestCallsUnderWayDoNotGoOver(t *testing.T) {
	g := fakegrid.New(t, 1, 3)
	c := connected(t, g)
	m := opened[string, string](t, c, "m")
	ctx := t.Context()
	for i := range 40 {
		noErr(t, m.Set(ctx, keyIn(t, m, i%3, i/3), "old"))
	}
	sent := make(chan struct{})
	g.OnRequest(func(_ *fakegrid.Member, req *wire.Request) fakegrid.Verdict {
		if req.Op != wire.OpSet {
			return fakegrid.Verdict{}
		}
		close(sent)
		return fakegrid.Verdict{Ignore: true}
	})
	failed := make(chan error, 1)
	go func() { failed <- m.Set(ctx, "a", "v") }()
	<-sent
	seen := 0
	for _, err := range m.Keys(ctx, PageSize(5)) {
		if seen++; seen == 1 {
			g.OnRequest(nil)
			bootstrapAgain(t, c, g, 3, 0)
			wantErr(t, <-failed, ErrUnknownOutcome)
			continue
		}
		if err != nil {
			wantErr(t, err, ErrUnavailable)
			if !Retryable(err) {
				t.Errorf("the iteration may be repeated: %v", err)
			}
			break
		}
	}
	if seen > 20 {
		t.Errorf("the iteration went on: %d keys", seen)
	}
	if n, err := m.Size(ctx); n != 0 || err != nil {
		t.Errorf("the new cluster has %d entries, %v", n, err)
	}
}

// As long as one member of the cluster answers, another cluster at the address of others is none of the client's business.
func TestClientStaysWithAClusterThatAnswers(t *testing.T) {
	g := fakegrid.New(t, 3, 12)
	c := connected(t, g)
	m := opened[string, string](t, c, "m")
	noErr(t, m.Set(t.Context(), "a", "v"))
	eventually(t, c, "connected to all", func() bool { return allLive(c, 3) })
	for i := range 2 {
		g.MoveAll(i, 2, true)
	}
	other := fakegrid.New(t, 1, 12)
	other.Bootstrap(12)
	for i := range 2 {
		addr := g.Addr(i)
		g.Kill(i)
		other.Serve(0, addr)
	}
	for range 50 {
		c.refresh(nil)
		if v, found, err := m.Get(t.Context(), "a"); v != "v" || !found || err != nil {
			t.Fatalf("%q, %v, %v", v, found, err)
		}
	}
	// Its last member is silent for a moment, at which nobody of it answers but the other cluster at two of its addresses.
	g.Kill(2)
	g.Restart(2)
	if v, found, err := m.Get(t.Context(), "a"); v != "v" || !found || err != nil {
		t.Fatalf("%q, %v, %v", v, found, err)
	}
}

// A client that must stay with one cluster says at once that another one is there, and goes on when its own is back.
func TestClientOfOneClusterID(t *testing.T) {
	g := fakegrid.New(t, 2, 4)
	old := g.ID
	c := connected(t, g, WithClusterID(old.String()))
	m := opened[string, string](t, c, "m")
	noErr(t, m.Set(t.Context(), "a", "v"))
	bootstrapAgain(t, c, g, 4, 0, 1)
	wantOther(t, m.Set(t.Context(), "a", "v"), g.ID, old)
	_, _, err := m.Get(t.Context(), "a")
	wantOther(t, err, g.ID, old)
	_, err = m.Size(t.Context())
	wantOther(t, err, g.ID, old)
	_, err = c.Cluster(t.Context())
	wantOther(t, err, g.ID, old)
	_, err = Submit[int](t.Context(), c.Executor("e"), "t", 1)
	wantOther(t, err, g.ID, old)

	_, err = Connect(t.Context(), g.Addrs(), WithClusterID(old.String()))
	wantOther(t, err, g.ID, old)
	_, err = Connect(t.Context(), g.Addrs(), WithClusterID("cluster"))
	wantErr(t, err, ErrInvalid)

	for i := range 2 {
		g.Kill(i)
	}
	g.Return()
	for i := range 2 {
		g.Restart(i)
	}
	eventually(t, c, "the client goes on", func() bool { return m.Set(t.Context(), "a", "v") == nil })
}

// Keys would be in other partitions: a client cannot go over to a cluster that has another number of them, and says so.
func TestSuccessorWithOtherPartitions(t *testing.T) {
	g := fakegrid.New(t, 2, 4)
	old := g.ID
	c := connected(t, g)
	m := opened[string, string](t, c, "m")
	bootstrapAgain(t, c, g, 5, 0, 1)
	wantOther(t, m.Set(t.Context(), "a", "v"), g.ID, old)
	again := opened[string, string](t, connected(t, g), "m")
	noErr(t, again.Set(t.Context(), "a", "v"))
}

// Where some of the old members cannot be reached at all, it takes a while until the client believes that its cluster is gone.
func TestSuccessorWhileMembersAreUnreachable(t *testing.T) {
	in(t, func(t *testing.T, g *fakegrid.Grid, c *Client, m *Map[string, string]) {
		noErr(t, m.Set(t.Context(), "a", "old"))
		g.Kill(0)
		g.Kill(1)
		g.Bootstrap(1)
		g.Unreachable(1)
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		noErr(t, m.Set(ctx, "b", "new"))
		if d := time.Since(start); d < goneAfter || d > goneAfter+time.Second {
			t.Errorf("after %v", d)
		}
	})
}

// Of two clusters that were seen in the place of the client's own, one that is not seen any more does not keep the client from the other.
func TestSuccessorAfterAnotherThatIsGone(t *testing.T) {
	in(t, func(t *testing.T, g *fakegrid.Grid, c *Client, m *Map[string, string]) {
		noErr(t, m.Set(t.Context(), "a", "old"))
		g.Kill(0)
		g.Kill(1)
		g.Bootstrap(1)
		g.Unreachable(1)
		now := c.clock.now()
		c.mu.Lock()
		c.mu.succession = succession{seen: map[string]sighting{g.Addr(1): {wire.ID{9}, 1, now}}, since: now, last: now}
		c.mu.Unlock()
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		noErr(t, m.Set(ctx, "b", "new"))
		if d := time.Since(start); d < sightingsLast || d > sightingsLast+2*time.Second {
			t.Errorf("after %v", d)
		}
	})
}
