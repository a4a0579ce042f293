package role

import (
	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Ownership is the replicated part of a partition that says who may write. It changes by Own and Release alone.
//
// Invariant: the generation in Epoch is Generation.
// Invariant: PrevEpoch < Epoch.
// Invariant: Released, or Owner.IsZero(), or exactly one process may have its commands accepted: the one that proposed the Own under
// Epoch.
type Ownership struct {
	Generation  uint64
	Epoch       uint64  // of the last accepted Own; with count 0 before the first
	PrevEpoch   uint64  // the epoch that it superseded
	PrevOwned   bool    // somebody owned PrevEpoch and had not released it when it was superseded
	OwnTerm     uint64  // Raft term of the last accepted Own
	Owner       wire.ID // member
	Incarnation wire.ID // of the owner's process
	Released    bool
	To          wire.ID // the transferee of the Release; zero: none
	MaxLease    uint32  // largest lease in milliseconds announced since the last Release by a clean owner
	AwaitsState bool    // the generation has not been given its first state yet: nobody may own it
}

// NewOwnership returns the ownership of a generation that nobody has owned.
func NewOwnership(generation uint64) Ownership {
	return Ownership{Generation: generation, Epoch: uint64(wire.StampOf(generation, 0))}
}

// Superseded tells the new owner what it has to wait for.
type Superseded struct {
	Clean    bool   // nobody can hold a lease: the ownership was released, or there never was one
	Same     bool   // the superseded owner was the same incarnation
	MaxLease uint32 // milliseconds
}

// ApplyOwn applies an Own at a log index and reports whether it was accepted.
func (s *Ownership) ApplyOwn(o *entry.Own, index uint64) (Superseded, bool) {
	// Without the compare of epoch and term, the late Own of a deposed owner would take the ownership back.
	if s.AwaitsState || o.PrevEpoch != s.Epoch || o.Term < s.OwnTerm || o.Member.IsZero() || o.Incarnation.IsZero() {
		return Superseded{}, false
	}
	was := Superseded{
		// The owners of the generation before may hold leases, but of the first there was none before.
		Clean:    s.Released || s.Owner.IsZero() && s.Generation == 1,
		Same:     s.Incarnation == o.Incarnation,
		MaxLease: s.MaxLease,
	}

	// A late Release of the superseded owner names PrevEpoch, and can still spare the new owner its wait.
	s.PrevEpoch, s.PrevOwned = s.Epoch, !was.Clean
	s.Epoch = uint64(wire.StampOf(s.Generation, index))
	s.OwnTerm = o.Term
	s.Owner, s.Incarnation = o.Member, o.Incarnation
	s.Released, s.To = false, wire.ID{}
	// Owners before the superseded one may hold leases as well. The largest counts until a clean Release.
	s.MaxLease = max(s.MaxLease, o.LeaseMs)
	return was, true
}

// ReleaseEffect is what a Release did.
type ReleaseEffect uint8

const (
	ReleaseRefused  ReleaseEffect = iota // nothing
	CurrentReleased                      // the owner gave up its ownership
	PrevReleased                         // the owner before gave up its lease: the present one need not wait for it
)

// ApplyRelease applies a Release and reports what it did.
func (s *Ownership) ApplyRelease(r *entry.Release) ReleaseEffect {
	switch {
	case s.Owner.IsZero() || r.Epoch == uint64(wire.StampOf(s.Generation, 0)):
		// No process has owned the epoch of count 0. PrevOwned may be set for it, and stands for the generation before.
		return ReleaseRefused
	case r.Epoch == s.Epoch && !s.Released:
		// A clean owner has waited for all leases before its own, and its own ended with its serving. So none is left.
		s.Released, s.To, s.MaxLease = true, r.To, 0
		return CurrentReleased
	case r.Epoch == s.PrevEpoch && s.PrevOwned:
		s.PrevOwned = false
		return PrevReleased
	}
	return ReleaseRefused
}

// Live returns the epoch under which commands take effect now, or 0.
func (s *Ownership) Live() uint64 {
	if s.Released || s.Owner.IsZero() {
		return 0
	}
	return s.Epoch
}

// Accepts reports whether a command proposed under an epoch takes effect.
func (s *Ownership) Accepts(epoch uint64) bool { return epoch != 0 && epoch == s.Live() }

// ownershipFormat is the version of the form in which snapshots carry the ownership.
const ownershipFormat = 1

// OwnershipSize is the size of what Append appends.
const OwnershipSize = 1 + 4*8 + 3*16 + 1 + 4

// Flags of the encoded ownership.
const (
	flagReleased    = 1
	flagPrevOwned   = 2
	flagAwaitsState = 4
)

// Append appends the ownership in the form in which snapshots carry it.
func (s *Ownership) Append(dst []byte) []byte {
	dst = append(dst, ownershipFormat)
	for _, v := range [...]uint64{s.Generation, s.Epoch, s.PrevEpoch, s.OwnTerm} {
		dst = wire.AppendU64(dst, v)
	}
	dst = append(dst, s.Owner[:]...)
	dst = append(dst, s.Incarnation[:]...)
	dst = append(dst, s.To[:]...)

	var flags uint8
	if s.Released {
		flags |= flagReleased
	}
	if s.PrevOwned {
		flags |= flagPrevOwned
	}
	if s.AwaitsState {
		flags |= flagAwaitsState
	}
	dst = append(dst, flags)
	return wire.AppendU32(dst, s.MaxLease)
}

// DecodeOwnership decodes what Append has written.
func DecodeOwnership(b []byte) (Ownership, error) {
	r := wire.NewReader(b)
	if f := r.U8(); f != ownershipFormat {
		r.Fail("ownership of format %d, this is %d", f, ownershipFormat)
	}
	s := Ownership{Generation: r.U64(), Epoch: r.U64(), PrevEpoch: r.U64(), OwnTerm: r.U64(),
		Owner: r.ID(), Incarnation: r.ID(), To: r.ID()}
	flags := r.U8()
	s.Released, s.PrevOwned, s.AwaitsState = flags&flagReleased != 0, flags&flagPrevOwned != 0, flags&flagAwaitsState != 0
	s.MaxLease = r.U32()
	return s, r.Done()
}
