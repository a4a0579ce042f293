package meta

import (
	"fmt"
	"slices"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

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
