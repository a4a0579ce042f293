// Package headroom decides how much garbage may gather in the process of a member before the collector runs.
//
// The collector's own rule lets the heap double, or triple, from what is live. A member that keeps much would then take two or three times
// its entries. Here the headroom is a number of bytes. It is as small as the collector's share of the processor time allows, and it has a
// bound that follows the memory that entries may take. When a load has ended, what it left goes back to the system.
//
// The package is for a process that is a member and nothing else. A program that embeds a member keeps its own settings.
package headroom

import "time"

const (
	// least is the smallest headroom. A member without entries collects a few times a minute with it.
	least = 32 << 20
	// entriesShare is which part of the memory for entries the headroom may be, as a divisor.
	entriesShare = 4
	// tooMuch and little are shares of the processor time. Above the first the headroom grows, below the second it shrinks. A member's
	// collector may take a tenth.
	tooMuch = 0.07
	little  = 0.035
	// restful is a share of one processor. A collector that takes less is no reason for more headroom, even if it takes most of what a member
	// takes that does nothing.
	restful = 0.025
	// leastLive is what a member has at least.
	leastLive = 8 << 20
	// leastPercent keeps the collector from running all the time where the bound leaves it no room.
	leastPercent = 10

	// busyRate is from how many allocated bytes in a second on there is a load, quietRate up to how many there is none. A member of 271
	// partitions that does nothing allocates four megabytes in a second, in bursts.
	busyRate  = 24 << 20
	quietRate = 12 << 20
	// quietFor is how long there must be no load before memory goes back to the system. It does not go back more often than once in freeEvery.
	quietFor  = 1500 * time.Millisecond
	freeEvery = 4 * time.Second
	// A load that goes on soon after that had only paused, as loads do on a busy machine: from then on it must be absent for twice as long, up
	// to quietMost. Soon is up to soonFactor times as long as it must have been absent.
	quietMost  = 30 * time.Second
	soonFactor = 8
	// worthFreeing is how many bytes must be there to go back. Giving them back takes a collection.
	worthFreeing = 16 << 20
	// Memory also goes back without a load that was seen to end, once in freeMuchEvery, if more is spare than muchSpare and a fourth of what is
	// in use. A slow load leaves it, and so does the cutting of logs on a busy machine.
	freeMuchEvery = time.Minute
	muchSpare     = 2 * least
)

// Sample is what the runtime says at one moment. All but Live, Spare and At only grow.
type Sample struct {
	At        time.Duration // since any fixed moment
	Live      uint64        // bytes that the last collection found in use
	Spare     uint64        // bytes that the process has for its heap beside Live
	Allocated uint64        // bytes, in all
	Cycles    uint64        // collections, in all
	Collector float64       // seconds of processor time that collections took, but for time when nothing else was to be done
	Others    float64       // seconds that the program took
}

// Controller decides. The zero Controller is ready, apart from its bound. It is not safe for concurrent use.
type Controller struct {
	MaxMemory int64 // bytes that entries may take; 0: no bound is known

	headroom  float64
	resting   bool    // no load has come since memory last went back
	busy      float64 // while resting, the headroom under load
	last      Sample  // the last one of all
	judged    Sample  // the last one after which the headroom was decided
	begun     bool
	loaded    bool          // there was a load since memory last went back
	quietFrom time.Duration // since when there is none
	wait      time.Duration // how long there must be none
	freed     time.Duration // when memory last went back
}

// Step takes the next sample and returns the percentage for debug.SetGCPercent, and whether memory should go back to the system now.
func (c *Controller) Step(s Sample) (percent int, free bool) {
	if !c.begun {
		c.begun, c.headroom, c.last, c.judged, c.quietFrom, c.wait = true, least, s, s, s.At, quietFor
	}

	// The runtime counts processor time when a collection ends.
	if s.Cycles != c.judged.Cycles {
		c.judge(&s)
	}
	free = c.settled(&s)
	c.last = s
	if free {
		// A member at rest takes minutes from one collection to the next, so judge would shrink the headroom far too late.
		c.busy, c.headroom, c.resting = max(c.busy, c.headroom), least, true
	}

	// Before the first collection nothing is known to be live, and the percentage would have no bound.
	live := float64(max(s.Live, leastLive))
	c.headroom = min(max(c.headroom, least), c.most(live))
	return max(leastPercent, int(100*c.headroom/live)), free
}

// most returns the largest headroom beside so many live bytes. Twice as much as is live suffices for any load.
func (c *Controller) most(live float64) float64 {
	most := 2 * live
	if c.MaxMemory > 0 {
		most = min(most, float64(c.MaxMemory)/entriesShare)
	}
	return max(most, least)
}

// judge changes the headroom by what collections have taken since it was last changed.
func (c *Controller) judge(s *Sample) {
	collector, others := s.Collector-c.judged.Collector, s.Others-c.judged.Others
	took := (s.At - c.judged.At).Seconds()
	c.judged = *s
	if collector+others <= 0 {
		return
	}

	switch share := collector / (collector + others); {
	case share > tooMuch && collector > restful*took:
		// As many bytes more make collections rarer by the same factor, and their share smaller.
		c.headroom *= min(2, share/tooMuch)
	case share < little, collector < restful/2*took:
		c.headroom *= 0.8
	}
}

// settled reports whether a load has ended that left memory behind.
func (c *Controller) settled(s *Sample) bool {
	took := (s.At - c.last.At).Seconds()
	if took <= 0 {
		return false
	}

	rate := float64(s.Allocated-c.last.Allocated) / took
	if rate >= busyRate {
		c.loaded = true
	}
	if rate > quietRate {
		c.quietFrom = s.At
		if c.resting {
			c.goOn(s.At - c.freed)
		}
	}
	if s.At-c.quietFrom < c.wait || s.At-c.freed < freeEvery {
		return false
	}

	free := c.loaded && s.Spare >= worthFreeing || s.At-c.freed >= freeMuchEvery && s.Spare > muchSpare+s.Live/4
	if free || c.loaded {
		c.loaded, c.freed = false, s.At
	}
	return free
}

// goOn notes that a load goes on after a rest.
func (c *Controller) goOn(rest time.Duration) {
	// What the load needs was found before.
	c.headroom, c.busy, c.resting = max(c.headroom, c.busy), 0, false

	if rest > soonFactor*c.wait {
		c.wait = quietFor
	} else {
		c.wait = min(2*c.wait, quietMost)
	}
}
