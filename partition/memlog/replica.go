package memlog

import (
	"fmt"
	"sync"
	"sync/atomic"

	pb "github.com/lni/dragonboat/v4/raftpb"
)

// replica is all that is kept of one replica. Idle and without entries it takes about 200 bytes and its two records.
type replica struct {
	// What DB.Size reports: written with mu held, read without.
	count atomic.Int64
	bytes atomic.Int64

	mu struct {
		sync.Mutex
		removed       bool // it is no longer in the directory: look there again
		log           window
		state         pb.State // empty until one was saved
		snapshotIndex uint64

		// Records are kept marshalled, as on a disk: what dragonboat counts and maps in them is not shared, and they are small.
		snapshot  []byte
		bootstrap []byte
	}
}

// saveLocked takes over the state, the snapshot and the entries of u: all of them, or none and an error.
//
// A received snapshot replaces the log; one that is not newer than the last is passed over. Entries replace the log from the
// first of them on. REQUIRES: r.mu.
func (r *replica) saveLocked(u *pb.Update) error {
	// All is checked before anything is changed: a reader sees the whole update or nothing of it.
	end := r.mu.log.last()
	received := u.Snapshot.Index > r.mu.snapshotIndex
	if received {
		// The snapshot replaces the log, so the entries have to follow the snapshot.
		end = u.Snapshot.Index
	}

	if err := checkFollows(u.EntriesToSave, end); err != nil {
		return err
	}

	// These entries would replace the log again, and end before the snapshot.
	if n := len(u.EntriesToSave); received && n > 0 && u.EntriesToSave[n-1].Index < end {
		return fmt.Errorf("%w: entries up to %d with a snapshot at %d", ErrHole, u.EntriesToSave[n-1].Index, end)
	}

	// Nothing fails from here on.
	if !pb.IsEmptyState(u.State) {
		r.mu.state = u.State
	}
	if received {
		// In this order: entries of the same update go on behind the snapshot.
		r.setSnapshotLocked(&u.Snapshot)
		r.mu.log.reset(u.Snapshot.Index, u.Snapshot.Term)
	}
	if len(u.EntriesToSave) > 0 {
		r.mu.log.put(u.EntriesToSave)
	}
	return nil
}

// setSnapshotLocked records a snapshot. REQUIRES: r.mu.
func (r *replica) setSnapshotLocked(ss *pb.Snapshot) {
	r.mu.snapshot = pb.MustMarshal(ss)
	r.mu.snapshotIndex = ss.Index
}
