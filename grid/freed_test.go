package grid_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gridiron-io/gridiron/grid"
	"github.com/gridiron-io/gridiron/sdk"
)

// closedMemberBytes is what each of the members keeps that are started and closed.
const closedMemberBytes = 16 << 20

// startFillClose starts a member, fills a map, and closes it. The closed member is returned.
func startFillClose(t *testing.T) *grid.Member {
	t.Helper()
	m, err := grid.Start(t.Context(), grid.Config{Partitions: 4})
	require.NoError(t, err)
	values, err := sdk.OpenMap[string, []byte](m.Client(), "values")
	require.NoError(t, err)
	const size = 256 << 10
	for i := range closedMemberBytes / size {
		require.NoError(t, values.Set(t.Context(), fmt.Sprint(i), make([]byte, size)))
	}
	require.NoError(t, m.Close(context.WithoutCancel(t.Context())))
	return m
}

func liveBytes() int64 {
	runtime.GC()
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return int64(s.HeapAlloc)
}

// Members that were closed have freed their data, also where the program still knows them.
func TestClosedMemberLeavesNothing(t *testing.T) {
	closed := []*grid.Member{startFillClose(t)}
	before := liveBytes()
	for range 10 {
		closed = append(closed, startFillClose(t))
	}
	grown := liveBytes() - before
	runtime.KeepAlive(closed)
	t.Logf("ten members of %d MB were closed: %.1f MB more are live", closedMemberBytes>>20, float64(grown)/(1<<20))
	require.Less(t, grown, int64(2*closedMemberBytes))
}
