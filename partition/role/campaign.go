package role

import "time"

// Times of staggered campaigning.
const (
	// FirstPeriod is how long the first voter campaigns alone. Each further voter has twice as long, and all have longer in later terms.
	FirstPeriod = 300 * time.Millisecond
	// BetweenTerms is how long the first new term is given to bring a leader, before the next voter campaigns. Each further term has twice as
	// long, up to MostBetweenTerms. On a busy machine a leader may be elected and not heard of for longer than the first wait.
	BetweenTerms     = 60 * time.Millisecond
	MostBetweenTerms = time.Second
	// InjectEvery is how often a voter that campaigns is told to: it ignores that while it has entries to apply.
	InjectEvery = 20 * time.Millisecond
)

// Campaign is a schedule of staggered campaigning: it decides when a replica campaigns in the place of the group's leader,
// so that one voter at a time does.
//
// The order of the voters is counted by Raft term, which all of them see. Within a term it goes by the clock, with periods that
// double. Counted by the clock alone, candidates would depose each other for seconds.
//
// The zero Campaign is idle.
type Campaign struct {
	Replaces uint64 // replica ID of the leader whose place is taken; 0: the schedule is idle
	Cause    Cause
	First    uint64 // term from which terms are counted: the one in which the leader was lost

	place  int       // of this replica in the order of the voters that campaign
	voters int       // that campaign
	term   uint64    // newest term seen
	since  time.Time // when it was first seen
	told   time.Time // when the replica was last told to campaign
	asked  time.Time // when it was first told in this term; zero: it was not
}

// Cause is why another replica is to lead.
type Cause uint8

const (
	// Death: the leader is down. All other voters campaign.
	Death Cause = iota
	// Transferred: the leader transfers the partition. The transferee campaigns first, then the leader itself.
	Transferred
	// Deposed: another has campaigned against this replica, which led. This replica campaigns once, should the other not be elected.
	Deposed
	// Stalled: voters have campaigned and nobody was elected. All voters but the old leader campaign.
	Stalled
)

// String returns the cause's name.
func (c Cause) String() string {
	return [...]string{"death", "transfer", "deposed", "stalled"}[c]
}

// Begin starts the schedule. One that has begun for the same leader goes on as it is, but for one that only waits whether a challenger
// is elected.
func (c *Campaign) Begin(cause Cause, replaces uint64, place, voters int, term uint64, now time.Time) {
	if c.Replaces == replaces && (c.Cause != Deposed || cause == Deposed) {
		// To begin again would reset the clock of the schedule, and give the first voter another turn.
		return
	}
	*c = Campaign{Replaces: replaces, Cause: cause, First: term, place: place, voters: voters, term: term, since: now}
}

// End makes the schedule idle: a replica leads.
func (c *Campaign) End() { *c = Campaign{} }

// betweenTerms is how long the n-th term after the one in which the leader was lost is given.
func betweenTerms(n uint64) time.Duration {
	if n == 0 {
		return 0
	}
	return min(BetweenTerms<<min(n-1, 16), MostBetweenTerms)
}

// Due reports whether the replica campaigns now. Ask again after InjectEvery.
func (c *Campaign) Due(term uint64, now time.Time) bool {
	if c.Replaces == 0 || c.voters == 0 {
		return false
	}
	if term > c.term {
		if c.Cause == Deposed && !c.told.IsZero() {
			c.End() // it has campaigned once, and from here on election timeouts decide
			return false
		}

		// Each new term is another voter's turn, so the periods are counted from its beginning.
		c.term, c.since, c.asked = term, now, time.Time{}
	}

	// A term after the first is of a voter that has campaigned, and may bring a leader yet.
	between := betweenTerms(c.term - c.First)
	waited := now.Sub(c.since) - between
	if waited < 0 {
		return false
	}

	// Each term that brought no leader is the next voter's, and so is each period that has passed in this one.
	rounds := int((c.term - c.First) % uint64(c.voters))
	period := 0
	// A voter whose turn it is may be slow, too, so periods are longer where terms are. Sixteen of them are more than five hours: the bound only
	// keeps the loop short.
	for length := FirstPeriod + between; waited >= length && period < 16; period++ {
		waited -= length
		length *= 2
	}

	// It is another voter's turn, or the replica was told a moment ago and may be about to act.
	if (rounds+period)%c.voters != c.place || now.Sub(c.told) < InjectEvery {
		return false
	}
	if c.told = now; c.asked.IsZero() {
		c.asked = now
	}
	return true
}

// After returns the term after which a replica campaigns that is due in a term without a leader. If that has brought nothing for a while, the
// replica is a candidate already, and takes notice of a later term alone. Of these it is the one behind which the next voter campaigns.
func (c *Campaign) After(term uint64, now time.Time) uint64 {
	if term == c.term && !c.asked.IsZero() && now.Sub(c.asked) > RetryFirst {
		return term + uint64(c.voters)
	}
	return term
}
