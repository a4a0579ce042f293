package grid_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/grid"
	"github.com/gridiron-io/gridiron/grid/gridtest"
	"github.com/gridiron-io/gridiron/sdk"
)

// TestMapConfigIsTheClusters bootstraps a cluster with configured maps. A member that joins with others takes the cluster's and says
// so; what is changed through one is seen through all, and outlives them.
func TestMapConfigIsTheClusters(t *testing.T) {
	t.Parallel()
	maps := map[string]sdk.MapConfig{"users": {TTL: new(time.Minute)}, "u*": {MaxIdle: new(time.Hour)}}
	cl := gridtest.New(t, 3, gridtest.WithPartitions(3), gridtest.WithConfig(func(_ int, cfg *grid.Config) { cfg.Maps = maps }))
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()

	var log memberLog
	cfg := joining(t, cl, "late")
	cfg.Maps = map[string]sdk.MapConfig{"users": {TTL: new(time.Second)}, "mine": {TTL: new(time.Second)}}
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	late, err := grid.Start(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer late.Kill()
	for _, want := range []string{"maps are configured otherwise", "different=[users]", "only_here=[mine]", "only_in_cluster=[u*]"} {
		if !log.contains(want) {
			t.Errorf("the log of the member that joined lacks %q", want)
		}
	}
	check := func(c *sdk.Client, name string, ttl, idle time.Duration) {
		t.Helper()
		if s, err := c.MapConfig(ctx, name); err != nil || s.TTL != ttl || s.MaxIdle != idle {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
	check(late.Client(), "users", time.Minute, time.Hour)
	check(late.Client(), "mine", 0, 0)

	if err := late.Client().SetMapConfig(ctx, "users", sdk.MapConfig{TTL: new(2 * time.Minute)}); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		check(cl.Member(i).Client(), "users", 2*time.Minute, time.Hour)
	}
	if existed, err := cl.Member(2).Client().DropMapConfig(ctx, "u*"); err != nil || !existed {
		t.Fatalf("%t, %v", existed, err)
	}
	check(late.Client(), "users", 2*time.Minute, 0)
	cl.Kill(0)
	cl.Restart(0)
	check(cl.Member(0).Client(), "users", 2*time.Minute, 0)
}

// TestMapConfigChangedByAll changes one pattern from every member at once: nothing is lost.
func TestMapConfigChangedByAll(t *testing.T) {
	t.Parallel()
	cl := gridtest.New(t, 3, gridtest.WithPartitions(3))
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	errs := make(chan error)
	for i := range 3 {
		go func() {
			for n := range 5 {
				if err := cl.Member(i).Client().SetMapConfig(ctx, fmt.Sprintf("m%d-%d", i, n), sdk.MapConfig{Stats: new(false)}); err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for range 3 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	list, err := cl.Client().MapConfigs(ctx)
	if err != nil || len(list) != 15 {
		t.Errorf("%d patterns: %+v, %v", len(list), list, err)
	}
	if !slices.IsSortedFunc(list, func(a, b sdk.PatternConfig) int { return len(b.Pattern) - len(a.Pattern) }) {
		t.Errorf("out of order: %+v", list)
	}
}
