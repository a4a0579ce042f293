package meta

import (
	"fmt"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// CreateTable creates the partition table, in which every partition has generation 1. It is accepted once. Replica IDs are given
// out when it is applied, so none is used twice.
type CreateTable struct {
	// Placement lists, for each partition, who holds its replicas; the first is to own it first. All of them must be at that
	// incarnation, joining or ready.
	Placement [][]Holder
}

func (*CreateTable) kind() Kind { return KindCreateTable }

func (c *CreateTable) append(dst []byte) []byte {
	// A process holds replicas of many partitions, so its two IDs are written once and referred to by number.
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
	// A holder takes 32 bytes, so a count that the bytes cannot hold is refused before anything is allocated.
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
		// Whether the members exist is for apply, which knows the state.
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

	// A process may have left since the placement was made. It would never start the replicas.
	for p, list := range c.Placement {
		if text := v.refuseHolders(list); text != "" {
			return refuse(wire.CodeConflict, "partition %d: %s", p, text)
		}
	}

	v = s.changeTable()
	v.Table = make([]Partition, len(c.Placement))
	for p, list := range c.Placement {
		v.Table[p] = Partition{Generation: 1, InitialReplicas: len(list), Replicas: v.allocate(list), Preferred: list[0].Member}
	}
	return Result{}
}
