// Package cadence is not API: programs use package grid, and it may change in any version.
//
// It says when work that is done again and again is due: at the same moments for all loops of a process, and for all members whose wall
// clocks agree. A process that sleeps is then woken once for all of them. So it answers the other members' heartbeats in the moment in which
// it sends its own.
//
// It owns nothing. It knows nothing of what is done, or of how late that may be.
package cadence

import "time"

// Next returns how long it takes until work is due that is done every d: until the next multiple of d by the wall clock. A wall clock that is
// set moves one moment, and nothing else.
func Next(d time.Duration) time.Duration { return next(time.Now(), d) }

func next(now time.Time, d time.Duration) time.Duration {
	left := d - time.Duration(now.UnixNano())%d
	// The timer for this moment may have fired a little before it by the wall clock, which runs at another speed.
	if left < d/8 {
		left += d
	}
	return left
}
