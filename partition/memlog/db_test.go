package memlog

import (
	"errors"
	"math"
	"runtime"
	"testing"

	"github.com/lni/dragonboat/v4"
	"github.com/lni/dragonboat/v4/config"
	"github.com/lni/dragonboat/v4/raftio"
	pb "github.com/lni/dragonboat/v4/raftpb"
	"github.com/lni/vfs"
	"github.com/stretchr/testify/require"
)

// shard and replicaID name the replica that most tests use.
const (
	shard     = uint64(3)
	replicaID = uint64(4)
)

// update returns an update of that replica.
func update(st pb.State, ents []pb.Entry, ss pb.Snapshot) pb.Update {
	return pb.Update{ShardID: shard, ReplicaID: replicaID, State: st, EntriesToSave: ents, Snapshot: ss}
}

// with returns a DB in which updates were saved one after the other.
func with(t *testing.T, updates ...pb.Update) *DB {
	t.Helper()
	db := New()
	for _, u := range updates {
		require.NoError(t, db.SaveRaftState([]pb.Update{u}, 1))
	}
	return db
}

// entries returns all that IterateEntries finds from low on.
func entries(t *testing.T, db *DB, low uint64) []pb.Entry {
	t.Helper()
	ents, _, err := db.IterateEntries(nil, 0, shard, replicaID, low, math.MaxUint64, math.MaxUint64)
	require.NoError(t, err)
	return ents
}

func TestBootstrap(t *testing.T) {
	db := New()
	_, err := db.GetBootstrapInfo(shard, replicaID)
	require.ErrorIs(t, err, raftio.ErrNoBootstrapInfo)

	require.NoError(t, db.SaveRaftState([]pb.Update{update(pb.State{Term: 1}, nil, pb.Snapshot{})}, 1))
	_, err = db.GetBootstrapInfo(shard, replicaID)
	require.ErrorIs(t, err, raftio.ErrNoBootstrapInfo, "a replica that has a state only")
	infos, err := db.ListNodeInfo()
	require.NoError(t, err)
	require.Empty(t, infos)

	want := pb.Bootstrap{Addresses: map[uint64]string{1: "a", 2: "b"}, Type: pb.OnDiskStateMachine}
	require.NoError(t, db.SaveBootstrapInfo(shard, replicaID, want))
	want.Addresses[3] = "changed by the caller"
	got, err := db.GetBootstrapInfo(shard, replicaID)
	require.NoError(t, err)
	require.Equal(t, map[uint64]string{1: "a", 2: "b"}, got.Addresses)
	require.Equal(t, pb.OnDiskStateMachine, got.Type)

	require.NoError(t, db.SaveBootstrapInfo(shard, 1, pb.Bootstrap{Join: true}))
	require.NoError(t, db.SaveBootstrapInfo(shard+stripes, 9, pb.Bootstrap{Join: true}))
	require.NoError(t, db.SaveBootstrapInfo(1, 9, pb.Bootstrap{Join: true}))
	infos, err = db.ListNodeInfo()
	require.NoError(t, err)
	require.Equal(t, []raftio.NodeInfo{
		{ShardID: 1, ReplicaID: 9}, {ShardID: shard, ReplicaID: 1}, {ShardID: shard, ReplicaID: replicaID}, {ShardID: shard + stripes, ReplicaID: 9},
	}, infos)
}

