package partition

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/lni/dragonboat/v4/raftpb"
	"github.com/stretchr/testify/require"

	"github.com/gridiron-io/gridiron/partition/raftnet"
)

// Bytes go at the rate in the long run; after a while without, the burst goes at once, and no more than that.
func TestPace(t *testing.T) {
	var p pace
	start := time.Unix(1000, 0)
	require.LessOrEqual(t, p.reserve(stateSnapshotBurst, start), time.Duration(0))
	sent, now := 0, start
	for sent < 3*stateSnapshotRate {
		if wait := p.reserve(64<<10, now); wait > 0 {
			now = now.Add(wait)
		}
		sent += 64 << 10
	}
	require.InDelta(t, 3, now.Sub(start).Seconds(), 0.01)
	now = now.Add(time.Hour)
	require.LessOrEqual(t, p.reserve(stateSnapshotBurst, now), time.Duration(0))
	require.InDelta(t, 1, p.reserve(stateSnapshotRate, now).Seconds(), 0.01, "what was not used in an hour is gone")
}

// A state snapshot waits for its turn, and does not wait for a host that is closed.
func TestStateSnapshotsWaitForASlot(t *testing.T) {
	s := newScripted(t, 1)
	for range stateSnapshotsAtOnce {
		s.host.stateSnapshots.slots <- struct{}{}
	}
	s.host.end()
	_, err := (*carried)(s.host).Outgoing(t.Context().Done(), raftnet.Request{Shard: s.shard, From: s.id, To: 2})
	require.ErrorIs(t, err, errClosed)
	require.Empty(t, s.host.stateSnapshots.byReplica)
}

// logged applies an entry, which its log has too, and some that come after it.
func (s *scripted) logged() {
	s.tb.Helper()
	defer s.commit([]byte{0})
	var ents []raftpb.Entry
	for i := uint64(1); i <= s.index+10; i++ {
		ents = append(ents, raftpb.Entry{Index: i, Term: 3, Type: raftpb.EncodedEntry})
	}
	require.NoError(s.tb, s.host.log.SaveRaftState([]raftpb.Update{{ShardID: s.shard, ReplicaID: s.id, State: raftpb.State{Term: 3}, EntriesToSave: ents}}, 1))
}

// asked is what came of a request for a state snapshot.
type asked struct {
	stateSnapshot raftnet.StateSnapshot
	err           error
}

// ask asks for a state snapshot for replica 2, and returns when the request is one of those that wait.
func ask(t *testing.T, ctx context.Context, s *scripted) <-chan asked {
	t.Helper()
	s.logged()
	index := s.index
	res := make(chan asked, 1)
	done := make(chan struct{})
	go func() { // ends with the request, which t's context bounds
		defer close(done)
		snap, err := (*carried)(s.host).Outgoing(ctx.Done(), raftnet.Request{Shard: s.shard, From: s.id, To: 2, Index: index, Term: 3,
			Membership: raftpb.Membership{ConfigChangeId: 5}})
		res <- asked{snap, err}
	}()
	t.Cleanup(func() { <-done })
	return res
}

