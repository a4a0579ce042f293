package clock

import (
	"maps"
	"slices"
	"time"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

const (
	// MaxApart is by how much a clock may differ from the median of all members' clocks. Beyond it the clock is out of step: at
	// MaxSlew, a second takes more than half an hour to be made good.
	MaxApart = time.Second

	// backApart is the difference at which a clock that was out of step is in step again. It is below MaxApart so that a clock at
	// the limit does not change sides with every sample.
	backApart = MaxApart / 2

	// maxDoubt bounds the error of a sample by which clocks are judged. A ping that was under way while one of the processes was suspended
	// has a round trip of seconds, so it says nothing to the second.
	maxDoubt = MaxApart / 4

	// doubtFor is for how long a doubt stands. A caller that comes back with the same deadline within that time comes for the same reason.
	doubtFor = time.Second

	// maxDoubts bounds the deadlines that are remembered as doubts.
	maxDoubts = 1024

	// sleptFor is for how long the wall clock is believed about a suspension that it has shown.
	sleptFor = 5 * time.Minute
)

// Standing is how a clock compares with the clocks of its peers.
type Standing uint8

const (
	// InStep is a clock within MaxApart of the median, or one without peers.
	InStep Standing = iota
	// Behind is a clock that stood still while others ran: its machine was suspended. It may be stepped forward.
	Behind
	// Ahead is a clock that most others are behind of. It is never stepped back: it is slewed.
	Ahead
)

// String returns what a log line says.
func (s Standing) String() string {
	switch s {
	case InStep:
		return "in step"
	case Behind:
		return "behind"
	case Ahead:
		return "ahead"
	default:
		return "unknown"
	}
}

// judge compares a clock with those of its peers, and returns by how much it lags behind the time that they agree on; less than 0 if it is
// ahead. All times are offsets from one monotonic clock. was is the result of the last comparison.
//
// The time that they agree on is the middle of all clocks. Of two groups that differ, the larger is right. Of two groups of one size the
// later is right, because no clock can step back.
//
// slept is for how long this machine was suspended by its wall clock; 0 if it was not. A member that was suspended together with most others
// may believe the later clocks of the rest, but no farther than it has slept. So a clock that has leapt ahead by itself, by more than that,
// is believed by no member.
func judge(own time.Duration, peers []time.Duration, slept time.Duration, was Standing) (s Standing, gap time.Duration) {
	gap = middle(append([]time.Duration{own}, peers...)) - own
	if slept > MaxApart {
		for _, p := range peers {
			// A clock that is farther ahead than the suspension explains was not suspended with the others. It has leapt.
			if p-own <= slept+MaxApart {
				gap = max(gap, p-own)
			}
		}
	}

	// A clock that is out of step must come closer than it had to be: see backApart.
	limit := MaxApart
	if was != InStep {
		limit = backApart
	}

	switch {
	case gap > limit:
		return Behind, gap
	case gap < -limit:
		return Ahead, gap
	default:
		return InStep, gap
	}
}

// middle returns the median of list, which it sorts. Of two in the middle it is the mean, or the later one if they are more than
// MaxApart apart: then the earlier is that of a machine that was suspended. It has at least one element.
func middle(list []time.Duration) time.Duration {
	slices.Sort(list)
	n := len(list)
	low, high := list[(n-1)/2], list[n/2]
	if high-low > MaxApart {
		return high
	}
	return low + (high-low)/2
}

// Standing compares the clock with those of its peers that were sampled lately. It also returns by how much the clock lags behind the time
// that they agree on; less than 0 if it is ahead. A clock that is unset, or has no peers, is in step.
func (c *Clock) Standing() (Standing, time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.judgeLocked(c.mono())
	return Standing(c.standing.Load()), c.mu.gap
}

// IsBehind reports whether the clock was behind when it was last compared. What such a clock shows must be stamped on nothing. It takes no
// lock.
func (c *Clock) IsBehind() bool { return Standing(c.standing.Load()) == Behind }

// Agreed returns the time that the members agree on, in milliseconds since 1970, or 0 while the clock is unset: Now while the clock
// is in step, else what Now would be. It is for those who take their time from this member. It may go back.
func (c *Clock) Agreed() int64 {
	// Time and gap come from one line. From two looks, a step in between would count twice.
	l := c.line.Load()
	if l == nil || l.lacks == 0 {
		return c.Now()
	}
	return (l.at(c.mono()) + l.lacks).Milliseconds()
}

// Agrees reports whether a peer's clock is within MaxApart of the time that the members agree on, as far as samples tell.
func (c *Clock) Agrees(id wire.ID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	l, p := c.line.Load(), c.mu.peers[id]
	// Without samples nothing speaks against the peer.
	if l == nil || p == nil {
		return true
	}

	now := c.mono()
	s, n := p.best(now)
	if n == 0 {
		return true
	}
	c.judgeLocked(now)
	// The peer is compared with the members' time, not with this clock, which may be the one that is wrong.
	return (l.at(now) - now + c.mu.gap - s.ahead).Abs() <= MaxApart+s.doubt(now)
}

// Confirmed reports whether all peers were asked since a caller's deadline was first found not to fit the clock, and have confirmed the
// clock. Without peers the clock is right. Each such deadline is a doubt of its own: the machine may have been suspended since the last one,
// and some peers may not have answered since. All copies of a call have one deadline.
func (c *Clock) Confirmed(deadline int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.mono()
	c.judgeLocked(now)
	if Standing(c.standing.Load()) != InStep {
		return false
	}

	doubtedAt, known := c.mu.doubts[deadline]
	if !known || now-doubtedAt > doubtFor {
		maps.DeleteFunc(c.mu.doubts, func(_ int64, at time.Duration) bool { return now-at > doubtFor })
		if len(c.mu.doubts) >= maxDoubts {
			// Too many deadlines are in doubt at once. The caller asks again when some doubts have passed.
			return false
		}
		doubtedAt = now
		c.mu.doubts[deadline] = now
	}

	// Only a ping that was sent after the doubt says anything about it.
	for _, p := range c.mu.peers {
		if s, n := p.best(now); p.count == 0 || n > 0 && (p.asked <= doubtedAt || s.doubt(now) > maxDoubt) {
			// The peer was not asked since, or its answer was too slow to say anything.
			return false
		}
	}
	return true
}

// StepForward steps the clock to the time that the members agree on, and returns by how much; 0 if the clock is not behind. Only a process
// that owns nothing may do that, since readers of the clock see it leap.
func (c *Clock) StepForward() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.mono()
	c.judgeLocked(now)
	l := c.line.Load()
	if l == nil || Standing(c.standing.Load()) != Behind {
		return 0
	}

	// A step beyond the largest time can only come of a mistake, and is left out.
	gap := c.mu.gap
	if at := l.at(now) + gap; at <= maxMicros*time.Microsecond {
		c.line.Store(&line{from: now, time: at})
		// The suspension is made good by so much, and must not excuse another step.
		c.mu.slept = max(0, c.mu.slept-gap)
	} else {
		gap = 0
	}

	// Line and standing are brought up to date at once: the member may own again only when its clock is in step.
	c.correctLocked()
	return gap
}

