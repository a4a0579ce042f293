package grid_test

import (
	"fmt"
	"testing"

	"github.com/gridiron-io/gridiron/grid/gridtest"
	"github.com/gridiron-io/gridiron/sdk"
)

// How many events a partition keeps is changed while the cluster runs. Who comes back with a token hears all of it, or that some is lost, also
// where the last event of its map was the removal of all that it had.
func TestEventBoundsAreLive(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	cl := gridtest.New(t, 3, gridtest.WithPartitions(1))
	m, other := openMap[string, int](t, cl.Client(), "bounded"), openMap[string, int](t, cl.Client(), "other")

	// lost removes a key, has n other events come, and reports whether a listener that knew of the key before is told of a loss.
	round := 0
	lost := func(n int) bool {
		t.Helper()
		round++
		h, sub := listen(t, m)
		must(t, m.Set(ctx, "k", round))
		token := h.count(t, 1)[0].Token
		must(t, sub.Close())

		_, err := m.Delete(ctx, "k")
		must(t, err)
		for range 2 {
			many := make(map[string]int)
			for i := range n / 2 {
				many[fmt.Sprint(i)] = round
			}
			must(t, other.SetAll(ctx, many))
		}
		late, sub := listen(t, m, sdk.From(token))
		must(t, m.Set(ctx, "end", round))
		list := late.count(t, 2)
		must(t, sub.Close())
		_, err = m.Delete(ctx, "end")
		must(t, err)

		if len(list) != 2 || list[0].Kind != sdk.EventLost && list[0].Kind != sdk.EventRemoved || list[1].Kind != sdk.EventAdded || list[1].New != round {
			t.Fatalf("round %d: heard %s", round, tail(list))
		}
		return list[0].Kind == sdk.EventLost
	}

	if lost(100) {
		t.Error("events are lost that the default keeps")
	}
	must(t, cl.Client().SetMapConfig(ctx, "other", sdk.MapConfig{EventsMaxEntries: new(int64(10_000)), EventsMaxBytes: new(int64(4 << 20))}))
	until(t, "more events to be kept", func() bool { return !lost(3000) })
	must(t, cl.Client().SetMapConfig(ctx, "*", sdk.MapConfig{EventsMaxEntries: new(int64(4))}))
	must(t, cl.Client().SetMapConfig(ctx, "other", sdk.MapConfig{EventsMaxEntries: new(int64(6))}))
	until(t, "fewer events to be kept", func() bool { return lost(20) })
}
