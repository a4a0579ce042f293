package partition

import (
	"context"
	"flag"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/partition/role"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// quiet is given on a machine that does nothing else: then it is judged how long elections take, which says nothing of a busy one.
var quiet = flag.Bool("quiet", false, "also judge how long elections take; for a machine that does nothing else")

// soon has what came about since a moment have been sooner than it would have been by itself.
func soon(t *testing.T, began time.Time) {
	t.Helper()
	took := time.Since(began)
	t.Logf("took %v", took)
	if *quiet {
		require.Less(t, took, electionTimeout, "no better than without")
	}
}

// electionTimeout is the least time after which a replica campaigns by itself.
const electionTimeout = electionTicks * tickTime

// muted cuts a host off without anybody noticing.
func (c *testCluster) muted(host int) *testHost {
	c.hosts[host].mute.Store(true)
	return c.hosts[host]
}

// newLedCluster is newBootstrappedCluster in which every host also knows who leads what.
func newLedCluster(tb testing.TB, n, partitions int) *testCluster {
	tb.Helper()
	c := newBootstrappedCluster(tb, n, partitions)
	c.await("everybody knows who leads", func() bool {
		for p := range c.partitions {
			for _, h := range c.hosts {
				if st, ok := h.Status(p); !ok || st.Leader != uint64(p%n+1) {
					return false
				}
			}
		}
		return true
	})
	return c
}

// servedWithout reports whether hosts other than one own all partitions.
func (c *testCluster) servedWithout(host int) func() bool {
	return func() bool {
		for p := range c.partitions {
			served := false
			for i, h := range c.hosts {
				served = served || i != host && h.Serving(p) != 0
			}
			if !served {
				return false
			}
		}
		return true
	}
}

// The groups of a dead process elect others before any of them would have by itself, and its partitions are spread over
// those that are left.
func TestElect(t *testing.T) {
	c := newLedCluster(t, 3, 12)
	dead := c.muted(0)
	began := time.Now()
	for i := 1; i < 3; i++ {
		other := c.hosts[3-i].id
		require.True(t, c.hosts[i].Elect(dead.id, map[wire.ID]bool{other: true}))
	}
	c.await("the others own what the dead one owned", c.servedWithout(0))
	soon(t, began)
	for i := 1; i < 3; i++ {
		owned := 0
		for p := range c.partitions {
			if c.hosts[i].Serving(p) != 0 {
				owned++
			}
		}
		require.GreaterOrEqual(t, owned, 5, "host %d", i) // its four, and about half of the dead one's
	}
}

// Nothing is done for a group of which a voter that was asked finds its leader alive, or of which nobody has answered.
func TestElectNeedsAgreement(t *testing.T) {
	c := newLedCluster(t, 3, 3)
	suspect, other := c.hosts[0], c.hosts[2].id
	for name, said := range map[string]map[wire.ID]bool{"nobody answered": {}, "it lives": {other: false}} {
		require.False(t, c.hosts[1].Elect(suspect.id, said), name)
	}
	r := c.hosts[1].replicas[0].Load()
	require.Zero(t, r.campaign().Replaces)
}

// A process that leads nothing here has nothing to be replaced in.
func TestElectWithoutGroups(t *testing.T) {
	c := newLedCluster(t, 3, 1) // owned by host 0
	require.True(t, c.hosts[1].Elect(c.hosts[2].id, map[wire.ID]bool{c.hosts[0].id: false}))
}

// A transferred partition has its next owner before an election timeout, and the leaving process waits for that.
func TestReleaseToATransferee(t *testing.T) {
	c := newCluster(t, 3, 6)
	for _, h := range c.hosts {
		h.cfg.Transferee = func(_ int, others []wire.ID) wire.ID {
			for _, transferee := range c.hosts {
				if transferee.id == others[0] {
					return transferee.cfg.Member
				}
			}
			return wire.ID{}
		}
	}
	c.found()
	c.awaitPreferred()
	leaving := c.hosts[0]
	leaving.mayOwn.Store(false)
	began := time.Now()
	leaving.Release(context.Background())
	for p := range c.partitions {
		st, ok := leaving.Status(p)
		require.True(t, ok)
		require.NotEqual(t, st.Replica, st.Leader, "partition %d is still led by the one that leaves", p)
	}
	c.await("the others own everything", c.servedWithout(0))
	soon(t, began)
}

// A voter hears that the leader is dead after another has campaigned without success: it takes its turn all the same, by the same count of terms.
func TestElectAfterAnotherCampaigned(t *testing.T) {
	s := newScripted(t, 1)
	gone, other := wire.ID{7}, wire.ID{8}
	s.step(role.VotersChanged{Voters: []role.Voter{{ID: s.id, Incarnation: s.host.cfg.Incarnation}, {ID: s.id + 1, Incarnation: gone}, {ID: s.id + 2, Incarnation: other}}})
	s.leaderChanged(s.id+1, 5)
	s.leaderChanged(0, 6) // the other's vote was asked for
	told, led := s.elect(gone, map[wire.ID]bool{other: true})
	require.True(t, told)
	require.True(t, led)
	require.Equal(t, s.id+1, s.campaign().Replaces)
	require.EqualValues(t, 5, s.campaign().First, "the term in which the leader died, from which all count")
	s.leaderChanged(s.id+2, 7)
	told, led = s.elect(gone, map[wire.ID]bool{other: true})
	require.False(t, told || led, "another leads by now")
}

// A replica that is built from the log meets the Releases of long ago. It is not their transferee any more.
func TestOldReleasesAreHistory(t *testing.T) {
	for name, follow := range map[string]func(s *scripted){
		"in the log": func(s *scripted) { s.owned(carol, 0) },
		"as a state snapshot": func(s *scripted) {
			other := newScripted(t, 1)
			other.index += 50
			other.owned(carol, 0)
			require.NoError(t, s.take(other.stateSnapshotOf(t)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScripted(t, 1)
			s.lead(2)
			epoch := s.owned(bob, 0)
			s.commit(entry.AppendRelease(nil, &entry.Release{Epoch: epoch, To: alice}))
			require.EqualValues(t, 2, s.campaign().Replaces, "the transferee campaigns against the leader")
			follow(s)
			require.Zero(t, s.campaign(), "the partition has had another owner since")
		})
	}
	s := newScripted(t, 1)
	gone := wire.ID{7}
	s.step(role.VotersChanged{Voters: []role.Voter{{ID: s.id, Incarnation: alice}, {ID: 2, Incarnation: gone}, {ID: 3, Incarnation: carol}}})
	s.lead(2)
	told, _ := s.elect(gone, map[wire.ID]bool{carol: true})
	require.True(t, told)
	s.owned(bob, 0)
	require.EqualValues(t, 2, s.campaign().Replaces, "an Own of the dead leader's time brings nobody back")
}

// A leaving owner makes sure that the transferee hears at once that the Release is committed.
func TestTransferIsHeardOf(t *testing.T) {
	s := newScripted(t, 1)
	s.lead(1)
	s.owned(alice, 0)
	require.True(t, s.host.TransferOwnership(0, bob))
	require.Equal(t, 1, s.onItsWay())
	s.commitNext()
	require.Equal(t, 1, s.onItsWay(), "an entry behind it")
	require.Equal(t, uint64(1), s.host.cfg.Transport.Stats().Hurried, "which says at once that the Release is committed")
	before, _, _ := s.owner()
	s.commitNext()
	after, owner, _ := s.owner()
	require.True(t, after == before && owner.IsZero(), "which changes nothing")
	require.Zero(t, s.onItsWay())

	s.owned(bob, 0)
	s.commit(entry.AppendRelease(nil, &entry.Release{Epoch: s.state.own.Epoch, To: carol}))
	require.Zero(t, s.onItsWay(), "another's is another's business")
	require.Equal(t, uint64(1), s.host.cfg.Transport.Stats().Hurried)
}

// A partition that returns to a process right after its transfer is owned at once: the time that a transferee is given is not for that.
func TestTransferAndBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(t, 1)
		s.lead(1)
		epoch := s.owned(alice, 0)
		s.commit(entry.AppendRelease(nil, &entry.Release{Epoch: epoch, To: bob}))
		s.next()
		s.reconcile(time.Now())
		require.Zero(t, s.onItsWay(), "the transferee has its time")
		s.leaderChanged(2, 6)
		s.commit(entry.AppendOwn(nil, ownBy(bob, 6, epoch, 0)))
		epoch, _, _ = s.owner()
		s.commit(entry.AppendRelease(nil, &entry.Release{Epoch: epoch, To: alice}))
		s.leaderChanged(1, 7)
		s.reconcile(time.Now())
		require.Equal(t, 1, s.onItsWay(), "an Own")
	})
}

