package meta

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// check returns what is wrong with the view, if anything. Every state that commands can lead to passes, and a snapshot that does
// not is refused.
func (v *View) check() error {
	if !v.Bootstrapped() {
		// No command but the first can have changed anything, and that one names the cluster.
		if v.Version != 0 || v.Time != 0 || v.Name != "" || v.PartitionCount != 0 || v.ReplicasWanted != 0 || v.Durable || v.Level != 0 ||
			len(v.InitialVoters) != 0 || len(v.Members) != 0 || len(v.Table) != 0 || v.NextMeta != 0 || v.NextReplica != 0 ||
			len(v.Maps) != 0 || v.MapsVersion != 0 {
			return fmt.Errorf("a state without a cluster that is not empty")
		}
		return nil
	}

	if v.Version == 0 || v.Time < 0 || v.Name == "" || v.PartitionCount < 1 || v.PartitionCount > MaxPartitions ||
		v.ReplicasWanted < 1 || v.ReplicasWanted > MaxReplicas {
		return fmt.Errorf("cluster %q: version %d, time %d, %d partitions of %d replicas",
			v.Name, v.Version, v.Time, v.PartitionCount, v.ReplicasWanted)
	}
	if err := checkText(v.Name); err != nil {
		return err
	}

	// The initial voters have the replicas from 1 to n, so the next one is greater.
	if n := len(v.InitialVoters); n < 1 || n > MaxInitialVoters || v.NextMeta <= uint64(n) || v.NextReplica == 0 {
		return fmt.Errorf("%d initial voters, next metadata replica %d, next replica %d", n, v.NextMeta, v.NextReplica)
	}

	// Several initial voters may have been forgotten. Their zero IDs are the same.
	for i, id := range v.InitialVoters {
		if !id.IsZero() && slices.Contains(v.InitialVoters[:i], id) {
			return fmt.Errorf("initial voter %s stands twice", id)
		}
	}

	if err := v.checkMembers(); err != nil {
		return err
	}
	if err := v.checkTable(); err != nil {
		return err
	}
	return v.checkMaps()
}

func (v *View) checkMaps() error {
	// MapsVersion is the version of a change that was made, so it is never ahead.
	if v.MapsVersion > v.Version || len(v.Maps) > 0 && v.MapsVersion == 0 {
		return fmt.Errorf("%d configurations of maps at version %d of %d", len(v.Maps), v.MapsVersion, v.Version)
	}
	return v.Maps.Check()
}

func (v *View) checkMembers() error {
	if len(v.Members) > MaxMembers {
		return fmt.Errorf("%d members", len(v.Members))
	}

	names := make(map[string]wire.ID)
	incarnations := make(map[wire.ID]wire.ID)
	replicas := make(map[uint64]wire.ID)
	for i := range v.Members {
		m := &v.Members[i]
		if err := m.Registration.check(); err != nil {
			return err
		}

		// A member that an operator drains is at least draining.
		if rank := stateRank(m.State); rank < 0 || m.Drained && rank < stateRank(StateDraining) {
			return fmt.Errorf("member %s in state %q, drained %t", m.ID, m.State, m.Drained)
		}

		// find searches by halves, so the order counts.
		if i > 0 && bytes.Compare(v.Members[i-1].ID[:], m.ID[:]) >= 0 {
			return fmt.Errorf("members %s and %s out of order", v.Members[i-1].ID, m.ID)
		}

		// A name is free again when the member that held it has left or is dead.
		if other, taken := names[m.Name]; taken && m.Live() {
			return fmt.Errorf("members %s and %s have the name %q", other, m.ID, m.Name)
		}

		// Holders of replicas are told apart by their incarnations.
		if other, taken := incarnations[m.Incarnation]; taken {
			return fmt.Errorf("members %s and %s have the incarnation %s", other, m.ID, m.Incarnation)
		}

		// A replica ID is one vote in the metadata group. Two members with one ID would both cast it.
		if other, taken := replicas[m.MetaReplica]; taken || m.MetaReplica >= v.NextMeta || (m.MetaVoter && m.MetaReplica == 0) {
			return fmt.Errorf("members %s and %s: metadata replica %d, next %d, voter %t", other, m.ID, m.MetaReplica, v.NextMeta, m.MetaVoter)
		}

		incarnations[m.Incarnation] = m.ID
		if m.Live() {
			names[m.Name] = m.ID
		}
		if m.MetaReplica != 0 {
			replicas[m.MetaReplica] = m.ID
		}
	}
	return nil
}

func (v *View) checkTable() error {
	if n := len(v.Table); n != 0 && n != v.PartitionCount {
		return fmt.Errorf("a table of %d partitions of %d", n, v.PartitionCount)
	}

	used := make(map[uint64]int)
	for i := range v.Table {
		p := &v.Table[i]
		if err := p.check(); err != nil {
			return fmt.Errorf("partition %d: %w", i, err)
		}
		for _, r := range p.Replicas {
			// A member that holds replicas is not forgotten: see Forget.
			if v.Member(r.Member) == nil || r.Incarnation.IsZero() {
				return fmt.Errorf("partition %d: a replica at incarnation %s of unknown member %s", i, r.Incarnation, r.Member)
			}

			// A replica ID is started at most once, by one process.
			if other, taken := used[r.ID]; taken || r.ID == 0 || r.ID >= v.NextReplica {
				return fmt.Errorf("partitions %d and %d: replica %d, next %d", other, i, r.ID, v.NextReplica)
			}
			used[r.ID] = i
		}
	}
	return nil
}
