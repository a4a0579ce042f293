package sdk

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// maxDrift is how fast a local clock and the cluster's may come apart: 500 ppm that members slew by, and as much for the
// two crystals.
const maxDrift = 1000 // nanoseconds for each millisecond

// maxApart is by how much members' clocks may differ while they own anything.
const maxApart = time.Second

// trustFor is for how long a time is believed that a later answer contradicts with an earlier one.
const trustFor = 10 * time.Second

// clock is the client's monotonic clock, and its estimate of the cluster's. The estimate rests on one answer, the one that
// bounds it best: an answer's time is off by no more than half its round trip, and the bound grows as it ages.
type clock struct {
	base   time.Time
	offset atomic.Int64 // nanoseconds to add to now
	ahead  atomic.Int64 // likewise, for the latest that cluster time may be at local time 0: it ages from there

	mu    sync.Mutex // guards the following
	bound int64      // nanoseconds that the estimate could be off by, at the time of the sample; -1: none yet
	at    int64      // when the sample was taken
}

func newClock() *clock { return &clock{base: time.Now().Add(-time.Second), bound: -1} }

// now returns nanoseconds on a clock that never goes back and is never 0.
func (c *clock) now() int64 { return int64(time.Since(c.base)) }

// later returns the local time that is d after now, or the last that there is: a caller may wait for ever.
func later(now int64, d time.Duration) int64 {
	if d > 0 && now > math.MaxInt64-int64(d) {
		return math.MaxInt64
	}
	return now + int64(d)
}

// cluster returns the cluster time at now in milliseconds.
func (c *clock) cluster(now int64) int64 { return (now + c.offset.Load()) / int64(time.Millisecond) }

// latest returns the latest that cluster time may be at now, in milliseconds.
func (c *clock) latest(now int64) int64 {
	return (now + c.ahead.Load() + aged(now)) / int64(time.Millisecond)
}

// aged returns by how much an estimate becomes worse in a time.
func aged(d int64) int64 { return d / int64(time.Millisecond) * maxDrift }

// Now returns the cluster's time as the client knows it from the members' answers. Expiry, events and EntryView use this clock,
// so compare their instants with Now and not with time.Now. It is off by about half the time that a call takes. It does no I/O.
func (c *Client) Now() time.Time { return instant(c.clock.cluster(c.clock.now())) }

// restart is sample for another cluster. It forgets what was known of the earlier cluster's time.
func (c *clock) restart(clusterMs, sent, received int64) {
	c.mu.Lock()
	c.bound = -1
	c.mu.Unlock()
	c.sample(clusterMs, sent, received)
}

// sample takes in the cluster time that an answer carried. It is one comparison unless the answer improves the estimate.
func (c *clock) sample(clusterMs, sent, received int64) {
	const half = int64(time.Millisecond) / 2 // cluster time comes in whole milliseconds
	rtt := received - sent
	// Neither says anything: the local clock never goes back, and 0 is no cluster time.
	if rtt < 0 || clusterMs <= 0 {
		return
	}

	// The member read its clock somewhere between sent and received. The middle of that is wrong by half of it at most.
	bound := rtt/2 + half
	offset := clusterMs*int64(time.Millisecond) + half - (sent + rtt/2)

	c.mu.Lock()
	defer c.mu.Unlock()

	// The older an estimate, the further the two clocks may have come apart since.
	was := c.bound + aged(received-c.at)
	// Cluster time never goes back: of two answers that cannot both be right, the earlier time comes from a member that was suspended.
	contradict, leap := bound+was+int64(maxApart), offset-c.offset.Load()

	switch {
	case c.bound < 0 || leap > contradict:
	// The estimate is at least as good as this answer, or this answer is that of a member that is behind.
	case bound >= was, leap < -contradict && received-c.at < int64(trustFor):
		return
	}

	// Readers take the offset alone, without the lock.
	c.bound, c.at = bound, received
	c.offset.Store(offset)
	c.ahead.Store(offset + bound - aged(received))
}
