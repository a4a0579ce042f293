package role

import (
	"time"

	"github.com/gridiron-io/gridiron/partition/entry"
)

// tick does what is due.
func (ro *Role) tick(in Tick, now Now, fx *Effects) {
	if ro.mine() && !ro.leads() && ro.raft.leader != 0 && ro.giving.epoch != ro.own.Epoch {
		// Another was elected. This process can answer nothing more, so the next owner need not wait for it.
		ro.giving.epoch, ro.giving.at = ro.own.Epoch, time.Time{}
	}

	// The member may allow or forbid to own without an event, so the serving is compared in each tick.
	fx.TellMember = ro.serve(now, fx) || ro.untold
	ro.untold = false

	ro.propose(in, now, fx)
	ro.campaigns(now, fx)
}

// propose decides which entry of the process's own is due, if any.
func (ro *Role) propose(in Tick, now Now, fx *Effects) {
	leads := ro.leads()
	switch {
	case ro.stopped || ro.serving != 0:
		// A process that serves has its Own, and a stopped one proposes nothing.
	case ro.own.AwaitsState:
		// Nobody may own the generation before it has its state.
		fx.ProposePiece = leads && ro.pieceDue(in, now)
	case leads && ro.mine() && ro.giving.epoch == ro.own.Epoch && !ro.giving.to.IsZero():
		fx.Release = ro.release(now) // on its way to another
	case leads && ro.own.Released && ro.own.Incarnation == ro.cfg.Incarnation && now.Time.Sub(ro.giving.left) < transferFor:
		// The transferee has its time to be elected.
	case leads && now.MayOwn && ro.raft.term >= ro.own.OwnTerm && now.Time.Sub(ro.owning.since) > OwnRetry:
		// An Own of a lower term than that of the last accepted one would be refused, so none is proposed.
		first := now.Time
		if ro.owning.prev == ro.own.Epoch {
			// An earlier attempt for the same epoch may be the one that is accepted, so its time counts.
			first = ro.owning.first
		}
		ro.owning = owning{since: now.Time, prev: ro.own.Epoch, first: first}
		fx.Own = &entry.Own{Member: ro.cfg.Member, Incarnation: ro.cfg.Incarnation, Term: ro.raft.term, PrevEpoch: ro.own.Epoch,
			LeaseMs: ro.cfg.LeaseMs}
	case !leads || !now.MayOwn:
		fx.Release = ro.release(now)
	}
}

// pieceDue reports whether it is time to propose a piece of the generation's first state: the next one, or the same again.
func (ro *Role) pieceDue(in Tick, now Now) bool {
	f := &ro.first
	return f.kept && (in.Applied != f.applied || f.at.IsZero() || now.Time.Sub(f.at) > pieceRetry)
}
