package raftnet

import (
	"encoding/binary"

	pb "github.com/lni/dragonboat/v4/raftpb"
)

// A chunk's payload is flags · uvarints in the order of appendChunkHead · path · membership · file info, four zero bytes
// where there is none · the data up to the payload's end.
const (
	chunkData uint8 = 1 << iota // not nil
	chunkFileInfo
	chunkWitness
	chunkStateSnapshot // frames of a state snapshot follow
	chunkUnknown
)

// appendChunkHead appends c without its data, which follows directly; stateSnapshot says whether one follows that.
func appendChunkHead(dst []byte, c *pb.Chunk, stateSnapshot bool) []byte {
	var flags uint8
	if c.Data != nil {
		flags |= chunkData
	}
	if c.HasFileInfo {
		flags |= chunkFileInfo
	}
	if c.Witness {
		flags |= chunkWitness
	}
	if stateSnapshot {
		flags |= chunkStateSnapshot
	}

	// In the order in which decodeChunk reads.
	dst = append(dst, flags)
	for _, v := range [...]uint64{
		uint64(c.BinVer), c.DeploymentId, c.ShardID, c.ReplicaID, c.From, c.ChunkId, c.ChunkSize, c.ChunkCount, c.Index, c.Term,
		c.FileSize, c.FileChunkId, c.FileChunkCount, c.OnDiskIndex,
	} {
		dst = binary.AppendUvarint(dst, v)
	}

	dst = appendText(dst, c.Filepath)
	dst = appendMembership(dst, &c.Membership)
	return appendFile(dst, &c.FileInfo)
}

// decodeChunk reads a chunk's payload. The chunk aliases nothing of it: a NodeHost keeps the first chunk of a snapshot
// until the last one has come.
func decodeChunk(payload []byte) (c pb.Chunk, stateSnapshot bool, err error) {
	d := newDecoder(payload)
	flags := d.byte()
	if flags >= chunkUnknown {
		// A flag that this version does not know may announce bytes that it cannot read.
		d.fail(errFlags)
	}
	c.HasFileInfo, c.Witness, stateSnapshot = flags&chunkFileInfo != 0, flags&chunkWitness != 0, flags&chunkStateSnapshot != 0

	c.BinVer, c.DeploymentId = d.uint32(), d.uvarint()
	c.ShardID, c.ReplicaID, c.From = d.uvarint(), d.uvarint(), d.uvarint()
	c.ChunkId, c.ChunkSize, c.ChunkCount = d.uvarint(), d.uvarint(), d.uvarint()
	c.Index, c.Term = d.uvarint(), d.uvarint()
	c.FileSize, c.FileChunkId, c.FileChunkCount = d.uvarint(), d.uvarint(), d.uvarint()
	c.OnDiskIndex = d.uvarint()
	c.Filepath = d.text()
	d.membership(&c.Membership)
	d.file(&c.FileInfo)

	switch {
	case d.err != nil:
		return pb.Chunk{}, false, d.err
	case flags&chunkData != 0:
		c.Data = append(make([]byte, 0, len(d.b)), d.b...)
	case len(d.b) != 0:
		// The flags deny the data that follows.
		return pb.Chunk{}, false, errFlags
	}
	return c, stateSnapshot, nil
}

func chunkHeadBound(c *pb.Chunk) int {
	// The first part covers all numbers and flags at their longest.
	return 256 + len(c.Filepath) + membershipBound(&c.Membership) + fileBound(&c.FileInfo)
}
