package role

import (
	"time"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// ownApplied takes note of an accepted Own.
func (ro *Role) ownApplied(in OwnApplied, now Now, fx *Effects) {
	// An Own of this process that is still under way names an older epoch and will be refused. It holds back no other.
	ro.own, ro.owning.since = in.Own, time.Time{}

	// The transferee was chosen for the ownership that has ended.
	ro.giving.to, ro.won = wire.ID{}, Campaign{}
	ro.ownerChanged(fx)
	ro.endTransfer()

	if ro.mine() {
		switch {
		case in.Superseded.Clean:
			// Nobody can hold a lease, so answers are free at once.
			ro.serveAfter = time.Time{}
		case in.Superseded.Same:
			// What this process waited for under its epoch before, it waits for now.
		default:
			// A superseded owner may read under its lease for so long, and knows nothing of new writes.
			ro.serveAfter = after(now, in.Superseded.MaxLease)
		}
	}

	// After the serve-after time is known: inherited reads exist only while the process waits for it.
	ro.inherit(now, ro.owning.first, fx)
	ro.serve(now, fx)
}

// ownRefused takes note of an Own of this process that was refused. It is worth another at once, if it was the last one proposed
// and another owner had come before it.
func (ro *Role) ownRefused(in OwnRefused, fx *Effects) {
	if in.PrevEpoch != ro.owning.prev || in.PrevEpoch == ro.own.Epoch {
		return
	}
	ro.owning.since = time.Time{}
	fx.Reconcile = true
}

// releaseApplied takes note of an accepted Release: of the owner, or of the owner before.
func (ro *Role) releaseApplied(in ReleaseApplied, now Now, fx *Effects) {
	ro.own = in.Own
	switch {
	case !in.Previous:
		// Nobody owns the partition now, so a leader that may own it asks at once.
		ro.owning.since = time.Time{}
		ro.ownerChanged(fx)
		if ro.own.Incarnation == ro.cfg.Incarnation && !ro.own.To.IsZero() && ro.own.To != ro.cfg.Member {
			// The transferee learns that the Release is committed with the next entry or heartbeat. A heartbeat is long after.
			ro.giving.left, fx.RepeatRelease = now.Time, true
		}
		ro.beginTransfer(now)
	case ro.mine():
		// The owner before answers nothing any more, so there is nothing to wait for.
		ro.serveAfter = time.Time{}
		for i := range ro.held {
			if h := &ro.held[i]; h.Epoch == ro.own.Epoch {
				h.NotBefore = time.Time{}
			}
		}
		ro.answer(now, fx)
	}
	if ro.serve(now, fx) {
		fx.TellMember = true // also where the owner is the same: the member may have forbidden this process to own meanwhile
	}
}

// snapshotInstalled takes note of a state that came as a snapshot. One that names this process counts as its Own. Whether the owner
// before was the same is not known, so the process waits for any lease.
func (ro *Role) snapshotInstalled(in SnapshotInstalled, now Now, fx *Effects) {
	ro.own, ro.owning.since = in.Own, time.Time{}
	// A transfer that the snapshot has passed over is history.
	ro.endTransfer()

	if ro.mine() {
		ro.serveAfter = time.Time{}
		if ro.own.PrevOwned {
			// The owner before has not released its epoch, so it may still read under a lease.
			ro.serveAfter = after(now, ro.own.MaxLease)
		}
	}
	ro.inherit(now, time.Time{}, fx) // what the owner before had applied is not known
	ro.serve(now, fx)
	// The snapshot may hold the effect of entries that will not be applied here.
	fx.FailInFlight = true
	fx.TellMember, fx.Reconcile = true, true
}

// stateComplete takes note that the generation has its first state: from now on it may be owned.
func (ro *Role) stateComplete(in StateComplete, fx *Effects) {
	// The state stands in the log now, so this process has no further piece to propose.
	ro.own, ro.first = in.Own, firstState{}
	ro.ownerChanged(fx)
}

// ownerChanged has the replica act on another ownership in the log.
func (ro *Role) ownerChanged(fx *Effects) {
	fx.OwnerChanged, fx.Live = true, ro.own.Live()
	fx.TellMember, fx.Reconcile = true, true
}

// after returns the time that is so many milliseconds away, zero for none.
func after(now Now, milliseconds uint32) time.Time {
	if milliseconds == 0 {
		return time.Time{}
	}
	return now.Time.Add(time.Duration(milliseconds) * time.Millisecond)
}
