package meta

import (
	"fmt"
	"slices"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// CreateTable creates the partition table, in which every partition has generation 1. It is accepted once. Replica IDs are given
// out when it is applied, so none is used twice.
type CreateTable struct {
	// Placement lists, for each partition, who holds its replicas; the first shall own it first. All of them must be at that
	// incarnation, joining or ready.
	Placement [][]Holder
}

func (*CreateTable) kind() Kind { return KindCreateTable }

func (c *CreateTable) append(dst []byte) []byte {
	var distinct []Holder
	index := make(map[Holder]uint64)
	for _, list := range c.Placement {
		for _, h := range list {
			if _, ok := index[h]; !ok {
				index[h] = uint64(len(distinct))
				distinct = append(distinct, h)
			}
		}
	}
	dst = wire.AppendUvarint(dst, uint64(len(distinct)))
	for _, h := range distinct {
		dst = h.append(dst)
	}
	dst = wire.AppendUvarint(dst, uint64(len(c.Placement)))
	for _, list := range c.Placement {
		dst = append(dst, byte(len(list)))
		for _, h := range list {
			dst = wire.AppendUvarint(dst, index[h])
		}
	}
	return dst
}

func (c *CreateTable) decode(r *wire.Reader) {
	distinct := make([]Holder, r.Count(32))
	for i := range distinct {
		distinct[i].decode(r)
	}
	n := r.Count(2)
	if n > MaxPartitions {
		r.Fail("a table of %d partitions, at most %d are allowed", n, MaxPartitions)
		return
	}
	c.Placement = make([][]Holder, n)
	next := 0 // holders are numbered in order of appearance: each table has one encoding
	for p := range c.Placement {
		k := int(r.U8())
		if k > MaxReplicas {
			r.Fail("partition %d of %d replicas, at most %d are allowed", p, k, MaxReplicas)
			return
		}
		c.Placement[p] = make([]Holder, k)
		for i := range c.Placement[p] {
			at := r.Uvarint()
			if at > uint64(next) || at >= uint64(len(distinct)) {
				r.Fail("partition %d: holder %d of %d", p, at, len(distinct))
				return
			}
			next = max(next, int(at)+1)
			c.Placement[p][i] = distinct[at]
		}
	}
	if next != len(distinct) {
		r.Fail("%d holders, of which %d hold something", len(distinct), next)
	}
}

func (c *CreateTable) check() error {
	if len(c.Placement) == 0 {
		return fmt.Errorf("a table without partitions")
	}
	for p, list := range c.Placement {
		if err := checkHolders(list); err != nil {
			return fmt.Errorf("partition %d: %w", p, err)
		}
	}
	return nil
}

func (c *CreateTable) apply(s *State) Result {
	v := s.v
	if len(v.Table) != 0 {
		return refuse(wire.CodeConflict, "there is a partition table already")
	}
	if len(c.Placement) != v.PartitionCount {
		return refuse(wire.CodeInvalid, "a table of %d partitions for a cluster of %d", len(c.Placement), v.PartitionCount)
	}
	for p, list := range c.Placement {
		if text := v.refuseHolders(list); text != "" {
			return refuse(wire.CodeConflict, "partition %d: %s", p, text)
		}
	}
	v = s.changeTable()
	v.Table = make([]Partition, len(c.Placement))
	for p, list := range c.Placement {
		v.Table[p] = Partition{Generation: 1, Replicas: v.allocate(list), Preferred: list[0].Member}
	}
	return Result{}
}

// Refound founds the next generation of a partition whose replicas can never form a quorum again. It is accepted only at the
// generation that it names, and only if at that moment enough replicas are dead for certain.
type Refound struct {
	Partition      uint32
	FromGeneration uint64
	Replicas       []Holder // at that incarnation, joining or ready
	Preferred      wire.ID  // one of them; shall own the generation first

	// Empty: nothing is left, and the generation begins without data, which Lost counts. All replicas must be dead for certain.
	// Otherwise it begins with what Preferred, a survivor, has.
	Empty bool
}

func (*Refound) kind() Kind { return KindRefound }

func (c *Refound) append(dst []byte) []byte {
	dst = wire.AppendU64(wire.AppendU32(dst, c.Partition), c.FromGeneration)
	dst = append(dst, byte(len(c.Replicas)))
	for _, h := range c.Replicas {
		dst = h.append(dst)
	}
	return appendBool(append(dst, c.Preferred[:]...), c.Empty)
}

func (c *Refound) decode(r *wire.Reader) {
	c.Partition, c.FromGeneration = r.U32(), r.U64()
	n := int(r.U8())
	if n > MaxReplicas {
		r.Fail("%d replicas, at most %d are allowed", n, MaxReplicas)
		return
	}
	c.Replicas = make([]Holder, n)
	for i := range c.Replicas {
		c.Replicas[i].decode(r)
	}
	c.Preferred, c.Empty = r.ID(), decodeBool(r)
}

func (c *Refound) check() error {
	if err := checkHolders(c.Replicas); err != nil {
		return err
	}
	if !slices.ContainsFunc(c.Replicas, func(h Holder) bool { return h.Member == c.Preferred }) {
		return fmt.Errorf("member %s is preferred and holds no replica", c.Preferred)
	}
	return nil
}

func (c *Refound) apply(s *State) Result {
	v := s.v
	if len(v.Table) == 0 {
		return refuse(wire.CodeNotReady, "there is no partition table yet")
	}
	if uint64(c.Partition) >= uint64(len(v.Table)) {
		return refuse(wire.CodeNotFound, "there is no partition %d, there are %d", c.Partition, len(v.Table))
	}
	old := v.Table[c.Partition]
	survivors := v.survivors(&old)
	switch {
	case old.Generation != c.FromGeneration:
		return refuse(wire.CodeConflict, "partition %d is at generation %d, not %d", c.Partition, old.Generation, c.FromGeneration)
	case old.Generation >= MaxGeneration:
		return refuse(wire.CodeOverloaded, "partition %d is at its last generation", c.Partition)
	case c.Empty && survivors > 0:
		return refuse(wire.CodeConflict, "partition %d has %d replicas that are not dead for certain", c.Partition, survivors)
	case !c.Empty && quorum(&old, survivors):
		return refuse(wire.CodeConflict, "partition %d may form a quorum: of %d replicas %d are not dead for certain",
			c.Partition, len(old.Replicas), survivors)
	case !c.Empty && !v.survives(&old, c.Preferred):
		return refuse(wire.CodeConflict, "member %s has no surviving replica of partition %d", c.Preferred, c.Partition)
	}
	if text := v.refuseHolders(c.Replicas); text != "" {
		return refuse(wire.CodeConflict, "partition %d: %s", c.Partition, text)
	}
	v = s.changeTable()
	p := Partition{Generation: old.Generation + 1, Replicas: v.allocate(c.Replicas), Preferred: c.Preferred, Seeded: !c.Empty, Lost: old.Lost}
	if c.Empty {
		p.Lost++
	}
	v.Table[c.Partition] = p
	return Result{}
}

// survives reports whether a member has a replica that is not dead for certain.
func (v *View) survives(p *Partition, member wire.ID) bool {
	r, ok := p.Replica(member)
	return ok && !v.DeadForCertain(r)
}

// refuseHolders says why replicas cannot be placed on the holders; "" if they can.
func (v *View) refuseHolders(list []Holder) string {
	for _, h := range list {
		m := v.Member(h.Member)
		switch {
		case m == nil:
			return fmt.Sprintf("there is no member %s", h.Member)
		case m.Incarnation != h.Incarnation:
			return fmt.Sprintf("member %q (%s) is at incarnation %s, not %s", m.Name, m.ID, m.Incarnation, h.Incarnation)
		case m.Lite:
			return fmt.Sprintf("member %q (%s) is lite", m.Name, m.ID)
		case m.State != StateJoining && m.State != StateReady:
			return fmt.Sprintf("member %q (%s) is %s", m.Name, m.ID, m.State)
		}
	}
	return ""
}

// allocate gives out replica IDs, in order.
// REQUIRES: v is for writing.
func (v *View) allocate(list []Holder) []Replica {
	replicas := make([]Replica, len(list))
	for i, h := range list {
		replicas[i] = Replica{ID: v.NextReplica, Holder: h}
		v.NextReplica++
	}
	return replicas
}

// checkHolders refuses lists that no partition can have.
func checkHolders(list []Holder) error {
	if len(list) == 0 || len(list) > MaxReplicas {
		return fmt.Errorf("%d replicas, 1 to %d are allowed", len(list), MaxReplicas)
	}
	for i, h := range list {
		if slices.ContainsFunc(list[:i], func(o Holder) bool { return o.Member == h.Member }) {
			return fmt.Errorf("member %s holds two replicas", h.Member)
		}
	}
	return nil
}

func (h *Holder) append(dst []byte) []byte {
	return append(append(dst, h.Member[:]...), h.Incarnation[:]...)
}

func (h *Holder) decode(r *wire.Reader) { h.Member, h.Incarnation = r.ID(), r.ID() }
