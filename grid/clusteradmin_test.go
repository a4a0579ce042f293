package grid_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/grid"
	"github.com/gridiron-io/gridiron/grid/gridtest"
	"github.com/gridiron-io/gridiron/sdk"
)

const adminWords = 120

// adminCluster starts a cluster of n members, one after the other so that the first has the only metadata voter of two, with a map
// of adminWords entries.
func adminCluster(t *testing.T, n int, opts ...gridtest.Option) (*gridtest.Cluster, *sdk.Map[string, int]) {
	t.Helper()
	cl := gridtest.New(t, 1, append([]gridtest.Option{gridtest.WithPartitions(6)}, opts...)...)
	for range n - 1 {
		cl.Add()
	}
	cl.WaitSafe()
	m, err := sdk.OpenMap[string, int](cl.Client(), "words")
	if err != nil {
		t.Fatal(err)
	}
	for i := range adminWords {
		if err := m.Set(t.Context(), fmt.Sprint(i), i); err != nil {
			t.Fatal(err)
		}
	}
	return cl, m
}

// allWords fails the test unless every entry is there.
func allWords(t *testing.T, m *sdk.Map[string, int]) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for i := range adminWords {
		if v, ok, err := m.Get(ctx, fmt.Sprint(i)); v != i || !ok || err != nil {
			t.Fatalf("%d is %d, %t, %v", i, v, ok, err)
		}
	}
}

// await looks until what it is told has come about.
func await(t *testing.T, what string, look func(ctx context.Context) (bool, error)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var ok bool
	var err error
	if !poll(ctx, func() bool { ok, err = look(ctx); return err == nil && ok }) {
		t.Fatalf("waited for %s: %v", what, err)
	}
}

func drained(t *testing.T, c *sdk.Client, member string) {
	t.Helper()
	await(t, "drain "+member, func(ctx context.Context) (bool, error) {
		l, err := c.DrainMember(ctx, member)
		return l.Done, err
	})
}

// removed removes a member that nothing forbids to remove.
func removed(t *testing.T, c *sdk.Client, member string, force bool) {
	t.Helper()
	await(t, "remove "+member, func(ctx context.Context) (bool, error) {
		l, err := c.RemoveMember(ctx, member, force)
		return l.Done, err
	})
}

// known waits until those that are asked know of so many members: what was committed they hear of in turn.
func known(t *testing.T, c *sdk.Client, n int) {
	t.Helper()
	await(t, fmt.Sprint(n, " members"), func(ctx context.Context) (bool, error) {
		members, err := c.Members(ctx)
		return len(members) == n, err
	})
}

// holds waits until a member is known to hold so many replicas.
func holds(t *testing.T, c *sdk.Client, id string, n int) {
	t.Helper()
	await(t, fmt.Sprint(n, " replicas"), func(ctx context.Context) (bool, error) {
		list, err := c.Partitions(ctx)
		replicas, owned := holdings(list, id)
		return replicas == n && (n > 0 || owned == 0), err
	})
}

// A member that is drained holds nothing, serves all the same, and takes part again when it restarts.
func TestDrain(t *testing.T) {
	t.Parallel()
	cl, m := adminCluster(t, 3)
	c := cl.Client()
	id := cl.Member(1).ID()
	drained(t, c, "m1")
	holds(t, c, id, 0)
	inside, err := sdk.OpenMap[string, int](cl.Member(1).Client(), "words")
	if err != nil {
		t.Fatal(err)
	}
	allWords(t, inside)
	drained(t, c, id) // it is already
	drained(t, c, "m2")
	if _, err := c.DrainMember(t.Context(), "m0"); !errors.Is(err, sdk.ErrConflict) {
		t.Errorf("the last that holds anything: %v", err)
	}
	if _, err := c.DrainMember(t.Context(), "nobody"); !errors.Is(err, sdk.ErrNotFound) {
		t.Errorf("nobody: %v", err)
	}
	cl.Restart(1, 2)
	cl.WaitSafe()
	allWords(t, m)
	holds(t, c, id, 6)
}

// Who answers is not removed, whoever says so; who is silent and holds data only by force.
func TestRemove(t *testing.T) {
	t.Parallel()
	cl, m := adminCluster(t, 3)
	c := cl.Client()
	for _, force := range []bool{false, true} {
		if _, err := c.RemoveMember(t.Context(), "m2", force); !errors.Is(err, sdk.ErrConflict) {
			t.Errorf("a member that answers, force %t: %v", force, err)
		}
	}
	if _, err := c.RemoveMember(t.Context(), "nobody", true); !errors.Is(err, sdk.ErrNotFound) {
		t.Errorf("nobody: %v", err)
	}
	cl.Kill(2)
	if _, err := c.RemoveMember(t.Context(), "m2", false); !errors.Is(err, sdk.ErrConflict) {
		t.Errorf("a silent member with data, without force: %v", err)
	}
	await(t, "force", func(ctx context.Context) (bool, error) {
		_, err := c.RemoveMember(ctx, "m2", true) // refused until its silence is noticed
		return true, err
	})
	removed(t, c, "m2", true)
	cl.WaitSafe()
	allWords(t, m)
	st, err := c.Cluster(t.Context())
	if err != nil || st.Members != 2 || st.Lost != 0 || st.PossibleDataLoss != 0 {
		t.Errorf("%+v, %v", st, err)
	}
	known(t, c, 2)
	// Who was drained and has stopped is removed without force.
	drained(t, c, "m1")
	cl.Stop(1)
	removed(t, c, "m1", false)
	known(t, c, 1)
	allWords(t, m)
	cl.Restart(1) // nobody remembers it
	cl.WaitSafe()
	allWords(t, m)
}

