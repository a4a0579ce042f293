package memlog

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/lni/dragonboat/v4/config"
	"github.com/lni/dragonboat/v4/plugin/tan"
	"github.com/lni/dragonboat/v4/raftio"
	pb "github.com/lni/dragonboat/v4/raftpb"
	"github.com/lni/vfs"
	"github.com/stretchr/testify/require"
)

// Histories as a Raft node writes them must give the same answers as a log that comes with dragonboat, to all questions that
// dragonboat asks: entries above the last compaction, and the state from the last snapshot on.
func TestAgreesWithTan(t *testing.T) {
	fs := vfs.NewMem()
	cfg := config.NodeHostConfig{Expert: config.ExpertConfig{FS: fs, LogDB: config.GetTinyMemLogDBConfig()}}
	peer, err := tan.Factory.Create(cfg, nil, []string{"/tan"}, []string{"/tan"})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, peer.Close()) })
	ours := New()

	for seed := range uint64(4) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) { history(t, rand.New(rand.NewPCG(seed, 1)), seed+1, ours, peer) })
	}
}

// history writes one random history of a replica to both logs and compares their answers after each step.
func history(t *testing.T, rnd *rand.Rand, id uint64, ours, peer raftio.ILogDB) {
	var last, commit, snapshot, compacted, term uint64 = 0, 0, 0, 0, 1
	save := func(u pb.Update) {
		u.ShardID, u.ReplicaID, u.State = 1, id, pb.State{Term: term, Vote: 1, Commit: commit}
		require.NoError(t, ours.SaveRaftState([]pb.Update{u}, 1))
		require.NoError(t, peer.SaveRaftState([]pb.Update{u}, 1))
	}
	for range 300 {
		switch what := rnd.IntN(20); {
		case what < 10: // append
			n := 1 + rnd.Uint64N(8)
			save(pb.Update{EntriesToSave: run(last+1, last+n, term, rnd.IntN(64))})
			last += n
		case what < 13 && last > 0: // commit
			commit += rnd.Uint64N(last - commit + 1)
			save(pb.Update{})
		case what < 15 && last > commit: // a new leader overwrites what was not committed
			term++
			first := commit + 1 + rnd.Uint64N(last-commit)
			n := 1 + rnd.Uint64N(4)
			save(pb.Update{EntriesToSave: run(first, first+n-1, term, rnd.IntN(64))})
			last = first + n - 1
		case what < 18 && commit > snapshot: // a snapshot of our own, and compaction with some entries left
			snapshot += 1 + rnd.Uint64N(commit-snapshot)
			ss := []pb.Update{{ShardID: 1, ReplicaID: id, Snapshot: pb.Snapshot{Index: snapshot, Term: term, Dummy: true}}}
			require.NoError(t, ours.SaveSnapshots(ss))
			require.NoError(t, peer.SaveSnapshots(ss))
			if to := compacted + rnd.Uint64N(snapshot-compacted); to > compacted {
				compacted = to
				require.NoError(t, ours.RemoveEntriesTo(1, id, compacted))
				require.NoError(t, peer.RemoveEntriesTo(1, id, compacted))
			}
		case what == 18: // a received snapshot
			term++
			snapshot = last + 1 + rnd.Uint64N(9)
			last, commit, compacted = snapshot, snapshot, snapshot
			save(pb.Update{Snapshot: pb.Snapshot{Index: snapshot, Term: term}})
		}

		a, errA := ours.ReadRaftState(1, id, snapshot)
		b, errB := peer.ReadRaftState(1, id, snapshot)
		require.Equal(t, errors.Is(errB, raftio.ErrNoSavedLog), errors.Is(errA, raftio.ErrNoSavedLog))
		require.Equal(t, b.State, a.State)
		require.Equal(t, readable(b, snapshot), readable(a, snapshot))
		sa, errA := ours.GetSnapshot(1, id)
		sb, errB := peer.GetSnapshot(1, id)
		require.NoError(t, errors.Join(errA, errB))
		require.Equal(t, sb, sa)
		if last == compacted {
			continue
		}
		low := compacted + 1 + rnd.Uint64N(last-compacted)
		high := low + 1 + rnd.Uint64N(last+1-low)
		// A limit of 0 is left out: tan takes it for none, the default log for one entry, and so do we.
		for _, limit := range []uint64{1, 400, math.MaxUint64} {
			ea, na, errA := ours.IterateEntries(nil, 0, 1, id, low, high, limit)
			eb, nb, errB := peer.IterateEntries(nil, 0, 1, id, low, high, limit)
			require.NoError(t, errors.Join(errA, errB))
			require.Equal(t, nb, na)
			require.Equal(t, len(eb), len(ea))
			for i := range ea {
				require.Equal(t, [2]uint64{eb[i].Index, eb[i].Term}, [2]uint64{ea[i].Index, ea[i].Term})
				require.Equal(t, string(eb[i].Cmd), string(ea[i].Cmd))
			}
		}
	}
}

// readable returns which entries after the snapshot rs speaks of. Whether the snapshot's own entry is named too is left to the log.
func readable(rs raftio.RaftState, snapshot uint64) (r struct{ first, end uint64 }) {
	if end := rs.FirstIndex + rs.EntryCount; rs.EntryCount > 0 && end > snapshot+1 {
		r.first, r.end = max(rs.FirstIndex, snapshot+1), end
	}
	return r
}
