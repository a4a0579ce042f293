package grid_test

import (
	"fmt"
	"testing"

	"github.com/gridiron-io/gridiron/grid/gridtest"
	"github.com/gridiron-io/gridiron/sdk"
)

// listeners returns what listeners of several clients hear: their connections for events lead to different members.
func listeners(t *testing.T, cl *gridtest.Cluster, name string) []*heard[string, int] {
	t.Helper()
	var all []*heard[string, int]
	for range 4 {
		c, err := sdk.Connect(t.Context(), cl.Addrs())
		must(t, err)
		t.Cleanup(func() { _ = c.Close() })
		h, _ := listen(t, openMap[string, int](t, c, name))
		all = append(all, h)
	}
	return all
}

// heardAll fails the test unless each listener hears n changes of each key, in order, each once.
func heardAll(t *testing.T, all []*heard[string, int], keys, n int) {
	t.Helper()
	for i, h := range all {
		list := h.wait(t, fmt.Sprint("everything by listener ", i), complete(keys, n))
		if chains(t, list); anyLost(list) || len(list) != keys*n {
			t.Errorf("listener %d heard %d events, not %d; lost some: %t", i, len(list), keys*n, anyLost(list))
		}
	}
}

// Two members cannot talk: what one publishes does not reach those who listen at the other. They ask its owner for it.
func TestEventsAcrossACut(t *testing.T) {
	t.Parallel()
	cl := gridtest.New(t, 3, gridtest.WithPartitions(6))
	m := openMap[string, int](t, cl.Client(), "cut")
	all := listeners(t, cl, "cut")
	const keys, n = 24, 8
	write(t, m, keys, n, func(done int) {
		if done == keys*n/3 {
			cl.Cut(0, 2)
		}
	})
	heardAll(t, all, keys, n)
	cl.Heal()
}

// A member falls silent with those who listen there. They go elsewhere, and miss nothing.
func TestEventsOfAnIsolatedMember(t *testing.T) {
	t.Parallel()
	cl := gridtest.New(t, 3, gridtest.WithPartitions(6))
	m := openMap[string, int](t, cl.Client(), "isolated")
	all := listeners(t, cl, "isolated")
	const keys, n = 24, 8
	write(t, m, keys, n, func(done int) {
		if done == keys*n/3 {
			cl.Isolate(1)
		}
	})
	heardAll(t, all, keys, n)
	cl.Heal()
	cl.WaitSafe()
}
