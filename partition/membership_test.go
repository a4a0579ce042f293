package partition

import (
	"context"
	"testing"
	"time"

	"github.com/lni/dragonboat/v4/raftio"
	"github.com/stretchr/testify/require"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// locate tells all hosts where a replica is.
func (c *testCluster) locate(generation uint64, p int, replica uint64, host *testHost) {
	for _, h := range c.hosts {
		h.cfg.Registry.Set(ShardOf(generation, p), replica, host.id.String())
	}
}

// join starts a replica of a partition on a host where none is, and has the owner's group take it in as a learner.
func (c *testCluster) join(p int, replica uint64, host int) {
	c.tb.Helper()
	h := c.hosts[host]
	c.locate(1, p, replica, h)
	owner := c.hosts[c.server(p)]
	require.NoError(c.tb, h.StartReplica(Placement{Partition: p, Generation: 1, Replica: replica, Join: true, Learner: true}))
	require.NoError(c.tb, owner.AddLearner(c.tb.Context(), p, replica, h.id))
	require.NoError(c.tb, owner.AddLearner(c.tb.Context(), p, replica, h.id), "it may be repeated")
}

// caughtUp waits until a learner has caught up.
func (c *testCluster) caughtUp(p int, replica uint64, host int) {
	c.tb.Helper()
	deadline := time.Now().Add(patience)
	for !c.hosts[host].CaughtUp(ShardOf(1, p), replica) {
		require.True(c.tb, time.Now().Before(deadline), "the learner has not caught up in time")
	}
}

// A replica learns, from the log or from a state snapshot where the log was trimmed, becomes a voter, and takes the place of another.
func TestReplicaIsReplaced(t *testing.T) {
	t.Parallel()
	for name, writes := range map[string]int{"from the log": 100, "from a state snapshot, for the log is long": logEntries / 2, "from a state snapshot": 3 * logEntries} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, 4, 1)
			three := map[uint64]wire.ID{1: c.hosts[0].id, 2: c.hosts[1].id, 3: c.hosts[2].id}
			for i, h := range c.hosts[:3] {
				require.NoError(t, h.StartReplica(Placement{Partition: 0, Generation: 1, Replica: uint64(i + 1), Initial: three, Preferred: i == 0}))
			}
			c.await("an owner", func() bool { return c.hosts[0].Serving(0) != 0 })
			owner := c.hosts[0]
			for i := range writes {
				op := owner.submit(0, setOp(uint64(i%50), uint64(i), 0))
				owner.Flush(0)
				require.Equal(t, Applied, op.wait(t).what)
			}
			if writes > logEntries {
				c.poke("the log is trimmed", func() bool { e, _ := owner.log.Size(ShardOf(1, 0), 1); return e < writes/2 }, func() {})
			}
			require.Error(t, c.hosts[1].AddLearner(t.Context(), 0, 4, c.hosts[3].id), "it is for the owner")
			c.join(0, 4, 3)
			c.caughtUp(0, 4, 3)
			require.Equal(t, writes > 100, c.hosts[3].cfg.Transport.Stats().ReceivedChunks > 0, "it was given a state snapshot")
			require.NoError(t, owner.Promote(t.Context(), 0, 4, c.hosts[3].id))
			require.NoError(t, owner.Promote(t.Context(), 0, 4, c.hosts[3].id), "it may be repeated")
			require.Error(t, owner.Remove(t.Context(), 0, 1), "an owner does not remove itself")
			require.NoError(t, owner.Remove(t.Context(), 0, 3))
			require.NoError(t, owner.Remove(t.Context(), 0, 3), "it may be repeated")
			require.NoError(t, c.hosts[2].Drop(t.Context(), 0))

			// The new voter counts: with it and without the second a write is committed.
			c.hosts[1].mute.Store(true)
			require.Equal(t, Applied, owner.write(0, 7, 77).what)
			c.await("the new replica has the write", func() bool {
				seen := uint64(0)
				c.hosts[3].Inspect(0, func(m Machine) { seen = m.(*registers).values[7].value })
				return seen == 77
			})
		})
	}
}

