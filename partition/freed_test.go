package partition

import (
	"runtime"
	"testing"
	"time"
	"weak"

	"github.com/stretchr/testify/require"

	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// stateOf returns a pointer to a host's state of a partition that does not keep it.
func stateOf(t *testing.T, h *testHost, p int) (state weak.Pointer[bulk]) {
	t.Helper()
	require.True(t, h.Inspect(p, func(m Machine) { state = weak.Make(m.(*bulk)) }))
	return state
}

// requireGone waits until states are garbage.
func requireGone(t *testing.T, states []weak.Pointer[bulk]) {
	t.Helper()
	require.Eventually(t, func() bool {
		runtime.GC()
		for _, s := range states {
			if s.Value() != nil {
				return false
			}
		}
		return true
	}, patience, 10*time.Millisecond, "a state that nobody has any more is still reachable")
}

const freedBytes = 4 << 20

// fillBulk writes some megabytes to a partition.
func (h *testHost) fillBulk(t *testing.T, p int) {
	t.Helper()
	for range 4 {
		done := h.submit(p, &entry.Op{Code: wire.OpSet, Body: make([]byte, freedBytes/4)})
		h.Flush(p)
		require.Equal(t, Applied, done.wait(t).what)
	}
}

// A replica that was dropped leaves nothing behind: not its state, not its log, whether it had a leader or campaigned without one.
func TestDroppedReplicaIsFreed(t *testing.T) {
	c := newCluster(t, 1, 2)
	h := c.hosts[0]
	h.cfg.Machines = bulkMachines{}
	var states []weak.Pointer[bulk]
	base := uint64(0)
	const times = 10
	for i := range uint64(times) {
		alone := map[uint64]wire.ID{i + 1: h.id}
		c.locate(i+1, 0, i+1, h)
		require.NoError(t, h.StartReplica(Placement{Partition: 0, Generation: i + 1, Replica: i + 1, Initial: alone, Preferred: true}))
		c.await("an owner", func() bool { return h.Serving(0) != 0 })
		h.fillBulk(t, 0)

		// One whose group has no quorum is looked at often, to have it elected.
		c.locate(i+1, 1, i+1, h)
		absent := map[uint64]wire.ID{i + 1: h.id, i + 100: {8}, i + 200: {9}}
		require.NoError(t, h.StartReplica(Placement{Partition: 1, Generation: i + 1, Replica: i + 1, Initial: absent, Preferred: true}))
		c.poke("it campaigns", func() bool { st, _ := h.Status(1); return st.Term > 1 }, func() {})
		states = append(states, stateOf(t, h, 0), stateOf(t, h, 1))
		require.NoError(t, h.Drop(t.Context(), 0))
		require.NoError(t, h.Drop(t.Context(), 1))
		if i == 0 {
			requireGone(t, states)
			base = liveHeap()
		}
	}
	requireGone(t, states)
	require.Less(t, int64(liveHeap())-int64(base), int64(freedBytes), "ten states of as much each")
	c.await("nobody is looked at any more", func() bool { return h.electing.Load() == 0 })
}

// A host that was closed leaves nothing behind either, though something of the library runs on for a while.
func TestClosedHostIsFreed(t *testing.T) {
	var states []weak.Pointer[bulk]
	base := uint64(0)
	for i := range 10 {
		func() {
			c := newCluster(t, 1, 1)
			h := c.hosts[0]
			h.cfg.Machines = bulkMachines{}
			c.found()
			c.awaitPreferred()
			h.fillBulk(t, 0)
			states = append(states, stateOf(t, h, 0))
			h.Close()
		}()
		if i == 0 {
			requireGone(t, states)
			base = liveHeap()
		}
	}
	requireGone(t, states)
	require.Less(t, int64(liveHeap())-int64(base), int64(3*freedBytes), "nine more states of as much each")
}
