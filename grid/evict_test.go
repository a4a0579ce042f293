package grid_test

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/grid"
	"github.com/gridiron-io/gridiron/grid/gridtest"
	"github.com/gridiron-io/gridiron/sdk"
)

// until asks until ok reports true.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(2 * time.Minute)
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for !ok() {
		select {
		case <-again.C:
		case <-deadline:
			t.Fatalf("not in time: %s", what)
		}
	}
}

// A bound is each member's, over all partitions that it owns: three members keep three times as much, also where there are more
// partitions than entries. Each eviction is an event, and the same on all replicas.
func TestEvictionIsPerMember(t *testing.T) {
	t.Parallel()
	const bound, written = 20, 600
	cl := gridtest.New(t, 3, gridtest.WithPartitions(60))
	ctx := t.Context()
	if err := cl.Client().SetMapConfig(ctx, "cache", sdk.MapConfig{Eviction: new(sdk.EvictLRU), MaxEntries: new(int64(bound))}); err != nil {
		t.Fatal(err)
	}
	m, err := sdk.OpenMap[string, int](cl.Client(), "cache")
	if err != nil {
		t.Fatal(err)
	}
	var evicted atomic.Int64
	sub, err := m.AddEntryListener(ctx, sdk.EntryListener[string, int]{Evicted: func(sdk.Event[string, int]) { evicted.Add(1) }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sub.Close() }()
	for i := range written {
		if err := m.Set(ctx, fmt.Sprint("key", i), i); err != nil {
			t.Fatal(err)
		}
	}
	size := 0
	until(t, "every member is within its bound", func() bool {
		size, err = m.Size(ctx)
		return err == nil && size <= 3*bound
	})
	if size < 2*bound { // partitions are not owned evenly, nor keys spread so
		t.Errorf("%d entries are left of three times %d", size, bound)
	}
	if v, found, err := m.Get(ctx, fmt.Sprint("key", written-1)); v != written-1 || !found || err != nil {
		t.Errorf("the entry just written: %v, %v, %v", v, found, err)
	}
	until(t, "each eviction is told", func() bool { // also those since, where one member was within its bound before the others
		size, err = m.Size(ctx)
		return err == nil && evicted.Load() == int64(written-size)
	})
}

// A member whose memory is used up refuses writes and nothing else, and takes them again when there is room.
func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	cl := gridtest.New(t, 3, gridtest.WithPartitions(3), gridtest.WithConfig(func(_ int, cfg *grid.Config) { cfg.MaxMemory = 4 << 20 }))
	ctx := t.Context()
	m, err := sdk.OpenMap[int, string](cl.Client(), "m")
	if err != nil {
		t.Fatal(err)
	}
	value, written := strings.Repeat("v", 10_000), 0
	for err == nil && written < 10_000 {
		if err = m.Set(ctx, written, value); err == nil {
			written++
		}
	}
	if !errors.Is(err, sdk.ErrOverloaded) || written < 100 || written > 800 { // about 400, and what the others took meanwhile
		t.Fatalf("%d written, then %v", written, err)
	}
	for i := range written {
		if v, found, err := m.Get(ctx, i); v != value || !found || err != nil {
			t.Fatalf("%d: %v, %v", i, found, err)
		}
	}
	if err := m.Clear(ctx); err != nil {
		t.Fatal(err)
	}
	until(t, "writes are taken again", func() bool { return m.Set(ctx, written, value) == nil })
}
