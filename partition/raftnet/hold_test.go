package raftnet

import (
	"context"
	"errors"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/lni/dragonboat/v4/config"
	pb "github.com/lni/dragonboat/v4/raftpb"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// heldLeader is what a leader makes of acknowledgements: of all that have come, or of those that were delivered.
type heldLeader map[uint64]uint64 // what each follower has acknowledged

func (l heldLeader) take(batch []pb.Message) {
	for _, m := range batch {
		if m.Type == pb.ReplicateResp && !m.Reject {
			l[m.From] = max(l[m.From], m.LogIndex)
		}
	}
}

// commit returns what a majority of the leader and so many followers has, the first of which are 2, 3, ….
func (l heldLeader) commit(followers int) uint64 {
	var match []uint64
	for id := range uint64(followers) {
		match = append(match, l[id+2])
	}
	slices.Sort(match)
	// The leader has everything, so half of the followers make a majority with it.
	return match[followers-(followers+1)/2]
}

// However acknowledgements come, and whatever the leader has said by then: it commits what it would commit if it heard all, at the same
// moment. Whoever answers a heartbeat has been heard in full. After a rejection or a break acknowledgements are delivered until two were new.
func TestHeldAcknowledgementsDelayNoCommit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, now := newAcks(), time.Unix(1000, 0)
		followers := rapid.IntRange(1, 4).Draw(t, "followers")
		term, last := uint64(1), uint64(5)
		heard, delivered := heldLeader{}, heldLeader{}
		// What each has said, and how often it has said something new since whatever makes its acknowledgements pass.
		has, said, fresh := map[uint64]uint64{}, map[uint64]uint64{}, map[uint64]int{}
		spoke := false // the leader, in the term: before that nobody has anything to acknowledge
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 12).Draw(t, "step") {
			case 0:
				term++
				heard, delivered = heldLeader{}, heldLeader{}
				clear(has)
				clear(said)
				clear(fresh)
				spoke = false
			case 1:
				a.unsettle()
				clear(fresh)
			}
			last += rapid.Uint64Range(0, 2).Draw(t, "appended")
			if rapid.Bool().Draw(t, "the leader speaks") {
				// Anything that was true once may be said late.
				commit := delivered.commit(followers)
				spoke = true
				a.said([]pb.Message{{Type: pb.Replicate, ShardID: 1, From: 1, To: 2, Term: term, Commit: commit - min(commit, rapid.Uint64Range(0, 2).Draw(t, "late"))}}, now)
			}

			var batch []pb.Message
			for range rapid.IntRange(1, 5).Draw(t, "messages") {
				// The last of all is a learner, whose acknowledgements count for nothing.
				from := rapid.Uint64Range(2, uint64(followers)+2).Draw(t, "from")
				m := pb.Message{ShardID: 1, To: 1, From: from, Term: term, Type: pb.ReplicateResp}
				switch rapid.IntRange(0, 6).Draw(t, "kind") {
				case 0:
					m.Type = pb.HeartbeatResp
				case 1:
					m.Reject, m.LogIndex = true, last+1
				default:
					has[from] = min(last, max(has[from], last-min(last, rapid.Uint64Range(0, 4).Draw(t, "behind"))))
					m.LogIndex = has[from]
				}
				batch = append(batch, m)
			}

			came := slices.Clone(batch)
			out, held := a.sift(batch)
			heard.take(came)
			delivered.take(out)
			require.Equal(t, heard.commit(followers), delivered.commit(followers))

			for n, m := range came {
				passed := slices.ContainsFunc(out, func(o pb.Message) bool {
					return o.From == m.From && o.Type == m.Type && o.Reject == m.Reject && o.LogIndex >= m.LogIndex
				})
				if m.Type != pb.ReplicateResp || m.Reject || fresh[m.From] < settles {
					require.True(t, passed, "%v", m)
				}
				switch {
				case m.Type != pb.ReplicateResp || !spoke:
				case m.Reject:
					fresh[m.From] = 0
				case m.LogIndex > said[m.From]:
					said[m.From] = m.LogIndex
					fresh[m.From]++
				}
				if m.Type != pb.ReplicateResp || m.Reject {
					require.GreaterOrEqual(t, delivered[m.From], heardBefore(came, n), "all that came before it")
				}
			}
			require.LessOrEqual(t, held, len(came))
		}
	})
}

