package leasesim

// nobody is the owner before the first.
const nobody = -1

// kind tells commands apart.
type kind uint8

const (
	own kind = iota
	release
	write
)

// command is what stands in the log.
type command struct {
	kind  kind
	id    int
	by    int    // process that proposed it
	epoch uint64 // own: the epoch to supersede; else the one it belongs to
	term  uint64 // own
	lease int64  // own: in microseconds
}

// state is what all processes have after the same log. It never changes; apply returns another.
type state struct {
	epoch, prevEpoch uint64
	prevOwned        bool // the owner before may hold a lease
	term             uint64
	owner            int
	released         bool
	maxLease         int64
	value            int // index of the last accepted write

	// What the last command did, for the process that proposed it.
	accepted    bool
	wasClean    bool  // own: nobody else can hold a lease
	wasSame     bool  // own: the owner before was the same
	wasMax      int64 // own: the largest lease that anybody can hold
	freedBefore bool  // release: of the owner before
}

// accepts reports whether a command of an epoch takes effect.
func (s *state) accepts(epoch uint64) bool {
	return s.owner != nobody && s.epoch == epoch && !s.released
}

// apply returns the state after c at a log index.
func (s state) apply(c *command, index int, bug Bug) state {
	s.accepted, s.wasClean, s.wasSame, s.wasMax, s.freedBefore = false, false, false, 0, false
	switch c.kind {
	case own:
		if c.epoch != s.epoch || c.term < s.term {
			return s
		}
		s.accepted = true
		s.wasClean, s.wasSame, s.wasMax = s.released || s.owner == nobody, s.owner == c.by, s.maxLease
		s.prevEpoch, s.prevOwned = s.epoch, !s.wasClean
		s.epoch, s.term, s.owner, s.released = uint64(index), c.term, c.by, false
		if s.maxLease = max(s.maxLease, c.lease); bug == ForgetsOlderLeases {
			s.maxLease = c.lease
		}
	case release:
		switch {
		case s.owner != nobody && c.epoch == s.epoch && !s.released:
			s.accepted, s.released, s.maxLease = true, true, 0
		case c.epoch == s.prevEpoch && s.prevOwned:
			s.accepted, s.prevOwned, s.freedBefore = true, false, true
		}
	case write:
		if s.accepts(c.epoch) || bug == UnfencedCommands && s.owner != nobody {
			s.accepted, s.value = true, index
		}
	}
	return s
}