func TestReadRaftState(t *testing.T) {
	state := pb.State{Term: 2, Vote: 3, Commit: 100}
	for _, c := range []struct {
		name     string
		save     []pb.Update
		remove   uint64
		snapshot uint64
		err      error
		first    uint64
		count    uint64
	}{
		{name: "nothing saved", err: raftio.ErrNoSavedLog},
		{name: "entries without a state", save: []pb.Update{update(pb.State{}, run(1, 3, 1, 8), pb.Snapshot{})}, err: raftio.ErrNoSavedLog},
		{name: "a snapshot without a state", save: []pb.Update{update(pb.State{}, nil, pb.Snapshot{Index: 9})}, snapshot: 9, err: raftio.ErrNoSavedLog},
		{name: "a state only", save: []pb.Update{update(state, nil, pb.Snapshot{})}},
		{name: "entries", save: []pb.Update{update(state, run(1, 10, 1, 8), pb.Snapshot{})}, first: 1, count: 10},
		{name: "from the snapshot's entry on", save: []pb.Update{update(state, run(1, 100, 1, 8), pb.Snapshot{})}, snapshot: 16, first: 16, count: 85},
		{name: "a snapshot of the whole log", save: []pb.Update{update(state, run(1, 100, 1, 8), pb.Snapshot{})}, snapshot: 100, first: 100},
		{name: "the snapshot's entry is gone", save: []pb.Update{update(state, run(1, 100, 1, 8), pb.Snapshot{})}, remove: 16, snapshot: 16, first: 17, count: 84},
		{name: "the log is gone", save: []pb.Update{update(state, run(1, 100, 1, 8), pb.Snapshot{})}, remove: 100, snapshot: 100, first: 100},
		{name: "a received snapshot", save: []pb.Update{
			update(state, run(1, 5, 1, 8), pb.Snapshot{}), update(state, nil, pb.Snapshot{Index: 9, Term: 2}),
		}, snapshot: 9, first: 9},
		{name: "entries after a received snapshot", save: []pb.Update{update(state, run(10, 12, 2, 8), pb.Snapshot{Index: 9, Term: 2})}, snapshot: 9, first: 10, count: 3},
		{name: "a received snapshot below the last entry", save: []pb.Update{
			update(state, run(1, 20, 1, 8), pb.Snapshot{}), update(state, nil, pb.Snapshot{Index: 9, Term: 2}),
		}, snapshot: 9, first: 9},
	} {
		t.Run(c.name, func(t *testing.T) {
			db := with(t, c.save...)
			require.NoError(t, db.RemoveEntriesTo(shard, replicaID, c.remove))
			rs, err := db.ReadRaftState(shard, replicaID, c.snapshot)
			if c.err != nil {
				require.ErrorIs(t, err, c.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, state, rs.State)
			require.Equal(t, c.first, rs.FirstIndex)
			require.Equal(t, c.count, rs.EntryCount)
		})
	}
}

func TestSaveRaftState(t *testing.T) {
	t.Run("the newest state stays", func(t *testing.T) {
		db := with(t, update(pb.State{Term: 1, Vote: 1}, run(1, 2, 1, 8), pb.Snapshot{}),
			update(pb.State{Term: 2, Commit: 1}, nil, pb.Snapshot{}), update(pb.State{}, run(3, 3, 2, 8), pb.Snapshot{}))
		rs, err := db.ReadRaftState(shard, replicaID, 0)
		require.NoError(t, err)
		require.Equal(t, pb.State{Term: 2, Commit: 1}, rs.State)
		require.Equal(t, uint64(3), rs.EntryCount)
	})
	t.Run("a conflict replaces the tail", func(t *testing.T) {
		db := with(t, update(pb.State{}, run(1, 9, 1, 8), pb.Snapshot{}), update(pb.State{}, run(4, 5, 2, 8), pb.Snapshot{}))
		require.Equal(t, "1:1 2:1 3:1 4:2 5:2 ", terms(entries(t, db, 1)))
	})
	t.Run("replicas are separate", func(t *testing.T) {
		us := []pb.Update{update(pb.State{Term: 1}, run(1, 2, 1, 8), pb.Snapshot{}), update(pb.State{Term: 5}, run(1, 3, 5, 8), pb.Snapshot{})}
		us[1].ReplicaID++
		db := New()
		require.NoError(t, db.SaveRaftState(us, 1))
		require.Equal(t, "1:1 2:1 ", terms(entries(t, db, 1)))
		n, _ := db.Size(shard, replicaID+1)
		require.Equal(t, 3, n)
	})
	t.Run("the caller's array is its own", func(t *testing.T) {
		ents := run(1, 3, 1, 8)
		db := with(t, update(pb.State{}, ents, pb.Snapshot{}))
		ents[1] = pb.Entry{}
		got := entries(t, db, 1)
		require.Equal(t, "1:1 2:1 3:1 ", terms(got))
		require.NoError(t, db.SaveRaftState([]pb.Update{update(pb.State{}, run(2, 3, 7, 8), pb.Snapshot{})}, 1))
		require.NoError(t, db.RemoveEntriesTo(shard, replicaID, 2))
		require.Equal(t, "1:1 2:1 3:1 ", terms(got), "entries that were handed out before")
	})
	t.Run("messages only leave no trace", func(t *testing.T) {
		db := with(t, update(pb.State{}, nil, pb.Snapshot{}))
		_, _, err := db.Tail(shard, replicaID, 1)
		require.ErrorIs(t, err, ErrNoReplica)
	})
}

// A refused update changes nothing of its replica; those before it in the list are saved.
func TestSaveRaftStateRefusesHoles(t *testing.T) {
	for _, c := range []struct {
		name string
		bad  pb.Update
	}{
		{"entries after a hole", update(pb.State{Term: 9}, run(5, 6, 9, 8), pb.Snapshot{})},
		{"a hole between entries", update(pb.State{Term: 9}, append(run(4, 4, 9, 8), run(6, 6, 9, 8)...), pb.Snapshot{})},
		{"entries far behind a received snapshot", update(pb.State{Term: 9}, run(22, 23, 9, 8), pb.Snapshot{Index: 20})},
		{"entries that end before a received snapshot", update(pb.State{Term: 9}, run(4, 5, 9, 8), pb.Snapshot{Index: 20})},
	} {
		t.Run(c.name, func(t *testing.T) {
			db := with(t, update(pb.State{Term: 1}, run(1, 3, 1, 8), pb.Snapshot{}))
			other := update(pb.State{Term: 1}, run(1, 1, 1, 8), pb.Snapshot{})
			other.ReplicaID++
			require.ErrorIs(t, db.SaveRaftState([]pb.Update{other, c.bad}, 1), ErrHole)
			require.Equal(t, "1:1 2:1 3:1 ", terms(entries(t, db, 1)))
			rs, err := db.ReadRaftState(shard, replicaID, 0)
			require.NoError(t, err)
			require.Equal(t, pb.State{Term: 1}, rs.State)
			ss, err := db.GetSnapshot(shard, replicaID)
			require.NoError(t, err)
			require.True(t, pb.IsEmptySnapshot(ss))
			n, _ := db.Size(shard, replicaID+1)
			require.Equal(t, 1, n)
			require.Equal(t, 4*entryBytes+4*8, db.TotalBytes())
		})
	}
}

func TestIterateEntries(t *testing.T) {
	db := with(t, update(pb.State{Term: 1}, run(1, 9, 1, 100), pb.Snapshot{}))
	require.NoError(t, db.RemoveEntriesTo(shard, replicaID, 3))
	one := uint64((&pb.Entry{Cmd: make([]byte, 100)}).SizeUpperLimit())
	for _, c := range []struct {
		name      string
		size      uint64
		low, high uint64
		maxSize   uint64
		want      string
	}{
		{"all", 0, 4, 10, math.MaxUint64, "4:1 5:1 6:1 7:1 8:1 9:1 "},
		{"high beyond the end", 0, 8, 100, math.MaxUint64, "8:1 9:1 "},
		{"one", 0, 5, 6, math.MaxUint64, "5:1 "},
		{"always one", 0, 4, 10, 0, "4:1 "},
		{"one that is too large", 0, 4, 10, one - 1, "4:1 "},
		{"stops with the one that exceeds", 0, 4, 10, 2 * one, "4:1 5:1 6:1 "},
		{"goes on where an earlier call stopped", 5 * one, 4, 10, 6 * one, "4:1 5:1 "},
		{"low was removed", 0, 3, 10, math.MaxUint64, ""},
		{"low is still to come", 0, 10, 12, math.MaxUint64, ""},
		{"an empty range", 0, 5, 5, math.MaxUint64, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := []pb.Entry{{Index: 77, Term: 7}}
			got, size, err := db.IterateEntries(before, c.size, shard, replicaID, c.low, c.high, c.maxSize)
			require.NoError(t, err)
			require.Equal(t, "77:7 "+c.want, terms(got))
			require.Equal(t, c.size+uint64(len(got)-1)*one, size)
		})
	}
	got, size, err := db.IterateEntries(nil, 5, shard, replicaID+1, 1, 9, 9)
	require.NoError(t, err)
	require.Empty(t, got)
	require.Equal(t, uint64(5), size)
}

