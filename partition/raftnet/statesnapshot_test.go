package raftnet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"github.com/lni/dragonboat/v4"
	"github.com/lni/dragonboat/v4/config"
	pb "github.com/lni/dragonboat/v4/raftpb"
	"github.com/stretchr/testify/require"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// testSnapshots sends bytes and keeps what comes.
type testSnapshots struct {
	send  []byte
	err   error // of both
	read  int64 // how much is read of what comes; 0: all
	taken chan []byte

	done   bool // the receiver has been given one already
	giveUp bool // in the midst
	closed []error
	heard  [][4]uint64
}

func (i *testSnapshots) Outgoing(_ <-chan struct{}, of Request) (StateSnapshot, error) {
	first := testChunk(0)
	if of.Shard != 1 || of.From != 3 || of.To != 2 || of.Index != first.Index || of.Term != first.Term {
		return nil, errors.New("another replica")
	}
	if i.err != nil || i.done {
		return nil, i.err
	}
	return &testSnapshot{i, bytes.NewReader(i.send)}, nil
}

func (i *testSnapshots) Heard(shard, replica, from, index uint64, _ time.Time) {
	i.heard = append(i.heard, [4]uint64{shard, replica, from, index})
}

// testSnapshot is what testSnapshots sends.
type testSnapshot struct {
	of *testSnapshots
	*bytes.Reader
}

// snapshotMembers belong to the group where a testSnapshot ends.
var snapshotMembers = pb.Membership{ConfigChangeId: 8, Addresses: map[uint64]string{3: "c", 4: "d"}, NonVotings: map[uint64]string{2: "b"},
	Removed: map[uint64]bool{1: true}}

func (i *testSnapshot) At() (index, term uint64, members pb.Membership) { return 9, 7, snapshotMembers }

func (i *testSnapshot) WriteTo(w io.Writer) (int64, error) {
	n, err := i.Reader.WriteTo(w)
	if i.of.giveUp && err == nil {
		err = ErrGiveUp
	}
	return n, err
}

func (i *testSnapshot) Close(err error) { i.of.closed = append(i.of.closed, err) }

func (i *testSnapshots) Incoming(shard, replica uint64, src io.Reader) error {
	if i.err != nil || shard != 1 || replica != 2 {
		return errors.Join(errors.New("not wanted"), i.err)
	}
	if i.read > 0 {
		src = io.LimitReader(src, i.read)
	}
	b, err := io.ReadAll(src)
	if err == nil {
		i.taken <- b
	}
	return err
}

