package partition

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A log should take an eighth of the data, within its share of what a member keeps at least and at most.
func TestLogLengthFollowsTheData(t *testing.T) {
	for name, c := range map[string]struct {
		partitions int
		state      int64
		want       int64
	}{
		"nothing":                {271, 0, 16 << 20 / 271},
		"a million entries":      {271, 200 << 20 / 271, 200 << 20 / 271 / 8},
		"more than is kept":      {271, 4 << 30 / 271, 256 << 20 / 271},
		"few partitions":         {2, 0, 2 << 20},
		"few with much":          {2, 1 << 30, 2 << 20},
		"some without much data": {64, 1 << 20, 256 << 10},
	} {
		h := &Host{replicas: make([]atomic.Pointer[replica], c.partitions), logMax: logShareOf(logBytesPerMember, c.partitions)}
		r := &replica{}
		r.bytes.Store(c.state)
		require.Equal(t, c.want, h.logLength(r), name)
	}
}

// A log that is longer than it should be is cut once nothing has come to it for a while, and not as fast as it grows.
func TestLogIsCutWhenItRests(t *testing.T) {
	c := newBootstrappedCluster(t, 1, 64)
	h := c.hosts[0]
	r := h.replicas[0].Load()
	length := h.logLength(r)
	size := func() int64 {
		_, bytes := h.log.Size(r.shard, r.id)
		return bytes
	}
	for i := range 12 {
		op := h.submit(0, paddedOp(1, uint64(i), 64<<10))
		h.Flush(0)
		require.Equal(t, Applied, op.wait(t).what)
	}
	require.Greater(t, size(), length)
	require.Less(t, size(), h.logMax)
	c.await("the log is as long as it should be", func() bool { return size() <= length })
	require.Positive(t, size())
	require.Equal(t, Applied, h.write(0, 1, 1).what)
}

// When the log of a replica is cut depends on the time since the last cut and the last entry.
func TestTimesOfCuts(t *testing.T) {
	c := newBootstrappedCluster(t, 1, 1)
	h := c.hosts[0]
	h.write(0, 1, 1)
	r := &replica{shard: ShardOf(1, 0), id: 1} // as if the log should be empty, and beside the host's loop
	h2 := &Host{log: h.log, logMax: h.logMax, replicas: make([]atomic.Pointer[replica], logBytesAtLeast/50)}
	now := time.Now()
	r.applied.Store(1)
	require.False(t, h2.logTooLong(r, now), "the first look")
	require.False(t, h2.logTooLong(r, now.Add(stillFor-1)))
	require.True(t, h2.logTooLong(r, now.Add(stillFor)))
	r.applied.Store(2)
	require.False(t, h2.logTooLong(r, now.Add(stillFor)), "an entry has come")
	r.applied.Store(3)
	require.True(t, h2.logTooLong(r, now.Add(cutEvery)), "entries come all the time")
	r.trimming.cut = now.Add(cutEvery)
	require.False(t, h2.logTooLong(r, now.Add(cutEvery)))
}
