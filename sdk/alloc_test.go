//go:build !race

// Under the race detector pools drop what they hold at random: there is nothing to measure.

package sdk

import (
	"strings"
	"testing"

	"github.com/gridiron-io/gridiron/sdk/internal/fakegrid"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Making and giving back a call without options allocates nothing.
func TestPreparingAllocatesNothing(t *testing.T) {
	m := opened[string, string](t, connected(t, fakegrid.New(t, 1, 271)), "m")
	value := strings.Repeat("v", 100)
	n := testing.AllocsPerRun(1000, func() {
		cl, w, err := m.prepare(wire.OpSet, "user:1001", nil)
		if err == nil {
			cl.value, err = m.encodeValue(wire.OpSet, cl.value[:0], value)
		}
		if err != nil {
			t.Fatal(err)
		}
		w.Map, w.Key, w.Value = m.wire, cl.key, cl.value
		cl.body = wire.AppendWriteBody(cl.body[:0], &w)
		cl.release()
	})
	if n >= 1 {
		t.Errorf("%v allocations", n)
	}
}

// A hit of a near cache that keeps decoded values allocates nothing.
func TestNearHitAllocatesNothing(t *testing.T) {
	m, keys := nearFilled(t, NearCacheConfig{Verify: -1}, 16)
	ctx := t.Context()
	n := testing.AllocsPerRun(1000, func() {
		if _, found, err := m.Get(ctx, keys[3]); !found || err != nil {
			t.Fatal(found, err)
		}
	})
	if s := m.NearCacheStats(); n >= 1 || s.Hits < 1000 {
		t.Errorf("%v allocations, %+v", n, s)
	}
}