// A leader that another deposes, and that names a transferee only then, has its turn with the transferee all the same.
func TestDeposedBeforeItsRelease(t *testing.T) {
	s := newScripted(t, 1)
	s.lead(1)
	epoch := s.owned(alice, 0)
	s.leaderChanged(0, 6)
	require.Equal(t, role.Deposed, s.campaign().Cause)
	s.commit(entry.AppendRelease(nil, &entry.Release{Epoch: epoch, To: bob}))
	now := time.Now()
	c := s.campaign()
	require.False(t, c.Due(6, now))
	require.True(t, c.Due(6, now.Add(role.BetweenTerms)))
	s.leaderChanged(3, 6)
	require.Zero(t, s.campaign(), "the transferee leads")

	s.leaderChanged(1, 7)
	s.leaderChanged(0, 7)
	require.Zero(t, s.campaign(), "without a majority it campaigns against nobody")
	s.leaderChanged(1, 8)
	s.leaderChanged(0, 9)
	require.Equal(t, role.Deposed, s.campaign().Cause)
	s.leaderChanged(1, 10)
	require.Zero(t, s.campaign(), "it leads again")
}

// A replica whose log is too short campaigns against a leader, without success. The leader takes its place again before an election timeout.
func TestCampaignWithoutSuccess(t *testing.T) {
	t.Parallel()
	c := newLedCluster(t, 3, 3)
	laggard := c.muted(2)
	owner := c.hosts[0]
	require.Equal(t, Applied, owner.write(0, 1, 1).what)
	ended := owner.replicas[0].Load()
	_, deposed := ended.serves()
	laggard.mute.Store(false)
	began := time.Now()
	c.poke("the laggard has campaigned", func() bool {
		select {
		case <-deposed:
			return true
		default:
			return false
		}
	}, func() { c.inject(0, 2) })
	c.await("the partition is owned again", func() bool { return c.server(0) >= 0 })
	soon(t, began)
}

