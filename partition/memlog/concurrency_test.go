package memlog

import (
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"testing"

	pb "github.com/lni/dragonboat/v4/raftpb"
)

// Workers write, compact and remove replicas of their own, as step workers do, while everybody reads everything. Readers must
// see whole updates: the commit index of every update is that of its last entry.
func TestConcurrentUse(t *testing.T) {
	const workers, perWorker, rounds = 4, 8, 400
	db := New()
	var writing, reading sync.WaitGroup
	var done atomic.Bool
	for w := range uint64(workers) {
		writing.Go(func() {
			for round := range uint64(rounds) {
				updates := make([]pb.Update, perWorker)
				for i := range updates {
					id := w + workers*uint64(i)
					first := round%50*4 + 1
					updates[i] = pb.Update{ShardID: id, ReplicaID: 1, EntriesToSave: run(first, first+3, 1, 16), State: pb.State{Term: 1, Commit: first + 3}}
				}
				if err := db.SaveRaftState(updates, w+1); err != nil {
					t.Error(err)
					return
				}
				for i := range updates {
					id, last := updates[i].ShardID, updates[i].State.Commit
					var err error
					switch {
					case round%50 == 49:
						err = db.RemoveNodeData(id, 1)
					case round%7 == 0:
						err = errors.Join(db.SaveSnapshots([]pb.Update{{ShardID: id, ReplicaID: 1, Snapshot: pb.Snapshot{Index: last}}}),
							db.RemoveEntriesTo(id, 1, last-2))
					}
					if err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
		reading.Go(func() {
			var buf []pb.Entry
			for i := uint64(0); !done.Load(); i++ {
				id := i % (workers * perWorker)
				from := i%200 + 1
				ents, state, err := db.Tail(id, 1, from)
				if err != nil && !errors.Is(err, ErrNoReplica) && !errors.Is(err, ErrCompacted) {
					t.Error(err)
					return
				}
				if n := len(ents); n > 0 && ents[n-1].Index != state.Commit {
					t.Errorf("the last entry is %d, the commit index %d", ents[n-1].Index, state.Commit)
					return
				}
				buf, _, err = db.IterateEntries(buf[:0], 0, id, 1, from, math.MaxUint64, math.MaxUint64)
				for k := range buf {
					if buf[k].Index != from+uint64(k) || buf[k].Cmd[0] != byte(buf[k].Index+1) {
						t.Errorf("entry %d at %d from %d", buf[k].Index, k, from)
						return
					}
				}
				if n, bytes := db.Size(id, 1); err != nil || n < 0 || bytes < 0 || db.TotalBytes() < 0 {
					t.Errorf("size %d, %d bytes, total %d: %v", n, bytes, db.TotalBytes(), err)
					return
				}
				if _, err := db.ListNodeInfo(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	writing.Wait()
	done.Store(true)
	reading.Wait()

	var sum int64
	for id := range uint64(workers * perWorker) {
		_, bytes := db.Size(id, 1)
		sum += bytes
	}
	if total := db.TotalBytes(); total != sum {
		t.Errorf("%d bytes in all, %d counted one by one", total, sum)
	}
}

// A replica that is removed under writers is either gone or has only what was written after; the total follows.
func TestRemovalUnderWriters(t *testing.T) {
	db := New()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 2000 {
				if err := db.SaveRaftState([]pb.Update{update(pb.State{Term: 1}, run(1, 3, 1, 16), pb.Snapshot{})}, 1); err != nil {
					t.Error(err)
					return
				}
			}
		})
		wg.Go(func() {
			for range 2000 {
				if err := db.RemoveNodeData(shard, replicaID); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if _, bytes := db.Size(shard, replicaID); bytes != db.TotalBytes() {
		t.Errorf("%d bytes there, %d counted", bytes, db.TotalBytes())
	}
	if err := db.Close(); err != nil || db.TotalBytes() != 0 {
		t.Errorf("after Close %d bytes are counted: %v", db.TotalBytes(), err)
	}
}

// Writers that are at work while the DB is closed get ErrClosed, and nothing stays.
func TestCloseUnderWriters(t *testing.T) {
	for range 50 {
		db := New()
		var wg sync.WaitGroup
		started := make(chan struct{}, 4)
		for w := range uint64(4) {
			wg.Go(func() {
				for i := uint64(0); ; i++ {
					u := pb.Update{ShardID: w + 4*i, ReplicaID: 1, EntriesToSave: run(1, 3, 1, 16)}
					if err := db.SaveRaftState([]pb.Update{u}, w+1); errors.Is(err, ErrClosed) {
						return
					} else if err != nil {
						t.Error(err)
						return
					}
					if i == 0 {
						started <- struct{}{}
					}
				}
			})
		}
		for range 4 {
			<-started
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		if n := db.TotalBytes(); n != 0 {
			t.Fatalf("%d bytes are counted after Close", n)
		}
	}
}
