package raftnet

import (
	pb "github.com/lni/dragonboat/v4/raftpb"
	"pgregory.net/rapid"
)

// number is mostly small, as indexes and IDs are, and sometimes anything.
func number() *rapid.Generator[uint64] {
	return rapid.OneOf(rapid.Just(uint64(0)), rapid.Uint64Range(1, 300), rapid.Uint64())
}

func someBytes() *rapid.Generator[[]byte] {
	return rapid.OneOf(rapid.Just([]byte(nil)), rapid.Just([]byte{}), rapid.SliceOfN(rapid.Byte(), 1, 40))
}

func someEntry() *rapid.Generator[pb.Entry] {
	return rapid.Custom(func(t *rapid.T) pb.Entry {
		return pb.Entry{
			Term: number().Draw(t, "term"), Index: number().Draw(t, "index"),
			Type: pb.EntryType(rapid.OneOf(rapid.Int32Range(0, 3), rapid.Int32()).Draw(t, "type")),
			Key:  number().Draw(t, "key"), ClientID: number().Draw(t, "client"), SeriesID: number().Draw(t, "series"),
			RespondedTo: number().Draw(t, "responded"), Cmd: someBytes().Draw(t, "cmd"),
		}
	})
}

// someEntries are consecutive, as in a log, half of the time.
func someEntries() *rapid.Generator[[]pb.Entry] {
	return rapid.Custom(func(t *rapid.T) []pb.Entry {
		entries := rapid.OneOf(rapid.Just([]pb.Entry(nil)), rapid.SliceOfN(someEntry(), 0, 5)).Draw(t, "entries")
		if rapid.Bool().Draw(t, "consecutive") {
			for i := range entries {
				entries[i].Index, entries[i].Term = 10+uint64(i), 3
			}
		}
		return entries
	})
}

func someAddresses() *rapid.Generator[map[uint64]string] {
	return rapid.OneOf(rapid.Just(map[uint64]string(nil)), rapid.MapOfN(number(), rapid.StringN(0, 20, 60), 0, 4))
}

func someMembership() *rapid.Generator[pb.Membership] {
	return rapid.Custom(func(t *rapid.T) pb.Membership {
		return pb.Membership{
			ConfigChangeId: number().Draw(t, "ccid"), Addresses: someAddresses().Draw(t, "addresses"),
			Removed:    rapid.OneOf(rapid.Just(map[uint64]bool(nil)), rapid.MapOfN(number(), rapid.Bool(), 0, 4)).Draw(t, "removed"),
			NonVotings: someAddresses().Draw(t, "learners"), Witnesses: someAddresses().Draw(t, "witnesses"),
		}
	})
}

func someFile() *rapid.Generator[pb.SnapshotFile] {
	return rapid.Custom(func(t *rapid.T) pb.SnapshotFile {
		return pb.SnapshotFile{
			Filepath: rapid.String().Draw(t, "path"), FileSize: number().Draw(t, "size"), FileId: number().Draw(t, "id"),
			Metadata: someBytes().Draw(t, "metadata"),
		}
	})
}

func someSnapshot() *rapid.Generator[pb.Snapshot] {
	return rapid.Custom(func(t *rapid.T) pb.Snapshot {
		var files []*pb.SnapshotFile
		if rapid.Bool().Draw(t, "files") {
			files = []*pb.SnapshotFile{}
			for _, f := range rapid.SliceOfN(someFile(), 0, 3).Draw(t, "list") {
				files = append(files, &f)
			}
		}
		return pb.Snapshot{
			Filepath: rapid.String().Draw(t, "path"), FileSize: number().Draw(t, "size"), Index: number().Draw(t, "index"),
			Term: number().Draw(t, "term"), Membership: someMembership().Draw(t, "membership"), Files: files,
			Checksum: someBytes().Draw(t, "checksum"), Dummy: rapid.Bool().Draw(t, "dummy"), ShardID: number().Draw(t, "shard"),
			Type: pb.StateMachineType(rapid.Int32().Draw(t, "type")), Imported: rapid.Bool().Draw(t, "imported"),
			OnDiskIndex: number().Draw(t, "ondisk"), Witness: rapid.Bool().Draw(t, "witness"),
		}
	})
}

func someMessage() *rapid.Generator[pb.Message] {
	return rapid.Custom(func(t *rapid.T) pb.Message {
		m := pb.Message{
			Type: pb.MessageType(rapid.OneOf(rapid.Int32Range(0, 28), rapid.Int32()).Draw(t, "type")),
			To:   number().Draw(t, "to"), From: number().Draw(t, "from"), ShardID: number().Draw(t, "shard"),
			Term: number().Draw(t, "term"), LogTerm: number().Draw(t, "logterm"), LogIndex: number().Draw(t, "logindex"),
			Commit: number().Draw(t, "commit"), Reject: rapid.Bool().Draw(t, "reject"), Hint: number().Draw(t, "hint"),
			Entries: someEntries().Draw(t, "entries"), HintHigh: number().Draw(t, "high"),
		}
		if rapid.Bool().Draw(t, "snapshot") {
			m.Snapshot = someSnapshot().Draw(t, "snapshot")
		}
		return m
	})
}

func someChunk() *rapid.Generator[pb.Chunk] {
	return rapid.Custom(func(t *rapid.T) pb.Chunk {
		return pb.Chunk{
			ShardID: number().Draw(t, "shard"), ReplicaID: number().Draw(t, "replica"), From: number().Draw(t, "from"),
			ChunkId: number().Draw(t, "id"), ChunkSize: number().Draw(t, "size"), ChunkCount: number().Draw(t, "count"),
			Data: someBytes().Draw(t, "data"), Index: number().Draw(t, "index"), Term: number().Draw(t, "term"),
			Membership: someMembership().Draw(t, "membership"), Filepath: rapid.String().Draw(t, "path"),
			FileSize: number().Draw(t, "filesize"), DeploymentId: number().Draw(t, "deployment"),
			FileChunkId: number().Draw(t, "filechunk"), FileChunkCount: number().Draw(t, "filechunks"),
			HasFileInfo: rapid.Bool().Draw(t, "hasinfo"), FileInfo: someFile().Draw(t, "info"),
			BinVer: rapid.Uint32().Draw(t, "binver"), OnDiskIndex: number().Draw(t, "ondisk"), Witness: rapid.Bool().Draw(t, "witness"),
		}
	})
}
