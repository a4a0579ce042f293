package partition

import (
	"sync"
	"testing"

	"github.com/lni/dragonboat/v4"
	"github.com/stretchr/testify/require"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// A replica that was removed goes on, and has a vote for those who have not heard of that, until it is dropped.
func TestRemovedReplicaRunsOn(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, 1)
	three := map[uint64]wire.ID{1: c.hosts[0].id, 2: c.hosts[1].id, 3: c.hosts[2].id}
	for i, h := range c.hosts {
		require.NoError(t, h.StartReplica(Placement{Partition: 0, Generation: 1, Replica: uint64(i + 1), Initial: three, Preferred: i == 0}))
	}
	c.await("an owner", func() bool { return c.hosts[0].Serving(0) != 0 })
	owner, removed := c.hosts[0], c.hosts[2]
	stop := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() { // each entry says how far the group has committed
		for i := uint64(0); ; i++ {
			select {
			case <-stop:
				return
			default:
				owner.submit(0, setOp(i%50, i, 0))
				owner.Flush(0)
			}
		}
	})
	err := owner.Remove(t.Context(), 0, 3)
	close(stop)
	writer.Wait()
	require.NoError(t, err)

	c.await("another to have heard of it", func() bool { return owner.GroupChanges()[0] == c.hosts[1].GroupChanges()[0] })
	for i := range 20 {
		owner.write(0, uint64(i), 1)
	}
	c.caughtUp(0, 2, 1)
	require.NotEqual(t, owner.GroupChanges()[0], removed.GroupChanges()[0])
	nh, err := removed.raft.Enter()
	require.NoError(t, err)
	removed.raft.Leave() // it is closed behind the test
	require.Len(t, nh.GetNodeHostInfo(dragonboat.NodeHostInfoOption{SkipLogInfo: true}).ShardInfoList, 1)
	require.NoError(t, removed.Drop(t.Context(), 0))
	require.Empty(t, nh.GetNodeHostInfo(dragonboat.NodeHostInfoOption{SkipLogInfo: true}).ShardInfoList)
}
