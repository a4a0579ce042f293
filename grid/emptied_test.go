package grid_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/grid/gridtest"
	"github.com/gridiron-io/gridiron/sdk"
)

// A map that is emptied and forgotten, amid others that come and go, has lost nothing for who listens: the next entry is heard of as if
// the map had been there all the time.
func TestEmptiedMapHasLostNothing(t *testing.T) {
	t.Parallel()
	cl := gridtest.New(t, 1, gridtest.WithPartitions(1))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	m := openMap[string, int](t, cl.Client(), "session")
	h, _ := listen(t, m)
	never, _ := listen(t, openMap[string, int](t, cl.Client(), "never"))
	must(t, m.Set(ctx, "k", 1))
	_, err := m.Delete(ctx, "k")
	must(t, err)
	h.count(t, 2)
	var all sync.WaitGroup
	for w := range 8 {
		all.Go(func() {
			for i := range 150 { // 2,400 events, where 1,024 are kept
				other, err := sdk.OpenMap[string, int](cl.Client(), fmt.Sprintf("other %d %d", w, i))
				if err == nil {
					err = other.Set(ctx, "k", 1)
				}
				if err == nil {
					_, err = other.Delete(ctx, "k")
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	must(t, m.Set(ctx, "k", 2))
	list := h.count(t, 3)
	if len(list) != 3 || list[0].Kind != sdk.EventAdded || list[1].Kind != sdk.EventRemoved || list[2].Kind != sdk.EventAdded {
		t.Errorf("heard %s", tail(list))
	}
	if list, _ := never.snapshot(); len(list) > 0 {
		t.Errorf("of a map that never was: %s", tail(list))
	}
}