// An owner hands a partition to the member it is told, which serves it soon; what was written is there.
func TestTransfer(t *testing.T) {
	c := newBootstrappedCluster(t, 3, 6)
	for p := range c.partitions {
		from, to := c.hosts[p%3], c.hosts[(p+1)%3]
		require.Equal(t, Applied, from.write(p, 1, 42).what)
		require.False(t, to.TransferOwnership(p, from.cfg.Member), "it does not have it")
		require.True(t, from.TransferOwnership(p, to.cfg.Member))
		c.await("the other serves it", func() bool {
			from.TransferOwnership(p, to.cfg.Member) // again, where the other was held up for so long that the partition was taken back
			return to.Serving(p) != 0
		})
		v, o := to.read(p, 1)
		require.Equal(t, Applied, o)
		require.EqualValues(t, 42, v)
		require.Zero(t, from.Serving(p))
	}
}

// A partition that was handed to a member who does not take it goes on where it was.
func TestTransferToNobody(t *testing.T) {
	t.Parallel()
	c := newBootstrappedCluster(t, 3, 1)
	h := c.hosts[0]
	before := h.Serving(0)
	require.True(t, h.TransferOwnership(0, wire.ID{9}))
	c.await("the owner takes it back", func() bool { e := h.Serving(0); return e > before })
	require.Equal(t, Applied, h.write(0, 1, 1).what)
}

// Of two voters one is confirmed dead. What the other has, applied or not, is the next generation's.
func TestSurvivorBeginsTheNextGeneration(t *testing.T) {
	c := newBootstrappedCluster(t, 2, 1)
	owner, survivor := c.hosts[0], c.hosts[1]
	for i := range uint64(2000) {
		require.Equal(t, Applied, owner.write(0, i%100, i).what)
	}
	owner.Close()
	_, _, err := survivor.StopForRecovery(t.Context(), 0, 2)
	require.Error(t, err, "another generation")
	term, index, err := survivor.StopForRecovery(t.Context(), 0, 1)
	require.NoError(t, err)
	require.NotZero(t, term)
	require.Greater(t, index, uint64(100))
	again, same, err := survivor.StopForRecovery(t.Context(), 0, 1)
	require.NoError(t, err)
	require.Equal(t, [2]uint64{term, index}, [2]uint64{again, same}, "it may be repeated")
	_, running := survivor.Status(0)
	require.False(t, running)

	c.hosts = c.hosts[1:]
	c.locate(2, 0, 7, survivor)
	require.NoError(t, survivor.StartReplica(Placement{Partition: 0, Generation: 2, Replica: 7, Initial: map[uint64]wire.ID{7: survivor.id},
		Preferred: true, FromSurvivor: true}))
	c.await("the next generation is served", func() bool { return survivor.Serving(0) != 0 })
	require.EqualValues(t, 2, wire.Stamp(survivor.Serving(0)).Generation())
	for key := range uint64(100) {
		v, o := survivor.read(0, key)
		require.Equal(t, Applied, o)
		require.Equal(t, 1900+key, v, "register %d", key)
	}
	require.Zero(t, survivor.transferring.Load())
	require.Equal(t, Applied, survivor.write(0, 1, 5).what)
}

// A generation that is to begin with a state is nobody's before it has it.
func TestGenerationWithoutItsStateHasNoOwner(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, 1)
	h := c.hosts[0]
	h.cfg.Registry.SetAll(map[raftio.NodeInfo]string{{ShardID: ShardOf(2, 0), ReplicaID: 7}: h.id.String()})
	require.NoError(t, h.StartReplica(Placement{Partition: 0, Generation: 2, Replica: 7, Initial: map[uint64]wire.ID{7: h.id}, Preferred: true, FromSurvivor: true}))
	c.await("a leader", func() bool { st, _ := h.Status(0); return st.Leader != 0 })
	ctx, cancel := context.WithTimeout(t.Context(), 3*reconcileEvery)
	defer cancel()
	<-ctx.Done() // time in which an owner would long be there
	require.Zero(t, h.Serving(0))
	require.Equal(t, Moved, h.write(0, 1, 1).what)
}
