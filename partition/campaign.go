package partition

import "time"

// Times of the turns in which the voters of a group stand for election in the place of a leader.
const (
	firstCampaign = 300 * time.Millisecond // how long the first voter is given; each further one twice as long
	betweenTerm   = 60 * time.Millisecond  // how long a new term is given to bring a leader before the next voter's turn
	injectEvery   = 20 * time.Millisecond  // how often a voter whose turn it is is told so: it skips one while it has entries to apply
)

// turns decides when a replica stands for election in the place of the group's leader, so that one voter at a time does.
// The order is counted by Raft term, which all voters see, and within a term by the clock, with turns that double: counted
// by the clock alone, candidates would depose each other for seconds. It is a pure function of what it is told.
//
// The zero turns is idle.
type campaign struct {
	gone   uint64 // replica ID of the leader whose place is taken; 0: nothing is to be done
	why    campaignCause
	place  int    // of this replica among the voters that are left, in the order of their turns
	voters int    // that are left
	first  uint64 // term from which terms are counted: the one in which the leader died
	term   uint64 // newest term seen
	since  time.Time
	told   time.Time
}

// campaignCause is why somebody else shall lead.
type campaignCause uint8

const (
	campaignDeath    campaignCause = iota // the leader is down: all other voters have turns
	campaignTransfer                      // it hands the partition over: the transferee has turns, and the leader itself
	campaignDeposed                       // another has stood against it, in vain perhaps: then this replica, which led, stands once
	campaignStalled                       // others have stood in its place and nobody was elected: all voters but it have turns
)

// begin starts the turns, or leaves them as they are if they have begun for this leader.
func (t *campaign) begin(why campaignCause, gone uint64, place, voters int, term uint64, now time.Time) {
	if t.gone == gone && (t.why != campaignDeposed || why == campaignDeposed) {
		return
	}
	*t = campaign{gone: gone, why: why, place: place, voters: voters, first: term, term: term, since: now}
}

// end makes t idle: somebody leads.
func (t *campaign) end() { *t = campaign{} }

// due reports whether the replica shall stand for election now. It is to be asked again after injectEvery.
func (t *campaign) due(term uint64, now time.Time) bool {
	if t.gone == 0 || t.voters == 0 {
		return false
	}
	if term > t.term {
		if t.why == campaignDeposed && !t.told.IsZero() {
			t.end() // it has stood, and the election timeouts decide
			return false
		}
		t.term, t.since = term, now
	}
	waited := now.Sub(t.since)
	rounds := int((t.term - t.first) % uint64(t.voters))
	if t.term != t.first {
		if waited -= betweenTerm; waited < 0 {
			return false
		}
	}
	turn := 0
	for length := firstCampaign; waited >= length && turn < 16; turn++ {
		waited -= length
		length *= 2
	}
	if (rounds+turn)%t.voters != t.place || now.Sub(t.told) < injectEvery {
		return false
	}
	t.told = now
	return true
}