func TestSnapshots(t *testing.T) {
	db := New()
	ss, err := db.GetSnapshot(shard, replicaID)
	require.NoError(t, err)
	require.True(t, pb.IsEmptySnapshot(ss))

	members := pb.Membership{Addresses: map[uint64]string{1: "a"}}
	for _, c := range []struct{ save, want uint64 }{{5, 5}, {20, 20}, {10, 20}, {0, 20}, {20, 20}, {21, 21}} {
		in := pb.Snapshot{Index: c.save, Term: 2, Membership: members, Dummy: true}
		require.NoError(t, db.SaveSnapshots([]pb.Update{update(pb.State{}, nil, in)}))
		ss, err = db.GetSnapshot(shard, replicaID)
		require.NoError(t, err)
		require.Equal(t, c.want, ss.Index, "after %d", c.save)
	}
	require.True(t, ss.Dummy)
	members.Addresses[1] = "changed by the caller"
	ss, err = db.GetSnapshot(shard, replicaID)
	require.NoError(t, err)
	require.Equal(t, "a", ss.Membership.Addresses[1])

	// dragonboat counts references in the snapshots that it works with, and refuses to begin to count in one that has them.
	counted := pb.Snapshot{Index: 30, Term: 2}
	counted.Load(compactor{})
	require.NoError(t, db.SaveSnapshots([]pb.Update{update(pb.State{}, nil, counted)}))
	ss, err = db.GetSnapshot(shard, replicaID)
	require.NoError(t, err)
	require.Equal(t, uint64(30), ss.Index)
	require.NotPanics(t, func() { ss.Load(compactor{}) })
}

