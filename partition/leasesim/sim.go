package leasesim

import (
	"fmt"
	"math/rand/v2"
)

const (
	processes   = 3
	millisecond = 1000 // times are in microseconds
	// longest is the lease that most owners take.
	longest = 300 * millisecond
)

// Stale is a read that returned less than had been seen before it began.
type Stale struct {
	Seed    uint64
	Step    int
	Process int
	Read    int // index of the write that it returned
	Seen    int // index of a write that had been acknowledged, or read
}

// Error describes the read.
func (s *Stale) Error() string {
	return fmt.Sprintf("seed %d, step %d: process %d read write %d after write %d had been seen", s.Seed, s.Step, s.Process, s.Read, s.Seen)
}

// Counts tell what came about in a history: one in which nothing happens proves nothing.
type Counts struct {
	Owners, Refused, Released, Freed, Writes, RefusedWrites, Reads, Deferred, Held int
}

// sim is one history.
type sim struct {
	bug    Bug
	rnd    *rand.Rand
	now    int64 // true time
	unrest int64 // until then elections are frequent
	term   uint64
	ids    int
	states []state // by log index; 0 is before the first
	log    []command
	flying []command // proposed, and not yet committed or lost
	procs  [processes]process
	seen   int // the newest write that anybody outside knows of
	counts Counts
}

// Run simulates a history of the given number of steps and returns the first stale read, or nil, and what came about.
func Run(seed uint64, steps int, bug Bug) (*Stale, Counts) {
	s := &sim{bug: bug, rnd: rand.New(rand.NewPCG(seed, 20)), now: 1000 * millisecond, states: []state{{owner: nobody}}, log: []command{{}}}

	// Clocks at the bounds are as frequent as all others: there the margins are tightest. Leases differ, because a new owner must wait
	// for the largest.
	for i := range s.procs {
		s.procs[i] = process{id: i, rate: []int64{92, 92 + s.rnd.Int64N(17), 108}[s.rnd.IntN(3)], lease: longest, writes: map[int]begun{}}
		if s.rnd.IntN(3) == 0 {
			s.procs[i].lease = 20 * millisecond
		}
	}

	for step := range steps {
		s.now += s.rnd.Int64N(millisecond)
		p := &s.procs[s.rnd.IntN(processes)]
		if p.asleep > s.now {
			continue
		}

		woken := p.asleep != 0
		p.asleep = 0
		if s.rnd.IntN(100) == 0 { // stopped by its host, or far behind with its log
			p.asleep = s.now + s.rnd.Int64N(2*longest)
		}

		var stale *Stale
		if woken && s.rnd.IntN(2) == 0 {
			stale = s.read(p, &s.states[p.applied]) // of a client that has waited since
		} else {
			stale = s.step(p)
		}

		if stale != nil {
			stale.Seed, stale.Step = seed, step
			return stale, s.counts
		}
	}
	return nil, s.counts
}

// step lets one process do something, or the log go on.
func (s *sim) step(p *process) *Stale {
	st := &s.states[p.applied]
	switch n := s.rnd.IntN(100); {
	case n < 1 || n < 8 && s.now < s.unrest:
		if s.rnd.IntN(2) == 0 { // elections come in swarms
			s.unrest = s.now + s.rnd.Int64N(100*millisecond)
		}
		s.term++
		p.leads, p.term = true, s.term
	case n < 12:
		if p.term < s.term { // it hears of the election
			p.leads, p.term = false, s.term
		}
	case n < 18:
		if p.leads && !p.serves(st, s.bug) && p.term >= st.term && (p.asked != st.epoch || p.under != p.term || s.rnd.IntN(8) == 0) {
			p.asked, p.under = st.epoch, p.term
			s.propose(command{kind: own, by: p.id, epoch: st.epoch, term: p.term, lease: p.lease})
		}
	case n < 32:
		s.commit()
	case n < 48:
		s.apply(p)
	case n < 54:
		if p.serves(st, s.bug) {
			id := s.propose(command{kind: write, by: p.id, epoch: st.epoch})
			p.writes[id] = begun{epoch: st.epoch, at: p.clock(s.now)}
		}
	case n < 64:
		s.readIndex(p, st)
	case n < 78:
		return s.read(p, st)
	case n < 90:
		return s.finish(p, st)
	case n < 94:
		if !p.leads && p.giveUp(st, s.now, s.bug) {
			s.propose(command{kind: release, by: p.id, epoch: st.epoch})
		}
	default:
		s.answer(p)
	}
	return nil
}