// Of each replica that needs a state snapshot there is one stream. What is asked meanwhile gets nothing of its own if that succeeds, and takes
// its place if not. What waits for its turn is frozen when that has come.
func TestOneStreamOfEachReplica(t *testing.T) {
	s := newScripted(t, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	slots := s.host.stateSnapshots.slots
	for range stateSnapshotsAtOnce {
		slots <- struct{}{}
	}
	key := streamKey{s.shard, 2}
	// stream returns the replica's once it stands for so many requests.
	stream := func(requests int) (st *stream) {
		t.Helper()
		require.Eventually(t, func() bool {
			s.host.stateSnapshots.Lock()
			defer s.host.stateSnapshots.Unlock()
			st = s.host.stateSnapshots.byReplica[key]
			return st != nil && st.asked == requests
		}, patience, time.Millisecond)
		return st
	}
	dead, end := context.WithCancel(ctx)
	queued := ask(t, dead, s)
	was := stream(1)
	newer := ask(t, ctx, s)
	stream(2)

	end() // its connection is gone: the newer one takes its place in the queue
	require.ErrorIs(t, (<-queued).err, errGone)
	require.NotSame(t, was, stream(1))
	_, frozen := s.host.stateSnapshots.floor(s.shard)
	require.False(t, frozen, "it waits")
	s.logged()

	<-slots
	first := <-newer
	require.NoError(t, first.err)
	index, ok := s.host.stateSnapshots.floor(s.shard)
	require.True(t, ok)
	require.Equal(t, s.applied.Load(), index, "it is as new as can be")
	at, term, members := first.stateSnapshot.At()
	require.Equal(t, []uint64{index, 3, 5}, []uint64{at, term, members.ConfigChangeId})

	duplicate := ask(t, ctx, s)
	stream(2)
	require.Empty(t, duplicate, "a second stream to the same replica")
	_, err := first.stateSnapshot.WriteTo(io.Discard)
	require.NoError(t, err)
	first.stateSnapshot.Close(nil)
	got := <-duplicate
	require.NoError(t, got.err)
	require.Nil(t, got.stateSnapshot, "the replica has one")
	require.Empty(t, s.host.stateSnapshots.byReplica)

	require.Equal(t, 1, first.stateSnapshot.(*outgoing).stateSnapshot.machine.(*registersSnapshot).closed, "the view is freed")

	third := <-ask(t, ctx, s)
	require.NoError(t, third.err)
	fourth := ask(t, ctx, s)
	stream(2)
	third.stateSnapshot.Close(errors.New("cut off"))
	again := <-fourth
	require.NoError(t, again.err)
	require.NotNil(t, again.stateSnapshot, "the one before has not arrived")
	again.stateSnapshot.Close(nil)
	require.Len(t, slots, stateSnapshotsAtOnce-1, "every turn was given back")
}

// A state snapshot that is being sent ends when another replica was elected: that one sends its own.
func TestDeposedLeaderEndsItsStreams(t *testing.T) {
	s := newScripted(t, 1)
	s.leaderChanged(s.id, 3)
	got := <-ask(t, t.Context(), s)
	require.NoError(t, got.err)
	writes := 0
	_, err := got.stateSnapshot.WriteTo(writerFunc(func(b []byte) (int, error) {
		if writes++; writes == 1 {
			s.leaderChanged(2, 4)
		}
		return len(b), nil
	}))
	require.ErrorIs(t, err, raftnet.ErrGiveUp)
	require.Equal(t, 1, writes)
	got.stateSnapshot.Close(err)
}

type writerFunc func(b []byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// A learner of a partition that is written to all the time is given one state snapshot and goes on with the log: however long the state snapshot waits for its
// turn, and however long it takes.
func TestLearnerUnderWritesGetsOneStateSnapshot(t *testing.T) {
	c := newCluster(t, 4, 1)
	owner, learner := c.hosts[0], c.hosts[3]
	c.bootstrapThree()
	shard := ShardOf(1, 0)
	// fill writes more than twice as much as a log keeps.
	fill := func() {
		t.Helper()
		for i := range 2*logBytesPerReplica/(64<<10) + 10 {
			op := owner.submit(0, paddedOp(uint64(i%20), uint64(i), 64<<10))
			owner.Flush(0)
			require.Equal(t, Applied, op.wait(t).what)
		}
	}
	fill()
	for range stateSnapshotsAtOnce {
		owner.stateSnapshots.slots <- struct{}{}
	}
	began, resume := learner.holdStateSnapshots()
	defer resume()
	c.join(0, 4, 3)
	c.poke("its state snapshot waits for its turn", func() bool {
		owner.stateSnapshots.Lock()
		defer owner.stateSnapshots.Unlock()
		return len(owner.stateSnapshots.byReplica) == 1
	}, func() {})
	fill()
	<-owner.stateSnapshots.slots
	select {
	case <-began:
	case <-time.After(patience):
		t.Fatal("the state snapshot was not begun")
	}
	for range 2 {
		fill()
		first, _, _, err := owner.log.Bounds(shard, 1)
		require.NoError(t, err)
		index, ok := owner.stateSnapshots.floor(shard)
		require.True(t, ok)
		require.LessOrEqual(t, first, index+1, "what comes after the state snapshot is kept until it has arrived")
	}
	resume()
	c.caughtUp(0, 4, 3)
	for _, h := range c.hosts[:3] {
		if h == owner {
			require.EqualValues(t, 1, h.tr.Stats().SentStateSnapshots)
		} else {
			require.Zero(t, h.tr.Stats().SentStateSnapshots)
		}
	}
	require.EqualValues(t, 1, learner.tr.Stats().ReceivedStateSnapshots)
	fill()
	c.await("the log is cut again", func() bool { return !owner.logFull(owner.replicas[0].Load()) })
	c.caughtUp(0, 4, 3)
	require.EqualValues(t, 1, owner.tr.Stats().SentStateSnapshots, "and not too early")
	last := c.state(owner)
	c.await("the learner has the same", func() bool { return c.state(learner) == last })
}

// The group changes while a state snapshot waits for its turn: the replica to which it goes learns of that with it.
func TestStateSnapshotBringsItsMembership(t *testing.T) {
	c := newCluster(t, 5, 1)
	owner := c.hosts[0]
	c.bootstrapThree()
	for i := range uint64(3 * logEntries / 2) {
		op := owner.submit(0, setOp(i%50, i, 0))
		owner.Flush(0)
		require.Equal(t, Applied, op.wait(t).what)
	}
	for range stateSnapshotsAtOnce {
		owner.stateSnapshots.slots <- struct{}{}
	}
	c.join(0, 4, 3)
	waits := func(n int) func() bool {
		return func() bool {
			owner.stateSnapshots.Lock()
			defer owner.stateSnapshots.Unlock()
			return len(owner.stateSnapshots.byReplica) == n
		}
	}
	c.poke("its state snapshot waits for its turn", waits(1), func() {})
	c.locate(1, 0, 5, c.hosts[4])
	require.NoError(t, owner.AddLearner(t.Context(), 0, 5, c.hosts[4].id))
	require.Equal(t, Applied, owner.write(0, 1, 1).what, "the state is newer than the change")
	<-owner.stateSnapshots.slots
	c.caughtUp(0, 4, 3)
	require.EqualValues(t, 1, c.hosts[3].tr.Stats().ReceivedStateSnapshots)
	st, _ := owner.Status(0)
	m, err := c.hosts[3].raft.Group(ShardOf(1, 0), "partition 0").Membership(t.Context())
	require.NoError(t, err)
	want, err := owner.raft.Group(ShardOf(1, 0), "partition 0").Membership(t.Context())
	require.NoError(t, err)
	require.Equal(t, want, m)
	require.Contains(t, m.NonVotings, uint64(5))
	require.LessOrEqual(t, m.ConfigChangeID, st.Applied)
}

// bootstrapThree bootstraps the partition on the first three hosts, owned by the first.
func (c *testCluster) bootstrapThree() {
	c.tb.Helper()
	three := c.placement(0, 0).Initial
	for id := range three {
		if id > 3 {
			delete(three, id)
		}
	}
	for i, h := range c.hosts[:3] {
		require.NoError(c.tb, h.StartReplica(Placement{Partition: 0, Generation: 1, Replica: uint64(i + 1), Initial: three, Preferred: i == 0}))
	}
	c.await("an owner", func() bool { return c.hosts[0].Serving(0) != 0 })
}

// state returns a digest of a host's replica of the first partition.
func (c *testCluster) state(h *testHost) (hash uint64) {
	h.Inspect(0, func(m Machine) { hash = m.Hash() })
	return hash
}

// A log is kept for a follower that lives and is behind, and cut when that has come after.
func TestLogIsKeptForAFollower(t *testing.T) {
	c := newBootstrappedCluster(t, 1, 1)
	h := c.hosts[0]
	r := h.replicas[0].Load()
	const behind = 42 // a replica of which nothing is heard but what the test says
	later := time.Now().Add(time.Hour)
	r.followers.heard(behind, 3, later)
	fill := func() {
		for i := range 3 * logEntries / 2 {
			op := h.submit(0, setOp(1, uint64(i), 0))
			h.Flush(0)
			require.Equal(t, Applied, op.wait(t).what)
		}
	}
	first := func() uint64 {
		first, _, _, err := h.log.Bounds(r.shard, r.id)
		require.NoError(t, err)
		return first
	}
	fill()
	require.LessOrEqual(t, first(), uint64(4))
	require.Equal(t, uint64(3), h.mayTrim(r, r.applied.Load(), time.Now(), false))
	require.Equal(t, r.applied.Load(), h.mayTrim(r, r.applied.Load(), time.Now(), true), "not at any price")
	r.followers.heard(behind, r.applied.Load(), later)
	c.poke("the log is cut", func() bool { return first() > 4 && !h.logFull(r) }, func() { h.notify(r) })
}

// Followers that are silent, and such as the log cannot help any more, are not waited for.
func TestFollowers(t *testing.T) {
	var f followers
	start := time.Unix(1000, 0)
	_, ok := f.floor(0, start)
	require.False(t, ok)
	f.heard(1, 50, start)
	f.heard(2, 60, start)
	f.heard(2, 55, start) // an answer that came late
	f.heard(3, 0, start)  // it has nothing yet, as far as is known
	index, ok := f.floor(40, start)
	require.True(t, ok)
	require.EqualValues(t, 50, index)
	f.heard(1, 0, start.Add(aliveFor)) // it is there, and no further
	index, _ = f.floor(40, start.Add(aliveFor))
	require.EqualValues(t, 50, index)
	index, ok = f.floor(50, start.Add(aliveFor+1))
	require.True(t, ok)
	require.EqualValues(t, 50, index, "the others are silent")
	_, ok = f.floor(51, start.Add(aliveFor+1))
	require.False(t, ok, "the log begins after what it has")
	_, ok = f.floor(0, start.Add(3*aliveFor))
	require.False(t, ok)
	f.heard(9, 1, start.Add(3*aliveFor))
	require.Len(t, f.list, 1, "who is silent is forgotten")
}

// For a follower that is dead the log is kept no further than there is room.
func TestLogOfADeadFollower(t *testing.T) {
	c := newBootstrappedCluster(t, 3, 1)
	h := c.hosts[0]
	r := h.replicas[0].Load()
	h.logBudgetForTest(t, 3<<20)
	st, _ := h.Status(0)
	r.followers.heard(3, st.Applied, time.Now().Add(time.Hour)) // silent, and taken for alive for ever
	c.hosts[2].mute.Store(true)
	for i := range 6 << 20 / (64 << 10) {
		op := h.submit(0, paddedOp(1, uint64(i), 64<<10))
		h.Flush(0)
		require.Equal(t, Applied, op.wait(t).what)
	}
	c.poke("the logs are within the budget", func() bool { return h.log.TotalBytes() <= 3<<20 }, func() {})
	c.hosts[2].mute.Store(false)
}

// The longest log is kept for a state snapshot that is under way: beyond the budget the others are cut all the same.
func TestOtherLogsAreCutBesideOneThatIsKept(t *testing.T) {
	c := newBootstrappedCluster(t, 1, 2)
	h := c.hosts[0]
	fill := func(p, bytes int) {
		for i := range bytes / (64 << 10) {
			op := h.submit(p, paddedOp(1, uint64(i), 64<<10))
			h.Flush(p)
			require.Equal(t, Applied, op.wait(t).what)
		}
	}
	const behind = 42 // a replica of which nothing is heard but what the test says
	kept, other := h.replicas[0].Load(), h.replicas[1].Load()
	key := streamKey{kept.shard, behind}
	st, _ := h.stateSnapshots.begin(h.life, key)
	h.stateSnapshots.freeze(st, 1)
	defer h.stateSnapshots.end(key, st, nil)
	other.followers.heard(behind, 1, time.Now().Add(time.Hour)) // alive for ever
	fill(0, 5<<20)
	fill(1, 3<<20)
	require.True(t, h.logFull(other), "as long as there is room it is kept")
	h.logBudgetForTest(t, 6<<20)
	c.poke("the other log is cut", func() bool { return !h.logFull(other) }, func() {})
	first, _, _, err := h.log.Bounds(kept.shard, kept.id)
	require.NoError(t, err)
	require.LessOrEqual(t, first, uint64(2))
	require.NoError(t, st.ended())
}

// logBudgetForTest sets the budget of a host's logs. The loop reads it too.
func (h *testHost) logBudgetForTest(t *testing.T, bytes int64) {
	t.Helper()
	h.logBudget.Store(bytes)
}

// A stream for which too much of the log would have to be kept is ended.
func TestStreamEndsForWantOfRoom(t *testing.T) {
	c := newCluster(t, 4, 1)
	owner, learner := c.hosts[0], c.hosts[3]
	c.bootstrapThree()
	fill := func(bytes int) {
		t.Helper()
		for i := range bytes / (64 << 10) {
			op := owner.submit(0, paddedOp(1, uint64(i), 64<<10))
			owner.Flush(0)
			require.Equal(t, Applied, op.wait(t).what)
		}
	}
	fill(4 << 20)
	owner.logBudgetForTest(t, 3<<20)
	began, resume := learner.holdStateSnapshots()
	defer resume()
	c.join(0, 4, 3)
	<-began
	fill(8 << 20)
	require.ErrorIs(t, errLogTooLong, raftnet.ErrGiveUp, "nothing is wrong with the receiver")
	c.poke("the stream is to end", func() bool {
		owner.stateSnapshots.Lock()
		defer owner.stateSnapshots.Unlock()
		for _, st := range owner.stateSnapshots.byReplica {
			if st.ended() == nil {
				return false
			}
		}
		return true
	}, func() {})
	resume()
	c.poke("the logs are within the budget", func() bool { return owner.log.TotalBytes() <= 3<<20 }, func() {})
	c.caughtUp(0, 4, 3)
}
