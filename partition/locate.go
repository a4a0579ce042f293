package partition

import (
	"github.com/lni/dragonboat/v4/raftio"

	"github.com/gridiron-io/gridiron/partition/meta"
	"github.com/gridiron-io/gridiron/partition/raftnet"
)

// LocateReplicas tells the registry of the data partitions in which processes the replicas of a table run. before is the view of which
// it was told last, nil if of none: it is told of the partitions whose replicas are others since then.
func LocateReplicas(reg *raftnet.Registry, before, v *meta.View) {
	// Without an earlier view of the same table, the registry is told of everything.
	if before == nil || len(before.Table) != len(v.Table) {
		targets := make(map[raftio.NodeInfo]string, len(v.Table)*v.ReplicasWanted)
		for p := range v.Table {
			for _, r := range v.Table[p].Replicas {
				targets[locationOf(v, p, r)] = r.Incarnation.String()
			}
		}
		reg.SetAll(targets)
		return
	}
	for p := range v.Table {
		old, now := before.Table[p].Replicas, v.Table[p].Replicas
		if before.Table[p].Generation == v.Table[p].Generation && len(old) == len(now) && (len(now) == 0 || &old[0] == &now[0]) {
			continue // a list is replaced as a whole
		}

		gone := make(map[raftio.NodeInfo]bool, len(old))
		for _, r := range old {
			gone[locationOf(before, p, r)] = true
		}

		// First those that are there, then those that are gone: a replica in both lists is found throughout.
		for _, r := range now {
			at := locationOf(v, p, r)
			reg.Set(at.ShardID, at.ReplicaID, r.Incarnation.String())
			delete(gone, at)
		}

		for at := range gone {
			reg.Unset(at.ShardID, at.ReplicaID)
		}
	}
}

func locationOf(v *meta.View, p int, r meta.Replica) raftio.NodeInfo {
	return raftio.NodeInfo{ShardID: ShardOf(v.Table[p].Generation, p), ReplicaID: r.ID}
}
