package partition

import (
	"testing"

	"github.com/lni/dragonboat/v4/raftio"
	"github.com/stretchr/testify/require"

	"github.com/gridiron-io/gridiron/partition/meta"
	"github.com/gridiron-io/gridiron/partition/raftnet"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// What the registry knows step by step is what it would know had it been told of the last view alone.
func TestLocateReplicasStepByStep(t *testing.T) {
	replica := func(id uint64) meta.Replica {
		return meta.Replica{ID: id, Holder: meta.Holder{Member: wire.ID{byte(id)}, Incarnation: wire.ID{byte(id), 1}}}
	}
	same := []meta.Replica{replica(7), replica(8)}
	views := []*meta.View{
		{},
		{Table: []meta.Partition{{Generation: 1, Replicas: []meta.Replica{replica(1), replica(2)}}, {Generation: 1, Replicas: same}}},
		{Table: []meta.Partition{{Generation: 1, Replicas: []meta.Replica{replica(1), replica(2), replica(3)}}, {Generation: 1, Replicas: same}}},
		{Table: []meta.Partition{{Generation: 1, Replicas: []meta.Replica{replica(2), replica(3)}}, {Generation: 1, Replicas: same}}},
		{Table: []meta.Partition{{Generation: 2, Replicas: []meta.Replica{replica(4)}}, {Generation: 2, Replicas: same}}},
	}
	reg := raftnet.NewRegistry()
	var before *meta.View
	for _, v := range views {
		LocateReplicas(reg, before, v)
		before = v
		want := map[raftio.NodeInfo]string{}
		for p := range v.Table {
			for _, r := range v.Table[p].Replicas {
				want[raftio.NodeInfo{ShardID: ShardOf(v.Table[p].Generation, p), ReplicaID: r.ID}] = r.Incarnation.String()
			}
		}
		require.Equal(t, len(want), reg.Len())
		for at, target := range want {
			got, _, err := reg.Resolve(at.ShardID, at.ReplicaID)
			require.NoError(t, err)
			require.Equal(t, target, got)
		}
	}
}
