package meta

import "github.com/gridiron-io/gridiron/sdk/wire"

// ConfirmedDead reports whether a replica can never come back with its data: its member was declared dead by an operator, or,
// where data is not durable, has registered a later start.
func (v *View) ConfirmedDead(r Replica) bool {
	m := v.Member(r.Member)
	if m == nil {
		// In doubt a replica counts as alive: silence is never death.
		return false
	}

	// A later start proves that the process has ended. Where data is in memory, the replica has ended with it.
	return m.State == StateDead || (!v.Durable && m.Incarnation != r.Incarnation)
}

// survivors counts the replicas of a partition that are not confirmed dead.
func (v *View) survivors(p *Partition) int {
	n := 0
	for _, r := range p.Replicas {
		if !v.ConfirmedDead(r) {
			n++
		}
	}
	return n
}

// LiveVoters counts the voters of a partition that are not confirmed dead and are to stay.
func (v *View) LiveVoters(p *Partition) int {
	n := 0
	for _, r := range p.Replicas {
		if r.Role == RoleVoter && !v.ConfirmedDead(r) {
			n++
		}
	}
	return n
}

// AllLost returns the partitions all of whose replicas are confirmed dead, in ascending order: their data is gone.
func (v *View) AllLost() []uint32 {
	return v.partitions(func(p *Partition, survivors int) bool { return survivors == 0 })
}

// QuorumLost returns the partitions that have survivors, but too few ever to form a quorum, in ascending order: they can
// only be recovered from a survivor.
func (v *View) QuorumLost() []uint32 {
	return v.partitions(func(p *Partition, survivors int) bool { return survivors > 0 && !v.mayHaveQuorum(p) })
}

// Uncertain returns the partitions whose survivors have a quorum only with, or only without, the replica that comes or goes, in
// ascending order. If nobody comes to own such a partition, its survivors have no quorum: see StopForRecovery.
func (v *View) Uncertain() []uint32 {
	return v.partitions(func(p *Partition, survivors int) bool {
		return !p.StoppedForRecovery && v.mayHaveQuorum(p) && !v.hasQuorum(p)
	})
}

func (v *View) partitions(match func(p *Partition, survivors int) bool) []uint32 {
	// In the order of the table, so the list ascends.
	var list []uint32
	for i := range v.Table {
		if p := &v.Table[i]; match(p, v.survivors(p)) {
			list = append(list, uint32(i))
		}
	}
	return list
}

// mayHaveQuorum reports whether the replicas that are not confirmed dead may be a majority of the partition's group. The group may
// be a step further than the metadata: one that learns may be a voter already, one that leaves may be gone.
func (v *View) mayHaveQuorum(p *Partition) bool {
	return v.withAndWithout(p, func(voters, dead int) bool { return voters-dead > voters/2 })
}

// hasQuorum reports whether the replicas that are not confirmed dead are a majority of the partition's group. They must be one both
// with and without the replica that comes or goes.
func (v *View) hasQuorum(p *Partition) bool {
	return !v.withAndWithout(p, func(voters, dead int) bool { return voters-dead <= voters/2 })
}

// mayHaveLost reports whether replicas that are confirmed dead may have been a majority of the partition's group: what they
// acknowledged without the others is lost.
func (v *View) mayHaveLost(p *Partition) bool {
	return v.withAndWithout(p, func(voters, dead int) bool { return dead > voters/2 })
}

// withAndWithout reports whether something holds for the number of voters and the number of them that are confirmed dead. It
// counts once with the replica that comes or goes, and once without it, and one of the two counts is enough.
func (v *View) withAndWithout(p *Partition, holds func(voters, dead int) bool) bool {
	voters, dead := 0, 0
	one, oneDead := 0, 0
	for _, r := range p.Replicas {
		// At most one replica is on its way in or out: the group may or may not have it as a voter.
		n, d := &voters, &dead
		if r.Role != RoleVoter {
			n, d = &one, &oneDead
		}
		if *n++; v.ConfirmedDead(r) {
			*d++
		}
	}

	// With the replica that comes or goes only if there is one.
	return holds(voters, dead) || one > 0 && holds(voters+one, dead+oneDead)
}

// mostComplete returns the survivor with the furthest log, for a partition that is stopped for recovery. It returns zero while one
// survivor has not said how far its log is.
func (v *View) mostComplete(p *Partition) wire.ID {
	var best Replica
	for _, r := range p.Replicas {
		switch {
		case v.ConfirmedDead(r):
			// Its log is gone.
		case !r.Stopped:
			// Its log may be the furthest.
			return wire.ID{}
		case best.ID == 0 || r.Term > best.Term || r.Term == best.Term && r.Index > best.Index:
			// Logs are compared as in an election: by the last term, then by length.
			best = r
		}
	}
	return best.Member
}

// Recoverable returns the partitions stopped for recovery that can be recovered now, in ascending order, and for each the member
// from whose replica.
func (v *View) Recoverable() (partitions []uint32, from []wire.ID) {
	for i := range v.Table {
		if p := &v.Table[i]; p.StoppedForRecovery {
			if m := v.mostComplete(p); !m.IsZero() {
				partitions, from = append(partitions, uint32(i)), append(from, m)
			}
		}
	}
	return partitions, from
}