// After an election without a leader the voters campaign one after the other: they do not wait for another timeout.
func TestElectionWithoutLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(t, 1)
		s.step(role.VotersChanged{Voters: []role.Voter{{ID: s.id, Incarnation: alice}, {ID: 2, Incarnation: bob}, {ID: 3, Incarnation: carol}}})
		s.leaderChanged(2, 5)
		time.Sleep(time.Minute)
		s.reconcile(time.Now())
		require.Zero(t, s.campaign(), "somebody leads")
		s.leaderChanged(0, 6)
		time.Sleep(role.StalledFor - time.Millisecond)
		s.reconcile(time.Now())
		require.Zero(t, s.campaign(), "an election takes its time")
		time.Sleep(time.Millisecond)
		s.reconcile(time.Now())
		require.Equal(t, role.Stalled, s.campaign().Cause)
		require.EqualValues(t, 2, s.campaign().Replaces)
		require.EqualValues(t, 5, s.campaign().First, "all count from the term of the leader that was")
		s.leaderChanged(2, 8)
		require.Zero(t, s.campaign(), "it leads again: nobody campaigns against it")
		s.leaderChanged(0, 9)
		time.Sleep(time.Second)
		s.reconcile(time.Now())
		require.Equal(t, role.Stalled, s.campaign().Cause)
		s.leaderChanged(0, 8+role.StalledTerms+1)
		time.Sleep(time.Second)
		s.reconcile(time.Now())
		require.Zero(t, s.campaign(), "it reaches nobody, it seems")

		s.leaderChanged(s.id, 30)
		s.leaderChanged(0, 30)
		time.Sleep(time.Minute)
		s.reconcile(time.Now())
		require.NotEqual(t, role.Stalled, s.campaign().Cause, "who led and lost its majority waits for an election timeout")
	})
}
