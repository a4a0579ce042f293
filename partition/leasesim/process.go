package leasesim

// process is one member's process. Its times are its own monotonic clock's, unless said otherwise.
type process struct {
	clocks
	id      int
	lease   int64 // the largest that it takes; 0: it asks a majority for each read
	applied int   // index
	asleep  int64 // true time until which it does nothing
	behind  int64 // true time until which it applies nothing

	leads bool // it believes to be elected
	term  uint64
	asked asked

	given      uint64 // epoch that it gives up
	proposed   bool   // its Release
	serveAfter int64

	leased  span // what it reads under
	leaseOf uint64

	// inherits is while it reads what nobody can have touched, though it must wait for others.
	inherits  span
	inheritOf uint64
	ownedAt   int // position of the last event before that epoch
	settled   int // position up to which everybody has applied who may read; unknown: none is known

	writes map[int]begun // by command
	index  *begun        // a ReadIndex under way
	reads  []read        // that have begun
	held   []answer      // results that wait for serveAfter
}

// asked is an Own that was proposed.
type asked struct {
	epoch       uint64 // that it was to supersede
	term        uint64
	first, last moment // when it was proposed
}

// begun is something by which a lease can be had.
type begun struct {
	epoch uint64
	at    moment
	until int // of a ReadIndex: log index that is to be applied; 0: not yet known
}

// answer is a result that may be told from a time on.
type answer struct {
	key, rank int
	from      int64
}

// serves reports whether the process takes operations in a state.
func (p *process) serves(s *state, bug Bug) bool {
	return p.leads && s.owner == p.id && !s.released && (p.given != s.epoch || bug == ServesAfterRelease)
}

// extend takes a lease by something that was begun in an epoch and is completed now.
func (p *process) extend(s *state, b begun, now int64, bug Bug) {
	if s.owner != p.id || !s.accepts(b.epoch) || p.given == b.epoch && bug != ServesAfterRelease {
		return
	}

	l := span{from: b.at, length: p.lease * 8 / 10}
	if bug == LeaseWithoutMargin {
		l.length = p.lease
	}
	if bug == LeaseFromCompletion {
		l.from = p.at(now)
	}

	if p.leaseOf != b.epoch || l.end() > p.leased.end() {
		p.leaseOf, p.leased = b.epoch, l
	}
}

// leaseHolds reports whether the process may read under its lease.
func (p *process) leaseHolds(now int64, bug Bug) bool {
	return bug == ReadsAfterLease || p.leased.lasts(p.at(now), bug == LeaseThroughSuspend, bug == LeaseThroughShortSuspend)
}

// waits reports whether the process owns the partition, and has to wait for others.
func (p *process) waits(s *state, now int64, bug Bug) bool {
	return p.inheritOf == s.epoch && !s.released && p.clock(now) < p.serveAfter || bug == InheritsAfterwards
}

// takeNote does what the process does on applying c, which gave s.
func (p *process) takeNote(s *state, c *command, now int64, bug Bug) {
	switch c.kind {
	case own:
		if s.accepted && c.by == p.id {
			p.owns(s, now, bug)
		}
	case release:
		if s.freedBefore && s.owner == p.id {
			p.serveAfter = p.clock(now)
		}
	default:
		// The owner that says so has applied everything up to there, and nobody but it may read.
		if s.accepted && c.applied != unknown {
			p.settled = max(p.settled, c.applied)
		}

		b, ok := p.writes[c.id]
		delete(p.writes, c.id)
		if ok && s.accepted {
			p.extend(s, b, now, bug)
			p.tell(s, c, now, bug)
		}
	}
}

// owns does what the process does on applying its own accepted Own.
func (p *process) owns(s *state, now int64, bug Bug) {
	switch {
	case s.wasClean || bug == WaitsForNobody:
		p.serveAfter = p.clock(now)
	case s.wasSame || bug == TakesAllForItself:
		if bug == TrustsItself {
			p.serveAfter = p.clock(now)
		}
	default:
		p.serveAfter = p.clock(now) + s.wasMax
	}

	// The next owner supersedes this epoch later than this process has first asked for it. It answers nothing for as long as this
	// process has announced.
	p.inheritOf, p.ownedAt = s.epoch, s.events
	p.inherits = span{from: p.asked.first, length: p.lease * 8 / 10}
	switch bug {
	case InheritsForLong:
		p.inherits.length = 10 * longest // the serve-after time ends it
	case InheritsFromApplying:
		p.inherits.from = p.at(now)
	case InheritsFromLastProposal:
		p.inherits.from = p.asked.last
	}
}

// tell notes the result of a write, and from when on it may be told.
func (p *process) tell(s *state, c *command, now int64, bug Bug) {
	if c.key == noKey || c.kind != write {
		return
	}
	a := answer{key: c.key, rank: s.rank(c.key), from: p.serveAfter}
	if bug == AnswersAtOnce {
		a.from = p.clock(now)
	}
	p.held = append(p.held, a)
}

// restore gives the process a state by a snapshot.
func (p *process) restore(s *state, now int64, bug Bug) {
	// Its own writes may be in the snapshot, with results that nobody knows.
	clear(p.writes)
	p.inheritOf, p.settled = 0, unknown
	if bug == InheritsFromSnapshots {
		p.settled = s.events
	}

	// The owner before may have been another, so the process waits for any lease.
	if s.owner == p.id && bug != SnapshotIsNoOwn {
		p.serveAfter = p.clock(now)
		if s.prevOwned {
			p.serveAfter += s.maxLease
		}
		if bug == InheritsFromSnapshots {
			p.inheritOf, p.inherits = s.epoch, span{from: p.asked.first, length: p.lease * 8 / 10}
		}
	}
}

// giveUp stops serving an epoch for good, and reports whether its Release is to be proposed now.
func (p *process) giveUp(s *state, now int64, bug Bug) bool {
	if s.owner != p.id || s.released {
		return false
	}

	if p.given != s.epoch {
		p.given, p.proposed = s.epoch, false
		if bug != ServesAfterRelease {
			p.leased = span{}
		}
	}

	if p.proposed || p.clock(now) < p.serveAfter && bug != ReleasesBeforeClean {
		return false
	}
	p.proposed = true
	return true
}
