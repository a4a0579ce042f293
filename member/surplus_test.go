package member

import (
	"slices"
	"testing"

	"github.com/gridiron-io/gridiron/partition"
	"github.com/gridiron-io/gridiron/partition/meta"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// A learner that the table does not know, as a deposed owner's late proposal leaves it, is found and removed from its group, by an owner
// and, of the metadata group, by the controller. Those that the table knows stay.
func TestSurplusReplicasAreRemoved(t *testing.T) {
	t.Parallel()
	members := runningMembers(t, 3, nil)
	ctx := testContext(t)
	const stray = 1 << 40
	nobody := wire.ID{0xee, 1} // of whom there is no process any more
	added := make(map[int]bool)
	for _, m := range members {
		for p := range m.partitions() {
			if m.host.Serving(p) == 0 {
				continue
			}
			if err := m.host.AddLearner(ctx, p, stray, nobody); err != nil {
				t.Log(err)
			} else {
				added[p] = true
			}
		}
	}
	if len(added) == 0 {
		t.Fatal("no group has taken in a stray")
	}
	var leader *Member
	eventually(t, "a leader of the metadata group that adds a learner", func() bool {
		for _, m := range members {
			if _, leads := m.meta.Leads(); leads && m.meta.AddLearner(ctx, stray, nobody) == nil {
				leader = m
			}
		}
		return leader != nil
	})

	for p := range added {
		eventually(t, "only replicas of the table in the group", func() bool {
			for _, m := range members {
				if group, err := m.host.Group(ctx, p); err == nil {
					return slices.Equal(ids(group), tableIDs(&m.metaView().Table[p]))
				}
			}
			return false
		})
	}
	eventually(t, "only members' replicas in the metadata group", func() bool {
		group, err := leader.meta.Group(ctx)
		return err == nil && slices.Equal(ids(group), []uint64{1, 2, 3})
	})
	eventually(t, "a whole cluster", func() bool { return leader.status().Safe })
}

func ids(group []partition.GroupMember) []uint64 {
	var list []uint64
	for _, one := range group {
		list = append(list, one.Replica)
	}
	return list
}

func tableIDs(t *meta.Partition) []uint64 {
	var list []uint64
	for _, r := range t.Replicas {
		list = append(list, r.ID)
	}
	slices.Sort(list)
	return list
}
