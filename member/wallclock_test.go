package member

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/sdk"
)

// A member whose wall clock is hours off, and steps by hours while the cluster runs, changes nothing: nothing expires early or
// late, whoever owns it, and members agree about the time.
func TestWrongWallClock(t *testing.T) {
	t.Parallel()
	const life = 1500 * time.Millisecond
	var wrong atomic.Int64
	wrong.Store(int64(-5 * time.Hour))
	members := runningMembers(t, 3, func(i int, cfg *Config) {
		if i == 1 {
			cfg.Wall = func() time.Time { return time.Now().Add(time.Duration(wrong.Load())) }
		}
	})
	ctx := testContext(t)
	m, err := sdk.OpenMap[string, int](members[0].Client(), "sessions")
	if err != nil {
		t.Fatal(err)
	}
	for round, step := range []time.Duration{-5 * time.Hour, 7 * time.Hour, 0} {
		wrong.Store(int64(step))
		asked := time.Now()
		for i := range 30 {
			if err := m.Set(ctx, fmt.Sprint("short", i), round, sdk.WithTTL(life)); err != nil {
				t.Fatal(err)
			}
			if err := m.Set(ctx, fmt.Sprint("long", i), round, sdk.WithTTL(time.Hour)); err != nil {
				t.Fatal(err)
			}
		}
		written := time.Now()
		wrong.Store(int64(-step))
		for i := range 30 {
			_, found, err := m.Get(ctx, fmt.Sprint("short", i))
			if err != nil {
				t.Fatal(err)
			}
			if took := time.Since(asked); !found && took < life-50*time.Millisecond {
				t.Errorf("round %d: short%d is gone %v after it was written, its TTL is %v", round, i, took, life)
			}
		}
		for i := range 30 {
			key := fmt.Sprint("short", i)
			eventually(t, key+" to expire", func() bool {
				_, found, err := m.Get(ctx, key)
				return !found && err == nil
			})
		}
		if took := time.Since(written); took > life+2*time.Minute {
			t.Errorf("round %d: entries were there for %v, their TTL is %v", round, took, life)
		}
		for i := range 30 {
			if v, found, err := m.Get(ctx, fmt.Sprint("long", i)); v != round || !found || err != nil {
				t.Errorf("round %d: long%d: %v, %v, %v", round, i, v, found, err)
			}
		}
		first := members[0].clock.Now()
		for i, other := range members[1:] {
			if off := other.clock.Now() - first; off < -50 || off > 2000 { // the clocks are asked one after the other
				t.Errorf("round %d: member %d is %d ms ahead", round, i+1, off)
			}
		}
	}
}
