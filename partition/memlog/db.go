// Package memlog is not API: programs use package grid, and it may change in any version.
//
// It keeps the Raft logs of a member's replicas in the process. It is the raftio.ILogDB of memory mode, where
// nothing of the data survives its process and an fsync would protect nothing.
//
// It owns the entries, the hard states, the bootstrap records and the snapshot records of all replicas of one NodeHost. It
// knows at every moment how many bytes the logs hold, so that the partition host can bound them by cutting logs. It knows
// nothing of what the entries mean, and it never decides by itself to forget one.
//
// # Soundness
//
// A replica whose log is lost has forgotten its votes and acknowledgements. It must never return under its replica ID: every
// start of the process is a new NodeHost on a new DB with new replica IDs. For the same reason Factory refuses a NodeHost
// whose other files are on a disk: they would outlive the log.
//
// # Ownership
//
// Entries are copied in and copied out as structs, so neither dragonboat nor this package ever sees the other's array change.
// The bytes of Entry.Cmd are shared and immutable from the moment they are saved. In dragonboat every Cmd has memory of its own:
// a proposal is copied into one when it is made, and its decoder of messages copies too. A transport of our own must do the
// same. A Cmd that is a part of a receive buffer keeps the whole buffer alive until the entry is removed. If the buffer is used
// again, the log changes. A state machine must not write to the Cmd that it is given, for the Cmd may be replicated later.
//
// # Concurrency
//
// All methods may be called at any time from any goroutine. Replicas are found without a lock, and each has one of its own.
// There are no goroutines, and nothing is called while a lock is held.
package memlog

import (
	"cmp"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/lni/dragonboat/v4/raftio"
	pb "github.com/lni/dragonboat/v4/raftpb"
)

const (
	// name is written beside the data of a NodeHost, which refuses to start on a log of another name or format.
	name         = "gridiron-memlog"
	binaryFormat = uint32(1)
)

// compacted is what CompactEntriesTo returns: everything was released when the entries were removed.
var compacted = func() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// DB holds the logs of all replicas of one NodeHost.
type DB struct {
	replicas directory
	total    atomic.Int64 // sum of replica.bytes
	taken    atomic.Bool  // the factory has handed it out
	saved    atomic.Pointer[func(workerID uint64)]
}

var _ raftio.ILogDB = (*DB)(nil)

// New returns an empty DB for one NodeHost, which gets it through Factory.
func New() *DB { return new(DB) }

// OnSaved has f called at the end of each SaveRaftState that did not fail, by the step worker whose number it is given. f must not block, and
// is called for rounds of the worker in which there was nothing to save, too.
func (db *DB) OnSaved(f func(workerID uint64)) { db.saved.Store(&f) }

// Name returns the name of this kind of log.
func (db *DB) Name() string { return name }

// BinaryFormat returns the version of what the log would look like on a disk. It only has to be constant.
func (db *DB) BinaryFormat() uint32 { return binaryFormat }

// Close drops all logs. Every later call returns ErrClosed, except Close itself, which does nothing, and Size, TotalBytes and
// CompactEntriesTo, which find nothing. The NodeHost closes the DB that it was given.
func (db *DB) Close() error {
	for _, r := range db.replicas.close() {
		db.drop(r)
	}
	return nil
}

// Size returns how many entries a replica's log holds and how many bytes they take: 80 for each entry and its Cmd. It takes no
// lock: of a log that is changing the two numbers may be of different moments. An unknown replica has none.
func (db *DB) Size(shardID, replicaID uint64) (entries int, bytes int64) {
	r := db.replicas.get(raftio.GetNodeInfo(shardID, replicaID))
	if r == nil {
		return 0, 0
	}
	return int(r.count.Load()), r.bytes.Load()
}

// BytesAfter returns how many bytes the entries after an index take, as Size counts them. An unknown replica, and one whose log ends there,
// has none.
func (db *DB) BytesAfter(shardID, replicaID, index uint64) int64 {
	r, err := db.lock(shardID, replicaID)
	if err != nil || r == nil {
		return 0
	}
	defer r.mu.Unlock()
	// Entries that were cut take nothing, so the count begins with the first that is there.
	return sizeOf(r.mu.log.between(max(index+1, r.mu.log.first()), r.mu.log.last()+1))
}

