package raftnet

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"github.com/lni/dragonboat/v4"
	"github.com/lni/dragonboat/v4/config"
	"github.com/stretchr/testify/require"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// testImages sends bytes and keeps what comes.
type testImages struct {
	send  []byte
	err   error // of both
	read  int64 // how much is read of what comes; 0: all
	taken chan []byte
}

func (i *testImages) Outgoing(shard, replica uint64) (io.WriterTo, error) {
	if shard != 1 || replica != 3 {
		return nil, errors.New("another replica")
	}
	return bytes.NewBuffer(i.send), i.err
}

func (i *testImages) Incoming(shard, replica uint64, src io.Reader) error {
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

func TestImagesGoInPlaceOfSnapshots(t *testing.T) {
	image := bytes.Repeat([]byte("image"), 200_000)
	// stream sends a snapshot's three chunks and returns what came of that at both ends.
	stream := func(t *testing.T, from, to *testImages) (r *received, sent, served error) {
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
		to := &testImages{}
		r, sent, served := stream(t, &testImages{send: image}, to)
		require.NoError(t, sent)
		require.NoError(t, served)
		require.Equal(t, image, next(t, to.taken))
		first := testChunk(0)
		c := next(t, r.chunks)
		require.Empty(t, r.chunks, "one chunk stands for all")
		require.True(t, c.Witness && c.IsLastChunk() && c.ChunkId == 0)
		require.Equal(t, []uint64{first.ShardID, first.ReplicaID, first.From, first.Index, first.Term}, []uint64{c.ShardID, c.ReplicaID, c.From, c.Index, c.Term})
		require.Zero(t, c.OnDiskIndex)
	})
	t.Run("refused by the source", func(t *testing.T) {
		r, sent, served := stream(t, &testImages{err: errors.New("stopped")}, &testImages{})
		require.ErrorContains(t, sent, "stopped")
		require.NoError(t, served)
		require.Empty(t, r.chunks)
	})
	t.Run("refused by the target", func(t *testing.T) {
		r, _, served := stream(t, &testImages{send: image}, &testImages{err: errors.New("stopped")})
		require.ErrorContains(t, served, "stopped")
		require.Empty(t, r.chunks, "the NodeHost hears of no snapshot without its image")
	})
	t.Run("not read to its end", func(t *testing.T) {
		r, _, served := stream(t, &testImages{send: image}, &testImages{read: 100})
		require.ErrorIs(t, served, wire.ErrMalformed)
		require.Empty(t, r.chunks)
	})
	t.Run("not expected", func(t *testing.T) {
		r, _, served := stream(t, &testImages{send: image}, nil)
		require.ErrorIs(t, served, wire.ErrMalformed)
		require.Empty(t, r.chunks)
	})
	t.Run("missing", func(t *testing.T) {
		r, _, served := stream(t, nil, &testImages{})
		require.ErrorIs(t, served, wire.ErrMalformed)
		require.Empty(t, r.chunks)
	})
	t.Run("cut off", func(t *testing.T) {
		noLeaks(t)
		r := newReceived()
		a, b := tcpPair(t)
		target := startedTransport(t, Config{}, r)
		target.Carry(&testImages{taken: make(chan []byte, 1)})
		done := serving(target, b, helloChunks)
		first := testChunk(0)
		first.Data = nil
		frame := appendChunkHead(openFrame(nil), &first, true)
		closeFrame(frame, 0, nil)
		piece := append(openFrame(nil), "a piece"...)
		closeFrame(piece, 0, nil)
		_, err := a.Write(append(frame, piece...))
		require.NoError(t, err)
		require.NoError(t, a.Close())
		require.ErrorIs(t, next(t, done), io.ErrUnexpectedEOF)
		require.Empty(t, r.chunks)
	})
}

// carriedMachine is a member's machine as what its transport carries.
type carriedMachine struct{ m *testMember }

func (c carriedMachine) Outgoing(uint64, uint64) (io.WriterTo, error) {
	machine := c.m.machine.Load()
	view, err := machine.PrepareSnapshot()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := machine.SaveSnapshot(view, &b, nil); err != nil {
		return nil, err
	}
	return &b, nil
}

func (c carriedMachine) Incoming(_, _ uint64, src io.Reader) error {
	return c.m.machine.Load().RecoverFromSnapshot(src, nil)
}

// The real thing: a learner gets an image in place of a snapshot, follows, is made a voter and elected, and gives another an image,
// although the only snapshot that it knows itself has no data.
func TestImagesFromHandToHand(t *testing.T) {
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
	founder := members[0]
	founder.start(t, 1, map[uint64]string{1: founder.id}, cfg)
	injectUntilLed(t, members, 1, 0, 1)
	const commands = 50
	for i := range commands {
		propose(t, founder, command(i, 64<<10))
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err := founder.nh.SyncRequestSnapshot(ctx, testShard, dragonboat.SnapshotOption{OverrideCompactionOverhead: true, CompactionOverhead: 1})
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
		require.NotZero(t, m.tr.Stats().ReceivedChunks, "by an image")
	}
	join(founder, 2)
	join(founder, 3)
	for _, replica := range []uint64{2, 3} {
		membership, err := founder.nh.SyncGetShardMembership(ctx, testShard)
		require.NoError(t, err)
		require.NoError(t, founder.nh.SyncRequestAddReplica(ctx, testShard, replica, members[replica-1].id, membership.ConfigChangeID))
	}
	_, term, ok, err := founder.nh.GetLeaderID(testShard)
	require.NoError(t, err)
	require.True(t, ok)
	injectUntilLed(t, members[:3], 2, 1, term)
	propose(t, members[1], command(0, 10)) // which is there: until it has committed something it answers nothing
	join(members[1], 4)
	propose(t, members[1], command(commands, 10))
	for _, m := range members[:4] {
		awaitApplied(t, m, commands+1)
		require.Equal(t, founder.machine.Load().keys(), m.machine.Load().keys())
	}
}
