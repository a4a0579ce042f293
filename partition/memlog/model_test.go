package memlog

import (
	"errors"
	"math"
	"reflect"
	"slices"
	"testing"

	"github.com/lni/dragonboat/v4/raftio"
	pb "github.com/lni/dragonboat/v4/raftpb"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// modelReplica is one replica as one would write it down: every entry under its index.
type modelReplica struct {
	ents      map[uint64]pb.Entry
	prev      uint64 // entries up to it are gone
	last      uint64
	state     pb.State
	snapshot  uint64
	bootstrap bool
}

// model is all replicas.
type model map[raftio.NodeInfo]*modelReplica

func (m model) of(id raftio.NodeInfo) *modelReplica {
	if m[id] == nil {
		m[id] = &modelReplica{ents: map[uint64]pb.Entry{}}
	}
	return m[id]
}

func (r *modelReplica) save(u pb.Update) (ok bool) {
	received := u.Snapshot.Index > r.snapshot
	end := r.last
	if received {
		end = u.Snapshot.Index
	}
	for i, e := range u.EntriesToSave {
		if e.Index == 0 || e.Index != u.EntriesToSave[0].Index+uint64(i) || u.EntriesToSave[0].Index > end+1 {
			return false
		}
	}
	if n := len(u.EntriesToSave); n > 0 && received && u.EntriesToSave[n-1].Index < u.Snapshot.Index {
		return false
	}
	if u.State != (pb.State{}) {
		r.state = u.State
	}
	if received {
		r.snapshot = u.Snapshot.Index
		r.restart(r.snapshot)
	}
	for i, e := range u.EntriesToSave {
		if i == 0 {
			if e.Index <= r.prev {
				r.restart(e.Index - 1)
			}
			for j := e.Index; j <= r.last; j++ {
				delete(r.ents, j)
			}
		}
		r.ents[e.Index] = e
		r.last = e.Index
	}
	return true
}

func (r *modelReplica) restart(prev uint64) {
	clear(r.ents)
	r.prev, r.last = prev, prev
}

func (r *modelReplica) removeTo(index uint64) {
	for r.prev < min(index, r.last) {
		r.prev++
		delete(r.ents, r.prev)
	}
}

func (r *modelReplica) between(low, high uint64) (ents []pb.Entry) {
	for i := low; i < high; i++ {
		e, ok := r.ents[i]
		if !ok {
			break
		}
		ents = append(ents, e)
	}
	return ents
}

func (r *modelReplica) bytes() (n int64) {
	for _, e := range r.ents {
		n += 80 + int64(len(e.Cmd))
	}
	return n
}

// A random sequence of everything that can be called must leave the DB and the model with the same answers.
func TestAgainstModel(t *testing.T) {
	ids := []raftio.NodeInfo{
		raftio.GetNodeInfo(1, 1), raftio.GetNodeInfo(1, 2), raftio.GetNodeInfo(2, 1), raftio.GetNodeInfo(1+stripes, 1),
	}
	rapid.Check(t, func(t *rapid.T) {
		db, m := New(), model{}
		id := func(t *rapid.T) raftio.NodeInfo { return rapid.SampledFrom(ids).Draw(t, "replica") }
		near := func(t *rapid.T, r *modelReplica, name string) uint64 {
			return rapid.Uint64Range(r.prev-min(r.prev, 3), r.last+3).Draw(t, name)
		}
		t.Repeat(map[string]func(*rapid.T){
			"SaveRaftState": func(t *rapid.T) {
				var updates []pb.Update
				ok := true
				for range rapid.IntRange(1, 3).Draw(t, "updates") {
					id := id(t)
					r := m.of(id)
					u := pb.Update{ShardID: id.ShardID, ReplicaID: id.ReplicaID}
					if rapid.Bool().Draw(t, "has state") {
						u.State = pb.State{Term: rapid.Uint64Range(0, 3).Draw(t, "term"), Commit: r.last}
					}
					if rapid.IntRange(0, 9).Draw(t, "has snapshot") == 0 {
						u.Snapshot = pb.Snapshot{Index: near(t, r, "snapshot"), Term: 1}
					}
					if n := rapid.IntRange(0, 20).Draw(t, "entries"); n > 0 {
						first := max(r.last, u.Snapshot.Index) + 1
						switch rapid.IntRange(0, 4).Draw(t, "place") {
						case 0:
							first = near(t, r, "first")
						case 1:
							first -= min(first-1, rapid.Uint64Range(0, 5).Draw(t, "overlap"))
						}
						u.EntriesToSave = run(first, first+uint64(n)-1, rapid.Uint64Range(1, 9).Draw(t, "entry term"), n)
						if rapid.IntRange(0, 19).Draw(t, "break") == 0 {
							u.EntriesToSave[n-1].Index++
						}
					}
					updates = append(updates, u)
					if ok {
						ok = r.save(u)
					}
				}
				if err := db.SaveRaftState(updates, 1); (err == nil) != ok || (!ok && !errors.Is(err, ErrHole)) {
					t.Fatalf("SaveRaftState: %v, the model accepts: %v", err, ok)
				}
			},
			"RemoveEntriesTo": func(t *rapid.T) {
				id := id(t)
				r := m.of(id)
				index := near(t, r, "index")
				if rapid.IntRange(0, 19).Draw(t, "all") == 0 {
					index = math.MaxUint64
				}
				r.removeTo(index)
				require.NoError(t, db.RemoveEntriesTo(id.ShardID, id.ReplicaID, index))
			},
			"SaveSnapshots": func(t *rapid.T) {
				id := id(t)
				r := m.of(id)
				ss := pb.Snapshot{Index: near(t, r, "index"), Dummy: true}
				r.snapshot = max(r.snapshot, ss.Index)
				require.NoError(t, db.SaveSnapshots([]pb.Update{{ShardID: id.ShardID, ReplicaID: id.ReplicaID, Snapshot: ss}}))
			},
			"SaveBootstrapInfo": func(t *rapid.T) {
				id := id(t)
				m.of(id).bootstrap = true
				require.NoError(t, db.SaveBootstrapInfo(id.ShardID, id.ReplicaID, pb.Bootstrap{Join: true}))
			},
			"ImportSnapshot": func(t *rapid.T) {
				id := id(t)
				r := m.of(id)
				ss := pb.Snapshot{ShardID: id.ShardID, Index: near(t, r, "index") + 1, Term: 2, Type: pb.OnDiskStateMachine}
				r.snapshot, r.bootstrap, r.state = ss.Index, true, pb.State{Term: 2, Commit: ss.Index}
				r.restart(ss.Index)
				require.NoError(t, db.ImportSnapshot(ss, id.ReplicaID))
			},
			"RemoveNodeData": func(t *rapid.T) {
				id := id(t)
				delete(m, id)
				require.NoError(t, db.RemoveNodeData(id.ShardID, id.ReplicaID))
			},
			"IterateEntries": func(t *rapid.T) {
				id := id(t)
				r := m.of(id)
				low := near(t, r, "low")
				high := low + rapid.Uint64Range(0, 30).Draw(t, "span")
				limit := rapid.SampledFrom([]uint64{0, 200, 1000, math.MaxUint64}).Draw(t, "limit")
				want, size := r.between(low, high), uint64(0)
				for i := range want {
					if size += uint64(want[i].SizeUpperLimit()); size > limit {
						want = want[:i+1]
						break
					}
				}
				got, gotSize, err := db.IterateEntries(nil, 0, id.ShardID, id.ReplicaID, low, high, limit)
				require.NoError(t, err)
				require.Equal(t, want, got)
				require.Equal(t, size, gotSize)
			},
			"Tail": func(t *rapid.T) {
				id := id(t)
				r := m.of(id)
				from := near(t, r, "from")
				got, state, err := db.Tail(id.ShardID, id.ReplicaID, from)
				switch {
				case errors.Is(err, ErrNoReplica):
					require.True(t, reflect.DeepEqual(r, &modelReplica{ents: map[uint64]pb.Entry{}}), "an unknown replica has nothing")
				case max(from, 1) <= r.prev:
					require.ErrorIs(t, err, ErrCompacted)
				default:
					require.NoError(t, err)
					require.Equal(t, r.state, state)
					require.Equal(t, terms(r.between(max(from, 1), r.last+1)), terms(got))
				}
			},
			"": func(t *rapid.T) {
				var total int64
				var infos []raftio.NodeInfo
				for _, id := range ids {
					r := m.of(id)
					agree(t, db, id, r)
					total += r.bytes()
					if r.bootstrap {
						infos = append(infos, id)
					}
				}
				require.Equal(t, total, db.TotalBytes())
				got, err := db.ListNodeInfo()
				require.NoError(t, err)
				require.ElementsMatch(t, infos, got)
			},
		})
	})
}

// agree compares all that can be asked about one replica, and checks the invariants of its log.
func agree(t *rapid.T, db *DB, id raftio.NodeInfo, r *modelReplica) {
	n, bytes := db.Size(id.ShardID, id.ReplicaID)
	require.Equal(t, len(r.ents), n)
	require.Equal(t, r.bytes(), bytes)

	got, _, err := db.IterateEntries(nil, 0, id.ShardID, id.ReplicaID, r.prev+1, math.MaxUint64, math.MaxUint64)
	require.NoError(t, err)
	if want := r.between(r.prev+1, r.last+1); !slices.EqualFunc(want, got, func(a, b pb.Entry) bool { return reflect.DeepEqual(a, b) }) {
		t.Fatalf("entries %s, want %s", terms(got), terms(want))
	}

	rs, err := db.ReadRaftState(id.ShardID, id.ReplicaID, r.snapshot)
	if r.state == (pb.State{}) {
		require.ErrorIs(t, err, raftio.ErrNoSavedLog)
	} else {
		require.NoError(t, err)
		want := raftio.RaftState{State: r.state, FirstIndex: r.snapshot}
		if r.last > max(r.prev, r.snapshot) {
			want.FirstIndex = max(r.snapshot, r.prev+1)
			want.EntryCount = r.last - want.FirstIndex + 1
		}
		require.Equal(t, want, rs)
	}

	ss, err := db.GetSnapshot(id.ShardID, id.ReplicaID)
	require.NoError(t, err)
	require.Equal(t, r.snapshot, ss.Index)

	_, err = db.GetBootstrapInfo(id.ShardID, id.ReplicaID)
	require.Equal(t, !r.bootstrap, errors.Is(err, raftio.ErrNoBootstrapInfo))

	if rep := db.replicas.get(id); rep != nil {
		require.NoError(t, rep.mu.log.checkInvariants())
	}
}
