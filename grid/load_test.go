package grid_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/grid/gridtest"
	"github.com/gridiron-io/gridiron/sdk"
)

// One load of a key runs at a time in the whole cluster, and all get its value. An error is for one alone. What was deleted
// meanwhile is not stored. A loader whose client has gone lets the next load.
func TestGetOrLoad(t *testing.T) {
	t.Parallel()
	cl := gridtest.New(t, 3)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	var maps []*sdk.Map[string, string]
	for _, c := range []*sdk.Client{cl.Client(), cl.Member(0).Client(), cl.Member(2).Client()} {
		m, err := sdk.OpenMap[string, string](c, "loaded")
		if err != nil {
			t.Fatal(err)
		}
		maps = append(maps, m)
	}

	t.Run("once", func(t *testing.T) {
		var loads, running atomic.Int32
		var all sync.WaitGroup
		for i := range 30 {
			all.Go(func() {
				key := fmt.Sprint("once ", i%3)
				v, err := maps[i%len(maps)].GetOrLoad(ctx, key, func(_ context.Context, key string) (string, error) {
					if running.Add(1) > 3 {
						t.Error("two load one key")
					}
					defer running.Add(-1)
					loads.Add(1)
					return "value of " + key, nil
				})
				if v != "value of "+key || err != nil {
					t.Errorf("%q, %v", v, err)
				}
			})
		}
		if all.Wait(); loads.Load() != 3 {
			t.Errorf("3 keys were loaded %d times", loads.Load())
		}
	})

	t.Run("error", func(t *testing.T) {
		broken, began, fail := errors.New("broken"), make(chan struct{}), make(chan struct{})
		var all sync.WaitGroup
		all.Go(func() {
			if _, err := maps[0].GetOrLoad(ctx, "error", func(context.Context, string) (string, error) {
				close(began)
				<-fail
				return "", broken
			}); !errors.Is(err, broken) {
				t.Errorf("the loader that failed: %v", err)
			}
		})
		<-began
		all.Go(func() {
			if v, err := maps[1].GetOrLoad(ctx, "error", func(context.Context, string) (string, error) { return "second", nil }); v != "second" || err != nil {
				t.Errorf("the next: %q, %v", v, err)
			}
		})
		close(fail)
		all.Wait()
	})

	t.Run("deleted", func(t *testing.T) {
		for name, remove := range map[string]func() error{
			"Delete":    func() error { _, err := maps[1].Delete(ctx, "deleted"); return err },
			"RemoveAll": func() error { _, err := maps[1].RemoveAll(ctx, sdk.KeyGlob("del*")); return err },
			"Clear":     func() error { return maps[1].Clear(ctx) },
		} {
			v, err := maps[0].GetOrLoad(ctx, "deleted", func(context.Context, string) (string, error) { return "old", remove() })
			if v != "old" || err != nil {
				t.Errorf("%s: %q, %v", name, v, err)
			}
			if v, found, err := maps[0].Get(ctx, "deleted"); found || err != nil {
				t.Errorf("%s: what was loaded before is there: %q, %v", name, v, err)
			}
		}
	})

	t.Run("gone", func(t *testing.T) {
		other, err := sdk.Connect(ctx, cl.Addrs())
		if err != nil {
			t.Fatal(err)
		}
		m, err := sdk.OpenMap[string, string](other, "loaded")
		if err != nil {
			t.Fatal(err)
		}
		began, end := make(chan struct{}), make(chan struct{})
		var all sync.WaitGroup
		all.Go(func() {
			_, _ = m.GetOrLoad(ctx, "gone", func(context.Context, string) (string, error) {
				close(began)
				<-end
				return "late", nil
			})
		})
		<-began
		if err := other.Close(); err != nil {
			t.Fatal(err)
		}
		if v, err := maps[0].GetOrLoad(ctx, "gone", func(context.Context, string) (string, error) { return "next", nil }); v != "next" || err != nil {
			t.Errorf("%q, %v", v, err)
		}
		close(end)
		all.Wait()
	})

	t.Run("owner killed", func(t *testing.T) {
		m := maps[0]
		var loads atomic.Int32
		began, end := make(chan struct{}), make(chan struct{})
		var all sync.WaitGroup
		for i := range 4 {
			all.Go(func() {
				v, err := m.GetOrLoad(ctx, "killed", func(context.Context, string) (string, error) {
					if loads.Add(1) == 1 {
						close(began)
					}
					<-end
					return "one", nil
				})
				if v != "one" || err != nil {
					t.Errorf("caller %d: %q, %v", i, v, err)
				}
			})
		}
		<-began
		cl.Kill(1)
		if v, err := m.GetOrLoad(ctx, "another", func(context.Context, string) (string, error) { return "v", nil }); v != "v" || err != nil {
			t.Errorf("%q, %v", v, err)
		}
		close(end)
		if all.Wait(); loads.Load() != 1 {
			t.Errorf("loaded %d times", loads.Load())
		}
	})
}
