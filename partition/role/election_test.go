package role

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// electionRace is the two voters that are left of a group of three whose leader has died, on a machine so busy that each message and each event
// takes some hundredths of a second or tenths. One of the two has the longer log. Of Raft it knows what elections are made of.
type electionRace struct {
	slow   time.Duration // what a message takes on average
	random *rand.Rand
	now    time.Time
	queue  []raceEvent
	voters [2]*raceVoter
}

type raceEvent struct {
	at time.Time
	do func()
}

// raceVoter is a replica as far as Raft goes, and its role.
type raceVoter struct {
	race      *electionRace
	id        uint64
	role      *Role
	term      uint64
	voted     uint64
	leader    uint64
	last      [2]uint64 // term and index of the last entry
	committed bool      // an entry of its term
	votes     int
	patience  time.Time // when it campaigns by itself
	told      time.Time // last event that was handed to its role: they come in order
}

func newElectionRace(slow time.Duration, partition, longer int, random *rand.Rand) *electionRace {
	e := &electionRace{slow: slow, random: random, now: time.Unix(1000, 0)}
	all := []Voter{{ID: 1, Incarnation: wire.ID{1}}, {ID: 2, Incarnation: wire.ID{2}}, {ID: 3, Incarnation: wire.ID{3}}}
	for i := range e.voters {
		v := &raceVoter{race: e, id: uint64(i + 2), term: 3, leader: 1, last: [2]uint64{3, 10}}
		if i == longer {
			v.last[1]++
		}
		v.role = New(Config{Member: wire.ID{byte(v.id)}, Incarnation: wire.ID{byte(v.id)}, Replica: v.id, Partition: partition, LeaseMs: 300}, NewOwnership(1), all)
		v.step(LeaderChanged{Leader: 1, Term: 3})
		v.step(MemberDown{Incarnation: wire.ID{1}, Agreed: map[wire.ID]bool{{5 - byte(v.id)}: true}})
		v.hear()
		e.voters[i] = v
		e.after(0, v.tick)
	}
	return e
}

// run lets time pass until a leader has committed an entry, and returns how long that took.
func (e *electionRace) run(most time.Duration) time.Duration {
	began := e.now
	for e.now.Sub(began) < most {
		first := 0
		for i := range e.queue {
			if e.queue[i].at.Before(e.queue[first].at) {
				first = i
			}
		}
		ev := e.queue[first]
		e.queue = append(e.queue[:first], e.queue[first+1:]...)
		e.now = ev.at
		ev.do()
		if e.voters[0].committed || e.voters[1].committed {
			break
		}
	}
	return e.now.Sub(began)
}

func (e *electionRace) after(d time.Duration, do func()) {
	e.queue = append(e.queue, raceEvent{e.now.Add(d), do})
}

// hop is what a message takes: as long as the average most of the time, and up to three times that.
func (e *electionRace) hop() time.Duration {
	return e.slow/4 + time.Duration(e.random.ExpFloat64()*float64(e.slow)*3/4)
}

func (v *raceVoter) other() *raceVoter { return v.race.voters[3-v.id] }

// hear has the voter wait for an election timeout from now on.
func (v *raceVoter) hear() {
	v.patience = v.race.now.Add(2*time.Second + time.Duration(v.race.random.IntN(10))*200*time.Millisecond)
}

func (v *raceVoter) step(in Input) {
	fx := v.role.Step(in, Now{Time: v.race.now, MayOwn: true})
	if fx.Campaign {
		replaces, after := fx.Replaces, fx.After
		v.race.after(v.race.hop()/4, func() { v.timeoutNow(replaces, after) })
	}
}

func (v *raceVoter) tick() {
	v.step(Tick{})
	if v.leader != v.id && !v.race.now.Before(v.patience) {
		v.hear()
		// The other is asked first whether it would vote, at two messages more.
		v.race.after(2*v.race.hop(), func() {
			if v.leader != v.id && v.upToDate(v.other()) {
				v.campaign()
			}
		})
	}
	v.race.after(20*time.Millisecond, v.tick)
}

// tell hands the role a leader event, some time later and in order.
func (v *raceVoter) tell() {
	in := LeaderChanged{Leader: v.leader, Term: v.term}
	at := v.race.now.Add(v.race.hop() / 4)
	if at.Before(v.told) {
		at = v.told
	}
	v.told = at
	v.race.after(at.Sub(v.race.now), func() { v.step(in) })
}

