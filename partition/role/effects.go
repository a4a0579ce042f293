package role

import (
	"time"

	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Effects are what the replica carries out after a step. The zero Effects are none.
//
// Serving, Lease, Inherited and the batches in Answer and Abandon are carried out before the next step: who reads the serving epoch or the
// leases without the role finds what the role has decided. The rest is carried out without a lock.
type Effects struct {
	ServingChanged bool   // the serving epoch is another, and operations gathered under the old one have moved
	Serving        uint64 // then: the new one; 0 if this process does not serve

	LeaseChanged bool   // the lease is another
	Lease        *Lease // then: the new one; nil if there is none

	InheritedChanged bool   // the time for inherited reads is another
	Inherited        *Lease // then: the new one; nil if there is none

	OwnerChanged bool   // the ownership in the log is another
	Live         uint64 // then: the epoch whose commands take effect; 0 if none does. Those of others never will

	FailInFlight bool // operations on their way fail as unknown: their outcome may be learned elsewhere sooner

	Own           *entry.Own // to propose; the replica fills in the cluster time
	Release       *Release   // to propose
	RepeatRelease bool       // propose the Release that was just applied once more: the transferee hears of the first with it
	ProposePiece  bool       // propose the next piece of the generation's first state

	Campaign bool   // have this replica campaign
	Replaces uint64 // then: the replica in whose place; 0 if there was no leader
	After    uint64 // then: the term after which

	Answer  []uint64  // held batches that may be answered now
	Abandon []uint64  // held batches that will never be answered: their outcome is unknown to the callers
	WakeAt  time.Time // when to look at the held batches again; zero: no change

	TellMember bool // the owner, or whether this process serves, is another
	Reconcile  bool // something may be due at once
	LookSoon   bool // after a Tick: the replica campaigns or may have to, and wants a Tick more often
}

// Release is the Release to propose.
type Release struct {
	Epoch  uint64
	To     wire.ID // the transferee
	Choose bool    // To is zero, and the member chooses the transferee
}

// Add adds the effects of a later step to those of earlier ones that were not carried out yet.
func (fx *Effects) Add(later *Effects) {
	if later.ServingChanged {
		fx.ServingChanged, fx.Serving = true, later.Serving
	}
	if later.LeaseChanged {
		fx.LeaseChanged, fx.Lease = true, later.Lease
	}
	if later.InheritedChanged {
		fx.InheritedChanged, fx.Inherited = true, later.Inherited
	}
	if later.OwnerChanged {
		fx.OwnerChanged, fx.Live = true, later.Live
	}
	if later.Own != nil {
		fx.Own = later.Own
	}
	if later.Release != nil {
		fx.Release = later.Release
	}
	if later.Campaign {
		fx.Campaign, fx.Replaces, fx.After = true, later.Replaces, later.After
	}
	if !later.WakeAt.IsZero() {
		fx.WakeAt = later.WakeAt
	}

	fx.FailInFlight = fx.FailInFlight || later.FailInFlight
	fx.RepeatRelease = fx.RepeatRelease || later.RepeatRelease
	fx.ProposePiece = fx.ProposePiece || later.ProposePiece
	fx.Answer = append(fx.Answer, later.Answer...)
	fx.Abandon = append(fx.Abandon, later.Abandon...)
	fx.TellMember = fx.TellMember || later.TellMember
	fx.Reconcile = fx.Reconcile || later.Reconcile
	fx.LookSoon = fx.LookSoon || later.LookSoon
}
