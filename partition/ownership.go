package partition

import (
	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// epochShift places the generation in an epoch and a version.
const epochShift = 44

// ownership is the replicated part of a partition that says who may write. It changes by Own and Release alone.
//
// Invariant: epoch>>epochShift == generation.
// Invariant: prevEpoch < epoch.
// Invariant: released or owner.IsZero() or exactly one process may have its commands accepted: the one that proposed the
// Own under epoch.
type ownership struct {
	generation  uint64
	epoch       uint64  // of the last accepted Own; generation<<epochShift before the first
	prevEpoch   uint64  // the epoch that it superseded
	prevOwned   bool    // somebody owned prevEpoch and had not released it when it was superseded
	ownTerm     uint64  // Raft term of the last accepted Own
	owner       wire.ID // member
	incarnation wire.ID // of the owner's process
	released    bool
	to          wire.ID // in whose favour it was released
	maxLease    uint32  // largest lease in milliseconds announced since the last Release by a clean owner
	awaitsState bool    // the generation has not been given its state yet: nobody may own it
}

func newOwnership(generation uint64) ownership {
	return ownership{generation: generation, epoch: generation << epochShift}
}

// superseded tells the new owner what it has to wait for.
type superseded struct {
	clean    bool   // nobody can hold a lease: released, or never owned
	same     bool   // the superseded owner was the same incarnation
	maxLease uint32 // milliseconds
}

// own applies o at a log index and reports whether it was accepted.
func (s *ownership) own(o *entry.Own, index uint64) (superseded, bool) {
	if s.awaitsState || o.PrevEpoch != s.epoch || o.Term < s.ownTerm || o.Member.IsZero() || o.Incarnation.IsZero() {
		return superseded{}, false
	}
	was := superseded{
		clean:    s.released || s.owner.IsZero() && s.generation == 1,
		same:     s.incarnation == o.Incarnation,
		maxLease: s.maxLease,
	}
	s.prevEpoch = s.epoch
	s.prevOwned = !was.clean
	s.epoch = s.generation<<epochShift | index
	s.ownTerm = o.Term
	s.owner, s.incarnation = o.Member, o.Incarnation
	s.released, s.to = false, wire.ID{}
	s.maxLease = max(s.maxLease, o.LeaseMs)
	return was, true
}

// releaseEffect is what an accepted Release did.
type releaseEffect uint8

const (
	releaseRefused  releaseEffect = iota
	releaseCurrent                // the owner gave up its ownership
	releasePrevious               // the owner before gave up its lease: the present one need not wait for it
)

// release applies r and reports what it did.
func (s *ownership) release(r *entry.Release) releaseEffect {
	switch {
	case s.owner.IsZero() || r.Epoch == s.generation<<epochShift:
		return releaseRefused
	case r.Epoch == s.epoch && !s.released:
		s.released, s.to, s.maxLease = true, r.To, 0
		return releaseCurrent
	case r.Epoch == s.prevEpoch && s.prevOwned:
		s.prevOwned = false
		return releasePrevious
	}
	return releaseRefused
}

// live returns the epoch under which commands take effect now, or 0.
func (s *ownership) live() uint64 {
	if s.released || s.owner.IsZero() {
		return 0
	}
	return s.epoch
}

// accepts reports whether a command proposed under an epoch takes effect.
func (s *ownership) accepts(epoch uint64) bool { return epoch != 0 && epoch == s.live() }

// ownershipFormat is the version of the ownership's image.
const ownershipFormat = 1

func (s *ownership) append(dst []byte) []byte {
	dst = append(dst, ownershipFormat)
	for _, v := range [...]uint64{s.generation, s.epoch, s.prevEpoch, s.ownTerm} {
		dst = wire.AppendU64(dst, v)
	}
	dst = append(dst, s.owner[:]...)
	dst = append(dst, s.incarnation[:]...)
	dst = append(dst, s.to[:]...)
	var flags uint8
	if s.released {
		flags |= 1
	}
	if s.prevOwned {
		flags |= 2
	}
	if s.awaitsState {
		flags |= 4
	}
	dst = append(dst, flags)
	return wire.AppendU32(dst, s.maxLease)
}

// ownershipSize is the size of what append writes.
const ownershipSize = 1 + 4*8 + 3*16 + 1 + 4

func decodeOwnership(b []byte) (ownership, error) {
	r := wire.NewReader(b)
	if f := r.U8(); f != ownershipFormat {
		r.Fail("ownership of format %d, this is %d", f, ownershipFormat)
	}
	s := ownership{generation: r.U64(), epoch: r.U64(), prevEpoch: r.U64(), ownTerm: r.U64(),
		owner: r.ID(), incarnation: r.ID(), to: r.ID()}
	flags := r.U8()
	s.released, s.prevOwned, s.awaitsState = flags&1 != 0, flags&2 != 0, flags&4 != 0
	s.maxLease = r.U32()
	return s, r.Done()
}