// heardBefore returns what the sender of the n-th message has acknowledged in those before it.
func heardBefore(batch []pb.Message, n int) uint64 {
	l := heldLeader{}
	l.take(slices.DeleteFunc(slices.Clone(batch[:n]), func(m pb.Message) bool { return m.From != batch[n].From }))
	return l[batch[n].From]
}

// The second of two followers is heard when it answers a heartbeat, once for all that it has acknowledged.
func TestSecondAcknowledgementIsHeld(t *testing.T) {
	a, now := newAcks(), time.Unix(1000, 0)
	ack := func(from, index uint64) pb.Message {
		return pb.Message{Type: pb.ReplicateResp, ShardID: 1, To: 1, From: from, Term: 3, LogIndex: index}
	}
	sift := func(batch ...pb.Message) []pb.Message {
		out, _ := a.sift(batch)
		return out
	}
	say := func(commit uint64) {
		a.said([]pb.Message{{Type: pb.Replicate, ShardID: 1, From: 1, To: 2, Term: 3, Commit: commit}}, now)
	}

	say(7)
	require.Len(t, sift(ack(2, 8), ack(3, 8)), 2, "both are new, and nothing is committed")
	say(8)
	require.Len(t, sift(ack(2, 9)), 1)
	say(9)
	require.Len(t, sift(ack(3, 9)), 1, "the second that is new")
	require.Len(t, sift(ack(2, 10)), 1)
	say(10)
	require.Empty(t, sift(ack(3, 10)))
	require.Len(t, sift(ack(2, 11)), 1, "another's does not bring it out")
	say(11)
	require.Empty(t, sift(ack(3, 11)))

	answer := pb.Message{Type: pb.HeartbeatResp, ShardID: 1, To: 1, From: 3, Term: 3}
	other := pb.Message{Type: pb.HeartbeatResp, ShardID: 2, To: 5, From: 3, Term: 1}
	require.Equal(t, []pb.Message{other, ack(3, 11), answer, other}, sift(other, answer, other))
	require.Equal(t, []pb.Message{answer}, sift(answer))

	say(12)
	require.Equal(t, []pb.Message{ack(3, 12), answer}, sift(ack(3, 12), answer), "what is held in a batch comes out in it")
	require.Equal(t, []pb.Message{ack(3, 13)}, sift(ack(3, 12), ack(3, 13)), "a later one says as much")

	// Those of other terms and to other replicas are none of this leader's.
	late := ack(3, 9)
	late.Term = 2
	require.Len(t, sift(late), 1)
	late = ack(3, 9)
	late.To = 2
	require.Len(t, sift(late), 1)
}

// What a leader here has of a replica passes in front of a read that the replica forwards. Of a leader of an earlier time it is of no use, and
// does no harm.
func TestForwardedReadBringsOutWhatIsHeld(t *testing.T) {
	a, now := newAcks(), time.Unix(1000, 0)
	ack := func(index uint64) pb.Message {
		return pb.Message{Type: pb.ReplicateResp, ShardID: 1, To: 1, From: 3, Term: 4, LogIndex: index}
	}
	a.said([]pb.Message{{Type: pb.Replicate, ShardID: 1, From: 1, To: 2, Term: 4, Commit: 20}}, now)
	for i := range uint64(settles + 1) {
		a.sift([]pb.Message{ack(10 + i)})
	}
	read := pb.Message{Type: pb.ReadIndex, ShardID: 1, To: 1, From: 3, Hint: 7}
	out, held := a.sift([]pb.Message{read})
	require.Zero(t, held)
	require.Equal(t, []pb.Message{ack(10 + settles), read}, out)
	out, _ = a.sift([]pb.Message{read})
	require.Equal(t, []pb.Message{read}, out)
}

// pausing is what dragonboat keeps of a remote, as far as it decides whether the replica is sent anything: see remote.go there.
type pausing struct {
	match, snapshot uint64
	state           string
}

