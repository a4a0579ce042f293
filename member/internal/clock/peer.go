package clock

import (
	"time"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

const (
	keepSamples = 16               // of each peer
	maxAge      = 10 * time.Second // of a sample that counts

	// A clock is set by a peer that was sampled with a round trip of at most quickTrip, or trustSamples times: an error made
	// at the start is only slewed away afterwards, half a millisecond in each second.
	quickTrip    = 20 * time.Millisecond
	trustSamples = 4

	// wander is by how many parts in a million two clocks may run apart: one is slewed, and crystals differ.
	wander = 2 * MaxSlew
)

// sample is what one ping told about a peer's clock.
type sample struct {
	received time.Duration // on the monotonic clock
	trip     time.Duration
	ahead    time.Duration // cluster time at the peer, less the monotonic clock here; the error is at most trip/2
}

// doubt returns how wrong the sample may be at an instant.
func (s *sample) doubt(now time.Duration) time.Duration {
	return s.trip/2 + (now-s.received)*wander/1_000_000
}

// peer holds the last samples of a peer.
type peer struct {
	samples [keepSamples]sample // a ring
	next    int
	count   int
	asked   time.Duration // when the newest ping that was answered was sent, on the monotonic clock
}

// add takes a sample. A sample that contradicts the earlier ones shows that one of the two machines was suspended, or that a clock was
// stepped. Then the earlier samples are forgotten, however good they were.
func (p *peer) add(s sample) {
	if old, n := p.best(s.received); n > 0 && (s.ahead-old.ahead).Abs() > s.doubt(s.received)+old.doubt(s.received)+maxDoubt {
		p.count = 0
	}
	p.samples[p.next] = s
	p.next = (p.next + 1) % keepSamples
	p.count = min(p.count+1, keepSamples)
}

// best returns the most certain sample among those that count at an instant, and how many count. Mostly the sample with the shortest round
// trip is the most certain one. But the clocks run apart, so a newer sample may be better than an old one.
func (p *peer) best(now time.Duration) (best sample, n int) {
	for i := range p.count {
		s := p.samples[(p.next-1-i+2*keepSamples)%keepSamples]
		// The clocks may have run apart too far since then.
		if now-s.received > maxAge {
			continue
		}
		if n++; n == 1 || s.doubt(now) < best.doubt(now) {
			best = s
		}
	}
	return best, n
}

// Sample tells the clock what a peer's NowMicros was when the peer answered a ping. sent and received are the instants of the ping and of
// its answer on the monotonic clock. peerSet is false for a peer whose clock is unset: earlier samples of that peer are forgotten. A
// sample that contradicts itself is ignored.
//
// A clock that is set is then corrected towards the median of all clocks, its own among them, by slewing; what slewing cannot make
// good in time is told by Standing. One that is unset is set, at once, to the median of its peers'.
func (c *Clock) Sample(id wire.ID, peerMicros int64, peerSet bool, sent, received time.Duration) {
	if !peerSet {
		c.Forget(id)
		// The peer's clock will be set soon. Until then the peer has not borne this clock out.
		c.Expect(id)
		return
	}

	trip := received - sent
	// Such an answer contradicts itself, and would spoil the median.
	if trip < 0 || peerMicros <= 0 || peerMicros > maxMicros {
		return
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.mu.peers[id]
	if p == nil {
		p = new(peer)
		c.mu.peers[id] = p
	}

	// The peer's clock was read somewhere between the two instants. The middle is wrong by half of the round trip at most.
	p.add(sample{received: received, trip: trip, ahead: time.Duration(peerMicros)*time.Microsecond + trip/2 - received})
	p.asked = max(p.asked, sent)
	c.correctLocked()
}

// Expect says that there is a peer that will be sampled: until it has been, it cannot have borne the clock out.
func (c *Clock) Expect(id wire.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.peers[id] == nil {
		c.mu.peers[id] = new(peer)
	}
}

// Forget drops all samples of a peer, because it is unreachable or starts again.
func (c *Clock) Forget(id wire.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	// Without the peer nothing changes, and a correction would only replace the line by an equal one.
	if _, known := c.mu.peers[id]; !known {
		return
	}
	delete(c.mu.peers, id)
	c.correctLocked()
}

// Disagreement returns the largest difference between a peer's clock and this one, as far as samples tell; 0 while the clock is
// unset. It is never less than 0.
func (c *Clock) Disagreement() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.line.Load()
	if l == nil {
		return 0
	}

	now := c.mono()
	own := l.at(now) - now
	var most time.Duration
	for _, p := range c.mu.peers {
		// A peer that was not heard lately neither agrees nor disagrees.
		if s, n := p.best(now); n > 0 {
			most = max(most, (s.ahead - own).Abs())
		}
	}
	return most
}

// correctLocked aims the clock at the median, or sets it.
// REQUIRES: c.mu is held.
func (c *Clock) correctLocked() {
	now := c.mono()
	l := c.line.Load()
	var offsets []time.Duration // from the monotonic clock
	for _, p := range c.mu.peers {
		s, n := p.best(now)
		// An unset clock is set at once, so its first samples have to be good. A clock that is set only slews.
		if n == 0 || (l == nil && s.trip > quickTrip && n < trustSamples) {
			continue
		}
		offsets = append(offsets, s.ahead)
	}

	if l == nil {
		// Without a good sample the clock waits for one, since an error at the start is only slewed away.
		if len(offsets) > 0 {
			c.setLocked((now + middle(offsets)).Microseconds())
		}
		return
	}

	at := l.at(now)
	// This clock has a vote in the median too: a single peer within a second moves it by half of the difference.
	own := at - now
	offsets = append(offsets, own)
	c.line.Store(&line{from: now, time: at, correct: middle(offsets) - own, lacks: l.lacks})
	c.judgeLocked(now)
}
