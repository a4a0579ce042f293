package partition

import (
	"github.com/lni/dragonboat/v4/raftio"

	"github.com/gridiron-io/gridiron/partition/meta"
	"github.com/gridiron-io/gridiron/partition/raftnet"
)

// LocateReplicas tells the registry of the data partitions in which processes the replicas of a table run.
func LocateReplicas(reg *raftnet.Registry, v *meta.View) {
	targets := make(map[raftio.NodeInfo]string, len(v.Table)*v.ReplicasWanted)
	for p := range v.Table {
		shard := ShardOf(v.Table[p].Generation, p)
		for _, r := range v.Table[p].Replicas {
			targets[raftio.NodeInfo{ShardID: shard, ReplicaID: r.ID}] = r.Incarnation.String()
		}
	}
	reg.SetAll(targets)
}
