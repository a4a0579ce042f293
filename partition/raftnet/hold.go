package raftnet

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/lni/dragonboat/v4/raftio"
	pb "github.com/lni/dragonboat/v4/raftpb"
)

// acks holds back acknowledgements that tell a leader nothing which it needs now. Of three voters the leader and the first follower that
// acknowledges an entry commit it. The acknowledgement of the other follower moves no commit index, and would cost the leader a step.
//
// An acknowledgement (a ReplicateResp that does not reject) is held if the leader has said, in the same term, that all of it is committed. So
// no commit ever waits for it, whoever votes: tryCommit (internal/raft/raft.go of dragonboat) looks only beyond the commit index. A held one
// gives way to a later one of the same replica, which says more. Otherwise it is delivered in front of whatever else comes from the replica to
// the group: of a group in which something happens, an answer to a heartbeat each fifth of a second.
//
// What else dragonboat makes of acknowledgements (handleLeaderReplicateResp, and remote.go):
//
//   - The state of a remote. A remote that is not in state Replicate is sent nothing more until it has acknowledged something new. So one is
//     held only behind two that were delivered and were new: by these the remote came to be in state Replicate. One is not enough after a
//     snapshot, whose own acknowledgement leads to state Retry alone. The remote leaves the state when it rejects, when a connection breaks,
//     and when it is sent a snapshot. Each of these lets acknowledgements pass again, until two are new.
//   - Reads that a follower or a learner forwards. Heartbeats carry min(match, committed), and the replica waits to apply what was committed
//     when it asked. So its request brings out what is held of it, too.
//   - Replicates. In state Replicate an acknowledgement makes the leader send something only if it moves the commit index.
//   - Heartbeats carry min(match, committed). A follower of a group that falls silent may hear of the last commits with the second heartbeat
//     instead of the first. As long as entries go on, Replicates tell it.
//   - CheckQuorum. Answers to heartbeats say as much.
//   - Leadership transfers of the library, which the partitions do not use.
//
// Whoever notes how far other replicas are hears of held acknowledgements too; see Transport.hear.
type acks struct {
	breaks atomic.Uint64 // counts what may take remotes out of state Replicate

	mu     sync.Mutex // guards the following
	groups recent[*ackGroup]
}

// ackGroup is a group as its leader here has spoken of it.
type ackGroup struct {
	term, commit uint64
	at           time.Time // when the leader last spoke
	replicas     []ackReplica
}

// ackReplica is what has come from another replica of the group in the term.
type ackReplica struct {
	id     uint64
	held   uint64 // index of the acknowledgement that is held; 0: none
	newest uint64 // index of the newest that was delivered
	fresh  uint8  // how many were new since it last rejected, as of breaks; settles at most
	breaks uint64
}

// settles is how many acknowledgements have to be new until the leader has its remote in state Replicate for certain.
const settles = 2

// ackedFor is how long a group is remembered in which nothing is replicated.
const ackedFor = time.Minute

func newAcks() *acks {
	return &acks{groups: newRecent(ackedFor, func(g *ackGroup) time.Time { return g.at })}
}

// said notes what the leaders here say of their commits.
func (a *acks) said(batch []pb.Message, now time.Time) {
	locked := false
	for i := range batch {
		m := &batch[i]
		if m.Type != pb.Replicate {
			continue
		}
		if !locked {
			locked = true
			a.mu.Lock()
			defer a.mu.Unlock()
		}

		key := raftio.NodeInfo{ShardID: m.ShardID, ReplicaID: m.From}
		g := a.groups.of[key]
		switch {
		case g == nil || g.term < m.Term:
			// What was held of an earlier term would be ignored.
			a.groups.note(key, &ackGroup{term: m.Term, commit: m.Commit, at: now}, now)
		case g.term == m.Term:
			g.commit, g.at = max(g.commit, m.Commit), now
		}
	}
}

// unsettle lets acknowledgements of all replicas pass, until two of each are new.
func (a *acks) unsettle() { a.breaks.Add(1) }

// sift returns what is to be delivered of a batch, and how many of its messages are held. It uses the batch's memory.
func (a *acks) sift(batch []pb.Message) (out []pb.Message, held int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	breaks := a.breaks.Load()

	out = batch[:0]
	for i := range batch {
		m := &batch[i]
		g := a.groups.of[raftio.NodeInfo{ShardID: m.ShardID, ReplicaID: m.To}]
		if g == nil || g.term != m.Term && m.Type != pb.ReadIndex {
			// Nobody leads here in this term, so it is no answer to one who does.
			out = append(out, *m)
			continue
		}

		r := g.replica(m.From)
		if r.holds(m, g.commit, breaks) {
			held++
			continue
		}

		if r.held != 0 {
			if len(out) == i {
				// There is no room in front of m, as nothing before it was held.
				out = append(make([]pb.Message, 0, 2*len(batch)), out...)
			}
			out = append(out, pb.Message{Type: pb.ReplicateResp, To: m.To, From: m.From, ShardID: m.ShardID, Term: g.term, LogIndex: r.held})
			r.held = 0
		}
		out = append(out, *m)
	}
	return out, held
}

// replica returns what is known of a replica of the group.
func (g *ackGroup) replica(id uint64) *ackReplica {
	for i := range g.replicas {
		if g.replicas[i].id == id {
			return &g.replicas[i]
		}
	}
	g.replicas = append(g.replicas, ackReplica{id: id})
	return &g.replicas[len(g.replicas)-1]
}

// holds reports whether a message of the replica is held. If not, it is delivered, behind what is still held.
func (r *ackReplica) holds(m *pb.Message, commit, breaks uint64) bool {
	if r.breaks != breaks {
		r.fresh, r.breaks = 0, breaks
	}
	switch {
	case m.Type != pb.ReplicateResp:
	case m.Reject:
		r.fresh = 0
	case m.LogIndex <= commit && r.fresh == settles:
		r.held = max(r.held, m.LogIndex)
		return true
	default:
		if m.LogIndex > r.newest {
			r.newest, r.fresh = m.LogIndex, min(r.fresh+1, settles)
		}
		if m.LogIndex >= r.held {
			r.held = 0 // this one says as much
		}
	}
	r.newest = max(r.newest, r.held)
	return false
}
