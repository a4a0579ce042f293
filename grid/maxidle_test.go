package grid_test

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/grid/gridtest"
	"github.com/gridiron-io/gridiron/sdk"
)

// What is used stays, also when the owner that saw it being used is no more; what is not used goes.
func TestMaxIdleSurvivesOwner(t *testing.T) {
	t.Parallel()
	const maxIdle = 2 * time.Second
	cl := gridtest.New(t, 3, gridtest.WithPartitions(6))
	ctx := t.Context()
	m, err := sdk.OpenMap[string, int](cl.Client(), "sessions")
	if err != nil {
		t.Fatal(err)
	}
	// A read lets an entry live for half of its max-idle at least, whatever becomes of the owner.
	last := make(map[string]time.Time)
	for i := range 20 {
		key := fmt.Sprint("used", i)
		last[key] = time.Now()
		if err := m.Set(ctx, key, i, sdk.WithMaxIdle(maxIdle)); err != nil {
			t.Fatal(err)
		}
		if err := m.Set(ctx, fmt.Sprint("unused", i), i, sdk.WithMaxIdle(maxIdle)); err != nil {
			t.Fatal(err)
		}
	}
	begin, killed := time.Now(), false
	for time.Since(begin) < 3*maxIdle {
		if !killed && time.Since(begin) > maxIdle {
			killed = true
			cl.Kill(0)
		}
		for key, at := range last {
			asked := time.Now()
			_, found, err := m.Get(ctx, key)
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case found:
				last[key] = asked
			case time.Since(at) > maxIdle/2: // the test itself was too slow
				delete(last, key)
			default:
				t.Fatalf("%s is gone %v after it was used, its max-idle is %v", key, time.Since(at), maxIdle)
			}
		}
	}
	for i := range 20 {
		if _, found, err := m.Get(ctx, fmt.Sprint("unused", i)); found || err != nil {
			t.Errorf("unused%d: found %v after %v, %v", i, found, time.Since(begin), err)
		}
	}
	if len(last) == 0 {
		t.Log("the machine was too slow to see anything stay")
	}
}

// An entry's view counts the reads at the owner, and is none itself.
func TestEntryViewIsNoHit(t *testing.T) {
	t.Parallel()
	m, err := sdk.OpenMap[string, string](gridtest.New(t, 1, gridtest.WithPartitions(2)).Client(), "pages")
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	if err := m.Set(ctx, "index", "<html>"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, _, err := m.Get(ctx, "index"); err != nil {
			t.Fatal(err)
		}
	}
	var cost int64
	for range 2 {
		v, found, err := m.EntryView(ctx, "index")
		if err != nil || !found || v.Hits != 3 || v.Accessed.Before(v.Updated) {
			t.Fatalf("%+v, %v, %v: want three hits", v, found, err)
		}
		cost = v.Cost
	}
	if err := m.Set(ctx, "index", "<html></html>"); err != nil {
		t.Fatal(err)
	}
	v, _, err := m.EntryView(ctx, "index")
	// The time from the first write to the last is counted with the bytes that it takes, of which one was there before.
	cost += int64(len("</html>") + len(binary.AppendUvarint(nil, uint64(v.Updated.Sub(v.Created).Milliseconds()))) - 1)
	if err != nil || v.Hits != 3 || v.Cost != cost {
		t.Fatalf("%+v, %v: hits go on with the key, and the cost with the value to %d", v, err, cost)
	}
}

// The map's own TTL, configured while the cluster runs, is that of entries written without one from then on.
func TestConfiguredTTL(t *testing.T) {
	t.Parallel()
	cl := gridtest.New(t, 3, gridtest.WithPartitions(3))
	ctx := t.Context()
	m, err := sdk.OpenMap[string, int](cl.Client(), "sessions")
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Set(ctx, "before", 1); err != nil {
		t.Fatal(err)
	}
	if err := cl.Client().SetMapConfig(ctx, "sess*", sdk.MapConfig{TTL: new(time.Hour), MaxIdle: new(time.Minute)}); err != nil {
		t.Fatal(err)
	}
	if err := m.Set(ctx, "own", 1, sdk.WithTTL(30*time.Minute), sdk.WithMaxIdle(0)); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string][2]time.Duration{"before": {}, "own": {30 * time.Minute, 0}} {
		if v, found, err := m.EntryView(ctx, key); err != nil || !found || v.TTL != want[0] || v.MaxIdle != want[1] {
			t.Errorf("%s: %+v, %v, %v", key, v, found, err)
		}
	}
	for deadline := time.Now().Add(10 * time.Second); ; { // owners hear of a change one after the other
		var odd []string
		for i := range 12 {
			key := fmt.Sprint("key", i)
			if err := m.Set(ctx, key, i); err != nil {
				t.Fatal(err)
			}
			if v, _, err := m.EntryView(ctx, key); err != nil || v.TTL != time.Hour || v.MaxIdle != time.Minute {
				odd = append(odd, fmt.Sprintf("%s: %+v, %v", key, v, err))
			}
		}
		if len(odd) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("entries without the map's TTL: %v", odd)
		}
	}
}
