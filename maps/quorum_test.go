package maps

import (
	"testing"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Reads of a map with reads: quorum ask a majority each, those of other maps only until there is a lease.
func TestReadsOfAQuorumMap(t *testing.T) {
	t.Parallel()
	o := newOwner(t, 1)
	o.configure("careful", wire.MapConfig{Fields: wire.MapReads, Reads: wire.ReadQuorum, Stats: true})
	o.call(0, wire.OpSet, wire.AppendWriteBody(nil, &wire.WriteBody{Map: []byte("careful"), Key: []byte("k"), Value: []byte("v")}))

	before := o.host.Load()
	const reads = 20
	for range reads {
		if got := o.get("careful", "k"); got != "v" {
			t.Fatalf("%q", got)
		}
		o.get("other", "k")
	}
	if size := o.call(0, wire.OpSize, wire.AppendMapBody(nil, "careful")); len(size) == 0 {
		t.Error("no size")
	}

	after := o.host.Load()
	if n := after.MajorityReads - before.MajorityReads; n < reads+1 {
		t.Errorf("%d reads have asked a majority", n)
	}
	if n := after.LeaseReads - before.LeaseReads; n == 0 || n > reads {
		t.Errorf("%d reads went by the lease", n)
	}
}