// Of two members one is confirmed dead: the other goes on with all its data.
func TestRemoveOneOfTwo(t *testing.T) {
	t.Parallel()
	cl, m := adminCluster(t, 2)
	c := cl.Client()
	cl.Kill(1)
	await(t, "force", func(ctx context.Context) (bool, error) {
		_, err := c.RemoveMember(ctx, "m1", true)
		return true, err
	})
	removed(t, c, "m1", true)
	allWords(t, m)
	cl.WaitSafe()
	st, err := c.Cluster(t.Context())
	if err != nil || st.Members != 1 || st.Lost != 0 || st.PossibleDataLoss != 0 || st.Moves != 0 || st.UnderReplicated != 0 {
		t.Errorf("%+v, %v", st, err)
	}
	if err := m.Set(t.Context(), "new", 1); err != nil {
		t.Error(err)
	}
}

// A member that was declared dead while nobody heard of it stops when it hears of that, whether it is still known or not, and joins
// again when it restarts.
func TestZombie(t *testing.T) {
	t.Parallel()
	for _, forgotten := range []bool{false, true} {
		t.Run(fmt.Sprintf("forgotten=%t", forgotten), func(t *testing.T) {
			cl, m := adminCluster(t, 3)
			c := cl.Client()
			zombie := cl.Member(2)
			cl.Isolate(2)
			await(t, "force", func(ctx context.Context) (bool, error) {
				_, err := c.RemoveMember(ctx, "m2", true)
				return true, err
			})
			if forgotten {
				removed(t, c, "m2", true)
			}
			if err := zombie.Err(); err != nil {
				t.Errorf("it has heard of it: %v", err)
			}
			cl.Heal()
			select {
			case <-zombie.Done():
			case <-time.After(patience):
				t.Fatal("the zombie goes on")
			}
			if err := zombie.Err(); !errors.Is(err, grid.ErrRemoved) {
				t.Errorf("it has stopped by %v", err)
			}
			allWords(t, m)
			cl.Kill(2) // which does nothing
			cl.Restart(2)
			cl.WaitSafe()
			allWords(t, m)
			if err := cl.Member(2).Err(); err != nil {
				t.Errorf("started again: %v", err)
			}
			if st, err := c.Cluster(t.Context()); err != nil || st.Lost != 0 || st.PossibleDataLoss != 0 || st.Members != 3 {
				t.Errorf("%+v, %v", st, err)
			}
		})
	}
}

// After a member has come back replicas and owners are spread again, each within one of its share.
func TestRebalance(t *testing.T) {
	t.Parallel()
	cl, m := adminCluster(t, 3)
	c := cl.Client()
	cl.Kill(1)
	cl.Restart(1)
	if _, err := c.Rebalance(t.Context()); err != nil {
		t.Fatal(err)
	}
	await(t, "balance", func(ctx context.Context) (bool, error) {
		b, err := c.Balance(ctx)
		return b.Left == 0, err
	})
	b, err := c.Balance(t.Context())
	if err != nil || b != (sdk.Balance{MinReplicas: 6, MaxReplicas: 6, MinOwned: 2, MaxOwned: 2}) {
		t.Errorf("%+v, %v", b, err)
	}
	for i := range 3 {
		holds(t, c, cl.Member(i).ID(), 6)
	}
	allWords(t, m)
}

// A watch of the cluster tells of a member that dies and of the cluster as it is then, and ends with its context.
func TestWatchCluster(t *testing.T) {
	t.Parallel()
	cl, _ := adminCluster(t, 3)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	seen := 0
	for v, err := range cl.Client().WatchCluster(ctx) {
		if err != nil {
			if !errors.Is(err, context.Canceled) {
				t.Errorf("it ends by %v", err)
			}
			break
		}
		if seen++; seen == 1 {
			if !v.Status.Safe || len(v.Members) != 3 {
				t.Errorf("at first %+v", v)
			}
			cl.Kill(2)
		}
		if m := v.Members[2]; m.Name == "m2" && m.State == sdk.MemberSuspect && v.Status.Ready == 2 && !v.Status.Safe {
			cancel()
		}
	}
	if seen < 2 || !errors.Is(ctx.Err(), context.Canceled) {
		t.Errorf("after %d looks: %v", seen, ctx.Err())
	}
}
