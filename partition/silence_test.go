package partition

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// While a group shrinks to one voter reads are under way that nobody is left to confirm. The learners that come after that hear from the
// leader all the same.
func TestLearnerOfASingleVoterIsReached(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, 1)
	two := map[uint64]wire.ID{1: c.hosts[0].id, 2: c.hosts[1].id}
	for i, h := range c.hosts[:2] {
		require.NoError(t, h.StartReplica(Placement{Partition: 0, Generation: 1, Replica: uint64(i + 1), Initial: two, Preferred: i == 0}))
	}
	c.await("an owner", func() bool { return c.hosts[0].Serving(0) != 0 })
	owner := c.hosts[0]
	shard := ShardOf(1, 0)

	nh, err := owner.raft.Enter()
	require.NoError(t, err)
	owner.raft.Leave() // it is closed behind the test
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 8 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if rs, err := nh.ReadIndex(shard, time.Second); err == nil {
					<-rs.ResultC()
					rs.Release()
				}
			}
		})
	}
	require.NoError(t, owner.Remove(t.Context(), 0, 2))
	close(stop)
	readers.Wait()
	require.NoError(t, c.hosts[1].Drop(t.Context(), 0))

	// It is not there when the leader first sends to it.
	c.locate(1, 0, 3, c.hosts[2])
	require.NoError(t, owner.AddLearner(t.Context(), 0, 3, c.hosts[2].id))
	c.poke("the leader to send to it", func() bool { return c.hosts[2].tr.Stats().ReceivedMessages > 0 }, func() { owner.write(0, 7, 77) })
	require.NoError(t, c.hosts[2].StartReplica(Placement{Partition: 0, Generation: 1, Replica: 3, Join: true, Learner: true}))
	c.poke("the learner to have caught up", func() bool { return c.hosts[2].CaughtUp(shard, 3) }, func() { owner.Retry(0, 3) })
}

// Who leads the metadata group alone is elected again when it is told to, in a later term, and loses nothing.
func TestOnlyVoterIsElectedAgain(t *testing.T) {
	m := startTestMeta(t, t.TempDir(), wire.ID{2})
	require.True(t, proposeMeta(t, m, initCommand(wire.ID{2})).OK())
	was, leads := m.Leads()
	require.True(t, leads)
	version := m.View().Version
	require.True(t, m.Renew())
	deadline := time.After(patience)
	for {
		changed := m.Changed()
		if term, leads := m.Leads(); leads && term > was {
			break
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatal("it was not elected again")
		}
	}
	require.GreaterOrEqual(t, m.View().Version, version)
	proposeMeta(t, m, initCommand(wire.ID{2})) // whatever it answers, it is answered
}
