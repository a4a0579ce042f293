package sdk

import "github.com/gridiron-io/gridiron/sdk/wire"

// simStream is what a client hears of one map: it drives a tracker as an eventStream does.
type simStream struct {
	c    *simClient
	name string
	near bool // it feeds the client's cache; otherwise it is a listener
	tr   *tracker
	room int // events that a listener still takes

	wakeAt int64 // local time at which the stream looks what is due
	looked int64

	// What was taken, for the judgement: the index of the last event, and whether LOST came after it.
	last  int
	lost  bool
	taken map[int]bool
}

func newSimStream(c *simClient, name string, near bool) *simStream {
	st := &simStream{c: c, name: name, near: near, room: 1 << 40, wakeAt: never, taken: make(map[int]bool)}
	st.tr = newTracker(simPartition, st, false, simSpread(c.s.rnd))
	if near {
		st.tr.cluster = c.clockCluster
	} else if c.s.slowListener {
		st.room = c.s.rnd.IntN(3)
		st.drain()
	}
	return st
}

func (c *simClient) clockCluster(now int64) int64 { return c.clock.cluster(now) }

// current reports whether the stream is the client's present one.
func (st *simStream) current() bool { return st == st.c.near || st == st.c.listener }

// locate asks members where the map stands until one says so.
func (st *simStream) locate() {
	if !st.current() || st.tr.open {
		return
	}
	c := st.c
	again := func() {
		c.look()
		c.s.after(c.s.between(millisecond, 20*millisecond), st.locate)
	}
	m := c.s.members[c.owner]
	c.call(m, simCallTimeout, func(answer func(func())) {
		m.position(st.name, func(p *wire.Position) {
			answer(func() {
				if p == nil {
					again()
				} else {
					st.start(p)
				}
			})
		})
	}, again)
}

// start begins where an owner stands.
func (st *simStream) start(p *wire.Position) {
	if !st.current() {
		return
	}
	now := st.c.now()
	st.last = st.c.s.truth.indexAt(st.name, placeAt(p))
	st.tr.hear(now, p.Epoch)
	st.tr.start(now, placeAt(p))
	st.c.s.tracef("client %d listens to %s from %v on", st.c.id, st.name, placeAt(p))
	st.follow()
}

// follow sees to it that the stream looks again when something is due.
func (st *simStream) follow() {
	if !st.current() {
		return
	}
	s, now := st.c.s, st.c.now()
	at := st.tr.next()
	if st.tr.open {
		at = min(at, max(st.tr.heard+int64(quiet), st.looked+int64(lookEvery)))
	}
	if at = max(at, now+millisecond); at >= st.wakeAt {
		return
	}
	st.wakeAt = at
	s.after((at-now)*1_000_000/(1_000_000+st.c.drift), func() {
		if st.wakeAt == at {
			st.wakeAt = never
			st.wake()
		}
	})
}

// wake asks for what is due.
func (st *simStream) wake() {
	if !st.current() {
		return
	}
	c, now := st.c, st.c.now()
	if st.tr.next() <= now {
		st.ask(now)
	}
	// Nothing is heard, so the members are asked where they stand.
	if now-st.tr.heard >= int64(quiet) && now-st.looked >= int64(lookEvery) {
		st.looked = now
		for _, m := range c.s.members {
			c.call(m, int64(lookTimeout), func(answer func(func())) {
				m.position(st.name, func(p *wire.Position) {
					answer(func() {
						if p != nil && st.current() {
							st.tr.watermark(c.now(), p, 0)
							st.follow()
						}
					})
				})
			}, func() {})
		}
	}
	st.follow()
}

// ask asks the owner for what is missing.
func (st *simStream) ask(now int64) {
	c, from := st.c, st.tr.ask(now)
	limit := uint32(c.s.rnd.IntN(5))
	m := c.s.members[c.owner]
	c.s.counts.Asks++
	c.s.tracef("client %d asks member %d for events of %s after %v", c.id, m.id, st.name, from)

	answered := func(res *wire.EventsResult) {
		if res == nil {
			c.look()
		}
		if st.current() {
			st.takeIn(func(now int64) { st.tr.answered(now, res) })
		}
	}
	c.call(m, int64(askTimeout), func(answer func(func())) {
		m.events(st.name, from, limit, func(res *wire.EventsResult) { answer(func() { answered(res) }) })
	}, func() { answered(nil) })
}

