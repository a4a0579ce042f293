package partition

import (
	"time"

	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// ownRetry is how long an Own that was proposed holds back the next: it may have been lost with a leader.
const ownRetry = 500 * time.Millisecond

// ownershipChanged brings this process's part up to date after an Own or Release was applied, or an image installed.
func (r *replica) ownershipChanged(own *ownership, fx *applyEffects) {
	now := time.Now()
	r.role.Lock()
	r.role.ownSince = time.Time{}
	mine := own.incarnation == r.host.cfg.Incarnation && !own.released
	if fx.mine != 0 && fx.mine == own.epoch {
		switch {
		case fx.was.clean || fx.clean:
			r.role.cleanAt = now
		case fx.was.same:
		default:
			r.role.cleanAt = now.Add(time.Duration(fx.was.maxLease) * time.Millisecond)
		}
	} else if fx.clean && mine {
		r.role.cleanAt = now
	}
	if mine && r.leadsLocked() {
		r.serving.Store(own.epoch)
	} else {
		r.serving.Store(0)
	}
	r.role.Unlock()
	r.proposer.ownershipChanged(own.epoch)
	r.host.ownerChanged(r, own)
	r.host.kick(r)
}

// leadsLocked reports whether Raft elected this replica. REQUIRES r.role's lock.
func (r *replica) leadsLocked() bool { return r.role.leader == r.id && r.role.term != 0 }

// leaderChanged takes a leader event.
func (r *replica) leaderChanged(leader, term uint64) {
	r.role.Lock()
	if term < r.role.term {
		r.role.Unlock()
		return
	}
	led := r.leadsLocked()
	r.role.leader, r.role.term = leader, term
	r.role.ownSince = time.Time{}
	lost := led && !r.leadsLocked()
	if !r.leadsLocked() {
		r.serving.Store(0)
	}
	r.role.Unlock()
	if lost {
		r.proposer.stopServing()
	}
	r.host.kick(r)
}

// tend does what is due for the replica. It is called by the host's loop alone, at every event and every 100 ms.
func (r *replica) tend(now time.Time) {
	r.state.RLock()
	own := r.state.own
	due, hasDue := r.state.machine.NextDue()
	clock := r.state.machine.Clock()
	r.state.RUnlock()
	mine := own.incarnation == r.host.cfg.Incarnation && !own.released && !own.owner.IsZero()

	r.role.Lock()
	leads := r.leadsLocked()
	term := r.role.term
	var propose []byte
	switch {
	case leads && mine:
		if r.serving.Load() != own.epoch {
			r.serving.Store(own.epoch) // elected again before anybody else took the partition
			defer r.host.ownerChanged(r, &own)
		}
	case leads && r.host.mayOwn() && now.Sub(r.role.ownSince) > ownRetry:
		r.role.ownSince = now
		propose = entry.AppendOwn(nil, &entry.Own{Member: r.host.cfg.Member, Incarnation: r.host.cfg.Incarnation,
			Term: term, PrevEpoch: own.epoch, LeaseMs: 0, Now: r.host.cfg.Now()})
	case !leads && mine && r.role.leader != 0 && r.role.relEpoch != own.epoch && !now.Before(r.role.cleanAt):
		// Another was elected: what this process could still answer is nothing, so the other need not wait for it.
		r.role.relEpoch = own.epoch
		propose = entry.AppendRelease(nil, &entry.Release{Epoch: own.epoch})
	}
	nudge := r.preferred && r.role.leader == 0 && own.owner.IsZero() && now.Sub(r.role.nudged) > nudgeEvery
	if nudge {
		r.role.nudged = now
	}
	r.role.Unlock()

	if propose != nil {
		r.host.proposeControl(r, propose)
	}
	if nudge {
		r.host.nudge(r)
	}
	r.proposer.tend(now)
	if hasDue && r.serving.Load() != 0 {
		if t := r.host.cfg.Now(); due <= max(t, clock) {
			r.proposer.sweep()
		}
	}
}

// nudgeEvery is how often the preferred owner of a new partition is told to campaign until somebody leads.
const nudgeEvery = 90 * time.Millisecond

// owner returns who owns the partition as far as this replica has applied.
func (r *replica) owner() (epoch uint64, member, incarnation wire.ID) {
	r.state.RLock()
	defer r.state.RUnlock()
	if r.state.own.released {
		return r.state.own.epoch, wire.ID{}, wire.ID{}
	}
	return r.state.own.epoch, r.state.own.owner, r.state.own.incarnation
}

// releaseOwnership proposes a Release if this process owns the partition, and reports whether it still does.
func (r *replica) releaseOwnership() bool {
	r.state.RLock()
	own := r.state.own
	r.state.RUnlock()
	if own.incarnation != r.host.cfg.Incarnation || own.released || own.owner.IsZero() {
		return false
	}
	r.role.Lock()
	r.serving.Store(0)
	propose := r.role.relEpoch != own.epoch && !time.Now().Before(r.role.cleanAt)
	if propose {
		r.role.relEpoch = own.epoch
	}
	leader := r.role.leader != 0
	r.role.Unlock()
	if propose {
		r.host.proposeControl(r, entry.AppendRelease(nil, &entry.Release{Epoch: own.epoch}))
	}
	return leader
}
