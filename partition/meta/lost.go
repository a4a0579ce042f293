package meta

import "github.com/gridiron-io/gridiron/sdk/wire"

// DeadForCertain reports whether a replica can never come back with its data: its member was declared dead by an operator, or,
// where data is not durable, has registered a later start.
func (v *View) DeadForCertain(r Replica) bool {
	m := v.Member(r.Member)
	if m == nil {
		return false
	}
	return m.State == StateDead || (!v.Durable && m.Incarnation != r.Incarnation)
}

// survivors counts the replicas of a partition that are not dead for certain.
func (v *View) survivors(p *Partition) int {
	n := 0
	for _, r := range p.Replicas {
		if !v.DeadForCertain(r) {
			n++
		}
	}
	return n
}

// LiveVoters counts the voters of a partition that are not dead for certain and shall stay.
func (v *View) LiveVoters(p *Partition) int {
	n := 0
	for _, r := range p.Replicas {
		if r.Role == RoleVoter && !v.DeadForCertain(r) {
			n++
		}
	}
	return n
}

// AllLost returns the partitions all of whose replicas are dead for certain, in ascending order: their data is gone.
func (v *View) AllLost() []uint32 {
	return v.partitions(func(p *Partition, survivors int) bool { return survivors == 0 })
}

// Unrecoverable returns the partitions that have survivors, but too few ever to form a quorum, in ascending order: they can
// only be founded again from what a survivor has.
func (v *View) Unrecoverable() []uint32 {
	return v.partitions(func(p *Partition, survivors int) bool { return survivors > 0 && !v.mayHaveQuorum(p) })
}

func (v *View) partitions(match func(p *Partition, survivors int) bool) []uint32 {
	var list []uint32
	for i := range v.Table {
		if p := &v.Table[i]; match(p, v.survivors(p)) {
			list = append(list, uint32(i))
		}
	}
	return list
}

// mayHaveQuorum reports whether the replicas that are not dead for certain may be a majority of the partition's group. The group may
// be a step further than the metadata: one that learns may be a voter already, one that leaves may be gone.
func (v *View) mayHaveQuorum(p *Partition) bool {
	return v.withAndWithout(p, func(voters, dead int) bool { return voters-dead > voters/2 })
}

// mayHaveLost reports whether replicas that are dead for certain may have been a majority of the partition's group: what they
// acknowledged without the others is lost.
func (v *View) mayHaveLost(p *Partition) bool {
	return v.withAndWithout(p, func(voters, dead int) bool { return dead > voters/2 })
}

// withAndWithout reports whether something holds for the number of voters, and of those among them that are dead for certain,
// either with the replica that comes or goes or without it.
func (v *View) withAndWithout(p *Partition, holds func(voters, dead int) bool) bool {
	voters, dead := 0, 0
	one, oneDead := 0, 0
	for _, r := range p.Replicas {
		n, d := &voters, &dead
		if r.Role != RoleVoter {
			n, d = &one, &oneDead
		}
		if *n++; v.DeadForCertain(r) {
			*d++
		}
	}
	return holds(voters, dead) || one > 0 && holds(voters+one, dead+oneDead)
}

// mostComplete returns, for a halted partition, the survivor whose log is the furthest; zero while there is one that has not said
// how far it is.
func (v *View) mostComplete(p *Partition) wire.ID {
	var best Replica
	for _, r := range p.Replicas {
		switch {
		case v.DeadForCertain(r):
		case !r.Stopped:
			return wire.ID{}
		case best.ID == 0 || r.Term > best.Term || r.Term == best.Term && r.Index > best.Index:
			best = r
		}
	}
	return best.Member
}

// Reseedable returns the halted partitions that can be founded again now, with the member from whose replica, in ascending order.
func (v *View) Reseedable() (partitions []uint32, from []wire.ID) {
	for i := range v.Table {
		if p := &v.Table[i]; p.Halted {
			if m := v.mostComplete(p); !m.IsZero() {
				partitions, from = append(partitions, uint32(i)), append(from, m)
			}
		}
	}
	return partitions, from
}