// follow takes a term that is higher than the voter's own.
func (v *raceVoter) follow(term, leader uint64) {
	v.term, v.voted, v.leader, v.votes = term, 0, leader, 0
	v.tell()
}

func (v *raceVoter) timeoutNow(from, term uint64) {
	switch {
	case term < v.term:
		return
	case term > v.term:
		v.follow(term, from)
	case v.voted == v.id:
		return // a candidate or leader of this term
	}
	v.campaign()
}

func (v *raceVoter) campaign() {
	v.follow(v.term+1, 0)
	v.voted, v.votes = v.id, 1
	v.hear()
	term, last := v.term, v.last
	v.race.after(v.race.hop(), func() { v.other().requestVote(term, last) })
}

// upToDate reports whether the other would vote for this one.
func (v *raceVoter) upToDate(other *raceVoter) bool {
	return v.last[0] > other.last[0] || v.last[0] == other.last[0] && v.last[1] >= other.last[1]
}

func (v *raceVoter) requestVote(term uint64, last [2]uint64) {
	if term < v.term {
		return
	}
	if term > v.term {
		v.follow(term, 0)
	}
	if v.voted != 0 || v.last[0] > last[0] || v.last[0] == last[0] && v.last[1] > last[1] {
		return
	}
	v.voted = 5 - v.id
	v.hear()
	v.race.after(v.race.hop(), func() {
		if o := v.other(); o.term == term && o.voted == o.id && o.leader == 0 {
			o.elected()
		}
	})
}

// elected has the voter replicate the entry of its term, again and again.
func (v *raceVoter) elected() {
	v.leader = v.id
	v.last = [2]uint64{v.term, v.last[1] + 1}
	v.tell()
	term, last := v.term, v.last
	v.race.after(v.race.hop(), func() {
		o := v.other()
		if term < o.term {
			return
		}
		if term > o.term {
			o.follow(term, v.id)
		} else {
			o.leader = v.id
			o.tell()
		}
		o.hear()
		o.last = last
		v.race.after(v.race.hop(), func() { v.committed = v.committed || v.term == term })
	})
}

// The voters that are left agree soon, also where a message takes as long as the first wait for a term, and longer. They agree long before their
// election timeouts have one of them lead by chance.
func TestElectionsEndOnABusyMachine(t *testing.T) {
	const races = 500
	for _, c := range []struct{ slow, mean, most time.Duration }{
		{time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond},
		{20 * time.Millisecond, 200 * time.Millisecond, 600 * time.Millisecond},
		{50 * time.Millisecond, 500 * time.Millisecond, 2 * time.Second},
		{100 * time.Millisecond, 1200 * time.Millisecond, 5 * time.Second},
		{200 * time.Millisecond, 3 * time.Second, 15 * time.Second},
	} {
		t.Run(c.slow.String(), func(t *testing.T) {
			var sum, most time.Duration
			for i := range races {
				// Either has the longer log, or both have the same.
				took := newElectionRace(c.slow, i, i/2%3, rand.New(rand.NewPCG(1, uint64(i)))).run(time.Minute)
				sum, most = sum+took, max(most, took)
			}
			t.Logf("%v in the mean, %v at most", sum/races, most)
			require.Less(t, sum/races, c.mean)
			require.Less(t, most, c.most)
		})
	}
}

// The preferred replica of a partition has started late: the others have elected one of them, and have a longer log. However often they refuse
// it their votes, it leaves the leader time.
func TestPreferredReplicaThatStartsLate(t *testing.T) {
	now := time.Unix(1000, 0)
	ro := New(Config{Member: wire.ID{1}, Incarnation: wire.ID{1}, Replica: 1, Preferred: true, LeaseMs: 300}, NewOwnership(1), nil)
	term := uint64(firstTerm)
	ro.Step(LeaderChanged{Term: term}, Now{Time: now, MayOwn: true})
	var campaigns []time.Duration
	for at := time.Duration(0); at < 5*time.Second; at += InjectEvery {
		fx := ro.Step(Tick{}, Now{Time: now.Add(at), MayOwn: true})
		require.True(t, fx.LookSoon)
		if fx.Campaign && fx.After >= term {
			// It is a candidate of the next term, and is refused at once.
			campaigns, term = append(campaigns, at), fx.After+1
			ro.Step(LeaderChanged{Term: term}, Now{Time: now.Add(at), MayOwn: true})
		}
	}
	require.Equal(t, 6, len(campaigns), "%v", campaigns)
	require.GreaterOrEqual(t, campaigns[5]-campaigns[4], RetryMost)
}
