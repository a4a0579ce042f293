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

// openNear opens a map with a near cache.
func openNear[V any](t *testing.T, c *sdk.Client, name string, cfg sdk.NearCacheConfig) *sdk.Map[string, V] {
	t.Helper()
	m, err := sdk.OpenMap[string, V](c, name, sdk.WithNearCache(cfg))
	must(t, err)
	return m
}

// hits reads a key until the near cache has the value.
func hits[V comparable](t *testing.T, m *sdk.Map[string, V], key string, want V) {
	t.Helper()
	until(t, fmt.Sprintf("a hit of %v", want), func() bool {
		before := m.NearCacheStats().Hits
		v, _, err := m.Get(t.Context(), key)
		must(t, err)
		return v == want && m.NearCacheStats().Hits > before
	})
}

// Whatever changes a value or its expiry at another client reaches the near cache.
func TestNearCacheHearsOfChanges(t *testing.T) {
	t.Parallel()
	cl := gridtest.New(t, 3, gridtest.WithPartitions(6))
	ctx := t.Context()
	other := openMap[string, int](t, cl.Client(), "near")
	c, err := sdk.Connect(ctx, cl.Addrs())
	must(t, err)
	defer c.Close()
	m := openNear[int](t, c, "near", sdk.NearCacheConfig{Negative: true, Verify: 1})
	heard, _ := listen(t, other)
	idle := func() error {
		if err := other.Set(ctx, "k", 1, sdk.WithMaxIdle(300*time.Millisecond)); err != nil {
			return err
		}
		_, _, err := m.Get(ctx, "k")
		// Nobody reads the entry until it is gone: what the near cache does not have, the owner is asked for, and that is a use.
		heard.wait(t, "three entries expire", func(list []sdk.Event[string, int]) bool {
			n := 0
			for i := range list {
				if list[i].Kind == sdk.EventExpired {
					n++
				}
			}
			return n == 3
		})
		return err
	}

	changes := []struct {
		name string
		do   func() error
		want int
	}{
		{"Set", func() error { return other.Set(ctx, "k", 2) }, 2},
		{"SetTTL", func() error { _, err := other.SetTTL(ctx, "k", time.Millisecond); return err }, 0},
		{"expiry", func() error { return other.Set(ctx, "k", 1, sdk.WithTTL(300*time.Millisecond)) }, 0},
		{"max-idle", idle, 0},
		{"SetAll", func() error { return other.SetAll(ctx, map[string]int{"k": 2}) }, 2},
		{"Remove", func() error { _, _, err := other.Remove(ctx, "k"); return err }, 0},
		{"DeleteAll", func() error { _, err := other.DeleteAll(ctx, "k"); return err }, 0},
		{"RemoveAll", func() error { _, err := other.RemoveAll(ctx, sdk.KeyGlob("*")); return err }, 0},
		{"Evict", func() error { _, err := other.Evict(ctx, "k"); return err }, 0},
		{"Clear", func() error { return other.Clear(ctx) }, 0},
		{"Destroy", func() error { return other.Destroy(ctx) }, 0},
		{"a fenced Set", func() error {
			l, err := other.Lock(ctx, "k")
			if err != nil {
				return err
			}
			return errors.Join(other.Set(ctx, "k", 2, sdk.WithFence(l)), l.Unlock(ctx))
		}, 2},
	}
	for _, change := range changes {
		must(t, other.Set(ctx, "k", 1))
		hits(t, m, "k", 1)
		must(t, change.do())
		hits(t, m, "k", change.want)
	}

	// What is loaded takes the place of a known absence.
	_, err = other.Delete(ctx, "k")
	must(t, err)
	hits(t, m, "k", 0)
	_, err = other.GetOrLoad(ctx, "k", func(context.Context, string) (int, error) { return 3, nil })
	must(t, err)
	hits(t, m, "k", 3)

	if s := m.NearCacheStats(); s.Stale != 0 || s.Invalidations == 0 || s.Verified == 0 {
		t.Errorf("%+v", s)
	}
}

