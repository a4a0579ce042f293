package role

import (
	"time"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

const (
	// OwnRetry is how long an Own or a Release that was proposed holds back the next. It may have been lost with a leader.
	OwnRetry = 500 * time.Millisecond
	// pieceRetry is how long a piece of a generation's first state that was proposed holds back the same piece.
	pieceRetry = 500 * time.Millisecond
	// transferFor is how long a transferee is given to be elected before this process takes the partition back.
	transferFor = 300 * time.Millisecond
)

// Role is the part of this process in one partition: what Raft and the log say of it, and what it has done about that.
//
// The caller makes one call at a time, and keeps what a step returns.
type Role struct {
	cfg     Config
	voters  []Voter // as far as the metadata were heard of
	raft    raft
	own     Ownership // as of the last Own, Release or snapshot that was applied
	stopped bool

	// serving is the epoch under which this process takes operations; 0 if it takes none.
	//
	// Invariant: serving == 0 || serving == own.Live(), and own names this incarnation.
	// Invariant: serving == 0 || serving != giving.epoch.
	serving uint64
	// untold is set when the member has yet to hear that the serving epoch has changed.
	untold bool

	// serveAfter is the time before which nothing is answered under own; zero: answers are free.
	serveAfter time.Time
	held       []Hold // batches that were applied before the time at which they may be answered

	// lease is what this process reads under; nil if it has to ask a majority.
	//
	// Invariant: lease == nil || lease.Epoch == serving && lease.From == serveAfter, whenever a step has ended.
	lease *Lease

	// inherited is the time in which this process reads, before its serve-after time, what nobody can have touched; nil: nothing.
	//
	// Invariant: inherited == nil || inherited.Epoch == serving && !inherited.Until.After(serveAfter), whenever a step has ended.
	inherited *Lease

	owning owning
	giving giving
	first  firstState

	// campaign is the schedule by which this replica campaigns in the place of a leader.
	campaign Campaign
	// won is the schedule by which this replica came to lead; zero once it owns the partition, or if it did not by one.
	won Campaign
}

// raft is what Raft has said.
type raft struct {
	leader uint64 // replica that was elected; 0 if unknown
	term   uint64 // of leader
	// led is who was last known to lead, and in which term: the leader, or the one that a candidate wants to replace.
	led     uint64
	ledTerm uint64
	since   time.Time // when leader or term last changed
	// patience is how long a candidate of a new partition is left alone this time, before it campaigns in the next term.
	patience time.Duration
}

// owning is the Own that this process has under way.
type owning struct {
	since time.Time // when it was proposed; zero if none is under way
	prev  uint64    // the epoch that it is to supersede
	first time.Time // when one that is to supersede prev was first proposed: any of them may be the one that is accepted
}

// giving is what this process gives up.
type giving struct {
	// epoch is never served again: its Release may be applied at any time, and the next owner trusts the Release.
	epoch uint64
	at    time.Time // when the Release was last proposed; zero if it was not
	to    wire.ID   // the transferee; zero: the member chooses one
	left  time.Time // when the last Release of this process in favour of another member was applied
}

// firstState is the state with which this process begins the generation.
type firstState struct {
	kept    bool   // this process has it
	applied uint64 // how much of it was applied when a piece was last proposed
	at      time.Time
}

// New returns the role of a replica that has applied nothing yet.
func New(cfg Config, own Ownership, voters []Voter) *Role {
	return &Role{cfg: cfg, own: own, voters: voters, raft: raft{patience: RetryFirst}}
}

// Step takes an input and returns what is to be carried out.
func (ro *Role) Step(in Input, now Now) (fx Effects) {
	switch in := in.(type) {
	case LeaderChanged:
		ro.leaderChanged(in, now, &fx)
	case OwnApplied:
		ro.ownApplied(in, now, &fx)
	case OwnRefused:
		ro.ownRefused(in, &fx)
	case ReleaseApplied:
		ro.releaseApplied(in, now, &fx)
	case SnapshotInstalled:
		ro.snapshotInstalled(in, now, &fx)
	case StateKept:
		ro.first = firstState{kept: true}
	case PieceProposed:
		ro.first.applied, ro.first.at = in.At, now.Time
	case StateLost:
		ro.first = firstState{}
	case StateComplete:
		ro.stateComplete(in, &fx)
	case Tick:
		ro.tick(in, now, &fx)
	case VotersChanged:
		ro.voters = in.Voters
	case MemberDown:
		ro.memberDown(in, now, &fx)
	case GiveUp:
		ro.giveUp(now, &fx)
	case Transfer:
		// Before giveUp, whose Release names the transferee.
		ro.giving.to = in.To
		ro.giveUp(now, &fx)
	case Hold:
		ro.hold(in, &fx)
	case AnswersDue:
		ro.answer(now, &fx)
	case Proven:
		ro.proven(in, &fx)
	case Suspended:
		ro.suspended(in, &fx)
	case Stop:
		ro.stop(now, &fx)
	}

	// Any input may end the serving or move the serve-after time. So the leases are settled after every step.
	ro.settleLease(&fx)
	ro.settleInherited(&fx)
	return fx
}

// serve brings the serving epoch in line with the rest, and reports whether that has changed it.
func (ro *Role) serve(now Now, fx *Effects) bool {
	var epoch uint64
	// An epoch that is being given up is never served again: its Release may be applied at any time, and the next owner trusts it.
	if !ro.stopped && ro.leads() && ro.mine() && ro.giving.epoch != ro.own.Epoch && now.MayOwn {
		epoch = ro.own.Epoch
	}
	if ro.serving == epoch {
		return false
	}

	ro.serving = epoch
	fx.ServingChanged, fx.Serving = true, epoch
	return true
}

// leads reports whether Raft elected this replica.
func (ro *Role) leads() bool { return ro.raft.leader == ro.cfg.Replica && ro.raft.term != 0 }

// mine reports whether the log names this process as the owner.
func (ro *Role) mine() bool { return ro.own.Live() != 0 && ro.own.Incarnation == ro.cfg.Incarnation }

// stop ends the role: it serves nothing more, and nobody is left who could answer what is held.
func (ro *Role) stop(now Now, fx *Effects) {
	ro.stopped = true
	ro.first = firstState{}
	// What was last heard of Raft must not be repeated to those who still ask.
	ro.raft.leader, ro.raft.term = 0, 0
	ro.serve(now, fx)

	for _, h := range ro.held {
		fx.Abandon = append(fx.Abandon, h.Batch)
	}
	ro.held = nil
}
