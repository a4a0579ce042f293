package role

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// A new owner that has to wait inherits reads, from when it first asked for the ownership. One that hears of its ownership by a snapshot
// does not.
func TestInherit(t *testing.T) {
	me, other := wire.ID{1}, wire.ID{2}
	start := time.Now()
	at := func(ms int) Now { return Now{Time: start.Add(time.Duration(ms) * time.Millisecond), MayOwn: true} }

	// elected returns a role that is elected while another owns the partition, has asked twice, and knows what its Own makes.
	elected := func() (ro *Role, own Ownership, was Superseded) {
		own = NewOwnership(1)
		ro = New(Config{Member: me, Incarnation: me, Replica: 1, LeaseMs: 300}, own, nil)
		_, ok := own.ApplyOwn(&entry.Own{Member: other, Incarnation: other, Term: 1, PrevEpoch: own.Epoch, LeaseMs: 500}, 5)
		require.True(t, ok)
		ro.Step(OwnApplied{Own: own}, at(0))
		ro.Step(LeaderChanged{Leader: 1, Term: 2}, at(10))

		fx := ro.Step(Tick{}, at(20))
		require.NotNil(t, fx.Own)
		ro.Step(LeaderChanged{Leader: 1, Term: 3}, at(30))
		fx = ro.Step(Tick{}, at(40))
		require.NotNil(t, fx.Own)
		was, ok = own.ApplyOwn(fx.Own, 6)
		require.True(t, ok)
		return ro, own, was
	}

	ro, own, was := elected()
	fx := ro.Step(OwnApplied{Own: own, Superseded: was}, at(50))
	require.True(t, fx.InheritedChanged)
	require.Equal(t, own.Epoch, fx.Inherited.Epoch)
	require.Equal(t, at(20).Time, fx.Inherited.Began)
	require.Equal(t, at(20+240).Time, fx.Inherited.Until)
	require.Equal(t, at(50+500).Time, ro.ServeAfter())

	// It supersedes itself while it waits: the next owner then comes after the second Own.
	ro.Step(LeaderChanged{Leader: 2, Term: 4}, at(60))
	require.Nil(t, ro.inherited)
	ro.Step(Tick{}, at(61)) // it gives the epoch up
	ro.Step(LeaderChanged{Leader: 1, Term: 5}, at(70))
	fx = ro.Step(Tick{}, at(80))
	require.NotNil(t, fx.Own)
	was, _ = own.ApplyOwn(fx.Own, 7)
	require.True(t, was.Same)
	ro.Step(OwnApplied{Own: own, Superseded: was}, at(90))
	require.Equal(t, at(80+240).Time, ro.inherited.Until)
	require.Equal(t, at(50+500).Time, ro.ServeAfter())

	ro, own, _ = elected()
	ro.Step(SnapshotInstalled{Own: own}, at(50))
	require.Nil(t, ro.inherited)
	require.Equal(t, at(50+500).Time, ro.ServeAfter())
	require.Equal(t, own.Epoch, ro.serving)
}

// A lease is over as soon as either clock says so. A suspend that is too short to drop the lease ends it earlier.
func TestLeaseEndsByEitherClock(t *testing.T) {
	began := time.Now()
	l := &Lease{Began: began, Until: began.Add(240 * time.Millisecond), wall: 1000}
	for _, c := range []struct {
		clock, wall      int // milliseconds since the lease began
		holds, suspended bool
	}{
		{0, 0, true, false}, {239, 239, true, false}, {240, 240, false, false}, {240, 200, false, false},
		{200, 239, true, false}, {200, 240, false, false}, {200, 250, false, false}, {200, 251, false, true}, {200, 149, false, true},
	} {
		holds, suspended := l.Holds(began.Add(time.Duration(c.clock)*time.Millisecond), 1000+int64(c.wall)*int64(time.Millisecond))
		require.Equal(t, c.holds, holds, "%+v", c)
		require.Equal(t, c.suspended, suspended, "%+v", c)
	}
}
