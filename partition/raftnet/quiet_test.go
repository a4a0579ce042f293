package raftnet

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/lni/dragonboat/v4/raftio"
	pb "github.com/lni/dragonboat/v4/raftpb"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// Against a naive history of one replica: a heartbeat is left out under three conditions, and only then. The newest that passed
// said the same and was in the same window. The replica has answered since. Nothing else was to be sent since.
func TestQuietGate(t *testing.T) {
	const interval = 500 * time.Millisecond
	rapid.Check(t, func(t *rapid.T) {
		start := time.Unix(1000, 0)
		now := start
		a := newAnswers()
		g := newQuietGate(interval, now, a)
		g.passed.sweepAt = 2

		type sent struct {
			m        pb.Message
			at       time.Time
			answered bool
			other    bool // something else was to be sent since
		}
		last := map[uint64]*sent{}
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(1, 250).Draw(t, "ms")) * time.Millisecond)
			to := rapid.Uint64Range(1, 3).Draw(t, "to")
			b := last[to]

			switch rapid.IntRange(0, 9).Draw(t, "step") {
			case 0: // a Replicate, of either kind
				if b != nil {
					b.other = true
				}
				require.True(t, g.admits(&pb.Message{Type: pb.Replicate, ShardID: 1, To: to, Term: 1}, now))
			case 1, 2, 3: // an answer, perhaps of an earlier term
				term := rapid.Uint64Range(1, 2).Draw(t, "answer's term")
				a.last.of[raftio.NodeInfo{ShardID: 1, ReplicaID: to}] = answer{term, now}
				if b != nil {
					b.answered = term == b.m.Term
				}
			default:
				m := pb.Message{
					Type: pb.Heartbeat, ShardID: 1, To: to, Term: rapid.Uint64Range(1, 2).Draw(t, "term"),
					Commit: rapid.Uint64Range(0, 2).Draw(t, "commit"),
				}
				if m.Commit == 0 {
					require.True(t, g.admits(&m, now), "the leader knows nothing of the replica")
					continue
				}
				if rapid.IntRange(0, 5).Draw(t, "hint") == 0 {
					m.Hint = 7
					require.True(t, g.admits(&m, now), "a read waits for it")
					continue
				}
				left := b != nil && b.answered && !b.other && b.m.Term == m.Term && b.m.Commit == m.Commit &&
					b.at.Sub(start)/interval == now.Sub(start)/interval
				require.Equal(t, !left, g.admits(&m, now))
				if !left {
					last[to] = &sent{m: m, at: now}
				}
			}
		}
	})
}

// Of a group in which nothing happens a replica hears at least every 0.7 seconds, with a heartbeat every 0.2.
func TestQuietGateIsNeverSilentForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAnswers()
		g := newQuietGate(DefaultEmptyInterval, time.Now(), a)
		heard, passed := time.Now(), 0
		for range 1000 {
			time.Sleep(200 * time.Millisecond)
			if g.admits(&pb.Message{Type: pb.Heartbeat, ShardID: 1, To: 2, Term: 1, Commit: 1}, time.Now()) {
				require.LessOrEqual(t, time.Since(heard), 700*time.Millisecond)
				heard = time.Now()
				passed++
				a.note([]pb.Message{{Type: pb.HeartbeatResp, ShardID: 1, From: 2, Term: 1}})
			}
		}
		require.LessOrEqual(t, passed, 410, "two of five")
	})
}

func TestQuietGateForgets(t *testing.T) {
	now := time.Unix(1000, 0)
	a := newAnswers()
	g := newQuietGate(time.Second, now, a)
	for i := range uint64(20 * minSweep) {
		now = now.Add(10 * time.Millisecond)
		require.True(t, g.admits(&pb.Message{Type: pb.Heartbeat, ShardID: i + 1, To: 1, Term: 1}, now))
		require.LessOrEqual(t, len(g.passed.of), minSweep)
	}
}

func TestAnswersAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAnswers()
		for i := range uint64(5 * minSweep) {
			time.Sleep(answersFor / 100)
			a.note([]pb.Message{{Type: pb.ReplicateResp, ShardID: i + 1, From: 1}, {Type: pb.HeartbeatResp, ShardID: i + 1, From: 1, Term: 1}})
			require.LessOrEqual(t, len(a.last.of), minSweep)
		}
	})
}
