// Package clock is not API: programs use package grid, and it may change in any version.
//
// It owns cluster time: a clock that all members of a cluster share to within milliseconds. It never goes back, and no
// wall clock can move it once it has been set. It jumps in one case only: the clock of a machine that was suspended lags
// by the suspension. That clock is stepped forward while its member owns nothing.
//
// A member's clock is its own monotonic clock plus an offset. The offset comes from the clocks of its peers, sampled by
// heartbeats. How the samples travel is not this package's business, nor is what first sets the clocks of a new cluster.
package clock

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

const (
	// MaxSlew is by how many parts in a million the clock may run faster or slower than the monotonic clock.
	MaxSlew = 500

	// AlarmDisagreement is the disagreement between members above which operators should hear of it.
	AlarmDisagreement = 50 * time.Millisecond

	// maxMicros bounds a time in microseconds since 1970: what is above, in the year 2255, is a mistake.
	maxMicros = 1 << 53
)

// Clock is a member's clock in cluster time. It is unset until Set is called or a peer whose clock is set has been sampled. All
// methods may be called at any time by anybody; reading the clock takes no lock.
type Clock struct {
	mono func() time.Duration
	wall func() time.Time

	line  atomic.Pointer[line] // nil while unset
	last  atomic.Int64         // greatest time ever shown, in microseconds
	ready chan struct{}        // closed when the clock is set

	standing atomic.Uint32 // the Standing of the last comparison with the peers, written under mu

	mu struct {
		sync.Mutex
		peers map[wire.ID]*peer
		gap   time.Duration // that the last comparison has found

		doubts map[int64]time.Duration // callers' deadlines that do not fit the clock, and when each was first seen, on the monotonic clock

		// How far the wall clock is ahead of the monotonic clock, and what it has gained on it of late: a suspension.
		looked  bool
		lead    time.Duration
		slept   time.Duration
		sleptAt time.Duration // on the monotonic clock
	}
}

// New returns a clock that is unset. mono is a clock that never goes back, however often the wall clock is set; wall is the wall
// clock, which shows that the machine was suspended, and nothing else; it may be nil. Both must be safe for concurrent use.
func New(mono func() time.Duration, wall func() time.Time) *Clock {
	c := &Clock{mono: mono, wall: wall, ready: make(chan struct{})}
	c.mu.peers = make(map[wire.ID]*peer)
	c.mu.doubts = make(map[int64]time.Duration)
	return c
}

// System returns an unset clock that runs on the clocks of this machine.
func System() *Clock {
	start := time.Now()
	return New(func() time.Duration { return time.Since(start) }, time.Now)
}

// Mono returns the monotonic clock, by which Sample wants to know when a ping was sent and answered.
func (c *Clock) Mono() time.Duration { return c.mono() }

// Set sets a clock that is unset to a time in microseconds since 1970. It reports whether it did: a clock is set once, and not to
// a time before 1970 or after 2255.
func (c *Clock) Set(micros int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.setLocked(micros)
}

// REQUIRES: c.mu is held.
func (c *Clock) setLocked(micros int64) bool {
	// A second set would be a leap in the time that others may have seen.
	if c.IsSet() || micros <= 0 || micros > maxMicros {
		return false
	}

	// The line is there before ready is closed, so whoever waited finds the clock set.
	c.line.Store(&line{from: c.mono(), time: time.Duration(micros) * time.Microsecond})
	// From here on a suspension counts.
	c.sleptLocked(c.mono())
	close(c.ready)
	return true
}

// IsSet reports whether the clock is set.
func (c *Clock) IsSet() bool { return c.line.Load() != nil }

// Ready returns a channel that is closed when the clock is set.
func (c *Clock) Ready() <-chan struct{} { return c.ready }

// Now returns cluster time in milliseconds since 1970, or 0 while the clock is unset. It never returns less than it or NowMicros
// has returned to anybody before.
func (c *Clock) Now() int64 {
	l := c.line.Load()
	if l == nil {
		return 0
	}
	now := l.at(c.mono()).Microseconds()
	// Most calls find the millisecond already shown, and write nothing that other cores read.
	if last := c.last.Load(); now/1000 <= last/1000 {
		return last / 1000
	}
	return c.show(now) / 1000
}

// NowMicros returns cluster time in microseconds since 1970, or 0 while the clock is unset. It never returns less than it or
// Now has returned to anybody before.
func (c *Clock) NowMicros() int64 {
	l := c.line.Load()
	if l == nil {
		return 0
	}
	return c.show(l.at(c.mono()).Microseconds())
}

// show returns now, or what was shown already if that is later: a reader may have been held up between looking at the line and at
// the monotonic clock while the line was replaced.
func (c *Clock) show(now int64) int64 {
	for {
		last := c.last.Load()
		if now <= last {
			return last
		}
		// Another reader may have shown a later time meanwhile. Then that one is the bound.
		if c.last.CompareAndSwap(last, now) {
			return now
		}
	}
}

// line is how cluster time follows from the monotonic clock until the next correction. It never changes.
type line struct {
	from    time.Duration // on the monotonic clock
	time    time.Duration // cluster time at from, since 1970
	correct time.Duration // to be added from then on, at MaxSlew
	lacks   time.Duration // of the time that the members agree on; 0 while the clock is in step
}

// at returns the cluster time at an instant of the monotonic clock. It grows with it, as MaxSlew is far below one in one.
func (l *line) at(mono time.Duration) time.Duration {
	elapsed := mono - l.from
	// The line may have been replaced after the reader has looked at the monotonic clock.
	if elapsed < 0 {
		return l.time
	}

	// The correction is spread over time: cluster time then neither leaps nor stands still.
	most := elapsed / 1_000_000 * MaxSlew // elapsed*MaxSlew would overflow after half a year
	most += elapsed % 1_000_000 * MaxSlew / 1_000_000
	return l.time + elapsed + max(-most, min(l.correct, most))
}

// Mark is an instant on both clocks of a machine.
type Mark struct {
	mono time.Duration
	wall time.Time
}

// MaxWallDrift is the largest WallDrift that is normal. Above it the machine was suspended, or its wall clock was set. Then what rests on
// the monotonic clock alone, such as a lease, must be given up.
const MaxWallDrift = 50 * time.Millisecond

// Mark returns this instant, for WallDrift.
func (c *Clock) Mark() Mark {
	// Without its monotonic reading, a time.Time is what the wall clock shows.
	return Mark{mono: c.mono(), wall: c.wall().Round(0)}
}

// WallDrift returns by how much the wall clock and the monotonic clock disagree about the time that has passed since a mark; never
// less than 0. It shows that the machine was suspended, which stops the monotonic clock alone.
func (c *Clock) WallDrift(since Mark) time.Duration {
	now := c.Mark()
	return (now.wall.Sub(since.wall) - (now.mono - since.mono)).Abs()
}
