package leasesim

const (
	// nobody is the owner before the first.
	nobody = -1
	// keys is how many keys there are.
	keys = 3
	// noKey is the key of a command that touches none: a tick of the clock.
	noKey = -1
	// ringEvents is how many events the ring holds.
	ringEvents = 3
)

// kind tells commands apart.
type kind uint8

const (
	own kind = iota
	release
	write
	sweep
)

// command is what stands in the log.
type command struct {
	kind  kind
	id    int
	by    int    // process that proposed it
	epoch uint64 // own: the epoch to supersede; else the one it belongs to
	term  uint64 // own
	lease int64  // own: in microseconds
	now   int64  // cluster time of the proposer
	late  int64  // true time before which it is not committed

	key     int   // write
	expires int64 // write: cluster time; 0: never
	// applied is the position up to which the owner had applied events when it proposed the command; unknown: the owner does not say.
	applied int
}

// unknown is the position of which nothing is known.
const unknown = -1

// item is what stands under a key.
type item struct {
	value   int   // index of the last accepted write; 0: none
	expires int64 // cluster time; 0: never
	swept   bool  // it has expired, and was removed
	touched int   // position of its last event
}

// visible reports whether there is an entry at a cluster time.
func (it *item) visible(at int64) bool {
	return it.value != 0 && !it.swept && (it.expires == 0 || it.expires > at)
}

// state is what all processes have after the same log. It never changes; apply returns another.
type state struct {
	epoch, prevEpoch uint64
	prevOwned        bool // the owner before may hold a lease
	term             uint64
	owner            int
	released         bool
	maxLease         int64

	clock  int64 // cluster time of the log
	items  [keys]item
	events int // position of the last event

	// What the last command did, for the process that proposed it.
	accepted    bool
	wasClean    bool  // own: nobody else can hold a lease
	wasSame     bool  // own: the owner before was the same
	wasMax      int64 // own: the largest lease that anybody can hold
	freedBefore bool  // release: of the owner before
	usurped     bool  // own: it was asked for before the present owner's election, or without knowing of the owner
}

// accepts reports whether a command of an epoch takes effect.
func (s *state) accepts(epoch uint64) bool {
	return s.owner != nobody && s.epoch == epoch && !s.released
}

// rank returns what a read of a key finds: it grows with each write, and when what was written expires.
func (s *state) rank(key int) int {
	it := &s.items[key]
	if it.value != 0 && !it.visible(s.clock) {
		return 2*it.value + 1
	}
	return 2 * it.value
}

// touchedSince reports whether an event after a position has touched a key. known is false if the ring has forgotten events since then.
func (s *state) touchedSince(key, pos int) (touched, known bool) {
	return s.items[key].touched > pos, pos >= s.events-ringEvents
}

// apply returns the state after c at a log index.
func (s state) apply(c *command, index int, bug Bug) state {
	s.accepted, s.wasClean, s.wasSame, s.wasMax, s.freedBefore, s.usurped = false, false, false, 0, false, false

	switch c.kind {
	case own:
		s.applyOwn(c, index, bug)
	case release:
		s.applyRelease(c, bug)
	default:
		if s.accepts(c.epoch) || bug == UnfencedCommands && s.owner != nobody {
			s.applyOperation(c, index)
		}
	}
	return s
}

func (s *state) applyOwn(c *command, index int, bug Bug) {
	if c.epoch != s.epoch && bug != OwnsOfOlderEpochs || c.term < s.term && bug != OwnsOfOlderTerms {
		return
	}

	s.accepted, s.usurped = true, c.epoch != s.epoch || c.term < s.term
	s.wasClean, s.wasSame, s.wasMax = s.released || s.owner == nobody, s.owner == c.by, s.maxLease

	s.prevEpoch, s.prevOwned = s.epoch, !s.wasClean
	s.epoch, s.term, s.owner, s.released = uint64(index), c.term, c.by, false
	s.clock = max(s.clock, c.now)
	if s.maxLease = max(s.maxLease, c.lease); bug == ForgetsOlderLeases {
		s.maxLease = c.lease
	}
}

func (s *state) applyRelease(c *command, bug Bug) {
	switch {
	case s.owner != nobody && c.epoch == s.epoch && !s.released:
		s.accepted, s.released, s.maxLease = true, true, 0
	case c.epoch == s.prevEpoch && s.prevOwned || bug == OldReleasesFree && c.epoch < s.epoch:
		s.accepted, s.prevOwned, s.freedBefore = true, false, true
		if bug == LateReleaseForgetsLeases {
			s.maxLease = 0
		}
	}
}

func (s *state) applyOperation(c *command, index int) {
	s.accepted = true
	s.clock = max(s.clock, c.now)

	switch {
	case c.kind == sweep:
		for k := range s.items {
			if it := &s.items[k]; it.value != 0 && !it.swept && !it.visible(s.clock) {
				s.events++
				it.swept, it.touched = true, s.events
			}
		}
	case c.key != noKey:
		s.events++
		s.items[c.key] = item{value: index, expires: c.expires, touched: s.events}
	}
}
