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
			h.kick(r)
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
	place, left, yes := 0, 0, 0
	for _, v := range r.role.voters {
		if v.id == leader {
			continue
		}
		if v.id == r.id {
			place = left
		} else if down, answered := agreed[v.incarnation]; answered {
			if !down {
				return false, true
			}
			yes++
		}
		left++
	}
	if yes == 0 || r.role.stopped {
		return false, true
	}
	// Rotated by partition, so that the dead member's partitions are spread over the others.
	r.role.turns.begin(turnDeath, leader, (place+r.partition)%left, left, r.role.ledTerm, now)
	return true, true
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

// handOver begins the turns in which a partition goes from its leader to the heir that a Release names. It is called when that stands
// in the log here. The heir stands first. Its log may be shorter than the leader's: it is not elected then, and the leader, which it
// has deposed, perhaps before it came to this, stands next, so that the heir gets what it lacks. The next Own ends the turns: a
// replica that is built from the log meets the Releases of long ago, and their heirs must not stand.
func (r *replica) handOver(to wire.ID) {
	r.role.Lock()
	defer r.role.Unlock()
	switch heir, leads := to == r.host.cfg.Member, r.leadsLocked(); {
	case r.role.stopped || to.IsZero():
	case r.role.leader == 0:
		if r.role.turns.why == turnDeposed && !heir {
			r.role.turns.begin(turnHandOver, r.id, 1, 2, r.role.turns.first-1, time.Now())
		}
	case heir && !leads:
		r.role.turns.begin(turnHandOver, r.role.leader, 0, 2, r.role.term, time.Now())
	case leads && !heir:
		r.role.turns.begin(turnHandOver, r.role.leader, 1, 2, r.role.term, time.Now())
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
