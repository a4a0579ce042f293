package raftnet

import (
	"maps"
	"sync/atomic"
	"time"

	"github.com/lni/dragonboat/v4/raftio"
	pb "github.com/lni/dragonboat/v4/raftpb"
)

// pacer has the followers of a busy group learn of several commits at once. A Replicate says that the entry before its own is committed. So a
// follower applies each entry by itself: a round of its apply worker, and then one more of its step worker. The pacer lowers the commit index
// of Replicates to what the replica was told before, but for one Replicate in each interval.
//
// Why it is safe: a commit index that is lower is that of a leader which knew less when it sent. A follower never goes back for it.
//
// Why no follower stays behind: one Replicate in each interval says all, and so does each heartbeat, once Replicates end. Heartbeats say
// min(match, committed) and pass the quietGate until they are answered.
//
// Nobody reads from followers. Those who wait for one to apply something find that what they wait for is not lowered:
//
//   - An election. In the first second of a term followers hear everything at once, such as who owns the partition.
//   - A transfer. Its Release names who is to campaign, and is announced with TellCommits.
//   - A replica that catches up. What it is sent is committed already. So is what a leader without other voters sends: its learners may
//     get no heartbeats; see Transport.Retry.
//   - Memory. Entries that a follower has not applied are kept twice, so they may be paceBytes at most.
//
// A new leader commits an entry of its own term first, and with it learns of all commits that it was not told of. It then applies what the
// entries of one interval are, which is less than what one election takes.
//
// The pacer belongs to one connection and is used by its sender alone.
type pacer struct {
	interval time.Duration // 0: nothing is lowered
	settle   time.Duration // the first part of a term in which nothing is
	hurried  *hurried
	told     recent[*toldCommit]
}

// toldCommit is what a replica was told last.
type toldCommit struct {
	term   uint64
	led    time.Time // when it first heard of the term
	commit uint64
	at     time.Time
	bytes  int // of entries that it was sent since
}

const (
	// paceParts is how many paces there are in Config.EmptyInterval, and settleTimes how many of these the first part of a term lasts.
	paceParts   = 5
	settleTimes = 2
	// paceBytes is how many bytes of entries a replica is sent before it hears of a commit.
	paceBytes = 256 << 10
)

func newPacer(emptyInterval time.Duration, h *hurried) pacer {
	settle := settleTimes * emptyInterval
	// A replica that was forgotten counts as new, and hears everything at once.
	return pacer{interval: emptyInterval / paceParts, settle: settle, hurried: h,
		told: newRecent(settle, func(c *toldCommit) time.Time { return c.at })}
}

// pace lowers the commit index of m where nothing is lost by that. REQUIRES that m is sent.
func (p *pacer) pace(m *pb.Message, now time.Time) {
	if p.interval == 0 || m.Type != pb.Replicate && m.Type != pb.Heartbeat {
		// Other messages carry no commit index.
		return
	}

	key := raftio.NodeInfo{ShardID: m.ShardID, ReplicaID: m.To}
	last := p.told.of[key]
	if last == nil || last.term != m.Term {
		p.told.note(key, &toldCommit{term: m.Term, led: now, commit: m.Commit, at: now}, now)
		return
	}
	if m.Commit <= last.commit {
		return
	}

	if len(m.Entries) > 0 && m.Commit <= m.LogIndex && now.Sub(last.at) < p.interval && last.bytes < paceBytes &&
		now.Sub(last.led) >= p.settle && !p.hurried.has(m.ShardID, now) {
		for i := range m.Entries {
			last.bytes += len(m.Entries[i].Cmd)
		}
		m.Commit = last.commit
		return
	}
	last.commit, last.at, last.bytes = m.Commit, now, 0
}

// hurried are groups whose followers are to hear of commits at once, and until when. The table is replaced when it changes, so senders
// read it without a lock.
type hurried struct {
	table atomic.Pointer[map[uint64]time.Time] // nil: there are none
}

// has reports whether a group is among them.
func (h *hurried) has(shardID uint64, now time.Time) bool {
	table := h.table.Load()
	return table != nil && now.Before((*table)[shardID])
}

// TellCommits has the replicas of a group hear of commits with each Replicate, for a second from now on. It is for a leader that commits
// what another replica is to act on.
func (t *Transport) TellCommits(shardID uint64) {
	t.counters.hurried.Add(1)
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	next := map[uint64]time.Time{shardID: now.Add(time.Second)}
	if old := t.hurried.table.Load(); old != nil {
		// Groups whose time is over are cleared away with each change.
		maps.Copy(next, *old)
		maps.DeleteFunc(next, func(_ uint64, until time.Time) bool { return !now.Before(until) })
		next[shardID] = now.Add(time.Second)
	}
	t.hurried.table.Store(&next)
}
