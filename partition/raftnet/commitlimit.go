package raftnet

import (
	"maps"
	"time"

	"github.com/lni/dragonboat/v4/raftio"
	pb "github.com/lni/dragonboat/v4/raftpb"
)

// A replica that applies its own removal is stopped by the library at once. The replica may hear of the removal before the others. If the leader
// dies then, the others still count the replica among the voters whose votes they need. So whoever removes a replica limits how far it is
// told that entries are committed. To Raft that is a follower that is a little behind: it appends, acknowledges and votes.

// commitLimit is how far a replica is told that entries are committed, and until when.
type commitLimit struct {
	index uint64
	until time.Time
}

// LimitCommit has what is sent to a replica from now on say of no entry beyond an index that it is committed, until a time. A time that has
// passed ends that.
func (t *Transport) LimitCommit(shardID, replica, index uint64, until time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	// Senders read the table without a lock, so a change makes another one.
	limits := make(map[raftio.NodeInfo]commitLimit)
	if old := t.limits.Load(); old != nil {
		maps.Copy(limits, *old)
	}
	limits[raftio.NodeInfo{ShardID: shardID, ReplicaID: replica}] = commitLimit{index, until}

	// Limits that have ended are cleared away with each change.
	now := time.Now()
	maps.DeleteFunc(limits, func(_ raftio.NodeInfo, l commitLimit) bool { return !now.Before(l.until) })

	if len(limits) == 0 {
		t.limits.Store(nil) // messages are not looked at any more
		return
	}
	t.limits.Store(&limits)
}

// limitCommits changes the messages of a batch that go to replicas with a limit.
func (t *Transport) limitCommits(b *pb.MessageBatch, now time.Time) {
	limits := t.limits.Load()
	if limits == nil {
		// The usual case: no replica is being removed, and no message is looked at.
		return
	}
	for i := range b.Requests {
		m := &b.Requests[i]
		// Other messages carry no commit index.
		if m.Type != pb.Replicate && m.Type != pb.Heartbeat {
			continue
		}
		if l, ok := (*limits)[raftio.NodeInfo{ShardID: m.ShardID, ReplicaID: m.To}]; ok && now.Before(l.until) {
			// To Raft this is a follower that learns of commits a little later than others.
			m.Commit = min(m.Commit, l.index)
		}
	}
}
