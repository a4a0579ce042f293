package views

import (
	"testing"

	"github.com/gridiron-io/gridiron/partition/meta"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Of two claims to a partition the one with the greater epoch holds. Under one epoch the replica here knows best. An owner whose process was
// followed by another is not in the table.
func TestOwners(t *testing.T) {
	one, two := wire.ID{1}, wire.ID{2}
	ready := func(id, incarnation wire.ID) meta.Member {
		return meta.Member{Registration: meta.Registration{ID: id, Incarnation: incarnation}, State: meta.StateReady}
	}
	known := &meta.View{Version: 5, Cluster: wire.ID{9}, PartitionCount: 1, Members: []meta.Member{ready(one, one), ready(two, two)},
		Table: []meta.Partition{{Replicas: []meta.Replica{{Holder: meta.Holder{Member: one, Incarnation: one}}, {Holder: meta.Holder{Member: two, Incarnation: two}}}}}}
	var here claim
	pushed := 0
	v := New(Config{
		Metadata: func() *meta.View { return known },
		Owner:    func(int) (uint64, wire.ID, bool) { return here.epoch, here.owner, true },
		Silent:   func(id wire.ID) bool { return id == two },
		Changed:  func() {}, Push: func([]byte) { pushed++ },
	})
	owner := func() (epoch uint64, owner uint16) {
		v.Rebuild()
		return v.Table().Partitions[0].Epoch, v.Table().Partitions[0].Owner
	}

	v.Claimed(one, []wire.Owned{{Partition: 0, Epoch: 7}, {Partition: 3, Epoch: 7}}) // there is no partition 3
	v.Claimed(two, []wire.Owned{{Partition: 0, Epoch: 6}})
	if epoch, at := owner(); epoch != 7 || at != 0 {
		t.Errorf("after two claims the owner is %d in epoch %d", at, epoch)
	}
	if got := v.Table().Members[1].State; got != stateSuspect {
		t.Errorf("a silent member is shown as %q", got)
	}

	// The log knows of a release under the same epoch. A claim does not bring the owner back.
	here = claim{epoch: 7}
	v.OwnerChanged(0)
	v.Claimed(one, []wire.Owned{{Partition: 0, Epoch: 7}})
	if _, at := owner(); at != wire.NoOwner || v.Owner(0) != (wire.Moved{Epoch: 7}) {
		t.Errorf("after a release the owner is %d, %+v", at, v.Owner(0))
	}

	v.Claimed(two, []wire.Owned{{Partition: 0, Epoch: 8}})
	if _, at := owner(); at != 1 {
		t.Errorf("after a later claim the owner is %d", at)
	}
	before := pushed
	if v.Rebuild(); pushed != before {
		t.Error("a table that says nothing new was pushed")
	}

	next := *known
	next.Version++
	next.Members = []meta.Member{known.Members[0], ready(two, wire.ID{2, 2})}
	known = &next
	if _, at := owner(); at != wire.NoOwner {
		t.Errorf("an owner whose process was followed by another is in the table, as %d", at)
	}
}
