package grid_test

import (
	"fmt"
	"testing"

	"github.com/gridiron-io/gridiron/grid/gridtest"
	"github.com/gridiron-io/gridiron/sdk"
)

// The only voter of the metadata leaves: the other member becomes the voter. It comes back without a replica and learns again, and the vote
// goes the same way once more.
func TestVotersAreThoseWhoStay(t *testing.T) {
	t.Parallel()
	cl := gridtest.New(t, 1, gridtest.WithPartitions(6))
	cl.Add()
	cl.WaitSafe()
	m, err := sdk.OpenMap[string, int](cl.Client(), "words")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 60 {
		if err := m.Set(t.Context(), fmt.Sprint(i), i); err != nil {
			t.Fatal(err)
		}
	}
	for _, i := range []int{0, 1, 0} {
		cl.Stop(i)
		st, err := cl.Client().Cluster(t.Context())
		if err != nil || st.Members != 1 || st.Unavailable != 0 {
			t.Fatalf("without member %d: %+v, %v", i, st, err)
		}
		cl.Restart(i)
		cl.WaitSafe()
	}
	for i := range 60 {
		if v, ok, err := m.Get(t.Context(), fmt.Sprint(i)); v != i || !ok || err != nil {
			t.Fatalf("%d is %d, %t, %v", i, v, ok, err)
		}
	}
	st, err := cl.Client().Cluster(t.Context())
	if err != nil || !st.Safe || st.Members != 2 || st.Lost != 0 {
		t.Errorf("in the end: %+v, %v", st, err)
	}
}
