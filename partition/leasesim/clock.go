package leasesim

import "math/rand/v2"

// clockError is how far cluster time may be off at a process. It is more than the product lets pass: then the rules about expiry show.
const clockError = 100 * millisecond

// clocks are those of one process. Times are in microseconds.
type clocks struct {
	rate     int64 // of the monotonic clock, in percent of true time
	wallRate int64 // of the wall clock
	skew     int64 // of cluster time
	lag      int64 // of cluster time: how long the machine was suspended since it was last set

	base, since int64 // what the monotonic clock showed at a true time
	suspended   int64 // true time at which the machine was suspended; 0: it runs
}

// newClocks draws the clocks of a process.
func newClocks(rnd *rand.Rand) clocks {
	c := clocks{rate: rate(rnd), wallRate: rate(rnd), skew: rnd.Int64N(2*clockError) - clockError}
	if rnd.IntN(2) == 0 {
		c.wallRate = c.rate // both are slewed alike
	}
	return c
}

// rate returns how fast a clock runs. The bounds are as frequent as all others: there the margins are tightest.
func rate(rnd *rand.Rand) int64 { return []int64{92, 92 + rnd.Int64N(17), 108}[rnd.IntN(3)] }

// clock returns the monotonic time at a true time. The clock stands still while the machine is suspended.
func (c *clocks) clock(now int64) int64 {
	if c.suspended != 0 {
		return c.base
	}
	return c.base + (now-c.since)*c.rate/100
}

// wall returns the wall clock's time.
func (c *clocks) wall(now int64) int64 { return now * c.wallRate / 100 }

// cluster returns the cluster time as the process knows it.
func (c *clocks) cluster(now int64) int64 { return now + c.skew - c.lag }

// suspend stops the machine.
func (c *clocks) suspend(now int64) { c.base, c.suspended = c.clock(now), now }

// resume has the machine go on.
func (c *clocks) resume(now int64) {
	if c.suspended != 0 {
		c.lag += now - c.suspended
		c.since, c.suspended = now, 0
	}
}

// moment is a time by both clocks of a process that run by themselves.
type moment struct{ clock, wall int64 }

// at returns the moment at a true time.
func (c *clocks) at(now int64) moment { return moment{c.clock(now), c.wall(now)} }

// span is a time that begins at a moment of a process and has a length.
type span struct {
	from   moment
	length int64
}

// end returns the monotonic time at which the span ends.
func (s span) end() int64 { return s.from.clock + s.length }

// apart is how far the clocks may part by the rule that LeaseThroughShortSuspend follows.
const apart = 50 * millisecond

// lasts reports whether the span has not ended. It has when either clock says so: the monotonic clock misses what the machine was
// suspended for.
func (s span) lasts(now moment, through, throughShort bool) bool {
	byClock, byWall := now.clock-s.from.clock, now.wall-s.from.wall
	switch {
	case byClock >= s.length:
		return false
	case through:
		return true
	case throughShort:
		return max(byWall-byClock, byClock-byWall) <= apart
	}
	return byWall < s.length
}
