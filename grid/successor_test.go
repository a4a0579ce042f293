package grid_test

import (
	"context"
	"errors"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/exec"
	"github.com/gridiron-io/gridiron/grid"
	"github.com/gridiron-io/gridiron/grid/gridtest"
	"github.com/gridiron-io/gridiron/sdk"
)

// All members of a cluster lose their directories and bootstrap it again, at the same addresses. A client goes on with the new cluster;
// listeners hear that events are lost, locks and tasks are lost too.
func TestClusterIsBootstrappedAgain(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	dirs := make(map[int]string)
	tasks := exec.NewRegistry()
	exec.RegisterTask(tasks, "wait", func(ctx context.Context, _ exec.TaskContext, _ int) (int, error) {
		<-ctx.Done()
		return 0, ctx.Err()
	})
	cl := gridtest.New(t, 3, gridtest.WithPartitions(6), gridtest.WithRegistry(tasks), gridtest.WithConfig(func(i int, cfg *grid.Config) {
		mu.Lock()
		defer mu.Unlock()
		dirs[i] = cfg.DataDir
	}))
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	c, err := sdk.Connect(ctx, cl.Addrs())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	before, err := c.Cluster(ctx)
	if err != nil {
		t.Fatal(err)
	}
	pinned, err := sdk.Connect(ctx, cl.Addrs(), sdk.WithClusterID(before.ID))
	if err != nil {
		t.Fatal(err)
	}
	defer pinned.Close()
	m, err := sdk.OpenMap[string, int](c, "m")
	if err != nil {
		t.Fatal(err)
	}
	stays, err := sdk.OpenMap[string, int](pinned, "m")
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Set(ctx, "a", 1); err != nil {
		t.Fatal(err)
	}
	events := make(chan sdk.Event[string, int], 1000)
	note := func(e sdk.Event[string, int]) { events <- e }
	sub, err := m.AddEntryListener(ctx, sdk.EntryListener[string, int]{Added: note, Updated: note, Lost: note})
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	l, err := m.Lock(ctx, "locked")
	if err != nil {
		t.Fatal(err)
	}
	lost := l.Lost()
	f, err := sdk.Submit[int](ctx, c.Executor("e"), "wait", 0)
	if err != nil {
		t.Fatal(err)
	}

	for i := range 3 {
		cl.Kill(i)
	}
	for _, dir := range dirs {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	cl.Restart(0, 1, 2)

	for err = m.Set(ctx, "b", 2); err != nil; err = m.Set(ctx, "b", 2) {
		if !sdk.Retryable(err) && !errors.Is(err, sdk.ErrUnknownOutcome) {
			t.Fatal(err)
		}
	}
	after, err := c.Cluster(ctx)
	if err != nil || after.ID == before.ID || after.Name != before.Name {
		t.Fatalf("cluster %v is followed by %v, %v", before.ID, after.ID, err)
	}
	if _, found, err := m.Get(ctx, "a"); found || err != nil {
		t.Errorf("the new cluster has what the old one had: %v, %v", found, err)
	}
	select {
	case <-lost:
	case <-ctx.Done():
		t.Fatal("the lock is not lost")
	}
	if _, err := f.Get(ctx); !errors.Is(err, sdk.ErrMemberLeft) {
		t.Errorf("the task: %v", err)
	}

	// Events: that some are lost, and what is written afterwards.
	for found := map[sdk.EventKind]bool{}; !found[sdk.EventLost] || !found[sdk.EventUpdated]; {
		if found[sdk.EventLost] {
			if err := m.Set(ctx, "b", 3); err != nil {
				t.Fatal(err)
			}
		}
		select {
		case e := <-events:
			found[e.Kind] = true
		case <-ctx.Done():
			t.Fatalf("only %v", found)
		}
	}

	// Who has named the ID of the old cluster is told that this is another one.
	for {
		_, _, err := stays.Get(ctx, "b")
		if other, ok := errors.AsType[*sdk.OtherClusterError](err); ok {
			if other.ID != after.ID || other.WantID != before.ID || !errors.Is(err, sdk.ErrInvalid) || sdk.Retryable(err) {
				t.Errorf("%v", err)
			}
			break
		}
		if err == nil || !sdk.Retryable(err) {
			t.Fatalf("a client of another cluster: %v", err)
		}
	}
}
