package sdk

import (
	"github.com/gridiron-io/gridiron/maps/state"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// publishSoon has the member publish what it has applied.
func (m *simMember) publishSoon() {
	if m.publishing || !m.serves() {
		return
	}
	m.publishing = true
	m.after(m.s.moment(), func() {
		m.publishing = false
		m.publish()
	})
}

// moment returns how long a publisher takes, which mostly is not long.
func (s *nearSim) moment() int64 {
	if s.chance(15) {
		return s.between(1, 2000*millisecond)
	}
	return s.between(20_000, millisecond)
}

// publish sends what was not sent yet. A new owner begins where the log says that the one before had got to.
func (m *simMember) publish() {
	if !m.serves() {
		return
	}
	// Whoever hears of a write must not read what was before it.
	if wait := m.serveAfter - m.clock(); wait > 0 && m.s.bug != simPublishesAtOnce {
		m.publishing = true
		m.after(wait*100/m.rate+1, func() {
			m.publishing = false
			m.publish()
		})
		return
	}

	if m.pubEpoch != m.group.epoch {
		m.pubEpoch, m.pubPos = m.group.epoch, m.st.Published()
	}
	now := m.cluster()
	events, _ := m.st.EventsFrom(m.pubPos, simWanted)
	m.pubPos = m.st.LastPos()
	for len(events) > 0 {
		n := 1
		for n < len(events) && events[n].Map == events[0].Map && m.s.rnd.IntN(5) != 0 {
			n++
		}
		m.send(events[:n], now)
		events = events[n:]
	}
}

// send sends events of one map to all clients.
func (m *simMember) send(events []state.MapEvent, now int64) {
	b := &wire.EventBatch{Partition: simPartition, Epoch: m.group.epoch, AsOf: min(events[len(events)-1].Time, now)}
	for i := range events {
		b.Events = append(b.Events, events[i].Event)
		m.s.truth.tellEvent(events[i].Map, events[i].Version)
	}
	m.s.counts.Batches++
	m.s.spread(m, func(c *simClient) { c.hearBatch(events[0].Map, b) })
}

// watermarks has the member say, once a second, where the maps stand.
func (m *simMember) watermarks() {
	m.s.after(1000*millisecond, m.watermarks)
	if m.asleep > m.s.now {
		return
	}
	asOf := m.cluster()
	look := func() (list []wire.Position) {
		for _, name := range simMaps[:2] {
			list = append(list, m.standing(name))
		}
		return list
	}

	send := func(list []wire.Position) {
		if m.s.bug == simAsOfWhenSent {
			asOf = m.cluster()
		}
		m.s.counts.Watermarks++
		for i, p := range list {
			m.s.spread(m, func(c *simClient) { c.hearWatermark(simMaps[i], p, asOf) })
		}
	}
	// Some time passes between the look and the message.
	soon := func(list []wire.Position) { m.after(m.s.moment(), func() { send(list) }) }

	if m.s.bug == simWatermarkWithoutLease {
		if m.serves() {
			soon(look())
		}
		return
	}

	m.linear(func(int64) bool {
		soon(look())
		return true
	}, func() {})
}

// spread sends a message to all clients, by a bus that loses, repeats, delays and reorders.
func (s *nearSim) spread(m *simMember, hear func(*simClient)) {
	for _, c := range s.clients {
		for {
			switch {
			case c.deaf[m.id] > s.now, s.chance(s.drops):
				s.counts.Dropped++
			default:
				s.after(s.between(50_000, s.delay), func() {
					if c.deaf[m.id] <= s.now {
						hear(c)
					}
				})
			}
			if !s.chance(s.repeats) {
				break
			}
			s.counts.Repeated++
		}
	}
}

// call asks a member, and has a client hear the answer. f runs at the member, and answers once, now or later, or never. A call whose answer
// does not come within a time is unanswered; nobody can tell whether f has run.
func (c *simClient) call(m *simMember, within int64, f func(answer func(func())), unanswered func()) {
	s := c.s
	open := true
	end := func(f func()) {
		if open {
			open = false
			f()
		}
	}
	s.after(within, func() { end(unanswered) })
	if s.chance(s.lostCalls) && s.rnd.IntN(2) == 0 || c.mute[m.id] > s.now {
		return
	}

	sent, life := c.now(), m.life
	m.after(s.travel(), func() {
		f(func(heard func()) {
			clock := m.cluster()
			// A member that ends takes with it what it has not sent yet.
			if m.life != life || s.chance(s.lostCalls) || c.mute[m.id] > s.now {
				return
			}
			s.after(s.travel(), func() {
				end(func() {
					c.clock.sample(clock, sent, c.now())
					heard()
				})
			})
		})
	})
}

// travel returns how long a request or answer is on its way.
func (s *nearSim) travel() int64 {
	if s.chance(s.slowCalls) {
		return s.between(millisecond, 400*millisecond)
	}
	return s.between(50_000, 2*millisecond)
}
