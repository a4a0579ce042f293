package raftnet

import (
	"time"

	"github.com/lni/dragonboat/v4/raftio"
	pb "github.com/lni/dragonboat/v4/raftpb"
)

// emptyGate leaves out Replicate messages without entries, but for one per replica and interval. They are two thirds of the
// messages of a busy shard: whenever the commit index moves, dragonboat broadcasts a Replicate to every replica. Without
// anything new to append, such a message says only what the next Replicate or heartbeat says as well.
//
// Why no follower is stalled for longer than the interval plus a heartbeat and its answer (internal/raft/raft.go and
// remote.go of dragonboat; "next" and "match" are a leader's belief about a follower's log):
//
//   - Commit index. A heartbeat carries min(match, committed) to voters and learners. A follower that acknowledged an entry
//     learns of its commit at the latest with the first heartbeat after the leader did. A pending ReadIndex sends heartbeats
//     at once, to voters.
//     While one is pending learners get no heartbeat at all: of a group with one voter they hear by the Replicates that
//     carry its entries, which it commits as it appends them. See Transport.Retry.
//   - Entries. A Replicate with entries always passes. sendReplicateMessage sends one without entries only if next is above
//     the leader's last index; this matters only while match is below it, that is while the leader does not know whether
//     the follower has what was sent. Then every heartbeat answer makes the leader try again (handleLeaderHeartbeatResp),
//     without a change of the remote's state, since progress() is called for Replicates with entries only. So the tries
//     go on, one per heartbeat, until one falls outside the interval and passes; the follower's rejection of it sets next
//     back (decreaseTo), and what follows has entries.
//   - Three cases are of that kind. A batch was lost (state Replicate, next optimistic). A member is new or was promoted (match
//     0, state Retry). A snapshot was sent whose index is the last of the log (state Wait, which a heartbeat answer turns into
//     Retry). For a member that is new to this connection the first try passes at once.
//   - A new leader probes with the empty entry of its term, which is an entry; TimeoutNow, votes and CheckQuorum need no
//     Replicate.
//
// Whether the one that passes is a useless one does not matter: the next try comes with the next heartbeat, and passes as
// soon as the interval is over. A connection starts with an empty gate, so that a broken connection costs nothing extra.
//
// The gate belongs to one connection and is used by its sender alone.
type emptyGate struct {
	interval time.Duration // 0: everything passes
	passed   recent[time.Time]
}

// gates decide which messages of a connection are sent, and which commit index they carry.
type gates struct {
	empty emptyGate
	quiet quietGate
	pacer pacer
}

// admits reports whether m is to be sent. Both gates see each message.
func (g *gates) admits(m *pb.Message, now time.Time) bool {
	// The quiet gate has to see also what the other leaves out: it tells that something happens in the group.
	quiet := g.quiet.admits(m, now)
	if !g.empty.admits(m, now) || !quiet {
		return false
	}

	// What is not sent tells the replica of no commit.
	g.pacer.pace(m, now)
	return true
}

func newEmptyGate(interval time.Duration) emptyGate {
	return emptyGate{interval: interval, passed: newRecent(interval, func(at time.Time) time.Time { return at })}
}

// admits reports whether m is to be sent.
func (g *emptyGate) admits(m *pb.Message, now time.Time) bool {
	if g.interval == 0 || m.Type != pb.Replicate || len(m.Entries) != 0 {
		// Only Replicates without entries repeat what other messages say.
		return true
	}

	key := raftio.NodeInfo{ShardID: m.ShardID, ReplicaID: m.To}
	if last, ok := g.passed.of[key]; ok && now.Sub(last) < g.interval {
		return false
	}

	g.passed.note(key, now, now)
	return true
}
