package role

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// The member hears that the process no longer serves, also where it forbade that just before the owner before gave up its lease.
func TestPreviousReleaseTellsMember(t *testing.T) {
	me, other := wire.ID{1}, wire.ID{2}
	own := NewOwnership(1)
	ro := New(Config{Member: me, Incarnation: me, Replica: 1, LeaseMs: 300}, own, nil)
	now := Now{Time: time.Unix(1000, 0), MayOwn: true}
	ro.Step(LeaderChanged{Leader: 1, Term: 5}, now)

	for i, who := range []wire.ID{other, me} {
		was, ok := own.ApplyOwn(&entry.Own{Member: who, Incarnation: who, Term: 5, PrevEpoch: own.Epoch, LeaseMs: 300}, uint64(i+1))
		require.True(t, ok)
		ro.Step(OwnApplied{Own: own, Superseded: was}, now)
	}
	require.True(t, ro.Leaving())
	now.MayOwn = false
	require.Equal(t, PrevReleased, own.ApplyRelease(&entry.Release{Epoch: own.PrevEpoch}))
	fx := ro.Step(ReleaseApplied{Own: own, Previous: true}, now)
	require.True(t, fx.ServingChanged)
	require.Zero(t, fx.Serving)
	require.True(t, fx.TellMember)
}

// Of two voters and a replica that is a voter already, though the table does not say so yet, nobody campaigns in the dead
// leader's place. The voter that is left has no other to agree with it, and the new voter is none by the table. They wait for
// their timeouts.
func TestNoCampaignBesideANewVoter(t *testing.T) {
	dead := wire.ID{1}
	table := []Voter{{ID: 1, Incarnation: dead}, {ID: 2, Incarnation: wire.ID{2}}}
	now := Now{Time: time.Unix(1000, 0), MayOwn: true}
	for _, id := range []byte{2, 3} {
		ro := New(Config{Member: wire.ID{id}, Incarnation: wire.ID{id}, Replica: uint64(id)}, NewOwnership(1), table)
		ro.Step(LeaderChanged{Leader: 1, Term: 5}, now)
		ro.Step(MemberDown{Incarnation: dead, Agreed: map[wire.ID]bool{{2}: true, {3}: true}}, now)
		require.Zero(t, ro.Campaign().Replaces, "replica %d", id)
	}
}
