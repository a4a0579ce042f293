package member

import (
	"testing"

	"github.com/gridiron-io/gridiron/sdk"
)

// A member with reads: quorum announces no lease, so nobody waits for it.
func TestReadsQuorum(t *testing.T) {
	for reads, want := range map[sdk.ReadPolicy]bool{"": true, sdk.ReadLease: true, sdk.ReadQuorum: false} {
		m := runningMember(t, Config{Settings: Settings{Partitions: 2, Reads: reads}})
		ctx := testContext(t)
		numbers, err := sdk.OpenMap[string, int](m.Client(), "numbers")
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			if err := numbers.Set(ctx, "k", 1); err != nil {
				t.Fatal(err)
			}
			if _, _, err := numbers.Get(ctx, "k"); err != nil {
				t.Fatal(err)
			}
		}
		if l := m.host.Load(); (l.LeaseReads > 0) != want {
			t.Errorf("reads %q: %d reads by lease, %d by majority", reads, l.LeaseReads, l.MajorityReads)
		}
	}
}
