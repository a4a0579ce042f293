package grid_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/gridiron-io/gridiron/grid"
	"github.com/gridiron-io/gridiron/grid/gridtest"
	"github.com/gridiron-io/gridiron/sdk"
)

// The member that voted on the metadata, and was said to be lost, is at work behind a pulled cable. The other recovers the metadata
// and goes on with what both had. When the cable is put back, the one that was given up finds a later generation, and stops; started again
// it joins as a new member.
func TestRecoverWithoutOneWhoLives(t *testing.T) {
	t.Parallel() // most of it is waiting
	cl := gridtest.New(t, 1, gridtest.WithPartitions(6))
	cl.Add()
	cl.WaitSafe()
	cut := cl.Member(0)
	st, err := cl.Client().Cluster(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	name := sdk.WithClusterName(st.Name)
	c, err := sdk.Connect(t.Context(), []string{cl.Addr(1)}, name)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	m, err := sdk.OpenMap[string, int](c, "words")
	if err != nil {
		t.Fatal(err)
	}
	for i := range adminWords {
		if err := m.Set(t.Context(), fmt.Sprint(i), i); err != nil {
			t.Fatal(err)
		}
	}
	cl.Isolate(0)
	for {
		r, err := sdk.RecoverCluster(t.Context(), cl.Addr(1), []string{cut.ID()}, name)
		if err != nil {
			t.Fatal(err)
		}
		if r.Done {
			break
		}
	}
	allWords(t, m)
	if cut.Err() != nil {
		t.Errorf("behind its cable it has heard of that: %v", cut.Err())
	}
	cl.Heal()
	<-cut.Done()
	if err := cut.Err(); !errors.Is(err, grid.ErrRemoved) {
		t.Errorf("the one that was given up stopped with %v", err)
	}
	if err := m.Set(t.Context(), "0", 0); err != nil {
		t.Error(err)
	}
	cl.Restart(0)
	cl.WaitSafe()
	allWords(t, m)
	st, err = c.Cluster(t.Context())
	if err != nil || st.Members != 2 || st.Lost != 0 || st.PossibleDataLoss != 0 {
		t.Errorf("in the end: %+v, %v", st, err)
	}
}
