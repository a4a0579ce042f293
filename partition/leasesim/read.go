package leasesim

// way is how a process makes sure that nobody has written what it does not know.
type way uint8

const (
	underLease way = iota
	byQuorum
	inherited
)

// read is one that has begun.
type read struct {
	way   way
	key   int
	epoch uint64
	floor int // what had been seen of the key when it began

	until int // by quorum: log index that is to be applied; unknown: not yet told

	early int  // what a bug has read too early
	free  bool // what a bug has found too early: nobody can have touched the key
}

// begin begins a read in one of the ways that are open to the process. Some time may pass before it goes on.
func (s *sim) begin(p *process, st *state) *Stale {
	r := read{key: s.rnd.IntN(s.keys), epoch: st.epoch, until: unknown}
	r.floor = s.seen[r.key]
	t := p.clock(s.now)

	switch {
	case s.bug == LeaseLookedAtLast && st.owner == p.id && !st.released:
		r.early = st.rank(r.key)
	case (t >= p.serveAfter || s.bug == ReadsAtOnce) && p.leaseHolds(s.now, s.bug):
		r.epoch = p.leaseOf
	case p.waits(st, s.now, s.bug) && p.inherits.lasts(p.at(s.now), s.bug == InheritsThroughSuspend, false):
		r.way, r.free = inherited, s.untouched(p, st, r.key)
	case p.serves(st, s.bug) && (p.lease == 0 || s.rnd.IntN(8) == 0):
		r.way = byQuorum
	default:
		return nil
	}

	p.reads = append(p.reads, r)
	if s.rnd.IntN(2) == 0 {
		return s.finish(p, st)
	}
	return nil
}

// finish goes on with a read that has begun.
func (s *sim) finish(p *process, st *state) *Stale {
	if len(p.reads) == 0 {
		return nil
	}

	i := s.rnd.IntN(len(p.reads))
	r := p.reads[i]
	if r.way == byQuorum && s.waits(p, &p.reads[i]) {
		return nil
	}
	p.reads = append(p.reads[:i], p.reads[i+1:]...)

	if s.bug == LeaseLookedAtLast && r.way == underLease {
		if t := p.clock(s.now); t < p.serveAfter || !p.leaseHolds(s.now, s.bug) {
			return nil
		}
		return s.found(p, &r, r.early)
	}

	across := ReadsAcrossEpochs
	if r.way == inherited {
		across = InheritsAfterwards
	}
	if s.bug != across && (st.epoch != r.epoch || st.released) {
		s.counts.Deferred++
		return nil
	}

	it := &st.items[r.key]
	switch {
	case r.way == inherited:
		free := s.untouched(p, st, r.key)
		if s.bug == InheritsUnchecked {
			free = r.free
		}
		if !free {
			s.counts.Touched++
			return nil
		}
		s.counts.Inherited++
	case it.visible(st.clock) && !it.visible(p.cluster(s.now)):
		// What is invisible once must stay so: the log's clock has to come that far first.
		s.counts.Ticks++
		s.operate(p, st, command{kind: write, key: noKey})
		return nil
	}
	return s.found(p, &r, st.rank(r.key))
}

// waits reports whether a read that asks a majority cannot go on yet.
func (s *sim) waits(p *process, r *read) bool {
	switch {
	case r.until == unknown:
		r.until = len(s.log) - 1
		return true
	case p.applied < r.until:
		return true
	}
	return p.clock(s.now) < p.serveAfter && s.bug != QuorumReadsAtOnce
}

// untouched reports whether everybody who may read finds under the key what the process finds.
func (s *sim) untouched(p *process, st *state, key int) bool {
	if p.settled == unknown {
		return false
	}

	touched, known := st.touchedSince(key, p.settled)
	it := &st.items[key]
	switch {
	case !known && s.bug != InheritsPastTheRing:
		return false
	case !known && it.touched <= st.events-ringEvents:
		touched = false // nobody remembers
	}

	switch {
	case s.bug == InheritsTouched:
		touched = touched && it.touched > p.ownedAt
	case s.bug == InheritsOwnWrites:
		touched = touched && it.touched <= p.ownedAt
	}
	if touched {
		return false
	}

	// An owner before has not applied the newest clock, and cannot commit a tick any more.
	expired := it.value != 0 && !it.swept && (!it.visible(st.clock) || !it.visible(p.cluster(s.now)))
	return !expired || s.bug == InheritsExpired && !it.visible(st.clock)
}

// found ends a read that has found something of a rank.
func (s *sim) found(p *process, r *read, rank int) *Stale {
	s.counts.Reads++
	if r.way == byQuorum {
		s.counts.Quorum++
	}
	if rank&1 != 0 {
		s.counts.Expired++
	}

	if rank < r.floor {
		return &Stale{Process: p.id, Key: r.key, Read: rank / 2, Expired: rank&1 != 0, Seen: r.floor / 2, SeenExpired: r.floor&1 != 0}
	}
	s.seen[r.key] = max(s.seen[r.key], rank)
	return nil
}
