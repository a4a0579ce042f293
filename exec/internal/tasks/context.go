package tasks

import (
	"iter"

	"github.com/gridiron-io/gridiron/sdk"
)

// Context has the methods of exec.TaskContext, which documents them.
type Context interface {
	Member() sdk.Member
	Client() *sdk.Client
	Key() any
	Attempt() int
	Fence() uint64
}

// RawEntry is one entry of a map as it is stored.
type RawEntry struct {
	Key   []byte // msgpack
	Value []byte // msgpack
}

// LocalReader is how exec.Local reaches the entries. The Context that a member makes implements it.
type LocalReader interface {
	// LocalEntries yields the entries of a map in the partitions that the task's member owns, until the task's context ends. The
	// slices stay unchanged only until the yield returns.
	LocalEntries(mapName string) iter.Seq2[RawEntry, error]
}