// judgeLocked compares the clock with its peers'. REQUIRES: c.mu is held.
func (c *Clock) judgeLocked(now time.Duration) {
	l := c.line.Load()
	if l == nil {
		return
	}

	var peers []time.Duration
	slow := false
	for _, p := range c.mu.peers {
		switch s, n := p.best(now); {
		case n > 0 && s.doubt(now) <= maxDoubt:
			peers = append(peers, s.ahead)
		case n > 0:
			slow = true
		}
	}

	if len(peers) == 0 && slow {
		// The peers are there and answer too slowly to say anything. What they said last holds.
		return
	}

	// Peers that answered too slowly to tell a second are left out of the comparison.
	s, gap := judge(l.at(now)-now, peers, c.sleptLocked(now), Standing(c.standing.Load()))
	c.mu.gap = gap
	c.standing.Store(uint32(s))
	if s == InStep {
		gap = 0
	}

	// Readers of the line see time and gap together, so a new gap takes a new line.
	if gap != l.lacks {
		l := *l
		l.lacks = gap
		c.line.Store(&l)
	}
}

// sleptLocked returns for how long this machine was suspended in the last minutes, by its wall clock: that goes on while the
// machine sleeps, or is put right soon after. REQUIRES: c.mu is held.
func (c *Clock) sleptLocked(now time.Duration) time.Duration {
	if c.wall == nil {
		return 0
	}

	lead := time.Duration(c.wall().UnixNano()) - now
	// The wall clock goes on while the machine sleeps, and the monotonic clock does not.
	if leapt := lead - c.mu.lead; c.mu.looked && leapt > MaxApart {
		c.mu.slept, c.mu.sleptAt = c.mu.slept+leapt, now
	}

	// The lead is noted at each look, so slow drifts of the wall clock do not add up to a suspension.
	c.mu.lead, c.mu.looked = lead, true
	if now-c.mu.sleptAt > sleptFor {
		c.mu.slept = 0
	}
	return c.mu.slept
}
