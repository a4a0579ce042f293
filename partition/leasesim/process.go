package leasesim

// process is one member's process. Its times are its own clock's, unless said otherwise.
type process struct {
	id      int
	rate    int64 // of its clock, in percent of true time
	lease   int64 // the largest that it takes
	applied int   // index
	asleep  int64 // true time until which it does nothing

	leads bool // it believes to be elected
	term  uint64
	asked uint64 // epoch that its last Own was to supersede, and under which term
	under uint64

	given      uint64 // epoch that it gives up
	proposed   bool   // its Release
	serveAfter int64

	leaseEpoch uint64
	leaseEnd   int64

	writes map[int]begun // by command
	index  *begun        // a ReadIndex under way
	reads  []read        // whose lease was checked
	held   []answer      // results that wait for serveAfter
}

// begun is something by which a lease can be had.
type begun struct {
	epoch uint64
	at    int64
	until int // of a ReadIndex: log index that is to be applied; 0: not yet known
}

// read is one that has passed its check of the lease.
type read struct {
	epoch uint64
	floor int // what had been seen when it began
}

// answer is a result that may be told from a time on.
type answer struct {
	value int
	from  int64
}

// clock returns the process's time at a true time.
func (p *process) clock(now int64) int64 { return now * p.rate / 100 }

// serves reports whether the process takes operations in a state.
func (p *process) serves(s *state, bug Bug) bool {
	return p.leads && s.owner == p.id && !s.released && (p.given != s.epoch || bug == ServesAfterRelease)
}

// extend takes a lease by something that was begun in an epoch and is completed now.
func (p *process) extend(s *state, b begun, now int64, bug Bug) {
	if s.owner != p.id || !s.accepts(b.epoch) || p.given == b.epoch && bug != ServesAfterRelease {
		return
	}

	length := p.lease * 8 / 10
	if bug == LeaseWithoutMargin {
		length = p.lease
	}

	end := b.at + length
	if bug == LeaseFromCompletion {
		end = p.clock(now) + length
	}

	if p.leaseEpoch != b.epoch || end > p.leaseEnd {
		p.leaseEpoch, p.leaseEnd = b.epoch, end
	}
}

// takeNote does what the process does on applying its part of a command that gave s.
func (p *process) takeNote(s *state, c *command, now int64, bug Bug) {
	switch c.kind {
	case own:
		if !s.accepted || c.by != p.id {
			return
		}
		switch {
		case s.wasClean || bug == AnswersAtOnce:
			p.serveAfter = p.clock(now)
		case s.wasSame:
		default:
			p.serveAfter = p.clock(now) + s.wasMax
		}
	case release:
		if s.freedBefore && s.owner == p.id {
			p.serveAfter = p.clock(now)
		}
	case write:
		b, ok := p.writes[c.id]
		delete(p.writes, c.id)
		if ok && s.accepted {
			p.extend(s, b, now, bug)
			p.held = append(p.held, answer{value: s.value, from: p.serveAfter})
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
			p.leaseEnd = 0
		}
	}

	if p.proposed || p.clock(now) < p.serveAfter && bug != ReleasesBeforeClean {
		return false
	}
	p.proposed = true
	return true
}