// take is the handling of an acknowledgement.
func (p *pausing) take(index uint64) {
	if index <= p.match {
		return
	}
	p.match = index
	paused := p.state != "replicate"
	switch {
	case p.state == "snapshot" && index >= p.snapshot:
		p.state = "retry"
	case p.state == "retry" || p.state == "wait":
		p.state = "replicate"
	}
	if paused && p.state == "retry" {
		p.state = "wait" // what follows the snapshot is sent, once
	}
}

// A replica that has its snapshot acknowledges that, and then what follows it. All of it is committed, and the leader sends it nothing more
// before it has heard both.
func TestNoRemoteIsPausedBehindASnapshot(t *testing.T) {
	noLeaks(t)
	tr := startedTransport(t, Config{Dial: func(context.Context, string, uint8) (net.Conn, error) { return nil, errors.New("nobody there") }}, newReceived())
	now := time.Unix(1000, 0)
	tr.acks.said([]pb.Message{{Type: pb.Replicate, ShardID: 1, From: 1, To: 2, Term: 4, Commit: 100}}, now)
	remote := pausing{state: "retry"}
	comes := func(index uint64) {
		out, _ := tr.acks.sift([]pb.Message{{Type: pb.ReplicateResp, ShardID: 1, To: 1, From: 3, Term: 4, LogIndex: index}})
		for _, m := range out {
			remote.take(m.LogIndex)
		}
	}

	comes(10)
	comes(11)
	comes(12)
	require.Equal(t, "replicate", remote.state)
	c, err := tr.GetSnapshotConnection(context.Background(), testTarget)
	require.NoError(t, err)
	remote.state, remote.snapshot = "snapshot", 50
	// These were on their way.
	comes(13)
	comes(14)
	c.Close()
	comes(50)
	require.Equal(t, "wait", remote.state)
	comes(90)
	require.Equal(t, "replicate", remote.state)
}

func TestAcksAreForgotten(t *testing.T) {
	a, now := newAcks(), time.Unix(1000, 0)
	for i := range uint64(5 * minSweep) {
		now = now.Add(ackedFor / 100)
		a.said([]pb.Message{{Type: pb.Replicate, ShardID: i + 1, From: 1, Term: 1}}, now)
		require.LessOrEqual(t, len(a.groups.of), minSweep)
	}
}

// In a group of three one of two acknowledgements is held as a rule. Whatever happens to messages and connections behind one that is held,
// entries are committed and all replicas come to have them.
func TestHeldAcknowledgementsDoNoHarm(t *testing.T) {
	t.Parallel() // it waits for most of its time
	n := newTestNet()
	members := startShard(t, n, 20, config.Config{ElectionRTT: 50, HeartbeatRTT: 2})
	leader := members[injectUntilLed(t, members, 1, 0, 1).LeaderID-1]
	first := otherThan(members, leader)
	second := members[3-slices.Index(members, leader)-slices.Index(members, first)]

	count := 0
	untilHeld := func() {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		for more := leader.tr.Stats().Held + 10; leader.tr.Stats().Held < more; count++ {
			require.NoError(t, ctx.Err(), "%d of %d", leader.tr.Stats().Held, more)
			propose(t, leader, command(count, 10))
		}
	}
	applied := func() {
		t.Helper()
		for _, m := range members {
			awaitApplied(t, m, count)
		}
	}

	untilHeld()
	// Now the other is lost, and then the one whose acknowledgements were held: the rest is a majority.
	for _, lost := range []*testMember{first, second} {
		n.lossy[lost.id].Store(true)
		propose(t, leader, command(count, 10))
		count++
		n.lossy[lost.id].Store(false)
		applied()
		untilHeld()
	}

	// A connection breaks, and a follower lags.
	for _, cut := range []*testMember{first, second} {
		n.setCut(cut.id, true)
		for range 20 {
			propose(t, leader, command(count, 10))
			count++
		}
		n.setCut(cut.id, false)
		applied()
		untilHeld()
	}
	applied()
	for _, m := range members {
		require.Equal(t, leader.machine.Load().keys(), m.machine.Load().keys())
	}
}