// Processors, and writes of many keys, by another client reach the near cache, and those by the own client are read at once.
func TestNearCacheHearsOfProcessors(t *testing.T) {
	t.Parallel()
	cl := gridtest.New(t, 1, gridtest.WithPartitions(4))
	ctx := t.Context()
	c, err := sdk.Connect(ctx, cl.Addrs())
	must(t, err)
	defer c.Close()
	type item struct{ A, B int }
	nearNumbers := openNear[int](t, c, "numbers", sdk.NearCacheConfig{Verify: 1})
	nearItems := openNear[item](t, c, "items", sdk.NearCacheConfig{Verify: 1})

	for name, by := range map[string]*sdk.Client{"own": c, "other": cl.Client()} {
		numbers, items := openMap[string, int](t, by, "numbers"), openMap[string, item](t, by, "items")
		changes := []struct {
			name   string
			do     func() error
			number int
			item   item
		}{
			{"Add", func() error { _, err := sdk.Add(ctx, numbers, "k", 2); return err }, 3, item{1, 2}},
			{"MergeJSON", func() error { _, err := sdk.MergeJSON(ctx, items, "k", map[string]int{"B": 3}); return err }, 1, item{1, 3}},
			{"ExecuteOnKey", func() error { _, err := sdk.ExecuteOnKey[int](ctx, numbers, "k", "increment", 4); return err }, 5, item{1, 2}},
			{"SetAll", func() error { return items.SetAll(ctx, map[string]item{"k": {5, 6}, "x": {7, 8}}) }, 1, item{5, 6}},
		}
		for _, change := range changes {
			must(t, numbers.Set(ctx, "k", 1), items.Set(ctx, "k", item{1, 2}))
			hits(t, nearNumbers, "k", 1)
			hits(t, nearItems, "k", item{1, 2})
			must(t, change.do())
			if by == c {
				number, _, err := nearNumbers.Get(ctx, "k")
				must(t, err)
				it, _, err := nearItems.Get(ctx, "k")
				must(t, err)
				if number != change.number || it != change.item {
					t.Errorf("%s %s: read %d and %v, want %d and %v", name, change.name, number, it, change.number, change.item)
				}
			}
			hits(t, nearNumbers, "k", change.number)
			hits(t, nearItems, "k", change.item)
		}
	}
	if a, b := nearNumbers.NearCacheStats(), nearItems.NearCacheStats(); a.Stale+b.Stale != 0 || a.Invalidations == 0 || b.Invalidations == 0 {
		t.Errorf("%+v, %+v", a, b)
	}
}

// counter is a key that one client counts up.
type counter struct {
	mu    sync.Mutex
	acked []ack // values in order, and when they were acknowledged
}

type ack struct {
	value int
	at    time.Time
}

// least returns what a read that begins at a time may find at least: the last value that was acknowledged so long before.
func (c *counter) least(at time.Time, age time.Duration) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := len(c.acked) - 1; i >= 0; i-- {
		if at.Sub(c.acked[i].at) >= age {
			return c.acked[i].value
		}
	}
	return 0
}

