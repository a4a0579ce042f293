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

// survives reports whether a member has a replica that is not dead for certain.
func (v *View) survives(p *Partition, member wire.ID) bool {
	r, ok := p.Replica(member)
	return ok && !v.DeadForCertain(r)
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

// AllLost returns the partitions all of whose replicas are dead for certain, in ascending order: their data is gone.
func (v *View) AllLost() []uint32 {
	return v.partitions(func(p *Partition, survivors int) bool { return survivors == 0 })
}

// Unrecoverable returns the partitions that have survivors, but too few ever to form a quorum, in ascending order: they can
// only be founded again from what a survivor has.
func (v *View) Unrecoverable() []uint32 {
	return v.partitions(func(p *Partition, survivors int) bool { return survivors > 0 && !quorum(p, survivors) })
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

// quorum reports whether n of a partition's replicas are a majority.
func quorum(p *Partition, n int) bool { return n > len(p.Replicas)/2 }