type compactor struct{}

func (compactor) Compact(uint64) error { return nil }

// A snapshot that the replica took itself leaves the log alone; a received one replaces it; an old one does nothing.
func TestSnapshotsAndTheLog(t *testing.T) {
	db := with(t, update(pb.State{Term: 1}, run(1, 9, 1, 8), pb.Snapshot{}))
	require.NoError(t, db.SaveSnapshots([]pb.Update{update(pb.State{}, nil, pb.Snapshot{Index: 6, Term: 1})}))
	require.Len(t, entries(t, db, 1), 9)
	require.NoError(t, db.SaveRaftState([]pb.Update{update(pb.State{}, nil, pb.Snapshot{Index: 5, Term: 1})}, 1))
	require.Len(t, entries(t, db, 1), 9)
	require.NoError(t, db.SaveRaftState([]pb.Update{update(pb.State{}, nil, pb.Snapshot{Index: 7, Term: 2})}, 1))
	require.Empty(t, entries(t, db, 1))
	require.Zero(t, db.TotalBytes())
	require.NoError(t, db.SaveRaftState([]pb.Update{update(pb.State{}, run(8, 8, 2, 8), pb.Snapshot{})}, 1))
	require.Equal(t, "8:2 ", terms(entries(t, db, 8)))
}

func TestRemoveEntriesTo(t *testing.T) {
	db := with(t, update(pb.State{Term: 1}, run(1, 10, 1, 50), pb.Snapshot{}))
	n, bytes := db.Size(shard, replicaID)
	require.Equal(t, 10, n)
	require.Equal(t, 10*(entryBytes+50), bytes)
	require.NoError(t, db.RemoveEntriesTo(shard, replicaID, 7))
	n, bytes = db.Size(shard, replicaID)
	require.Equal(t, 3, n)
	require.Equal(t, 3*(entryBytes+50), bytes)
	require.Equal(t, bytes, db.TotalBytes())

	done, err := db.CompactEntriesTo(shard, replicaID, math.MaxUint64)
	require.NoError(t, err)
	_, open := <-done
	require.False(t, open)
	require.Len(t, entries(t, db, 8), 3, "compaction removes nothing more")

	require.NoError(t, db.RemoveEntriesTo(shard, replicaID+1, 7), "an unknown replica")
	_, _, err = db.Tail(shard, replicaID+1, 1)
	require.ErrorIs(t, err, ErrNoReplica, "asking must not make one")
}

func TestRemoveNodeData(t *testing.T) {
	db := with(t, update(pb.State{Term: 1}, run(3, 9, 1, 8), pb.Snapshot{Index: 2, Term: 1}))
	require.NoError(t, db.SaveBootstrapInfo(shard, replicaID, pb.Bootstrap{Join: true}))
	require.NoError(t, db.SaveBootstrapInfo(shard, 1, pb.Bootstrap{Join: true}))

	require.NoError(t, db.RemoveNodeData(shard, replicaID))
	require.NoError(t, db.RemoveNodeData(shard, replicaID), "twice")

	_, err := db.ReadRaftState(shard, replicaID, 0)
	require.ErrorIs(t, err, raftio.ErrNoSavedLog)
	_, err = db.GetBootstrapInfo(shard, replicaID)
	require.ErrorIs(t, err, raftio.ErrNoBootstrapInfo)
	ss, err := db.GetSnapshot(shard, replicaID)
	require.NoError(t, err)
	require.True(t, pb.IsEmptySnapshot(ss))
	require.Empty(t, entries(t, db, 3))
	require.Zero(t, db.TotalBytes())
	infos, err := db.ListNodeInfo()
	require.NoError(t, err)
	require.Equal(t, []raftio.NodeInfo{{ShardID: shard, ReplicaID: 1}}, infos)
}

