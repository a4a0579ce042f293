package raftnet

import (
	"context"
	"net"
	"os"
	"testing"
	"time"

	"github.com/lni/dragonboat/v4/raftio"
	pb "github.com/lni/dragonboat/v4/raftpb"
	"github.com/stretchr/testify/require"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

func testChunk(id uint64) pb.Chunk {
	return pb.Chunk{ShardID: 1, ReplicaID: 2, From: 3, Index: 4, Term: 5, ChunkId: id, FileChunkId: id, Filepath: "/dir/a", ChunkCount: 3,
		BinVer: raftio.TransportBinVersion, DeploymentId: testDeployment, Data: make([]byte, 2<<20), ChunkSize: 2 << 20}
}

func TestChunks(t *testing.T) {
	// chunkStream returns a connection for chunks and what Serve at its other end will say.
	chunkStream := func(t *testing.T, cfg Config, r *received) (raftio.ISnapshotConnection, *Transport, <-chan error) {
		t.Helper()
		noLeaks(t)
		a, b := tcpPair(t)
		from := startedTransport(t, Config{Dial: dialing(a)}, newReceived())
		to := startedTransport(t, cfg, r)
		done := serving(to, b, helloChunks)
		c, err := from.GetSnapshotConnection(context.Background(), testTarget)
		require.NoError(t, err)
		t.Cleanup(c.Close)
		return c, to, done
	}
	t.Run("arrive", func(t *testing.T) {
		r := newReceived()
		c, to, done := chunkStream(t, Config{Hosts: func(shard, replica uint64) bool { return shard == 1 && replica == 2 }}, r)
		for i := range uint64(3) {
			require.NoError(t, c.SendChunk(testChunk(i)))
		}
		c.Close()
		require.NoError(t, next(t, done))
		for i := range uint64(3) {
			require.Equal(t, testChunk(i), next(t, r.chunks))
		}
		require.Equal(t, uint64(3), to.Stats().ReceivedChunks)
	})
	t.Run("handler refuses", func(t *testing.T) {
		r := newReceived()
		r.accept = false
		c, _, done := chunkStream(t, Config{}, r)
		require.NoError(t, c.SendChunk(testChunk(0)))
		require.ErrorIs(t, next(t, done), errChunk)
		c.(*chunkConn).done.Wait() // the sender notices by itself
		require.ErrorIs(t, c.(*chunkConn).cause(), errPeerClosed)
		require.NoError(t, c.SendChunk(testChunk(1)), "the process is not to blame")
		require.Len(t, r.chunks, 1)
	})
	t.Run("not hosted", func(t *testing.T) {
		r := newReceived()
		c, to, done := chunkStream(t, Config{Hosts: func(uint64, uint64) bool { return false }}, r)
		require.NoError(t, c.SendChunk(testChunk(0)))
		require.ErrorIs(t, next(t, done), errChunk)
		require.Empty(t, r.chunks)
		require.Equal(t, uint64(1), to.Stats().Refused)
	})
	t.Run("out of order", func(t *testing.T) {
		r := newReceived()
		c, to, done := chunkStream(t, Config{}, r)
		require.NoError(t, c.SendChunk(testChunk(1)))
		require.ErrorIs(t, next(t, done), errChunkOrder)
		require.Empty(t, r.chunks)
		require.Equal(t, uint64(1), to.Stats().Refused)
	})
	t.Run("other deployment", func(t *testing.T) {
		c, _, done := chunkStream(t, Config{}, newReceived())
		chunk := testChunk(0)
		chunk.DeploymentId++
		require.NoError(t, c.SendChunk(chunk))
		require.ErrorIs(t, next(t, done), wire.ErrMalformed)
	})
	t.Run("too large", func(t *testing.T) {
		c, _, _ := chunkStream(t, Config{}, newReceived())
		chunk := testChunk(0)
		chunk.Data = make([]byte, maxFrame)
		require.ErrorIs(t, c.SendChunk(chunk), wire.ErrTooLarge)
	})
	t.Run("stalled", func(t *testing.T) {
		noLeaks(t)
		a, b := net.Pipe()
		defer b.Close()
		from := startedTransport(t, Config{Dial: dialing(a), WriteTimeout: 50 * time.Millisecond}, newReceived())
		c, err := from.GetSnapshotConnection(context.Background(), testTarget)
		require.NoError(t, err)
		defer c.Close()
		require.NoError(t, c.SendChunk(testChunk(0)))
		require.ErrorIs(t, c.(*chunkConn).cause(), os.ErrDeadlineExceeded)
		require.NoError(t, c.SendChunk(testChunk(1)))
	})
}
