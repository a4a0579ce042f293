package sdk

import (
	"bytes"

	"github.com/gridiron-io/gridiron/maps/state"
	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

const (
	simPartition = 3
	simNobody    = -1
)

// simLog is what the members agree on. It knows nothing of Raft but that committed entries have one order, which every member applies in its
// own time.
type simLog struct {
	generation uint64
	entries    []simEntry // of the generation
	base       uint64     // ord of what the generation began with
	term       uint64
	elected    int
}

// simEntry is an entry of the log: an Own, or an operation of an owner.
type simEntry struct {
	own       bool
	by        int
	epoch     uint64 // own: the one to supersede; else the one that it belongs to
	term      uint64
	now       int64 // cluster time of the proposer in milliseconds
	published uint64
	op        *entry.Op
	write     *simWrite // whose op it is; nil for the owner's own
	began     int64     // on the proposer's monotonic clock
	ord       uint64
	done      func(res entry.Result, ord uint64, accepted bool) // called where it was proposed
}

// simGroup is what every member has of the ownership after the same log.
type simGroup struct {
	epoch, term uint64
	owner       int
}

// apply takes in an entry and reports whether it takes effect, and of an Own whether the owner before was nobody, or the same.
func (g *simGroup) apply(e *simEntry, epoch uint64) (accepted, free, same bool) {
	if !e.own {
		return e.epoch == g.epoch && g.owner != simNobody, false, false
	}
	if e.epoch != g.epoch || e.term < g.term {
		return false, false, false
	}
	free, same = g.owner == simNobody, g.owner == e.by
	g.owner, g.epoch, g.term = e.by, epoch, e.term
	return true, free, same
}

// simMember is one member with its replica. Its monotonic clock runs at a rate of its own.
type simMember struct {
	s    *nearSim
	id   int
	rate int64 // percent
	skew int64 // of cluster time, milliseconds

	life    int // grows with each recovery: what was under way before does not go on
	st      *state.State
	group   simGroup
	applied int

	leads      bool // it believes to be elected
	term       uint64
	serveAfter int64 // monotonic
	leaseEnd   int64 // monotonic
	leaseOf    uint64

	asleep, cut, behind int64 // true times until which it does nothing, hears and says nothing, applies nothing

	pubEpoch, pubPos uint64
	publishing       bool
}

// begin makes the members.
func (s *nearSim) begin() {
	s.log.generation = 1
	for i := range s.members {
		m := &simMember{s: s, id: i, rate: []int64{92, 100, 108}[s.rnd.IntN(3)], skew: s.between(-s.skew, s.skew)}
		m.reset(state.New(1, s.limits()))
		s.members[i] = m
		s.after(s.between(1, 1000*millisecond), m.watermarks)
		s.after(s.between(1, 100*millisecond), m.upkeep)
	}
	s.elect(s.members[s.rnd.IntN(simMembers)])
	s.after(s.between(1, s.unrest), s.trouble)
}

func (s *nearSim) limits() state.Limits { return state.Limits{RingEvents: s.ring} }

// reset gives the member the state with which a generation begins.
func (m *simMember) reset(st *state.State) {
	m.life++
	m.st, m.applied, m.publishing, m.leads = st, 0, false, false
	m.group = simGroup{owner: simNobody, epoch: uint64(wire.StampOf(st.Generation(), 0))}
	m.serveAfter, m.leaseOf, m.pubEpoch = 0, 0, 0
}

// clock returns the member's monotonic time.
func (m *simMember) clock() int64 { return m.s.now * m.rate / 100 }

// cluster returns the cluster time as the member knows it, in milliseconds.
func (m *simMember) cluster() int64 { return m.s.now/millisecond + m.skew }

// after has f happen at the member, once it is awake. It never happens if the member ends before.
func (m *simMember) after(d int64, f func()) {
	life := m.life
	var run func()
	run = func() {
		switch {
		case m.life != life:
		case m.asleep > m.s.now:
			m.s.queue.push(m.asleep+m.s.rnd.Int64N(millisecond), run)
		default:
			f()
		}
	}
	m.s.after(d, run)
}

// isCut reports whether the member does not reach the others.
func (m *simMember) isCut() bool { return m.cut > m.s.now }

// serves reports whether the member takes operations.
func (m *simMember) serves() bool { return m.leads && m.group.owner == m.id }

// trouble makes something go wrong, again and again.
func (s *nearSim) trouble() {
	if s.calm {
		return
	}
	defer s.after(s.between(s.unrest/4, s.unrest), s.trouble)

	m := s.members[s.rnd.IntN(simMembers)]
	if s.rnd.IntN(2) == 0 {
		m = s.members[s.log.elected]
	}
	long := s.between(20*millisecond, 800*millisecond)
	if s.rnd.IntN(6) == 0 {
		long = s.between(800*millisecond, 6000*millisecond)
	}

	switch {
	case s.hurt && s.chance(50):
		// Meanwhile the survivor hears of little, so that something may be lost.
		m.behind = s.now + long
		s.after(long-1, func() {
			if !s.calm {
				s.recover(m)
			}
		})
		return
	case s.chance(s.splits):
		long = s.between(1000*millisecond, 7000*millisecond)
		s.clients[s.rnd.IntN(len(s.clients))].split(m, long+3000*millisecond)
		if s.rnd.IntN(2) == 0 {
			m.cut = s.now + long
		} else {
			m.asleep = s.now + long
		}
	case s.chance(s.deaf):
		if s.rnd.IntN(2) == 0 {
			long = s.between(1000*millisecond, 7000*millisecond)
		}
		s.clients[s.rnd.IntN(len(s.clients))].deafen(m, long)
		return
	default:
		switch n := s.rnd.IntN(100); {
		case n < 20:
			s.elect(s.members[s.rnd.IntN(simMembers)])
			return
		case n < 50:
			s.tracef("member %d sleeps for %d ms", m.id, long/millisecond)
			m.asleep = s.now + long
		case n < 80:
			s.tracef("member %d is cut off for %d ms", m.id, long/millisecond)
			m.cut = s.now + long
		default:
			m.behind = s.now + long
			return
		}
	}

	// Others elect a leader after a while, most often.
	if m.id == s.log.elected && s.rnd.IntN(4) != 0 {
		s.after(s.between(30*millisecond, 600*millisecond), func() { s.elect(s.members[s.rnd.IntN(simMembers)]) })
	}
}

// deafen parts a client from a member, or from all.
func (c *simClient) deafen(m *simMember, long int64) {
	// It may miss messages, or get no answers, or both.
	all, what := c.s.rnd.IntN(3) == 0, c.s.rnd.IntN(4)
	for _, o := range c.s.members {
		if all || o == m {
			if what != 0 {
				c.deaf[o.id] = c.s.now + long
			}
			if what <= 1 {
				c.mute[o.id] = c.s.now + long
			}
		}
	}
	c.s.tracef("client %d does not hear member %d for %d ms, or all: %v; messages %v, calls %v", c.id, m.id, long/millisecond, all, what != 0, what <= 1)
}

// split keeps messages of all other members from a client, and perhaps its calls from them.
func (c *simClient) split(m *simMember, long int64) {
	calls := c.s.rnd.IntN(2) == 0
	for _, o := range c.s.members {
		if o != m {
			c.deaf[o.id] = c.s.now + long
			if calls {
				c.mute[o.id] = c.s.now + long
			}
		}
	}
	c.s.tracef("client %d is split off with member %d for %d ms, calls too: %v", c.id, m.id, long/millisecond, calls)
}

// elect makes a member the leader. The others hear of it in their time.
func (s *nearSim) elect(m *simMember) {
	if m.isCut() || m.asleep > s.now {
		return
	}
	s.log.term++
	term := s.log.term
	s.log.elected = m.id
	m.leads, m.term = true, term
	s.tracef("member %d is elected, term %d", m.id, term)
	for _, o := range s.members {
		if o == m {
			continue
		}
		o.after(max(o.cut-s.now, 0)+s.between(1, 50*millisecond), func() {
			if o.term < term {
				o.leads, o.term = false, term
			}
		})
	}
	m.own(term)
}

// own has the leader ask for the ownership until it has it.
func (m *simMember) own(term uint64) {
	if !m.leads || m.term != term {
		return
	}
	if m.group.owner != m.id {
		m.propose(simEntry{own: true, epoch: m.group.epoch})
	}
	m.after(100*millisecond, func() { m.own(term) })
}

// propose sends an entry on its way to the log.
func (m *simMember) propose(e simEntry) {
	s := m.s
	e.by, e.term, e.now, e.began = m.id, m.term, m.cluster(), m.clock()
	if m.pubEpoch == m.group.epoch {
		e.published = m.pubPos
	}

	d := s.between(100_000, 2*millisecond)
	switch {
	case m.isCut():
		// It may come late, when another is the owner, or never.
		if s.rnd.IntN(2) == 0 {
			return
		}
		d += m.cut - s.now
	case s.chance(s.late):
		d = s.between(1, 600*millisecond)
	case s.chance(2):
		return
	}
	generation := s.log.generation
	s.after(d, func() {
		if s.log.generation == generation {
			s.commit(e)
		}
	})
}

// commit appends an entry to the log.
func (s *nearSim) commit(e simEntry) {
	e.ord = s.truth.commit(&e)
	s.log.entries = append(s.log.entries, e)
	upTo := len(s.log.entries)
	for _, m := range s.members {
		d := s.between(50_000, 2*millisecond)
		if wait := max(m.cut, m.behind) - s.now; wait > 0 {
			d += wait
		}
		m.after(d, func() { m.apply(upTo) })
	}
}

// epochAt returns the epoch of an Own at an index.
func (l *simLog) epochAt(index int) uint64 {
	return uint64(wire.StampOf(l.generation, uint64(index)+1))
}

// apply applies the log up to an index.
func (m *simMember) apply(upTo int) {
	for m.applied < upTo {
		e := &m.s.log.entries[m.applied]
		m.applied++
		accepted, free, same := m.group.apply(e, m.s.log.epochAt(m.applied-1))
		m.st.Advance(e.now, e.published)

		var res entry.Result
		if accepted && e.op != nil {
			res = m.st.Apply(e.op)
		}
		switch {
		case e.own && accepted && e.by == m.id:
			m.owns(free, same)
		case e.by == m.id && !e.own:
			if accepted {
				m.extend(e.began)
			}
			if e.done != nil {
				e.done(res, e.ord, accepted)
			}
		}
	}
	m.publishSoon()
}

// owns does what a member does that has become the owner. Others may still read under their leases.
func (m *simMember) owns(free, same bool) {
	m.s.counts.Owners++
	m.s.tracef("member %d owns the partition, epoch %x", m.id, m.group.epoch)
	switch {
	case free:
		m.serveAfter = m.clock()
	case !same:
		m.serveAfter = m.clock() + simLease
	}
}

// extend takes a lease by something that was begun at a time and has completed.
func (m *simMember) extend(began int64) {
	if !m.serves() {
		return
	}
	if m.leaseOf != m.group.epoch {
		m.leaseOf, m.leaseEnd = m.group.epoch, 0
	}
	m.leaseEnd = max(m.leaseEnd, began+simLease*8/10)
}

// linear runs f on a state that holds whatever anybody had been told before. f is given a cluster time from before that. It reports false if
// something must be committed before. failed is called if the member cannot say what the state is.
func (m *simMember) linear(f func(asOf int64) bool, failed func()) { m.linearly(4, f, failed) }

func (m *simMember) linearly(tries int, f func(asOf int64) bool, failed func()) {
	if !m.serves() || tries == 0 {
		failed()
		return
	}
	asOf, epoch, began := m.cluster(), m.group.epoch, m.clock()
	again := func() { m.linearly(tries-1, f, failed) }

	if began >= m.serveAfter && m.leaseOf == epoch && began < m.leaseEnd {
		m.s.counts.LeaseReads++
		if !f(asOf) {
			m.after(5*millisecond, again)
		}
		return
	}

	// A majority says how long the log is.
	m.after(m.s.between(100_000, 3*millisecond), func() {
		if m.isCut() || m.s.chance(2) {
			m.after(400*millisecond, again)
			return
		}
		if !m.leads || m.term < m.s.log.term {
			failed()
			return
		}
		until := len(m.s.log.entries)
		m.whenApplied(until, func() {
			if !m.serves() || m.group.epoch != epoch {
				failed()
				return
			}
			m.extend(began)
			m.after(max(0, (m.serveAfter-m.clock())*100/m.rate)+1, func() {
				if m.clock() < m.serveAfter || m.group.epoch != epoch || !m.leads || !f(asOf) {
					m.after(5*millisecond, again)
				}
			})
		})
	})
}

// whenApplied calls f once the log is applied up to an index.
func (m *simMember) whenApplied(index int, f func()) {
	if m.applied >= index {
		f()
		return
	}
	m.after(millisecond, func() { m.whenApplied(index, f) })
}

// upkeep has an owner remove what has expired.
func (m *simMember) upkeep() {
	m.s.after(m.s.between(20*millisecond, m.s.sweeps), m.upkeep)
	if m.serves() && m.asleep <= m.s.now {
		m.propose(simEntry{epoch: m.group.epoch, op: &entry.Op{Code: wire.OpSweep, Body: wire.AppendSweepBody(nil, wire.SweepBody{Limit: 2})}})
	}
}

// recover has the partition go on as its next generation, with what one member has of the log. What only the others had is lost.
func (s *nearSim) recover(survivor *simMember) {
	n := len(s.log.entries)
	if s.rnd.IntN(2) == 0 {
		n = survivor.applied + s.rnd.IntN(n-survivor.applied+1)
	}
	survivor.apply(n)

	loss := n < len(s.log.entries)
	if loss {
		survivor.st.MarkLoss()
	}
	s.counts.Recoveries++
	if loss {
		s.counts.Losses++
	}

	from := s.log.base
	if n > 0 {
		from = s.log.entries[n-1].ord
	}
	s.log.generation++
	s.tracef("recovered as generation %d by member %d, loss %v", s.log.generation, survivor.id, loss)
	if err := survivor.st.Continue(s.log.generation); err != nil {
		panic(err)
	}

	s.log.base = s.truth.recover(from, copyState(survivor.st, s.limits()))
	s.log.entries = nil
	left := survivor.st
	for _, m := range s.members {
		m.reset(copyState(left, s.limits()))
		m.cut, m.asleep, m.behind = 0, 0, 0
	}
	s.after(s.between(20*millisecond, 500*millisecond), func() { s.elect(s.members[s.rnd.IntN(simMembers)]) })
}

// copyState returns a copy of a state.
func copyState(st *state.State, lim state.Limits) *state.State {
	var b bytes.Buffer
	snapshot := st.Freeze()
	if _, err := snapshot.WriteTo(&b); err != nil {
		panic(err)
	}
	_ = snapshot.Close()
	out, err := state.Restore(&b, lim)
	if err != nil {
		panic(err)
	}
	return out
}