func TestImportSnapshot(t *testing.T) {
	db := with(t, update(pb.State{Term: 1, Vote: 2, Commit: 150}, run(121, 180, 2, 8), pb.Snapshot{Index: 120, Term: 2}))
	require.Error(t, db.ImportSnapshot(pb.Snapshot{ShardID: shard, Index: 110, Term: 2}, replicaID), "no type")
	require.Error(t, db.ImportSnapshot(pb.Snapshot{ShardID: shard, Type: pb.OnDiskStateMachine}, replicaID), "no index")
	require.Len(t, entries(t, db, 121), 60)

	require.NoError(t, db.ImportSnapshot(pb.Snapshot{ShardID: shard, Index: 110, Term: 2, Type: pb.OnDiskStateMachine}, replicaID))
	ss, err := db.GetSnapshot(shard, replicaID)
	require.NoError(t, err)
	require.Equal(t, uint64(110), ss.Index, "older than the one before, and it counts")
	bs, err := db.GetBootstrapInfo(shard, replicaID)
	require.NoError(t, err)
	require.True(t, bs.Join)
	require.Equal(t, pb.OnDiskStateMachine, bs.Type)
	rs, err := db.ReadRaftState(shard, replicaID, 110)
	require.NoError(t, err)
	require.Equal(t, raftio.RaftState{State: pb.State{Term: 2, Commit: 110}, FirstIndex: 110}, rs)
	require.Zero(t, db.TotalBytes())
	require.NoError(t, db.SaveRaftState([]pb.Update{update(pb.State{}, run(111, 112, 3, 8), pb.Snapshot{})}, 1))
}

func TestTail(t *testing.T) {
	state := pb.State{Term: 3, Vote: 1, Commit: 6}
	db := with(t, update(state, run(1, 9, 3, 8), pb.Snapshot{}))

	ents, st, err := db.Tail(shard, replicaID, 0)
	require.NoError(t, err)
	require.Len(t, ents, 9)
	require.Equal(t, state, st)

	require.NoError(t, db.RemoveEntriesTo(shard, replicaID, 4))
	ents, _, err = db.Tail(shard, replicaID, 5)
	require.NoError(t, err)
	require.Equal(t, run(5, 9, 3, 8), ents, "committed or not")
	ents[0].Cmd[0]++
	again, _, err := db.Tail(shard, replicaID, 5)
	require.NoError(t, err)
	require.Equal(t, run(5, 9, 3, 8), again, "the caller's bytes are its own")

	for _, from := range []uint64{0, 1, 4} {
		_, _, err = db.Tail(shard, replicaID, from)
		require.ErrorIs(t, err, ErrCompacted, "from %d", from)
	}
	for _, from := range []uint64{10, 11} {
		ents, st, err = db.Tail(shard, replicaID, from)
		require.NoError(t, err)
		require.Empty(t, ents)
		require.Equal(t, state, st)
	}
	_, _, err = db.Tail(shard, replicaID+1, 1)
	require.ErrorIs(t, err, ErrNoReplica)
}

