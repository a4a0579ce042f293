package raftnet

import (
	"encoding/hex"
	"errors"
	"testing"

	pb "github.com/lni/dragonboat/v4/raftpb"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

func chunkPayload(c *pb.Chunk, stateSnapshot bool) []byte {
	return append(appendChunkHead(nil, c, stateSnapshot), c.Data...)
}

func TestChunkRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := someChunk().Draw(t, "chunk")
		stateSnapshot := rapid.Bool().Draw(t, "state snapshot")
		head := appendChunkHead(nil, &c, stateSnapshot)
		require.LessOrEqual(t, len(head), chunkHeadBound(&c))
		payload := append(head, c.Data...)
		got, saysStateSnapshot, err := decodeChunk(payload)
		require.NoError(t, err)
		require.Equal(t, stateSnapshot, saysStateSnapshot)
		clear(payload)
		require.Equal(t, c, got)
	})
}

func goldenChunk() pb.Chunk {
	return pb.Chunk{
		ShardID: 4097, ReplicaID: 3, From: 1, ChunkId: 1, ChunkSize: 4, ChunkCount: 2, Data: []byte("data"), Index: 300, Term: 5,
		Membership: pb.Membership{ConfigChangeId: 3, Addresses: map[uint64]string{1: "a"}}, Filepath: "dir/file", FileSize: 8,
		DeploymentId: 7, FileChunkId: 1, FileChunkCount: 2, HasFileInfo: true,
		FileInfo: pb.SnapshotFile{Filepath: "f", FileSize: 1, FileId: 2}, BinVer: 210, OnDiskIndex: 299,
	}
}

const goldenChunkHex = "03" + "d201" + "07" + "8120" + "03" + "01" + "01" + "04" + "02" + "ac02" + "05" + "08" + "01" + "02" + "ab02" +
	"086469722f66696c65" + "03" + "02" + "010161" + "00" + "00" + "00" + "0166" + "01" + "02" + "00" + "64617461"

func TestChunkGolden(t *testing.T) {
	c := goldenChunk()
	require.Equal(t, goldenChunkHex, hex.EncodeToString(chunkPayload(&c, false)))
	require.Equal(t, "0b"+goldenChunkHex[2:], hex.EncodeToString(chunkPayload(&c, true)))
}

// FuzzDecodeChunk: any bytes are an error or a chunk, which has an encoding that means the same.
func FuzzDecodeChunk(f *testing.F) {
	c := goldenChunk()
	golden := chunkPayload(&c, true)
	for i := 0; i <= len(golden); i += 5 {
		f.Add(golden[:i])
	}
	f.Add(golden)
	f.Fuzz(func(t *testing.T, payload []byte) {
		c, stateSnapshot, err := decodeChunk(payload)
		if err != nil {
			if !errors.Is(err, wire.ErrMalformed) {
				t.Fatal(err)
			}
			return
		}
		var o chunkOrder
		o.admit(&c)
		again, sameStateSnapshot, err := decodeChunk(chunkPayload(&c, stateSnapshot))
		require.NoError(t, err)
		require.Equal(t, stateSnapshot, sameStateSnapshot)
		require.Equal(t, c, again)
	})
}
