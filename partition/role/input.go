package role

import (
	"time"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Now is the moment of a step.
type Now struct {
	Time time.Time // of the process's monotonic clock
	// MayOwn reports whether the member lets this process own partitions. It does not while it leaves, and while its clock
	// cannot be trusted.
	MayOwn bool
}

// Input is what a step is about: one of the types of this file.
type Input interface{ input() }

// LeaderChanged is a leader event of Raft's.
type LeaderChanged struct {
	Leader uint64 // replica ID; 0 if the replica knows of no leader
	Term   uint64
}

// OwnApplied is an Own that was applied and accepted.
type OwnApplied struct {
	Own        Ownership // after it
	Superseded Superseded
}

// OwnRefused is an Own of this process that was applied and refused.
type OwnRefused struct{ PrevEpoch uint64 }

// ReleaseApplied is a Release that was applied and accepted.
type ReleaseApplied struct {
	Own      Ownership // after it
	Previous bool      // it is of the owner before the present one
}

// SnapshotInstalled is a state that came as a snapshot from another replica.
type SnapshotInstalled struct{ Own Ownership }

// StateKept says that this process has kept the state with which the generation begins.
type StateKept struct{}

// PieceProposed says that a piece of that state was proposed.
type PieceProposed struct{ At uint64 } // how much of the state had been applied by then

// StateLost says that the kept state cannot be read.
type StateLost struct{}

// StateComplete says that the generation has its first state.
type StateComplete struct{ Own Ownership }

// Tick has the role look for what is due.
type Tick struct{ Applied uint64 } // how much of the generation's first state was applied

// VotersChanged tells who the group's voters are, in the order of their replica IDs.
type VotersChanged struct{ Voters []Voter } // the role keeps the slice, which nobody changes

// MemberDown says that a process is down or suspected to be. Agreed tells, by incarnation, what the members think that were asked and
// have answered.
type MemberDown struct {
	Incarnation wire.ID
	Agreed      map[wire.ID]bool // read during the step only
}

// GiveUp has the process give up the partition, in favour of whom the member chooses.
type GiveUp struct{}

// Transfer has the process transfer the partition to a member.
type Transfer struct{ To wire.ID }

// Hold is a batch that was applied before the time at which it may be answered.
type Hold struct {
	Batch     uint64 // its number
	Epoch     uint64
	NotBefore time.Time
}

// AnswersDue has the role look for held batches that may be answered.
type AnswersDue struct{}

// Proven says that a command of an epoch of this process was applied and accepted, or that a ReadIndex has completed under the epoch. It
// is told while the state is the one after that.
type Proven struct {
	Epoch uint64
	Began time.Time // before the command was proposed, or the ReadIndex began
	Wall  int64     // the wall clock at that moment, in nanoseconds
}

// Suspended says that the machine was suspended after the lease had begun.
type Suspended struct{ Began time.Time } // when that lease began

// Stop ends the process's part in the partition for good.
type Stop struct{}

func (LeaderChanged) input()     {}
func (OwnApplied) input()        {}
func (OwnRefused) input()        {}
func (ReleaseApplied) input()    {}
func (SnapshotInstalled) input() {}
func (StateKept) input()         {}
func (PieceProposed) input()     {}
func (StateLost) input()         {}
func (StateComplete) input()     {}
func (Tick) input()              {}
func (VotersChanged) input()     {}
func (MemberDown) input()        {}
func (GiveUp) input()            {}
func (Transfer) input()          {}
func (Hold) input()              {}
func (AnswersDue) input()        {}
func (Proven) input()            {}
func (Suspended) input()         {}
func (Stop) input()              {}