// takeIn has the tracker take something in.
func (st *simStream) takeIn(f func(now int64)) {
	before, generation := st.tr.fresh, st.tr.generation()
	f(st.c.now())
	if st.near && st.tr.generation() != generation {
		st.c.cache.Forget(simPartition)
	}
	if len(st.tr.held) > 0 {
		st.c.s.counts.Gaps++
	}
	if st.tr.fresh != before && st.near {
		st.c.s.tracef("client %d is fresh as of %d, at %v", st.c.id, st.tr.fresh-simOrigin/millisecond, st.tr.at)
	}
	st.follow()
}

// hearBatch takes in a message with events.
func (c *simClient) hearBatch(name string, b *wire.EventBatch) {
	for _, st := range []*simStream{c.near, c.listener} {
		if st.name == name {
			st.hearBatch(b)
		}
	}
}

func (st *simStream) hearBatch(b *wire.EventBatch) {
	s := st.c.s
	if wire.Stamp(b.Epoch).Generation() < st.tr.generation() {
		s.counts.Old++
		if s.bug == simGenerationsMixed {
			other := *b
			other.Epoch = st.tr.epoch
			b = &other
		}
	}
	if s.bug == simBatchesThinned {
		b = thinned(b, func() bool { return s.rnd.IntN(100) < 85 })
	}

	st.takeIn(func(now int64) {
		st.tr.batch(now, b)
		if s.bug == simFreshByMessages && wire.Stamp(b.Epoch).Generation() == st.tr.generation() {
			st.tr.fresh = max(st.tr.fresh, b.AsOf)
		}
	})
}

// thinned leaves events out of a message as if they had never been.
func thinned(b *wire.EventBatch, drop func() bool) *wire.EventBatch {
	out := *b
	out.Events = nil
	since := b.Events[0].Since
	for i, e := range b.Events {
		// Without the last one the message after this one would show the gap.
		if i < len(b.Events)-1 && drop() {
			continue
		}
		e.Since, since = since, e.Pos
		out.Events = append(out.Events, e)
	}
	return &out
}

// hearWatermark takes in where a map stands.
func (c *simClient) hearWatermark(name string, p wire.Position, asOf int64) {
	for _, st := range []*simStream{c.near, c.listener} {
		if st.name != name {
			continue
		}
		p := p
		if c.s.bug == simFreshOverGenerations && wire.Stamp(p.Epoch).Generation() > st.tr.generation() && st.near {
			p.Epoch = st.tr.epoch
		}
		st.takeIn(func(now int64) { st.tr.watermark(now, &p, asOf) })
	}
}

// fresh returns the freshness of the stream.
func (st *simStream) fresh() int64 {
	if st.c.s.bug == simBypassIgnored && st.tr.fresh != 0 {
		return st.c.latest()
	}
	return st.tr.fresh
}

// place returns how far the stream has come.
func (st *simStream) place() place { return st.tr.at }

// whole reports whether no later event was heard of.
func (st *simStream) whole() bool { return st.tr.broken == 0 && st.tr.open }

// wants is part of eventSink.
func (st *simStream) wants(e *wire.Event) bool { return st.near || e.Kind != wire.EventTTL }

// take is part of eventSink.
func (st *simStream) take(_ uint32, e *wire.Event) bool {
	s := st.c.s
	if st.room == 0 {
		s.counts.Blocked++
		return false
	}
	st.room--
	s.tracef("client %d takes an event of %s: kind %d at %d, version %x, %s", st.c.id, st.name, e.Kind, e.Pos, e.Version, e.Key)
	s.truth.judgeEvent(st, e)
	if st.near {
		st.c.deliver(e)
	}
	return true
}

// drain makes room for the events of a slow listener, again and again.
func (st *simStream) drain() {
	s := st.c.s
	s.after(s.between(millisecond, 400*millisecond), func() {
		if !st.current() {
			return
		}
		st.room = s.rnd.IntN(20)
		if s.calm {
			st.room = 1 << 40
		}
		if st.room > 0 {
			st.takeIn(st.tr.unblock)
		}
		if !s.calm {
			st.drain()
		}
	})
}

// deliver has the cache hear of a change.
func (c *simClient) deliver(e *wire.Event) {
	switch {
	case e.Kind == wire.EventTTL && c.s.bug == simTTLIgnored, e.Kind == wire.EventCleared && c.s.bug == simClearIgnored,
		e.Kind == wire.EventLost && c.s.bug == simLostIgnored:
	case e.Kind == wire.EventCleared:
		c.cache.Cleared(simPartition, e.Version)
	case e.Kind == wire.EventLost:
		c.cache.Forget(simPartition)
	default:
		c.s.counts.Invalidations++
		c.cache.Invalidate(simPartition, e.Key, e.Version)
	}
}