// TotalBytes returns the bytes of all replicas' entries, as Size counts them. It takes no lock.
func (db *DB) TotalBytes() int64 { return db.total.Load() }

// Tail returns all entries of a replica from an index on, committed or not, and the hard state that was saved with them.
// Both are the caller's, bytes included. From an index beyond the last entry there are none.
//
// It returns ErrNoReplica if the DB does not know the replica, ErrCompacted if the entry at from was removed (the tail would
// begin with a hole), and ErrClosed.
func (db *DB) Tail(shardID, replicaID, from uint64) ([]pb.Entry, pb.State, error) {
	r, err := db.lock(shardID, replicaID)
	if err == nil && r == nil {
		err = ErrNoReplica
	}
	if err != nil {
		return nil, pb.State{}, fmt.Errorf("read the tail of shard %d replica %d: %w", shardID, replicaID, err)
	}

	// No entry has index 0.
	from = max(from, 1)
	first, state := r.mu.log.first(), r.mu.state
	// A copy: the window's array may change when the lock is released.
	ents := slices.Clone(r.mu.log.between(from, r.mu.log.last()+1))
	r.mu.Unlock()

	if from < first {
		return nil, pb.State{}, fmt.Errorf("read the tail of shard %d replica %d from %d on, the first entry is %d: %w",
			shardID, replicaID, from, first, ErrCompacted)
	}

	// The lock is not needed for this: the bytes of a command never change.
	for i := range ents {
		ents[i].Cmd = slices.Clone(ents[i].Cmd)
	}
	return ents, state, nil
}

// Bounds returns the index of the first entry that a replica's log has, or would have, and the term and index of the last that
// it ever had. Where the log is empty, these are those of the Raft snapshot after which it begins. An unknown replica has none.
func (db *DB) Bounds(shardID, replicaID uint64) (first, lastTerm, last uint64, err error) {
	r, err := db.lock(shardID, replicaID)
	if err != nil || r == nil {
		return 0, 0, 0, err
	}
	defer r.mu.Unlock()

	first, last = r.mu.log.first(), r.mu.log.last()
	if live := r.mu.log.live(); len(live) > 0 {
		lastTerm = live[len(live)-1].Term
	} else if r.mu.snapshot != nil {
		// The record is kept in the form of a disk, and is decoded for the rare reader.
		var ss pb.Snapshot
		pb.MustUnmarshal(&ss, r.mu.snapshot)
		lastTerm = ss.Term
	}
	return first, lastTerm, last, nil
}

// Since looks at the part of a replica's log behind an index and up to another. It returns the term of the part's last entry, and
// whether the part has a change of the group's membership. If entries of the part are no longer there, they count as such a change.
//
// It returns ErrNoReplica if the DB does not know the replica, ErrCompacted if it does not know the term, and ErrClosed.
func (db *DB) Since(shardID, replicaID, from, to uint64) (term uint64, changed bool, err error) {
	r, err := db.lock(shardID, replicaID)
	if err == nil && r == nil {
		err = ErrNoReplica
	}
	if err != nil {
		return 0, false, fmt.Errorf("look at the log of shard %d replica %d: %w", shardID, replicaID, err)
	}
	defer r.mu.Unlock()

	log := &r.mu.log
	if term = log.term(to); term == 0 {
		return 0, false, fmt.Errorf("look at the log of shard %d replica %d up to %d, there are %d to %d: %w",
			shardID, replicaID, to, log.first(), log.last(), ErrCompacted)
	}

	between := log.between(max(from+1, log.first()), to+1)
	// Entries that are gone may have held a change of the group, so they count as one.
	changed = from < log.prev || slices.ContainsFunc(between, func(e pb.Entry) bool { return e.Type == pb.ConfigChangeEntry })
	return term, changed, nil
}

