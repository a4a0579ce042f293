package partition

import (
	"time"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Elect has the groups that a process led elect another leader without waiting for their election timeouts. agreed tells, by
// incarnation, what the members that were asked and have answered think of that process: a group is told if all of its
// voters among them agree that it is down, and at least one does. Elect reports whether every such group was told; it may be
// called again.
//
// Whatever the caller believes, this is as safe as any election: votes and logs decide who leads, and the log who owns.
func (h *Host) Elect(gone wire.ID, agreed map[wire.ID]bool) bool {
	all, now := true, time.Now()
	for i := range h.replicas {
		r := h.replicas[i].Load()
		if r == nil {
			continue
		}
		switch told, led := r.elect(gone, agreed, now); {
		case told:
			h.notify(r)
		case led:
			all = false
		}
	}
	return all
}

// elect begins the turns in which the voters stand that are left, if the process leads the group and they agree. It reports
// whether the turns have begun, and whether the process leads, or led last: another voter may have heard of this before and stood
// already, in vain where this replica has entries that it lacks, and then nobody but this one can be elected.
func (r *replica) elect(gone wire.ID, agreed map[wire.ID]bool, now time.Time) (told, led bool) {
	r.role.Lock()
	defer r.role.Unlock()
	leader := r.role.led
	if !r.ledBy(leader, gone) {
		return false, false
	}
	yes := 0
	for _, v := range r.role.voters {
		if v.id == leader || v.id == r.id {
			continue
		}
		if down, answered := agreed[v.incarnation]; answered {
			if !down {
				return false, true
			}
			yes++
		}
	}
	if yes == 0 || r.role.stopped {
		return false, true
	}
	r.campaignLocked(campaignDeath, now)
	return true, true
}

// campaignLocked begins the turns of all voters but the one that led last. REQUIRES r.role's lock.
func (r *replica) campaignLocked(why campaignCause, now time.Time) {
	place, left := -1, 0
	for _, v := range r.role.voters {
		if v.id == r.role.led {
			continue
		}
		if v.id == r.id {
			place = left
		}
		left++
	}
	if place >= 0 {
		// Rotated by partition, so that a dead member's partitions are spread over the others.
		r.role.campaign.begin(why, r.role.led, (place+r.partition)%left, left, r.role.ledTerm, now)
	}
}

// stalledFor is how long a group may be without a leader after somebody has stood, until its voters stand in turns.
const stalledFor = 600 * time.Millisecond

// stalledTerms bounds the terms of such turns: who has stood that often and reached nobody is cut off, and must not come back with a
// term far above the others'.
const stalledTerms = 8

// stalledLocked begins turns where an election has brought no leader: two have stood at once, or one whose log was too short. By
// itself each would stand again after an election timeout. REQUIRES r.role's lock.
func (r *replica) stalledLocked(now time.Time) {
	ro := &r.role
	switch {
	case ro.leader != 0 || ro.led == 0 || ro.led == r.id || ro.term <= ro.ledTerm || ro.stopped:
	case ro.term-ro.ledTerm > stalledTerms:
		if ro.campaign.why == campaignStalled {
			ro.campaign.end()
		}
	case ro.campaign.gone == 0 && now.Sub(ro.termAt) >= stalledFor:
		r.campaignLocked(campaignStalled, now)
	}
}

// ledBy reports whether a replica is the process's. REQUIRES r.role's lock.
func (r *replica) ledBy(leader uint64, incarnation wire.ID) bool {
	for _, v := range r.role.voters {
		if v.id == leader {
			return v.incarnation == incarnation
		}
	}
	return false
}

// transfer begins the turns in which a partition goes from its leader to the transferee that a Release names. It is called when that stands
// in the log here. The transferee stands first. Its log may be shorter than the leader's: it is not elected then, and the leader, which it
// has deposed, perhaps before it came to this, stands next, so that the transferee gets what it lacks. The next Own ends the turns: a
// replica that is built from the log meets the Releases of long ago, and their transferees must not stand.
func (r *replica) transfer(to wire.ID) {
	r.role.Lock()
	defer r.role.Unlock()
	switch transferee, leads := to == r.host.cfg.Member, r.leadsLocked(); {
	case r.role.stopped || to.IsZero():
	case r.role.leader == 0:
		if r.role.campaign.why == campaignDeposed && !transferee {
			r.role.campaign.begin(campaignTransfer, r.id, 1, 2, r.role.campaign.first-1, time.Now())
		}
	case transferee && !leads:
		r.role.campaign.begin(campaignTransfer, r.role.leader, 0, 2, r.role.term, time.Now())
	case leads && !transferee:
		r.role.campaign.begin(campaignTransfer, r.role.leader, 1, 2, r.role.term, time.Now())
	}
}

// others returns the incarnations that hold the group's other replicas.
func (r *replica) others() []wire.ID {
	r.role.Lock()
	defer r.role.Unlock()
	list := make([]wire.ID, 0, len(r.role.voters))
	for _, v := range r.role.voters {
		if v.id != r.id {
			list = append(list, v.incarnation)
		}
	}
	return list
}