func TestStateSnapshotsGoInPlaceOfRaftSnapshots(t *testing.T) {
	stateSnapshot := bytes.Repeat([]byte("state snapshot"), 200_000)
	// stream sends a snapshot's three chunks and returns what came of that at both ends.
	stream := func(t *testing.T, from, to *testSnapshots) (r *received, sent, served error) {
		t.Helper()
		noLeaks(t)
		r = newReceived()
		a, b := tcpPair(t)
		source := startedTransport(t, Config{Dial: dialing(a)}, newReceived())
		target := startedTransport(t, Config{}, r)
		if from != nil {
			source.Carry(from)
		}
		if to != nil {
			to.taken = make(chan []byte, 1)
			target.Carry(to)
		}
		done := serving(target, b, helloChunks)
		c, err := source.GetSnapshotConnection(context.Background(), testTarget)
		require.NoError(t, err)
		for i := range uint64(3) {
			sent = errors.Join(sent, c.SendChunk(testChunk(i)))
		}
		c.Close()
		return r, sent, next(t, done)
	}
	t.Run("arrive", func(t *testing.T) {
		to := &testSnapshots{}
		r, sent, served := stream(t, &testSnapshots{send: stateSnapshot}, to)
		require.NoError(t, sent)
		require.NoError(t, served)
		require.Equal(t, stateSnapshot, next(t, to.taken))
		first := testChunk(0)
		c := next(t, r.chunks)
		require.Empty(t, r.chunks, "one chunk stands for all")
		require.True(t, c.Witness && c.IsLastChunk() && c.ChunkId == 0)
		require.Equal(t, []uint64{first.ShardID, first.ReplicaID, first.From}, []uint64{c.ShardID, c.ReplicaID, c.From})
		require.Equal(t, []uint64{9, 7}, []uint64{c.Index, c.Term}, "those of the state snapshot, which was made later")
		require.Equal(t, snapshotMembers, c.Membership)
		require.Zero(t, c.OnDiskIndex)
	})
	t.Run("are released", func(t *testing.T) {
		from := &testSnapshots{send: stateSnapshot}
		_, sent, _ := stream(t, from, &testSnapshots{})
		require.NoError(t, sent)
		require.Equal(t, []error{nil}, from.closed)
	})
	t.Run("sent for another request", func(t *testing.T) {
		r, sent, served := stream(t, &testSnapshots{done: true}, &testSnapshots{})
		require.NoError(t, sent)
		require.NoError(t, served)
		require.Empty(t, r.chunks)
	})
	t.Run("no longer wanted", func(t *testing.T) {
		from := &testSnapshots{send: stateSnapshot, giveUp: true}
		r, sent, served := stream(t, from, &testSnapshots{})
		require.NoError(t, sent, "nobody is to blame")
		require.ErrorIs(t, served, io.ErrUnexpectedEOF)
		require.Empty(t, r.chunks)
		require.Len(t, from.closed, 1)
		require.ErrorIs(t, from.closed[0], ErrGiveUp)
	})
	t.Run("not to be had", func(t *testing.T) {
		r, sent, served := stream(t, &testSnapshots{err: fmt.Errorf("%w: the group has no majority", ErrGiveUp)}, &testSnapshots{})
		require.NoError(t, sent, "the receiver is not to blame")
		require.NoError(t, served)
		require.Empty(t, r.chunks)
	})
	t.Run("refused by the source", func(t *testing.T) {
		r, sent, served := stream(t, &testSnapshots{err: errors.New("stopped")}, &testSnapshots{})
		require.NoError(t, sent, "the receiver is not to blame")
		require.NoError(t, served)
		require.Empty(t, r.chunks)
	})
	t.Run("refused by the target", func(t *testing.T) {
		r, sent, served := stream(t, &testSnapshots{send: stateSnapshot}, &testSnapshots{err: errors.New("stopped")})
		require.NoError(t, sent, "its other replicas are not to blame")
		require.ErrorContains(t, served, "stopped")
		require.Empty(t, r.chunks, "the NodeHost hears of no snapshot without its state snapshot")
	})
	t.Run("not read to its end", func(t *testing.T) {
		r, _, served := stream(t, &testSnapshots{send: stateSnapshot}, &testSnapshots{read: 100})
		require.ErrorIs(t, served, wire.ErrMalformed)
		require.Empty(t, r.chunks)
	})
	t.Run("not expected", func(t *testing.T) {
		r, _, served := stream(t, &testSnapshots{send: stateSnapshot}, nil)
		require.ErrorIs(t, served, wire.ErrMalformed)
		require.Empty(t, r.chunks)
	})
	t.Run("missing", func(t *testing.T) {
		r, _, served := stream(t, nil, &testSnapshots{})
		require.ErrorIs(t, served, wire.ErrMalformed)
		require.Empty(t, r.chunks)
	})
	t.Run("cut off", func(t *testing.T) {
		noLeaks(t)
		r := newReceived()
		a, b := tcpPair(t)
		target := startedTransport(t, Config{}, r)
		target.Carry(&testSnapshots{taken: make(chan []byte, 1)})
		done := serving(target, b, helloChunks)
		_, err := a.Write(unfinishedStateSnapshot())
		require.NoError(t, err)
		require.NoError(t, a.Close())
		require.ErrorIs(t, next(t, done), io.ErrUnexpectedEOF)
		require.Empty(t, r.chunks)
	})
	t.Run("from a sender that is frozen", func(t *testing.T) {
		noLeaks(t)
		r := newReceived()
		a, b := tcpPair(t)
		target := startedTransport(t, Config{WriteTimeout: 50 * time.Millisecond}, r)
		target.Carry(&testSnapshots{taken: make(chan []byte, 1)})
		done := serving(target, b, helloChunks)
		_, err := a.Write(unfinishedStateSnapshot())
		require.NoError(t, err)
		require.ErrorIs(t, next(t, done), os.ErrDeadlineExceeded, "the replica is free for another's state snapshot")
		require.Empty(t, r.chunks)
	})
}

// What followers answer is told of: how far they are, or only that they are there.
func TestFollowersAreHeard(t *testing.T) {
	stateSnapshots := &testSnapshots{}
	tr := startedTransport(t, Config{}, newReceived())
	tr.stateSnapshots = stateSnapshots
	tr.deliver([]pb.Message{
		{Type: pb.ReplicateResp, ShardID: 1, To: 2, From: 3, LogIndex: 40, Term: 1},
		{Type: pb.ReplicateResp, ShardID: 1, To: 2, From: 4, LogIndex: 41, Hint: 5, Reject: true, Term: 1},
		{Type: pb.HeartbeatResp, ShardID: 5, To: 6, From: 7, Term: 1},
		{Type: pb.Heartbeat, ShardID: 5, To: 6, From: 8, Term: 1},
	})
	require.Equal(t, [][4]uint64{{1, 2, 3, 40}, {1, 2, 4, 0}, {5, 6, 7, 0}}, stateSnapshots.heard)
}

