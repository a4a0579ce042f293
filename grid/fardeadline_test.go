package grid_test

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/exec"
	"github.com/gridiron-io/gridiron/exec/builtin"
	"github.com/gridiron-io/gridiron/grid"
	"github.com/gridiron-io/gridiron/sdk"
)

// A deadline, a timeout, a lease or a time to live of the far future is as good as none. Nothing overflows.
func TestFarDeadlines(t *testing.T) {
	const forEver = time.Duration(math.MaxInt64)
	tasks := exec.NewRegistry()
	builtin.Register(tasks)
	m, err := grid.Start(t.Context(), grid.Config{Partitions: 2, Registry: tasks})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close(context.Background()) })

	contexts := map[string]func() (context.Context, context.CancelFunc){
		"the longest duration": func() (context.Context, context.CancelFunc) { return context.WithTimeout(t.Context(), forEver) },
		"the year 9999": func() (context.Context, context.CancelFunc) {
			return context.WithDeadline(t.Context(), time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC))
		},
		"the client's timeout": func() (context.Context, context.CancelFunc) { return t.Context(), func() {} },
	}
	for name, make := range contexts {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := make()
			defer cancel()
			c, err := sdk.Connect(ctx, []string{m.Addr()}, sdk.WithTimeout(forEver))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if err := c.SetMapConfig(ctx, "far", sdk.MapConfig{TTL: new(forEver), MaxIdle: new(forEver)}); err != nil {
				t.Errorf("SetMapConfig: %v", err)
			}
			far, err := sdk.OpenMap[string, int](c, "far")
			if err != nil {
				t.Fatal(err)
			}
			must := func(what string, err error) {
				t.Helper()
				if err != nil {
					t.Errorf("%s: %v", what, err)
				}
			}
			sub, err := far.AddEntryListener(ctx, sdk.EntryListener[string, int]{})
			must("AddEntryListener", err)
			if err == nil {
				must("close the listener", sub.Close())
			}
			must("Set", far.Set(ctx, "a", 1))
			must("Set with times", far.Set(ctx, "a", 1, sdk.WithTTL(forEver), sdk.WithMaxIdle(forEver)))
			must("SetAll", far.SetAll(ctx, map[string]int{"b": 2, "c": 3}, sdk.WithTTL(forEver)))
			ok, err := far.SetTTL(ctx, "a", forEver)
			if must("SetTTL", err); !ok {
				t.Error("SetTTL: the entry is gone")
			}
			if v, found, err := far.Get(ctx, "a"); v != 1 || !found || err != nil {
				t.Errorf("Get: %v, %v, %v", v, found, err)
			}
			if v, found, err := far.EntryView(ctx, "a"); !found || err != nil || v.Remaining < 0 || v.TTL < 0 || v.MaxIdle < 0 {
				t.Errorf("EntryView: %+v, %v, %v", v, found, err)
			}
			if n, err := far.Size(ctx); n != 3 || err != nil {
				t.Errorf("Size: %v, %v", n, err)
			}
			n := 0
			for _, err := range far.Keys(ctx) {
				must("Keys", err)
				n++
			}
			if n != 3 {
				t.Errorf("Keys: %d", n)
			}
			if v, err := far.GetOrLoad(ctx, "d", func(context.Context, string) (int, error) { return 4, nil }, sdk.WithTTL(forEver)); v != 4 || err != nil {
				t.Errorf("GetOrLoad: %v, %v", v, err)
			}

			l, err := far.Lock(ctx, "a", sdk.Lease(forEver))
			if err != nil {
				t.Fatalf("Lock: %v", err)
			}
			select {
			case <-l.Lost():
				t.Error("a lock whose lease is without end is lost")
			default:
			}
			must("Set with a fence", far.Set(ctx, "a", 2, sdk.WithFence(l)))
			must("Unlock", l.Unlock(ctx))

			ex := c.Executor("far")
			f, err := sdk.Submit[string](ctx, ex, "echo", "x", sdk.Timeout(forEver))
			if err != nil {
				t.Fatalf("Submit: %v", err)
			}
			if v, err := f.Get(ctx); v != "x" || err != nil {
				t.Errorf("the task: %q, %v", v, err)
			}
			must("ExecuteOnAllMembers", ex.ExecuteOnAllMembers(ctx, "echo", "x"))
			must("ExecuteOnKeyOwner", ex.ExecuteOnKeyOwner(ctx, "a", "echo", "x"))
			must("Clear", far.Clear(ctx))
		})
	}
}
