package meta

import (
	"fmt"
	"slices"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// RecoverPartition begins the next generation of a partition whose replicas can never form a quorum again. It is accepted only at the
// generation that it names, and only if at that moment enough replicas are confirmed dead.
type RecoverPartition struct {
	Partition      uint32
	FromGeneration uint64
	Replicas       []Holder // at that incarnation, joining or ready
	Preferred      wire.ID  // one of them; is to own the generation first

	// Empty: nothing is left, and the generation begins without data, which Lost counts. All replicas must be confirmed dead.
	// Otherwise the generation begins with what Preferred has, and with its replica alone. Preferred is a survivor that has stopped its
	// replica for recovery, and no other survivor has more.
	Empty bool
}

func (*RecoverPartition) kind() Kind { return KindRecoverPartition }

func (c *RecoverPartition) append(dst []byte) []byte {
	dst = wire.AppendU64(wire.AppendU32(dst, c.Partition), c.FromGeneration)
	dst = append(dst, byte(len(c.Replicas)))
	for _, h := range c.Replicas {
		dst = h.append(dst)
	}
	return appendBool(append(dst, c.Preferred[:]...), c.Empty)
}

func (c *RecoverPartition) decode(r *wire.Reader) {
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

func (c *RecoverPartition) check() error {
	if err := checkHolders(c.Replicas); err != nil {
		return err
	}
	if !slices.ContainsFunc(c.Replicas, func(h Holder) bool { return h.Member == c.Preferred }) {
		return fmt.Errorf("member %s is preferred and holds no replica", c.Preferred)
	}

	if !c.Empty && len(c.Replicas) != 1 {
		// Only the survivor has the state. The others are placed when the survivor has written the state into the log.
		return fmt.Errorf("a generation that begins with what a survivor has, and with %d replicas", len(c.Replicas))
	}
	return nil
}

func (c *RecoverPartition) apply(s *State) Result {
	v := s.v
	old, res := v.partition(c.Partition, c.FromGeneration)
	if !res.OK() {
		return res
	}

	// Whatever the proposer believes, the table decides. Data is given up only if nobody has it, and no survivor is passed over that
	// has more.
	survivors := v.survivors(&old)
	switch {
	case old.Generation >= MaxGeneration:
		return refuse(wire.CodeOverloaded, "partition %d is at its last generation", c.Partition)
	case c.Empty && survivors > 0:
		return refuse(wire.CodeConflict, "partition %d has %d replicas that are not confirmed dead", c.Partition, survivors)
	case !c.Empty && !old.StoppedForRecovery:
		// Replicas that still run may form a quorum and acknowledge writes that the next generation would lack.
		return refuse(wire.CodeConflict, "partition %d is not stopped for recovery", c.Partition)
	case !c.Empty && survivors == 0:
		return refuse(wire.CodeConflict, "partition %d has no survivors", c.Partition)
	case !c.Empty && c.Preferred != v.mostComplete(&old):
		return refuse(wire.CodeConflict, "member %s is not known to be the survivor with the most of partition %d", c.Preferred, c.Partition)
	}

	// A survivor need not be fit for new replicas: it has this one. But it must be the process that stopped the replica.
	if text := v.refuseHolders(c.Replicas); text != "" && c.Empty {
		return refuse(wire.CodeConflict, "partition %d: %s", c.Partition, text)
	} else if r, _ := old.Replica(c.Preferred); !c.Empty && r.Incarnation != c.Replicas[0].Incarnation {
		return refuse(wire.CodeConflict, "partition %d: %s is not the process that has the replica", c.Partition, c.Replicas[0].Incarnation)
	}

	// A survivor with an empty log, a learner that was just placed, has nothing: that is a loss and no recovery.
	r, _ := old.Replica(c.Preferred)
	lost, possible := c.Empty || r.Index == 0, v.mayHaveLost(&old)

	v = s.changeTable()
	p := Partition{Generation: old.Generation + 1, InitialReplicas: len(c.Replicas), Replicas: v.allocate(c.Replicas), Preferred: c.Preferred,
		FromSurvivor: !c.Empty, Lost: old.Lost, PossibleLosses: old.PossibleLosses}
	if lost {
		// A generation counts once: as lost, or as one that may have lost something.
		p.Lost++
	} else if possible {
		p.PossibleLosses++
	}

	v.Table[c.Partition] = p
	return Result{}
}
