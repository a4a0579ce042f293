package control

import (
	"slices"
	"testing"

	"github.com/gridiron-io/gridiron/partition"
	"github.com/gridiron-io/gridiron/partition/meta"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

func ids(group []partition.GroupMember) []uint64 {
	var list []uint64
	for _, one := range group {
		list = append(list, one.Replica)
	}
	return list
}

// What is surplus is judged by the table alone: a replica that learns, or leaves, is known to it.
func TestSurplusOfAGroup(t *testing.T) {
	table := &meta.Partition{Generation: 1, Replicas: []meta.Replica{{ID: 4}, {ID: 7, Role: meta.RoleLearner}, {ID: 9, Role: meta.RoleLeaving}}}
	group := []partition.GroupMember{{Replica: 4, Voter: true}, {Replica: 7}, {Replica: 9, Voter: true}}
	if list := surplusOf(group, table); list != nil {
		t.Errorf("all of it is known, but %v is called surplus", list)
	}
	group = append(group, partition.GroupMember{Replica: 8}, partition.GroupMember{Replica: 11, Voter: true})
	if got := ids(surplusOf(group, table)); !slices.Equal(got, []uint64{8, 11}) {
		t.Errorf("surplus are %v", got)
	}
	v := &meta.View{InitialVoters: []wire.ID{{1}, {2}, {}}, Members: []meta.Member{{Registration: meta.Registration{ID: wire.ID{1}}, MetaReplica: 5}}}
	for replica, want := range map[uint64]bool{1: false, 2: true, 3: false, 5: true, 6: false} {
		if hasMetaReplica(v, replica) != want {
			t.Errorf("replica %d of the metadata is a member's or initial voter's: %t", replica, !want)
		}
	}
}
