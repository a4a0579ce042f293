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

// Stale is a read that returned less than had been seen before it began, or an owner that nobody should have become.
type Stale struct {
	Seed    uint64
	Step    int
	Process int
	Key     int
	Read    int // index of the write that it returned
	Seen    int // index of a write that had been acknowledged, or read

	Expired, SeenExpired bool // what was written had expired
	Usurped              bool // no read: the process took the ownership from an owner that was elected later, or that it did not know
}

// Error describes the read.
func (s *Stale) Error() string {
	at := fmt.Sprintf("seed %d, step %d: process %d", s.Seed, s.Step, s.Process)
	if s.Usurped {
		return at + " took the ownership back from a later owner"
	}
	expired := map[bool]string{true: ", expired,"}
	return fmt.Sprintf("%s read write %d%s of key %d after write %d%s had been seen", at, s.Read, expired[s.Expired], s.Key, s.Seen,
		expired[s.SeenExpired])
}

// Counts tell what came about in a history: one in which nothing happens proves nothing.
type Counts struct {
	Owners, Again, Refused, Released, Freed, Snapshots, Suspended int
	Writes, RefusedWrites, Held                                   int
	Reads, Quorum, Expired, Ticks, Deferred, Inherited, Touched   int
}

// sim is one history.
type sim struct {
	weather
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
	seen   [keys]int // by key: the rank of the newest that anybody outside knows of
	counts Counts
}

// Run simulates a history of the given number of steps and returns the first stale read, or nil, and what came about.
func Run(seed uint64, steps int, bug Bug) (*Stale, Counts) {
	s := &sim{bug: bug, rnd: rand.New(rand.NewPCG(seed, 20)), now: 1000 * millisecond, states: []state{{owner: nobody}}, log: []command{{}}}
	s.weather = newWeather(s.rnd)

	// Leases differ, because a new owner must wait for the largest.
	for i := range s.procs {
		p := &s.procs[i]
		*p = process{id: i, lease: longest, settled: unknown, writes: map[int]begun{}}
		p.clocks = newClocks(s.rnd)
		switch s.rnd.IntN(8) {
		case 0:
			p.lease = 0
		case 1, 2:
			p.lease = 20 * millisecond
		}
	}

	for step := range steps {
		s.now += s.rnd.Int64N(int64(s.pace))
		p := &s.procs[s.rnd.IntN(processes)]
		if p.asleep > s.now {
			continue
		}

		if stale := s.turn(p); stale != nil {
			stale.Seed, stale.Step = seed, step
			return stale, s.counts
		}
	}
	return nil, s.counts
}

// turn has a process that is awake go on.
func (s *sim) turn(p *process) *Stale {
	woken := p.asleep != 0
	p.asleep = 0
	p.resume(s.now)

	if s.rnd.IntN(1000) < s.sleeps { // stopped by its host, or far behind with its log
		p.asleep = s.now + s.rnd.Int64N(2*longest)
		s.missed(p)
		if s.rnd.IntN(100) < s.short {
			p.asleep = s.now + s.rnd.Int64N(60*millisecond)
		}
		// A process that is stopped alone has a clock that goes on; a machine that is suspended has not.
		if s.rnd.IntN(100) < s.suspends {
			p.suspend(s.now)
			s.counts.Suspended++
			return nil
		}
	}

	if s.rnd.IntN(1000) < s.lags {
		p.behind = s.now + s.rnd.Int64N(2*longest)
		s.missed(p)
	}

	if s.rnd.IntN(1000) < s.leaps {
		s.leap(p)
	}

	// Results are told as soon as they may be: a mistake has less time to go unnoticed.
	if s.rnd.IntN(2) == 0 {
		s.answer(p)
	}

	if woken && s.rnd.IntN(2) == 0 {
		return s.begin(p, &s.states[p.applied]) // of a client that has waited since
	}
	return s.step(p)
}

// missed has others elect a leader soon, most often, if one does not answer.
func (s *sim) missed(p *process) {
	if p.leads && s.rnd.IntN(4) != 0 {
		s.unrest = s.now + s.rnd.Int64N(20*millisecond)
	}
}

// leap lets time pass, in which nothing happens, until about the moment at which a process needs to wait no longer. Then margins are tightest.
func (s *sim) leap(p *process) {
	if wait := (p.serveAfter - p.clock(s.now)) * 100 / p.rate; wait > 0 {
		s.now += max(0, wait-s.rnd.Int64N(20*millisecond))
	}
}

// step lets one process do something, or the log go on.
func (s *sim) step(p *process) *Stale {
	st := &s.states[p.applied]
	if s.rnd.IntN(1000) < s.elections || s.now < s.unrest && s.rnd.IntN(12) == 0 {
		if s.rnd.IntN(2) == 0 { // elections come in swarms
			s.unrest = s.now + s.rnd.Int64N(100*millisecond)
		}
		s.term++
		p.leads, p.term = true, s.term
		return nil
	}

	switch n := s.rnd.IntN(100); {
	case n < 7:
		if p.term < s.term { // it hears of the election
			p.leads, p.term = false, s.term
		}
	case n < 13:
		s.own(p, st)
	case n < 32:
		return s.commit()
	case n < 48:
		s.apply(p)
	case n < 54:
		if p.serves(st, s.bug) {
			s.operate(p, st, s.operation(p))
		}
	case n < 64:
		s.readIndex(p, st)
	case n < 78:
		return s.begin(p, st)
	case n < 90:
		return s.finish(p, st)
	case n < 94:
		if !p.leads && p.giveUp(st, s.now, s.bug) {
			s.propose(command{kind: release, by: p.id, epoch: st.epoch})
		}
	case n < 94+s.snapshots:
		s.snapshot(p)
	default:
		s.answer(p)
	}
	return nil
}

