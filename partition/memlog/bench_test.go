package memlog

import (
	"fmt"
	"math"
	"testing"

	pb "github.com/lni/dragonboat/v4/raftpb"
)

// BenchmarkSave is one call of a step worker with an update of one replica, whose log is cut back to 1,000 entries whenever it
// holds 4,096.
func BenchmarkSave(b *testing.B) {
	for _, n := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("entries=%d", n), func(b *testing.B) {
			db := New()
			updates := []pb.Update{update(pb.State{Term: 1}, run(1, uint64(n), 1, 100), pb.Snapshot{})}
			ents := updates[0].EntriesToSave
			b.ReportAllocs()
			for b.Loop() {
				if err := db.SaveRaftState(updates, 1); err != nil {
					b.Fatal(err)
				}
				last := ents[n-1].Index
				updates[0].State.Commit = last
				for i := range ents {
					ents[i].Index += uint64(n)
				}
				if held, _ := db.Size(shard, replicaID); held >= 4096 {
					if err := db.RemoveEntriesTo(shard, replicaID, last-1000); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

// BenchmarkSaveParallel is the same call with one entry, on every processor at once, each with replicas of its own among 271.
func BenchmarkSaveParallel(b *testing.B) {
	db := New()
	for i := range uint64(271) {
		u := pb.Update{ShardID: i, ReplicaID: 1, State: pb.State{Term: 1}}
		if err := db.SaveRaftState([]pb.Update{u}, 1); err != nil {
			b.Fatal(err)
		}
	}
	next := make(chan uint64, 271)
	for i := range uint64(271) {
		next <- i
	}
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		id := <-next
		defer func() { next <- id }()
		u := []pb.Update{{ShardID: id, ReplicaID: 1, EntriesToSave: run(1, 1, 1, 100)}}
		ents, _, err := db.Tail(id, 1, 1)
		if err != nil {
			b.Error(err)
			return
		}
		u[0].EntriesToSave[0].Index = uint64(len(ents)) + 1
		for p.Next() {
			if err := db.SaveRaftState(u, 1); err != nil {
				b.Error(err)
				return
			}
			if u[0].EntriesToSave[0].Index%4096 == 0 {
				// begin again: an overwrite of the whole log
				u[0].EntriesToSave[0].Index = 0
			}
			u[0].EntriesToSave[0].Index++
		}
	})
}

// BenchmarkIterate is what a follower that lags behind costs: one range of a log of 4,096 entries.
func BenchmarkIterate(b *testing.B) {
	for _, n := range []uint64{1, 64, 1024} {
		b.Run(fmt.Sprintf("entries=%d", n), func(b *testing.B) {
			db := New()
			if err := db.SaveRaftState([]pb.Update{update(pb.State{Term: 1}, run(1, 4096, 1, 100), pb.Snapshot{})}, 1); err != nil {
				b.Fatal(err)
			}
			buf := make([]pb.Entry, 0, n)
			b.ReportAllocs()
			for b.Loop() {
				ents, _, err := db.IterateEntries(buf, 0, shard, replicaID, 2000, 2000+n, math.MaxUint64)
				if err != nil || uint64(len(ents)) != n {
					b.Fatal(len(ents), err)
				}
			}
		})
	}
}
