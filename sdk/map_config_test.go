package sdk

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/sdk/internal/fakegrid"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

func TestMapConfigs(t *testing.T) {
	c := connected(t, fakegrid.New(t, 2, 4))
	ctx := t.Context()
	if s, err := c.MapConfig(ctx, "users"); err != nil || s.Eviction != EvictNone || !s.Stats || s.TTL != 0 || len(s.Patterns) != 0 {
		t.Fatalf("of nothing: %+v, %v", s, err)
	}
	if err := c.SetMapConfig(ctx, "u*", MapConfig{TTL: new(time.Minute), MaxIdle: new(1500 * time.Microsecond)}); err != nil {
		t.Fatal(err)
	}
	if err := c.SetMapConfig(ctx, "users", MapConfig{Eviction: new(EvictLFU), MaxEntries: new(int64(10)), MaxIdle: new(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	if err := c.SetMapConfig(ctx, "users", MapConfig{MaxBytes: new(int64(20)), Stats: new(false), EventsMaxBytes: new(int64(1 << 20))}, FieldMaxIdle); err != nil {
		t.Fatal(err)
	}
	s, err := c.MapConfig(ctx, "users")
	want := MapSettings{TTL: time.Minute, MaxIdle: 2 * time.Millisecond, Eviction: EvictLFU, MaxEntries: 10, MaxBytes: 20, Reads: ReadLease,
		EventsMaxEntries: 1024, EventsMaxBytes: 1 << 20}
	if err != nil || !slices.Equal(s.Patterns, []string{"users", "u*"}) {
		t.Fatalf("%+v, %v", s, err)
	}
	if s.Patterns = nil; fmt.Sprint(s) != fmt.Sprint(want) {
		t.Errorf("%+v, want %+v", s, want)
	}
	list, err := c.MapConfigs(ctx)
	if err != nil || len(list) != 2 || list[0].Pattern != "users" || list[0].TTL != nil || *list[0].MaxEntries != 10 || *list[1].TTL != time.Minute {
		t.Errorf("%+v, %v", list, err)
	}
	for _, want := range []bool{true, false} {
		if existed, err := c.DropMapConfig(ctx, "users"); existed != want || err != nil {
			t.Errorf("dropped: %t, %v", existed, err)
		}
	}
}

// A near cache is set for all clients, field by field, and comes out as a client wants it.
func TestNearCacheOfAMap(t *testing.T) {
	c := connected(t, fakegrid.New(t, 1, 4))
	ctx := t.Context()
	set := func(pattern string, set MapConfig, unset ...MapField) {
		t.Helper()
		if err := c.SetMapConfig(ctx, pattern, set, unset...); err != nil {
			t.Fatal(err)
		}
	}
	wants := func(want *NearCacheConfig) {
		t.Helper()
		s, err := c.MapConfig(ctx, "users")
		if err != nil || (s.NearCache == nil) != (want == nil) || want != nil && *s.NearCache != *want {
			t.Errorf("%+v, %v; want %+v", s.NearCache, err, want)
		}
	}
	wants(nil)

	set("u*", MapConfig{NearCache: new(true)})
	wants(&NearCacheConfig{MaxEntries: 10_000, Verify: 0.0001})

	whole := MapConfig{NearCacheMaxEntries: new(int64(7)), NearCacheMaxBytes: new(int64(8)), NearCacheTTL: new(time.Second),
		NearCacheMaxIdle: new(time.Minute), NearCacheEncoded: new(true), NearCacheNegative: new(true), NearCacheVerify: new(0.0)}
	set("users", whole)
	wants(&NearCacheConfig{MaxEntries: 7, MaxBytes: 8, TTL: time.Second, MaxIdle: time.Minute, Encoded: true, Negative: true, Verify: -1})
	list, err := c.MapConfigs(ctx)
	if err != nil || len(list) != 2 || !reflect.DeepEqual(list[0].MapConfig, whole) {
		t.Errorf("%+v, %v", list, err)
	}

	set("users", MapConfig{NearCache: new(false)}, FieldNearCacheTTL)
	wants(nil)
	set("users", MapConfig{NearCache: new(true), NearCacheVerify: new(0.25)}, FieldNearCacheMaxEntries)
	wants(&NearCacheConfig{MaxEntries: 10_000, MaxBytes: 8, MaxIdle: time.Minute, Encoded: true, Negative: true, Verify: 0.25})
	set("users", MapConfig{}, FieldNearCache)
	wants(&NearCacheConfig{MaxEntries: 10_000, Verify: 0.0001})
}

func TestMapConfigRefused(t *testing.T) {
	c := connected(t, fakegrid.New(t, 1, 4))
	ctx := t.Context()
	err := c.SetMapConfig(ctx, "a[", MapConfig{TTL: new(-time.Second), MaxBytes: new(int64(-1)), Eviction: new(EvictionPolicy("fifo")), Stats: new(true)}, "stats", "sets")
	wantErr(t, err, ErrInvalid)
	for _, want := range []string{"a[", "ttl(-1s)", "max_bytes -1", `"fifo"`, `unknown field "sets"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q too", err, want)
		}
	}
	wantErr(t, c.SetMapConfig(ctx, "a", MapConfig{}), ErrInvalid)
	wantErr(t, c.SetMapConfig(ctx, "a", MapConfig{Stats: new(true)}, FieldStats), ErrInvalid)
	wantErr(t, c.SetMapConfig(ctx, "", MapConfig{Stats: new(true)}), ErrInvalid)
	wantErr(t, c.SetMapConfig(ctx, strings.Repeat("a", 300), MapConfig{Stats: new(true)}), ErrTooLarge)
	wantErr(t, c.SetMapConfig(ctx, "a", MapConfig{Eviction: new(EvictLRU)}), ErrInvalid)
	_, err = c.MapConfig(ctx, "a\n")
	wantErr(t, err, ErrInvalid)
	_, err = c.DropMapConfig(ctx, "[")
	wantErr(t, err, ErrInvalid)
}

// Clients that change the same pattern at the same time all have their way.
func TestMapConfigChangedByMany(t *testing.T) {
	g := fakegrid.New(t, 2, 4)
	var wg sync.WaitGroup
	for i, change := range []MapConfig{{TTL: new(time.Second)}, {MaxIdle: new(time.Second)}, {Stats: new(false)}, {MaxEntries: new(int64(1))}, {MaxBytes: new(int64(1))}} {
		c := connected(t, g)
		wg.Go(func() {
			if err := c.SetMapConfig(t.Context(), "a", change); err != nil {
				t.Errorf("change %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	list, err := connected(t, g).MapConfigs(t.Context())
	if err != nil || len(list) != 1 || list[0].TTL == nil || list[0].MaxIdle == nil || list[0].Stats == nil || list[0].MaxEntries == nil || list[0].MaxBytes == nil {
		t.Errorf("%+v, %v", list, err)
	}
}

// A change whose answer was lost is repeated and takes effect once; one that nobody answers ends as one of unknown outcome.
func TestMapConfigOutcome(t *testing.T) {
	g := fakegrid.New(t, 1, 4)
	c := connected(t, g)
	first := true
	g.OnRequest(func(_ *fakegrid.Member, req *wire.Request) fakegrid.Verdict {
		lost := req.Op == wire.OpSetMapConfig && first
		first = first && !lost
		return fakegrid.Verdict{Cut: lost, Execute: lost}
	})
	if err := c.SetMapConfig(t.Context(), "a", MapConfig{TTL: new(time.Second)}); err != nil || first {
		t.Fatalf("%v, lost: %t", err, !first)
	}
	res, err := c.mapConfigs(t.Context())
	if err != nil || res.Version != 1 || len(res.List) != 1 {
		t.Errorf("%+v, %v", res, err)
	}
	g.OnRequest(func(_ *fakegrid.Member, req *wire.Request) fakegrid.Verdict {
		return fakegrid.Verdict{Ignore: req.Op == wire.OpSetMapConfig}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	wantErr(t, c.SetMapConfig(ctx, "a", MapConfig{TTL: new(time.Minute)}), ErrUnknownOutcome, context.DeadlineExceeded)
}
