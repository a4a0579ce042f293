package maps

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// A sweep that found as many entries as it may remove is followed by a larger one, and one that found none by nothing for a while.
func TestNextSweep(t *testing.T) {
	limit := func(op *entry.Op) int {
		b, err := wire.DecodeSweepBody(op.Body)
		require.NoError(t, err)
		require.Equal(t, int(b.Limit), op.Keys)
		return int(b.Limit)
	}
	op, again := nextSweep(nil, entry.Result{})
	require.Equal(t, sweepLimit, limit(op))
	require.False(t, again)
	for _, c := range []struct {
		removed uint64
		limit   int
		again   bool
	}{
		{sweepLimit, 2 * sweepLimit, true},
		{2 * sweepLimit, sweepMost, true},
		{sweepMost, sweepMost, true},
		{sweepMost - 1, sweepLimit, true},
		{0, sweepLimit, false},
	} {
		op, again = nextSweep(op, entry.Result{Body: wire.AppendUvarint(nil, c.removed)})
		require.Equal(t, c.limit, limit(op), "after %d", c.removed)
		require.Equal(t, c.again, again, "after %d", c.removed)
	}
}
