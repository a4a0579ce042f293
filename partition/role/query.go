package role

import "github.com/gridiron-io/gridiron/sdk/wire"

// Leader returns the replica that Raft elected, 0 if unknown, and in which term.
func (ro *Role) Leader() (replica, term uint64) { return ro.raft.leader, ro.raft.term }

// Leads reports whether Raft elected this replica, and whether it elected another.
func (ro *Role) Leads() (leads, follows bool) {
	leads = ro.leads()
	return leads, ro.raft.leader != 0 && !leads
}

// Owner returns who owns the partition as far as this replica has applied; a zero member if it was released.
func (ro *Role) Owner() (epoch uint64, member, incarnation wire.ID) {
	if ro.own.Released {
		return ro.own.Epoch, wire.ID{}, wire.ID{}
	}
	return ro.own.Epoch, ro.own.Owner, ro.own.Incarnation
}

// Others returns the incarnations that hold the group's other replicas.
func (ro *Role) Others() []wire.ID {
	list := make([]wire.ID, 0, len(ro.voters))
	for _, v := range ro.voters {
		if v.ID != ro.cfg.Replica {
			list = append(list, v.Incarnation)
		}
	}
	return list
}

// Campaign returns the schedule by which this replica campaigns.
func (ro *Role) Campaign() Campaign { return ro.campaign }
