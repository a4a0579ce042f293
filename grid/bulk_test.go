package grid_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gridiron-io/gridiron/grid/gridtest"
	"github.com/gridiron-io/gridiron/sdk"
)

// Bulk calls whose parts are under way while an owner dies are carried out once: each caller finds its keys as a model has them, and
// DeleteAll counts what there was, part by part.
func TestBulkUnderKill(t *testing.T) {
	t.Parallel()
	const callers, keys = 6, 150
	cl := gridtest.New(t, 3, gridtest.WithPartitions(60))
	m, err := sdk.OpenMap[string, int](cl.Client(), "bulk")
	if err != nil {
		t.Fatal(err)
	}

	var steps atomic.Int64
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for w := range callers {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(3, uint64(w)))
			model := make(map[string]int)
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				var some []string
				for i := range keys {
					if r.IntN(3) > 0 {
						some = append(some, fmt.Sprintf("%d-%d", w, i))
					}
				}
				if err := bulkStep(m, model, some, n, r.IntN(3)); err != nil {
					t.Errorf("caller %d, step %d: %v", w, n, err)
					return
				}
				steps.Add(1)
			}
		})
	}
	awaitSteps(t, &steps, 100)
	cl.Kill(1)
	awaitSteps(t, &steps, steps.Load()+200)
	close(stop)
	wg.Wait()
}

// bulkStep carries out one bulk call on keys that nobody else uses, and compares what comes of it with the model.
func bulkStep(m *sdk.Map[string, int], model map[string]int, keys []string, n, kind int) error {
	ctx, cancel := context.WithTimeout(context.Background(), callTime)
	defer cancel()

	// What the model has of the keys.
	want := make(map[string]int)
	for _, k := range keys {
		if v, there := model[k]; there {
			want[k] = v
		}
	}

	switch kind {
	case 0:
		entries := make(map[string]int)
		for _, k := range keys {
			entries[k], model[k] = n, n
		}
		return m.SetAll(ctx, entries)
	case 1:
		for k := range want {
			delete(model, k)
		}
		if deleted, err := m.DeleteAll(ctx, keys...); err != nil || deleted != len(want) {
			return fmt.Errorf("%d deleted, want %d: %w", deleted, len(want), err)
		}
	default:
		if got, err := m.GetAll(ctx, keys...); err != nil || !maps.Equal(got, want) {
			return fmt.Errorf("got %v, want %v: %w", got, want, err)
		}
	}
	return nil
}