// ListNodeInfo returns the replicas that have a bootstrap record, ordered by shard and replica.
func (db *DB) ListNodeInfo() ([]raftio.NodeInfo, error) {
	if db.replicas.closed() {
		return nil, ErrClosed
	}

	infos := []raftio.NodeInfo{}
	db.replicas.each(func(id raftio.NodeInfo, r *replica) {
		r.mu.Lock()
		defer r.mu.Unlock()
		// The replica may have been removed since it was found.
		if !r.mu.removed && r.mu.bootstrap != nil {
			infos = append(infos, id)
		}
	})

	slices.SortFunc(infos, func(a, b raftio.NodeInfo) int {
		return cmp.Or(cmp.Compare(a.ShardID, b.ShardID), cmp.Compare(a.ReplicaID, b.ReplicaID))
	})
	return infos, nil
}

// SaveBootstrapInfo records how a replica came to be. A later record replaces an earlier one.
func (db *DB) SaveBootstrapInfo(shardID, replicaID uint64, bootstrap pb.Bootstrap) error {
	r, err := db.lockOrAdd(shardID, replicaID)
	if err != nil {
		return err
	}
	defer r.mu.Unlock()
	r.mu.bootstrap = pb.MustMarshal(&bootstrap)
	return nil
}

// GetBootstrapInfo returns what SaveBootstrapInfo recorded, or raftio.ErrNoBootstrapInfo.
func (db *DB) GetBootstrapInfo(shardID, replicaID uint64) (pb.Bootstrap, error) {
	r, err := db.lock(shardID, replicaID)
	if err != nil {
		return pb.Bootstrap{}, err
	}

	var b pb.Bootstrap
	if r == nil {
		return b, raftio.ErrNoBootstrapInfo
	}
	defer r.mu.Unlock()
	if r.mu.bootstrap == nil {
		// The replica has other data, and never had a record of how it began.
		return b, raftio.ErrNoBootstrapInfo
	}

	pb.MustUnmarshal(&b, r.mu.bootstrap)
	return b, nil
}

// RemoveNodeData forgets a replica. Its memory is free at once.
func (db *DB) RemoveNodeData(shardID, replicaID uint64) error {
	if db.replicas.closed() {
		return ErrClosed
	}
	if r := db.replicas.remove(raftio.GetNodeInfo(shardID, replicaID)); r != nil {
		db.drop(r)
	}
	return nil
}

// lock returns a replica with its lock held, or nil if there is none. The caller unlocks.
func (db *DB) lock(shardID, replicaID uint64) (*replica, error) {
	id := raftio.GetNodeInfo(shardID, replicaID)
	for {
		r := db.replicas.get(id)
		if r == nil {
			if db.replicas.closed() {
				// A closed DB has lost all replicas, which is not the same as never having had one.
				return nil, ErrClosed
			}
			return nil, nil
		}
		r.mu.Lock()
		if !r.mu.removed {
			return r, nil
		}

		// The replica was removed after it was found. The directory no longer has it.
		r.mu.Unlock()
	}
}

// lockOrAdd is lock for writers: a replica that is not there yet is added.
func (db *DB) lockOrAdd(shardID, replicaID uint64) (*replica, error) {
	id := raftio.GetNodeInfo(shardID, replicaID)
	for {
		r := db.replicas.getOrAdd(id)
		if r == nil {
			return nil, ErrClosed
		}
		r.mu.Lock()
		if !r.mu.removed {
			return r, nil
		}

		// The replica was removed after it was found. The next round adds another one.
		r.mu.Unlock()
	}
}

// drop empties a replica that is no longer in the directory. Whoever found it before looks again.
func (db *DB) drop(r *replica) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.removed = true
	// Callers may know the replica for longer, and must not keep its entries alive by that.
	r.mu.log.reset(0, 0)
	db.countLocked(r)
	r.mu.state, r.mu.bootstrap, r.mu.snapshot = pb.State{}, nil, nil
}

// countLocked publishes the size of r's log after a change. REQUIRES: r.mu.
func (db *DB) countLocked(r *replica) {
	bytes := r.mu.log.bytes
	// The difference, since other replicas change the sum at the same time.
	db.total.Add(bytes - r.bytes.Load())
	r.bytes.Store(bytes)
	r.count.Store(int64(len(r.mu.log.live())))
}
