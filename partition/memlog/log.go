package memlog

import (
	"errors"
	"fmt"

	"github.com/lni/dragonboat/v4/raftio"
	pb "github.com/lni/dragonboat/v4/raftpb"
)

// SaveRaftState saves the hard state, the received snapshot and the entries of each update, in their order, each update as a
// whole: a reader sees all of it or nothing.
//
// Entries replace the log from the first of them on; those before it stay. A received snapshot replaces the log. An update that
// would leave a hole is ErrHole; it and those after it are not saved. The NodeHost ends its process on any error.
//
// The entries are copied, their Cmd is shared (see the package comment). Step workers call it, one goroutine per workerID, with
// updates of different replicas; neither matters here.
func (db *DB) SaveRaftState(updates []pb.Update, workerID uint64) error {
	for i := range updates {
		u := &updates[i]
		if len(u.EntriesToSave) == 0 && pb.IsEmptyState(u.State) && pb.IsEmptySnapshot(u.Snapshot) {
			continue // messages only: by far the most
		}
		if err := db.save(u); err != nil {
			// The NodeHost ends its process, so the updates that were saved before are never used without the rest.
			return fmt.Errorf("save shard %d replica %d: %w", u.ShardID, u.ReplicaID, err)
		}
	}

	// At the end of the round, when the worker has nothing left to save.
	if f := db.saved.Load(); f != nil {
		(*f)(workerID)
	}
	return nil
}

func (db *DB) save(u *pb.Update) error {
	r, err := db.lockOrAdd(u.ShardID, u.ReplicaID)
	if err != nil {
		return err
	}
	defer r.mu.Unlock()

	if err := r.saveLocked(u); err != nil {
		return err
	}
	// Inside the lock, so that the counts follow the changes in their order.
	db.countLocked(r)
	return nil
}

// IterateEntries appends the entries in [low, high) to ents and adds their sizes to size. It stops after the entry with which
// size exceeds maxSize, so that there is always one if there is any: dragonboat takes a size above maxSize for "there is
// more" and drops the last one itself. Where low is not in the log there are none.
//
// What is appended is the caller's, except for the bytes of Cmd. Sizes are dragonboat's own estimate, not those of Size.
func (db *DB) IterateEntries(ents []pb.Entry, size uint64, shardID, replicaID, low, high, maxSize uint64) ([]pb.Entry, uint64, error) {
	r, err := db.lock(shardID, replicaID)
	if err != nil {
		return nil, 0, err
	}
	if r == nil {
		return ents, size, nil
	}
	defer r.mu.Unlock()

	found := r.mu.log.between(low, high)
	n := 0
	for n < len(found) {
		size += uint64(found[n].SizeUpperLimit())
		n++
		if size > maxSize {
			// The library takes a size beyond maxSize as the sign that there is more.
			break
		}
	}
	return append(ents, found[:n]...), size, nil
}

// ReadRaftState returns the hard state and which entries there are from snapshotIndex on, that of the last snapshot included if
// it is still there. Without any, FirstIndex is snapshotIndex and EntryCount 0. It returns raftio.ErrNoSavedLog while no hard
// state was saved.
func (db *DB) ReadRaftState(shardID, replicaID, snapshotIndex uint64) (raftio.RaftState, error) {
	r, err := db.lock(shardID, replicaID)
	if err != nil {
		return raftio.RaftState{}, err
	}
	if r == nil {
		return raftio.RaftState{}, raftio.ErrNoSavedLog
	}
	defer r.mu.Unlock()

	// By this error the library knows that a replica is new.
	if pb.IsEmptyState(r.mu.state) {
		return raftio.RaftState{}, raftio.ErrNoSavedLog
	}

	// The replica has the effect of entries up to snapshotIndex, so only those behind it count.
	rs := raftio.RaftState{State: r.mu.state, FirstIndex: snapshotIndex}
	if log := &r.mu.log; len(log.live()) > 0 && log.last() > snapshotIndex {
		rs.FirstIndex = max(snapshotIndex, log.first())
		rs.EntryCount = log.last() - rs.FirstIndex + 1
	}
	return rs, nil
}

// RemoveEntriesTo removes the entries up to and including index. Their memory is free at once.
func (db *DB) RemoveEntriesTo(shardID, replicaID, index uint64) error {
	r, err := db.lock(shardID, replicaID)
	if err != nil || r == nil {
		return err
	}
	defer r.mu.Unlock()

	r.mu.log.removeTo(index)
	db.countLocked(r)
	return nil
}

// CompactEntriesTo has nothing to do, since RemoveEntriesTo has done it. The channel is closed.
func (db *DB) CompactEntriesTo(shardID, replicaID, index uint64) (<-chan struct{}, error) {
	return compacted, nil
}

// SaveSnapshots records the snapshots of updates that the replicas took themselves; their logs stay as they are. A snapshot
// that is not newer than the last is passed over.
func (db *DB) SaveSnapshots(updates []pb.Update) error {
	for i := range updates {
		u := &updates[i]
		if pb.IsEmptySnapshot(u.Snapshot) {
			continue
		}

		r, err := db.lockOrAdd(u.ShardID, u.ReplicaID)
		if err != nil {
			return fmt.Errorf("save the snapshot of shard %d replica %d: %w", u.ShardID, u.ReplicaID, err)
		}

		// A snapshot from another replica may have come meanwhile, and is newer.
		if u.Snapshot.Index > r.mu.snapshotIndex {
			r.setSnapshotLocked(&u.Snapshot)
		}
		r.mu.Unlock()
	}
	return nil
}

// GetSnapshot returns the record of the newest snapshot, or an empty one. It is the caller's.
func (db *DB) GetSnapshot(shardID, replicaID uint64) (pb.Snapshot, error) {
	var ss pb.Snapshot
	r, err := db.lock(shardID, replicaID)
	if err != nil || r == nil {
		return ss, err
	}
	defer r.mu.Unlock()
	if r.mu.snapshot != nil {
		// Decoded for each caller, who may change what it is given.
		pb.MustUnmarshal(&ss, r.mu.snapshot)
	}
	return ss, nil
}

// ImportSnapshot makes a replica what it would be if it had just received the snapshot and nothing before. It then has the
// bootstrap record of a replica that joins, the snapshot's term and index as its hard state, and a log that begins after it.
func (db *DB) ImportSnapshot(ss pb.Snapshot, replicaID uint64) error {
	if ss.Type == pb.UnknownStateMachine || pb.IsEmptySnapshot(ss) {
		return errors.New("import a snapshot: its index and its type of state machine must be known")
	}

	r, err := db.lockOrAdd(ss.ShardID, replicaID)
	if err != nil {
		return fmt.Errorf("import the snapshot of shard %d replica %d: %w", ss.ShardID, replicaID, err)
	}
	defer r.mu.Unlock()

	// The replica joins: what its group began with says nothing of it.
	r.mu.bootstrap = pb.MustMarshal(&pb.Bootstrap{Join: true, Type: ss.Type})
	// Without a vote: the replica has taken part in no election yet.
	r.mu.state = pb.State{Term: ss.Term, Commit: ss.Index}
	r.setSnapshotLocked(&ss)
	r.mu.log.reset(ss.Index, ss.Term)
	db.countLocked(r)
	return nil
}