func TestClose(t *testing.T) {
	db := with(t, update(pb.State{Term: 1}, run(1, 9, 1, 8), pb.Snapshot{}))
	require.NoError(t, db.Close())
	require.NoError(t, db.Close())
	require.Zero(t, db.TotalBytes())
	n, bytes := db.Size(shard, replicaID)
	require.Zero(t, n)
	require.Zero(t, bytes)

	u := update(pb.State{Term: 1}, run(1, 9, 1, 8), pb.Snapshot{Index: 1, Type: pb.OnDiskStateMachine})
	for method, err := range map[string]error{
		"SaveRaftState":     db.SaveRaftState([]pb.Update{u}, 1),
		"SaveSnapshots":     db.SaveSnapshots([]pb.Update{u}),
		"SaveBootstrapInfo": db.SaveBootstrapInfo(shard, replicaID, pb.Bootstrap{}),
		"ImportSnapshot":    db.ImportSnapshot(u.Snapshot, replicaID),
		"RemoveEntriesTo":   db.RemoveEntriesTo(shard, replicaID, 1),
		"RemoveNodeData":    db.RemoveNodeData(shard, replicaID),
		"GetBootstrapInfo":  second(db.GetBootstrapInfo(shard, replicaID)),
		"GetSnapshot":       second(db.GetSnapshot(shard, replicaID)),
		"ReadRaftState":     second(db.ReadRaftState(shard, replicaID, 0)),
		"ListNodeInfo":      second(db.ListNodeInfo()),
	} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s returns %v", method, err)
		}
	}
	_, _, err := db.IterateEntries(nil, 0, shard, replicaID, 1, 2, 0)
	require.ErrorIs(t, err, ErrClosed)
	_, _, err = db.Tail(shard, replicaID, 1)
	require.ErrorIs(t, err, ErrClosed)
}

func second[T any](_ T, err error) error { return err }

func TestFactory(t *testing.T) {
	db := New()
	f := db.Factory()
	require.Equal(t, db.Name(), f.Name())

	cfg := config.NodeHostConfig{Expert: config.ExpertConfig{FS: vfs.Default}}
	_, err := f.Create(cfg, nil, nil, nil)
	require.ErrorIs(t, err, ErrOnDisk)

	cfg.Expert.FS = vfs.NewMem()
	got, err := f.Create(cfg, nil, nil, nil)
	require.NoError(t, err, "a refused NodeHost does not take it")
	require.Same(t, db, got)
	_, err = f.Create(cfg, nil, nil, nil)
	require.ErrorIs(t, err, ErrTaken)
	_, err = db.Factory().Create(cfg, nil, nil, nil)
	require.ErrorIs(t, err, ErrTaken)
}

// A NodeHost whose configuration names no file system works on the disk.
func TestNodeHostOnDiskIsRefused(t *testing.T) {
	cfg := config.NodeHostConfig{NodeHostDir: t.TempDir(), RTTMillisecond: 100, RaftAddress: "127.0.0.1:1"}
	cfg.Expert.LogDBFactory = New().Factory()
	_, err := dragonboat.NewNodeHost(cfg)
	require.ErrorIs(t, err, ErrOnDisk)
}

// A member holds hundreds of replicas, most of them idle.
func TestIdleReplicasAreSmall(t *testing.T) {
	const replicas = 4096
	before := heap()
	db := New()
	for i := range uint64(replicas) {
		require.NoError(t, db.SaveBootstrapInfo(i, 1, pb.Bootstrap{Join: true, Type: pb.OnDiskStateMachine}))
		u := pb.Update{ShardID: i, ReplicaID: 1, State: pb.State{Term: 1, Commit: 100}, EntriesToSave: run(1, 100, 1, 100)}
		require.NoError(t, db.SaveRaftState([]pb.Update{u}, 1))
		require.NoError(t, db.RemoveEntriesTo(i, 1, 100))
	}
	each := int64(heap()-before) / replicas
	t.Logf("%d bytes for each idle replica", each)
	if each > 512 {
		t.Error("that is too much")
	}
	require.Zero(t, db.TotalBytes())
	runtime.KeepAlive(db)
}

// heap returns the bytes that are in use after a collection.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// What a log has after an index is counted as Size counts it.
func TestBytesAfter(t *testing.T) {
	db := New()
	require.Zero(t, db.BytesAfter(1, 1, 0), "an unknown replica")
	var list []pb.Entry
	for i := range 10 {
		list = append(list, pb.Entry{Index: uint64(i + 1), Term: 1, Cmd: make([]byte, 100)})
	}
	require.NoError(t, db.SaveRaftState([]pb.Update{{ShardID: 1, ReplicaID: 1, State: pb.State{Term: 1, Commit: 1}, EntriesToSave: list}}, 0))
	_, all := db.Size(1, 1)
	require.Equal(t, all, db.BytesAfter(1, 1, 0))
	require.Equal(t, all*3/10, db.BytesAfter(1, 1, 7))
	require.Zero(t, db.BytesAfter(1, 1, 10))
	require.Zero(t, db.BytesAfter(1, 1, 11))
	require.NoError(t, db.RemoveEntriesTo(1, 1, 4))
	require.Equal(t, all*6/10, db.BytesAfter(1, 1, 2), "those that were removed take nothing")
}