// own has a process ask for the ownership if it is elected and does not have it.
func (s *sim) own(p *process, st *state) {
	if !p.leads || p.serves(st, s.bug) {
		return
	}

	// The same Own may be proposed again: the one before may be lost.
	again := p.asked.epoch == st.epoch
	if again && p.asked.term == p.term && s.rnd.IntN(8) != 0 {
		return
	}
	if !again {
		p.asked = asked{epoch: st.epoch, first: p.at(s.now)}
	}
	p.asked.term, p.asked.last = p.term, p.at(s.now)
	if s.rnd.IntN(2) == 0 {
		p.lag = 0 // its cluster time was set right
	}
	s.propose(command{kind: own, by: p.id, epoch: st.epoch, term: p.term, lease: p.lease, now: p.cluster(s.now)})
}

// operation returns what an owner proposes.
func (s *sim) operation(p *process) command {
	c := command{kind: write, key: s.rnd.IntN(s.keys)}
	switch n := s.rnd.IntN(100); {
	case n < s.expiries:
		c.expires = p.cluster(s.now) + s.rnd.Int64N(150*millisecond)
	case n < 2*s.expiries:
		c.kind = sweep
	}
	return c
}

// operate proposes an operation of an owner.
func (s *sim) operate(p *process, st *state, c command) {
	c.by, c.epoch, c.now, c.applied = p.id, st.epoch, p.cluster(s.now), unknown
	// While an owner waits for others, they may have applied less than it has.
	if p.clock(s.now) >= p.serveAfter || s.bug == InheritsFromWaitingOwners {
		c.applied = st.events
	}
	p.writes[s.propose(c)] = begun{epoch: st.epoch, at: p.at(s.now)}
}

// propose sends a command on its way and returns its number.
func (s *sim) propose(c command) int {
	s.ids++
	c.id = s.ids
	// Some proposals are on their way for long.
	if s.rnd.IntN(100) < s.late {
		c.late = s.now + s.rnd.Int64N(2*longest)
	}
	s.flying = append(s.flying, c)
	return c.id
}

// commit appends a command on its way to the log, most often the newest, or loses one.
func (s *sim) commit() *Stale {
	if len(s.flying) == 0 {
		return nil
	}

	// Proposals commit late and out of order. The proposal of a deposed owner may come last.
	i := len(s.flying) - 1
	if s.rnd.IntN(4) == 0 {
		i = s.rnd.IntN(len(s.flying))
	}
	c := s.flying[i]
	if c.late > s.now {
		return nil
	}
	s.flying = append(s.flying[:i], s.flying[i+1:]...)

	// Some proposals are lost for ever.
	if s.rnd.IntN(20) == 0 {
		return nil
	}

	index := len(s.log)
	next := s.states[index-1].apply(&c, index, s.bug)
	s.log, s.states = append(s.log, c), append(s.states, next)
	s.count(&c, &next)
	if next.usurped {
		return &Stale{Process: c.by, Usurped: true}
	}
	return nil
}

// count counts what a command did.
func (s *sim) count(c *command, next *state) {
	switch {
	case c.kind == own && next.accepted:
		s.counts.Owners++
		if next.wasSame && !next.wasClean {
			s.counts.Again++
		}
	case c.kind == own:
		s.counts.Refused++
	case c.kind == release && next.freedBefore:
		s.counts.Freed++
	case c.kind == release && next.accepted:
		s.counts.Released++
	case c.kind != release && next.accepted:
		s.counts.Writes++
	case c.kind != release:
		s.counts.RefusedWrites++
	}
}

// apply has a process apply some of the log.
func (s *sim) apply(p *process) {
	if p.behind > s.now {
		return
	}
	for range 1 + s.rnd.IntN(4) {
		if p.applied+1 >= len(s.log) {
			return
		}
		p.applied++
		p.takeNote(&s.states[p.applied], &s.log[p.applied], s.now, s.bug)
	}
}

// snapshot gives a process that is behind the state of another.
func (s *sim) snapshot(p *process) {
	behind := len(s.log) - 1 - p.applied
	if behind == 0 {
		return
	}
	s.counts.Snapshots++
	p.applied += 1 + s.rnd.IntN(behind)
	p.restore(&s.states[p.applied], s.now, s.bug)
}

// readIndex begins a ReadIndex, answers it, or completes it.
func (s *sim) readIndex(p *process, st *state) {
	switch {
	case p.index == nil:
		if p.serves(st, s.bug) {
			p.index = &begun{epoch: st.epoch, at: p.at(s.now)}
		}
	case p.index.until == 0:
		p.index.until = len(s.log) - 1
	case p.applied >= p.index.until || s.bug == LeaseBeforeApplied:
		p.extend(st, *p.index, s.now, s.bug)
		p.index = nil
	}
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
		s.seen[a.key] = max(s.seen[a.key], a.rank)
	}
	p.held = keep
}
