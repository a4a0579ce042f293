package grid_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/grid/gridtest"
	"github.com/gridiron-io/gridiron/sdk"
)

// TestMapConfigAtWork configures a map while it is used: what is written from then on has its TTL and max-idle, unless it has
// its own; what stands there keeps what it has.
func TestMapConfigAtWork(t *testing.T) {
	t.Parallel()
	cl := gridtest.New(t, 3, gridtest.WithPartitions(6))
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	m, err := sdk.OpenMap[string, int](cl.Client(), "sessions")
	if err != nil {
		t.Fatal(err)
	}
	set := func(key string, opts ...sdk.WriteOption) {
		t.Helper()
		if err := m.Set(ctx, key, 1, opts...); err != nil {
			t.Fatal(err)
		}
	}
	view := func(key string) sdk.EntryView[string, int] {
		t.Helper()
		v, found, err := m.EntryView(ctx, key)
		if err != nil || !found {
			t.Fatalf("%s: %t, %v", key, found, err)
		}
		return v
	}
	set("before")
	if err := cl.Client().SetMapConfig(ctx, "sess*", sdk.MapConfig{TTL: new(time.Hour), MaxIdle: new(time.Minute)}); err != nil {
		t.Fatal(err)
	}
	// Owners hear of a change by the metadata group, some milliseconds later.
	for i := 0; ; i++ {
		key := fmt.Sprint("k", i)
		set(key)
		if view(key).TTL == time.Hour {
			break
		}
	}
	for i := range 30 { // by then every owner has it or is about to
		key := fmt.Sprint("a", i)
		for set(key); view(key).TTL != time.Hour; set(key) {
			if ctx.Err() != nil {
				t.Fatal("the owner of a key does not take its configuration")
			}
		}
		if v := view(key); v.MaxIdle != time.Minute || v.Expires.Sub(v.Updated) != time.Minute {
			t.Errorf("%s: %+v", key, v)
		}
	}
	if v := view("before"); v.TTL != 0 || !v.Expires.IsZero() {
		t.Errorf("what was there before: %+v", v)
	}
	set("own", sdk.WithTTL(2*time.Hour), sdk.WithMaxIdle(0))
	if v := view("own"); v.TTL != 2*time.Hour || v.MaxIdle != 0 {
		t.Errorf("with its own: %+v", v)
	}
	set("before", sdk.KeepTTL())
	if v := view("before"); v.TTL != 0 {
		t.Errorf("written over with KeepTTL: %+v", v)
	}
	set("new", sdk.KeepTTL())
	if v := view("new"); v.TTL != time.Hour {
		t.Errorf("new with KeepTTL: %+v", v)
	}
	if err := m.SetAll(ctx, map[string]int{"b1": 1, "b2": 2}); err != nil || view("b1").TTL != time.Hour || view("b2").MaxIdle != time.Minute {
		t.Errorf("of several: %+v, %v", view("b1"), err)
	}

	// Entries end by it.
	if err := cl.Client().SetMapConfig(ctx, "sessions", sdk.MapConfig{TTL: new(50 * time.Millisecond)}, sdk.FieldMaxIdle); err != nil {
		t.Fatal(err)
	}
	for {
		set("short")
		if v, found, err := m.EntryView(ctx, "short"); err != nil {
			t.Fatal(err)
		} else if !found || v.TTL == 50*time.Millisecond {
			break
		}
	}
	for found := true; found; {
		if _, found, err = m.Get(ctx, "short"); err != nil {
			t.Fatal(err)
		}
	}
}

// TestMapStats counts on three members, also when one of them is gone.
func TestMapStats(t *testing.T) {
	t.Parallel()
	cl := gridtest.New(t, 3, gridtest.WithPartitions(12))
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	m, err := sdk.OpenMap[string, int](cl.Client(), "users")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		if err := m.Set(ctx, fmt.Sprint(i), i); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 150 {
		if _, _, err := m.Get(ctx, fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 20 {
		if err := m.Set(ctx, fmt.Sprint("short", i), i, sdk.WithTTL(time.Millisecond)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := m.Evict(ctx, "1"); err != nil {
		t.Fatal(err)
	}
	stats := func() sdk.MapStats {
		t.Helper()
		s, err := m.Stats(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := stats()
	for s.Expirations < 20 {
		s = stats()
	}
	if s.Entries != 99 || s.Hits != 100 || s.Misses != 50 || s.Expirations != 20 || s.Evictions != 1 || s.Events != 141 || s.Locks != 0 || len(s.Members) != 3 {
		t.Errorf("%+v", s)
	}
	get, set := s.Operations["get"], s.Operations["set"]
	if get.Count != 150 || set.Count != 120 || s.Operations["evict"].Count != 1 {
		t.Errorf("%d gets, %d sets of %v", get.Count, set.Count, s.Operations)
	}
	if p50, p99 := set.Quantile(0.5), set.Quantile(0.99); p50 <= 0 || p99 < p50 || set.Mean() <= 0 || set.Time < set.Mean() || p99 > time.Minute {
		t.Errorf("half of the sets take %v, of all but one in a hundred %v, on average %v", p50, p99, set.Mean())
	}
	var entries int
	for _, c := range s.Members {
		entries += c.Entries
	}
	if entries != s.Entries {
		t.Errorf("the members have %d of %d", entries, s.Entries)
	}

	for _, key := range []string{"1", "no entry"} { // a lock needs no entry
		held, err := m.Lock(ctx, key)
		if err != nil {
			t.Fatal(err)
		}
		if n := stats().Locks; n != 1 {
			t.Errorf("%d locks are held, want 1", n)
		}
		if err := held.Unlock(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if now := stats(); now.Locks != 0 || now.Operations["lock"].Count != 2 || now.Operations["unlock"].Count != 2 {
		t.Errorf("%d locks are held after %v", now.Locks, now.Operations)
	}

	// What a member has counted ends with it; what it owned is counted at the next owners, from when they own it.
	before := s.Members[cl.Member(1).ID()]
	cl.Kill(1)
	for {
		if s = stats(); s.Entries == 99 && len(s.Members) == 2 {
			break
		}
	}
	if s.Hits != 100-before.Hits || s.Expirations != 20-before.Expirations || s.Events != 141-before.Events || s.Evictions != 1-before.Evictions {
		t.Errorf("without %+v: %+v", before, s)
	}
	for i := range 99 {
		if i != 1 {
			if _, err := m.Delete(ctx, fmt.Sprint(i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	// Owners may change meanwhile, for balance: what happens at that very moment may be counted twice, or not at all.
	if now := stats(); now.Entries != 1 || now.Events < s.Events+95 || now.Events > s.Events+101 {
		t.Errorf("after 98 removals: %+v", now)
	}
}
