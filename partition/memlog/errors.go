package memlog

import "errors"

var (
	// ErrClosed is returned by a DB that was closed.
	ErrClosed = errors.New("the in-memory log is closed")

	// ErrTaken is returned by a factory whose DB already belongs to a NodeHost.
	ErrTaken = errors.New("the in-memory log already belongs to a NodeHost")

	// ErrOnDisk is returned by a factory that would serve a NodeHost with files on a disk.
	ErrOnDisk = errors.New("a NodeHost with an in-memory log needs an in-memory file system")

	// ErrHole is returned for entries or a snapshot after which the log would not be contiguous. Raft never produces them.
	ErrHole = errors.New("the log would have a hole")

	// ErrNoReplica is returned by Tail for a replica that the DB does not know.
	ErrNoReplica = errors.New("no such replica")

	// ErrCompacted is returned by Tail for an index that was removed from the log.
	ErrCompacted = errors.New("compacted")
)