// propose sends a command on its way and returns its number.
func (s *sim) propose(c command) int {
	s.ids++
	c.id = s.ids
	s.flying = append(s.flying, c)
	return c.id
}

// commit appends a command on its way to the log, most often the newest, or loses one.
func (s *sim) commit() {
	if len(s.flying) == 0 {
		return
	}

	// Proposals commit late and out of order. The proposal of a deposed owner may come last.
	i := len(s.flying) - 1
	if s.rnd.IntN(4) == 0 {
		i = s.rnd.IntN(len(s.flying))
	}
	c := s.flying[i]
	s.flying = append(s.flying[:i], s.flying[i+1:]...)

	// Some proposals are lost for ever.
	if s.rnd.IntN(20) == 0 {
		return
	}

	index := len(s.log)
	next := s.states[index-1].apply(&c, index, s.bug)
	s.log, s.states = append(s.log, c), append(s.states, next)

	switch {
	case c.kind == own && next.accepted:
		s.counts.Owners++
	case c.kind == own:
		s.counts.Refused++
	case c.kind == release && next.freedBefore:
		s.counts.Freed++
	case c.kind == release && next.accepted:
		s.counts.Released++
	case c.kind == write && next.accepted:
		s.counts.Writes++
	case c.kind == write:
		s.counts.RefusedWrites++
	}
}

// apply has a process apply some of the log.
func (s *sim) apply(p *process) {
	for range 1 + s.rnd.IntN(4) {
		if p.applied+1 >= len(s.log) {
			return
		}
		p.applied++
		p.takeNote(&s.states[p.applied], &s.log[p.applied], s.now, s.bug)
	}
}

// readIndex begins a ReadIndex, answers it, or completes it.
func (s *sim) readIndex(p *process, st *state) {
	switch {
	case p.index == nil:
		if p.serves(st, s.bug) {
			p.index = &begun{epoch: st.epoch, at: p.clock(s.now)}
		}
	case p.index.until == 0:
		p.index.until = len(s.log) - 1
	case p.applied >= p.index.until:
		p.extend(st, *p.index, s.now, s.bug)
		p.index = nil
	}
}

// read begins a read and checks the lease. Some time may pass before it goes on.
func (s *sim) read(p *process, st *state) *Stale {
	t := p.clock(s.now)
	if t < p.serveAfter || t >= p.leaseEnd {
		return nil
	}

	p.reads = append(p.reads, read{epoch: p.leaseEpoch, floor: s.seen})
	if s.rnd.IntN(2) == 0 {
		return s.finish(p, st)
	}
	return nil
}

// finish goes on with a read whose lease was checked.
func (s *sim) finish(p *process, st *state) *Stale {
	if len(p.reads) == 0 {
		return nil
	}

	i := s.rnd.IntN(len(p.reads))
	r := p.reads[i]
	p.reads = append(p.reads[:i], p.reads[i+1:]...)

	if s.bug != ReadsAcrossEpochs && (st.epoch != r.epoch || st.released) {
		s.counts.Deferred++
		return nil
	}

	s.counts.Reads++
	if st.value < r.floor {
		return &Stale{Process: p.id, Read: st.value, Seen: r.floor}
	}
	s.seen = max(s.seen, st.value)
	return nil
}

// answer tells the results of writes that may be told.
func (s *sim) answer(p *process) {
	keep := p.held[:0]
	for _, a := range p.held {
		if p.clock(s.now) < a.from {
			s.counts.Held++
			keep = append(keep, a)
			continue
		}
		s.seen = max(s.seen, a.value)
	}
	p.held = keep
}
