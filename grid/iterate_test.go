package grid_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/grid/gridtest"
	"github.com/gridiron-io/gridiron/sdk"
)

// An iteration is complete, and nothing in it comes twice, while members come and go and partitions move under it; and a removal by
// pattern removes all that it is to, and nothing else.
func TestIterationWhileMembersComeAndGo(t *testing.T) {
	t.Parallel()
	cl := gridtest.New(t, 3, gridtest.WithPartitions(12))
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	m, err := sdk.OpenMap[string, int](cl.Client(), "walked")
	if err != nil {
		t.Fatal(err)
	}
	const n = 2000
	entries := make(map[string]int)
	for i := range n {
		entries[fmt.Sprintf("stays:%d", i)] = i
	}
	if err := m.SetAll(ctx, entries); err != nil {
		t.Fatal(err)
	}

	stop := make(chan struct{})
	walks := 0
	var walking sync.WaitGroup
	walking.Go(func() {
		for done := false; !done; walks++ {
			select {
			case <-stop:
				done = true // once more
			default:
			}
			other := make(map[string]int)
			for i := range 100 {
				other[fmt.Sprintf("goes:%d", i)] = i
			}
			if err := m.SetAll(ctx, other); err != nil {
				t.Errorf("walk %d: SetAll: %v", walks, err)
				return
			}
			seen := make(map[string]bool)
			for e, err := range m.Entries(ctx, sdk.PageSize(20)) {
				if err != nil {
					t.Errorf("walk %d: %v", walks, err)
					return
				}
				want, ok := entries[e.Key]
				if !ok {
					want, ok = other[e.Key]
				}
				if seen[e.Key] || !ok || e.Value != want {
					t.Errorf("walk %d: %+v, seen before: %t", walks, e, seen[e.Key])
					return
				}
				seen[e.Key] = true
			}
			if len(seen) != n+len(other) {
				t.Errorf("walk %d: %d entries of %d", walks, len(seen), n+len(other))
				return
			}
			if removed, err := m.RemoveAll(ctx, sdk.KeyGlob("goes:*")); removed != len(other) || err != nil {
				t.Errorf("walk %d: %d removed of %d, %v", walks, removed, len(other), err)
				return
			}
		}
	})
	added := cl.Add()
	cl.WaitSafe()
	cl.Stop(0)
	cl.WaitSafe()
	cl.Stop(added)
	close(stop)
	walking.Wait()
	if size, err := m.Size(ctx); size != n || err != nil {
		t.Errorf("%d entries, %v; want %d", size, err, n)
	}
	t.Logf("%d walks", walks)
}

// What is remembered of a client's calls is what it has in flight, not what it could still repeat: here 12,000 calls with deadlines ten
// seconds ahead, made by eight callers.
func TestRememberedAreCallsInFlight(t *testing.T) {
	t.Parallel()
	const partitions, callers, calls = 12, 8, 1500
	cl := gridtest.New(t, 1, gridtest.WithPartitions(partitions))
	m, err := sdk.OpenMap[int, int](cl.Client(), "counted")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	began := time.Now()
	var calling sync.WaitGroup
	for c := range callers {
		calling.Go(func() {
			for i := range calls {
				ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
				err := m.Set(ctx, c*calls+i, i)
				cancel()
				if err != nil {
					t.Errorf("caller %d: %v", c, err)
					return
				}
			}
		})
	}
	calling.Wait()
	stats, err := m.Stats(ctx)
	if err != nil {
		t.Fatal(err)
	}
	// A window for the client, and a record for each call in flight and one more; a record takes some 150 bytes.
	if most := int64(partitions * (100 + (callers+1)*200)); stats.Remembered == 0 || stats.Remembered > most {
		t.Errorf("%d bytes are remembered of %d calls in %v, want at most %d", stats.Remembered, callers*calls, time.Since(began), most)
	}
}