// carriedMachine is a member's machine as what its transport carries.
type carriedMachine struct{ m *testMember }

func (c carriedMachine) Heard(_, _, _, _ uint64, _ time.Time) {}

func (c carriedMachine) Outgoing(_ <-chan struct{}, of Request) (StateSnapshot, error) {
	machine := c.m.machine.Load()
	view, err := machine.PrepareSnapshot()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := machine.SaveSnapshot(view, &b, nil); err != nil {
		return nil, err
	}
	return machineSnapshot{of, &b}, nil
}

// machineSnapshot is the state snapshot of a carriedMachine that is at least as new as was asked for.
type machineSnapshot struct {
	of Request
	*bytes.Buffer
}

func (i machineSnapshot) At() (index, term uint64, members pb.Membership) {
	return i.of.Index, i.of.Term, i.of.Membership
}

func (machineSnapshot) Close(error) {}

func (c carriedMachine) Incoming(_, _ uint64, src io.Reader) error {
	return c.m.machine.Load().RecoverFromSnapshot(src, nil)
}

// The real thing: a learner gets a state snapshot in place of a snapshot, follows, is made a voter and elected, and gives another a state snapshot,
// although the only snapshot that it knows itself has no data.
func TestStateSnapshotsFromHandToHand(t *testing.T) {
	n := newTestNet()
	cfg := config.Config{ElectionRTT: 20, HeartbeatRTT: 2}
	members := make([]*testMember, 4)
	replicas := map[uint64]string{}
	for i := range members {
		members[i] = newCarryingMember(t, n, 20)
		replicas[uint64(i+1)] = members[i].id
	}
	for _, m := range members {
		m.registry.SetAll(targets(replicas))
	}
	first := members[0]
	first.start(t, 1, map[uint64]string{1: first.id}, cfg)
	injectUntilLed(t, members, 1, 0, 1)
	const commands = 50
	for i := range commands {
		propose(t, first, command(i, 64<<10))
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err := first.nh.SyncRequestSnapshot(ctx, testShard, dragonboat.SnapshotOption{OverrideCompactionOverhead: true, CompactionOverhead: 1})
	require.NoError(t, err)

	// join gives a member a replica, from whoever leads.
	join := func(leader *testMember, replica uint64) {
		t.Helper()
		m := members[replica-1]
		learner := cfg
		learner.IsNonVoting = true
		m.start(t, replica, nil, learner)
		membership, err := leader.nh.SyncGetShardMembership(ctx, testShard)
		require.NoError(t, err)
		require.NoError(t, leader.nh.SyncRequestAddNonVoting(ctx, testShard, replica, m.id, membership.ConfigChangeID))
		awaitApplied(t, m, commands)
		// The state is there a moment before its chunk is counted.
		require.Eventually(t, func() bool { return m.tr.Stats().ReceivedChunks > 0 }, patience, time.Millisecond, "by a state snapshot")
	}
	join(first, 2)
	join(first, 3)
	for _, replica := range []uint64{2, 3} {
		membership, err := first.nh.SyncGetShardMembership(ctx, testShard)
		require.NoError(t, err)
		require.NoError(t, first.nh.SyncRequestAddReplica(ctx, testShard, replica, members[replica-1].id, membership.ConfigChangeID))
	}
	_, term, ok, err := first.nh.GetLeaderID(testShard)
	require.NoError(t, err)
	require.True(t, ok)
	injectUntilLed(t, members[:3], 2, 1, term)
	propose(t, members[1], command(0, 10)) // which is there: until it has committed something it answers nothing
	join(members[1], 4)
	propose(t, members[1], command(commands, 10))
	for _, m := range members[:4] {
		awaitApplied(t, m, commands+1)
		require.Equal(t, first.machine.Load().keys(), m.machine.Load().keys())
	}
}

// unfinishedStateSnapshot returns the frames of a state snapshot of which one piece was sent.
func unfinishedStateSnapshot() []byte {
	first := testChunk(0)
	first.Data = nil
	frame := appendChunkHead(openFrame(nil), &first, true)
	closeFrame(frame, 0, nil)
	piece := append(openFrame(nil), "a piece"...)
	closeFrame(piece, 0, nil)
	return append(frame, piece...)
}