// Staleness is bounded though every message of NATS may be lost, late or out of order, and though owners die. What the client itself has
// written it always sees.
func TestNearCacheStalenessIsBounded(t *testing.T) {
	t.Parallel()
	const bound = 3500 * time.Millisecond
	cl := gridtest.New(t, 3, gridtest.WithPartitions(6))
	var lossy lossyNATS
	lossy.loss.Store(50)
	lossy.delay.Store(5)
	c, err := sdk.Connect(t.Context(), cl.Addrs(), sdk.WithDialer(lossy.dial))
	must(t, err)
	defer c.Close()
	m := openNear[int](t, c, "near", sdk.NearCacheConfig{Verify: 0.01})
	plain := openMap[string, int](t, c, "near")
	others := openMap[string, int](t, cl.Client(), "near")

	var wg sync.WaitGroup
	defer wg.Wait()
	var stop atomic.Bool
	defer stop.Store(true)

	const keys = 8
	for k := range keys {
		key, own := fmt.Sprint("k", k), k%2 == 0
		var written counter
		// The writer is another client, or another Map of the same one.
		wg.Go(func() {
			by := others
			if own {
				by = plain
			}
			for v := 1; !stop.Load(); v++ {
				if err := by.Set(context.Background(), key, v); err != nil {
					t.Errorf("Set: %v", err)
					return
				}
				written.mu.Lock()
				written.acked = append(written.acked, ack{v, time.Now()})
				written.mu.Unlock()
				// Between the writes there is time for hits.
				pause := time.NewTimer(time.Duration(k) * 30 * time.Millisecond)
				<-pause.C
			}
		})
		wg.Go(func() {
			for !stop.Load() {
				age := bound
				if own {
					age = 0
				}
				begin := time.Now()
				least := written.least(begin, age)
				v, _, err := m.Get(context.Background(), key)
				if err != nil {
					t.Errorf("Get: %v", err)
					return
				}
				if v < least {
					t.Errorf("%s, own: %v: found %d, though %d was acknowledged %v before the read", key, own, v, least, age)
					return
				}
			}
		})
	}

	// Half of the messages are lost; then all; an owner dies; and then everything comes again.
	phase := func(loss int32, d time.Duration) {
		lossy.loss.Store(loss)
		end := time.NewTimer(d)
		<-end.C
	}
	phase(50, 2*time.Second)
	phase(100, 6*time.Second)
	cl.Kill(1)
	phase(100, 3*time.Second)
	before := m.NearCacheStats()
	phase(0, 3*time.Second)
	after := m.NearCacheStats()
	if after.Hits == before.Hits || after.Stale != 0 || after.MaxStaleness > 2500*time.Millisecond {
		t.Errorf("%+v after %+v", after, before)
	}
}

// A client inside a member's process has near caches too.
func TestNearCacheEmbedded(t *testing.T) {
	t.Parallel()
	cl := gridtest.New(t, 1, gridtest.WithPartitions(4))
	m := openNear[string](t, cl.Member(0).Client(), "near", sdk.NearCacheConfig{Encoded: true})
	must(t, m.Set(t.Context(), "k", "v"))
	hits(t, m, "k", "v")
	c, err := sdk.Connect(t.Context(), cl.Addrs())
	must(t, err)
	defer c.Close()
	must(t, openMap[string, string](t, c, "near").Set(t.Context(), "k", "w"))
	hits(t, m, "k", "w")
}

// A Map that is opened without the option has the near cache that the cluster is configured for, as long as it is.
func TestNearCacheOfTheConfiguration(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	cl := gridtest.New(t, 3, gridtest.WithPartitions(4))
	c, err := sdk.Connect(ctx, cl.Addrs())
	must(t, err)
	defer c.Close()
	m := openMap[string, int](t, c, "near")
	must(t, m.Set(ctx, "k", 1))
	if s := m.NearCacheStats(); s != (sdk.NearCacheStats{}) {
		t.Errorf("%+v", s)
	}

	must(t, cl.Client().SetMapConfig(ctx, "ne*", sdk.MapConfig{NearCache: new(true), NearCacheMaxEntries: new(int64(5))}))
	hits(t, m, "k", 1)
	must(t, m.Set(ctx, "k", 2))
	hits(t, m, "k", 2)

	// What a program asks for goes first, and serves the other Map too.
	own := openNear[int](t, c, "near", sdk.NearCacheConfig{MaxEntries: 6})
	hits(t, own, "k", 2)
	hits(t, m, "k", 2)
	if a, b := own.NearCacheStats(), m.NearCacheStats(); a != b {
		t.Errorf("%+v and %+v", a, b)
	}

	other := openMap[string, int](t, c, "never")
	must(t, other.Set(ctx, "k", 3))
	hits(t, other, "k", 3)
	must(t, cl.Client().SetMapConfig(ctx, "ne*", sdk.MapConfig{NearCache: new(false)}))
	until(t, "the near cache ends", func() bool {
		v, _, err := other.Get(ctx, "k")
		must(t, err)
		return v == 3 && other.NearCacheStats() == (sdk.NearCacheStats{})
	})
	if own.NearCacheStats().Hits == 0 {
		t.Error("the near cache that a program has asked for is gone too")
	}
}
