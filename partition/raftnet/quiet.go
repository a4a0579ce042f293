package raftnet

import (
	"sync"
	"time"

	"github.com/lni/dragonboat/v4/raftio"
	pb "github.com/lni/dragonboat/v4/raftpb"
)

// quietGate leaves out heartbeats of groups in which nothing happens: five a second to each replica become two. The groups of a process send
// theirs in the same tenth of a second, so that processes are woken once for all their groups.
//
// A heartbeat is left out only if the replica has answered one that said the same in the same window of time, and nothing else was to be
// sent to it since. So what dragonboat uses heartbeats for goes on (internal/raft/raft.go):
//
//   - Reads. A heartbeat that confirms who leads, for a ReadIndex, carries a hint and always passes.
//   - Commit index. One that carries another commit index, or another term, passes. It is repeated with each heartbeat until the replica
//     has answered.
//   - Entries that were lost. The answer of a replica whose log is behind makes the leader send a Replicate, with or without entries. Each
//     Replicate lets the next heartbeat pass, also one that the emptyGate leaves out.
//   - A replica that is new has not answered yet, is sent a Replicate, or is one of which the leader knows no entry: its heartbeats carry no
//     commit index, and pass.
//   - Elections. A follower waits for two seconds at least, and hears two heartbeats and more in that time. Voters refuse their
//     votes for as long after each heartbeat.
//   - CheckQuorum. A leader counts who was heard from within two seconds: the answers of two heartbeats and more.
//
// A leader that is lost is noticed by the members' own heartbeats, which do not come through here.
//
// The gate belongs to one connection and is used by its sender alone. A connection starts with an empty one.
type quietGate struct {
	interval time.Duration // length of a window; 0: everything passes
	start    time.Time     // of the first window
	answers  *answers
	passed   recent[sentHeartbeat]
}

// sentHeartbeat is one that has passed.
type sentHeartbeat struct {
	term, commit uint64
	at           time.Time
}

func newQuietGate(interval time.Duration, start time.Time, a *answers) quietGate {
	// A heartbeat of two windows ago counts in no present one.
	return quietGate{interval: interval, start: start, answers: a, passed: newRecent(2*interval, func(s sentHeartbeat) time.Time { return s.at })}
}

// admits reports whether m is to be sent.
func (g *quietGate) admits(m *pb.Message, now time.Time) bool {
	// A read waits for a heartbeat with a hint.
	if g.interval == 0 || m.Hint|m.HintHigh != 0 {
		return true
	}

	key := raftio.NodeInfo{ShardID: m.ShardID, ReplicaID: m.To}
	if m.Type != pb.Heartbeat {
		// Something happens in the group.
		if len(g.passed.of) > 0 {
			// The next heartbeat to this replica passes, whatever the replica has answered before.
			delete(g.passed.of, key)
		}
		return true
	}

	// The leader knows nothing of the replica's log yet, so it is not at rest.
	if m.Commit == 0 {
		return true
	}

	// The windows are the same for all replicas of the process, so that their heartbeats pass together.
	last, ok := g.passed.of[key]
	if ok && last.term == m.Term && last.commit == m.Commit && g.window(last.at) == g.window(now) && g.answers.since(key, m.Term, last.at) {
		// The replica has answered the same in this window, so the heartbeat would tell it nothing.
		return false
	}

	g.passed.note(key, sentHeartbeat{m.Term, m.Commit, now}, now)
	return true
}

func (g *quietGate) window(at time.Time) int64 { return int64(at.Sub(g.start) / g.interval) }

// answers is when replicas of other processes have last answered a heartbeat.
type answers struct {
	mu   sync.Mutex // guards the following
	last recent[answer]
}

type answer struct {
	term uint64
	at   time.Time
}

// answersFor is how long an answer is remembered. A gate asks for those of its own window.
const answersFor = time.Minute

func newAnswers() *answers {
	return &answers{last: newRecent(answersFor, func(a answer) time.Time { return a.at })}
}

// note remembers the answers in a batch of messages.
func (a *answers) note(batch []pb.Message) {
	locked := false
	var now time.Time
	for i := range batch {
		m := &batch[i]
		if m.Type != pb.HeartbeatResp {
			continue
		}
		if !locked {
			// A batch without answers takes no lock.
			now, locked = time.Now(), true
			a.mu.Lock()
			defer a.mu.Unlock()
		}

		a.last.note(raftio.NodeInfo{ShardID: m.ShardID, ReplicaID: m.From}, answer{m.Term, now}, now)
	}
}

// since reports whether a replica has answered, in a term, since some time.
func (a *answers) since(replica raftio.NodeInfo, term uint64, at time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	// An answer of another term may have been given to another leader.
	last, ok := a.last.of[replica]
	return ok && last.term == term && !last.at.Before(at)
}
