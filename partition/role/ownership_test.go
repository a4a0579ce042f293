package role

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

var (
	alice = wire.ID{0xa}
	bob   = wire.ID{0xb}
	carol = wire.ID{0xc}
)

func ownBy(who wire.ID, term, prev uint64, lease uint32) *entry.Own {
	return &entry.Own{Member: who, Incarnation: who, Term: term, PrevEpoch: prev, LeaseMs: lease}
}

var (
	gen1 = uint64(wire.StampOf(1, 0))
	gen2 = uint64(wire.StampOf(2, 0))
)

func TestOwn(t *testing.T) {
	type step struct {
		own  *entry.Own
		rel  uint64 // epoch to release, if own is nil
		at   uint64
		ok   bool
		was  Superseded
		eff  ReleaseEffect
		live uint64
	}
	for name, c := range map[string]struct {
		generation uint64
		lease      uint32 // of the generation before
		steps      []step
	}{
		"the first owner of all waits for nobody": {1, 0, []step{
			{own: ownBy(alice, 2, gen1, 300), at: 5, ok: true, was: Superseded{Clean: true}, live: gen1 | 5},
		}},
		"the first owner of a later generation waits for the leases of the one before": {2, 300, []step{
			{own: ownBy(alice, 2, gen2, 0), at: 5, ok: true, was: Superseded{MaxLease: 300}, live: gen2 | 5},
			{rel: gen2, at: 6, eff: ReleaseRefused, live: gen2 | 5},
		}},
		"another owner waits for the largest lease since the last release": {1, 0, []step{
			{own: ownBy(alice, 2, gen1, 300), at: 5, ok: true, was: Superseded{Clean: true}, live: gen1 | 5},
			{own: ownBy(bob, 3, gen1|5, 100), at: 6, ok: true, was: Superseded{MaxLease: 300}, live: gen1 | 6},
			{own: ownBy(carol, 4, gen1|6, 50), at: 7, ok: true, was: Superseded{MaxLease: 300}, live: gen1 | 7},
			{rel: gen1 | 7, at: 8, eff: CurrentReleased},
			{own: ownBy(bob, 5, gen1|7, 100), at: 9, ok: true, was: Superseded{Clean: true}, live: gen1 | 9},
			{own: ownBy(alice, 6, gen1|9, 20), at: 10, ok: true, was: Superseded{MaxLease: 100}, live: gen1 | 10},
		}},
		"the same owner again": {1, 0, []step{
			{own: ownBy(alice, 2, gen1, 300), at: 5, ok: true, was: Superseded{Clean: true}, live: gen1 | 5},
			{own: ownBy(alice, 2, gen1|5, 300), at: 6, ok: true, was: Superseded{Same: true, MaxLease: 300}, live: gen1 | 6},
		}},
		"an Own of an older epoch is refused": {1, 0, []step{
			{own: ownBy(alice, 2, gen1, 0), at: 5, ok: true, was: Superseded{Clean: true}, live: gen1 | 5},
			{own: ownBy(bob, 3, gen1, 0), at: 6, live: gen1 | 5},
			{own: ownBy(bob, 3, gen1|4, 0), at: 7, live: gen1 | 5},
			{own: ownBy(bob, 3, gen2|5, 0), at: 8, live: gen1 | 5},
		}},
		"a deposed leader's Own is refused by its term": {1, 0, []step{
			{own: ownBy(alice, 5, gen1, 0), at: 5, ok: true, was: Superseded{Clean: true}, live: gen1 | 5},
			{own: ownBy(bob, 4, gen1|5, 0), at: 6, live: gen1 | 5},
			{own: ownBy(bob, 5, gen1|5, 0), at: 7, ok: true, live: gen1 | 7},
		}},
		"a release does not lower the term": {1, 0, []step{
			{own: ownBy(alice, 5, gen1, 0), at: 5, ok: true, was: Superseded{Clean: true}, live: gen1 | 5},
			{rel: gen1 | 5, at: 6, eff: CurrentReleased},
			{own: ownBy(bob, 4, gen1|5, 0), at: 7},
		}},
		"nobody cannot own": {1, 0, []step{
			{own: &entry.Own{Member: alice, Term: 9, PrevEpoch: gen1}, at: 5},
			{own: &entry.Own{Incarnation: alice, Term: 9, PrevEpoch: gen1}, at: 6},
		}},
		"releases": {1, 0, []step{
			{rel: gen1, at: 4, eff: ReleaseRefused},
			{own: ownBy(alice, 2, gen1, 300), at: 5, ok: true, was: Superseded{Clean: true}, live: gen1 | 5},
			{rel: gen1, at: 6, eff: ReleaseRefused, live: gen1 | 5},
			{own: ownBy(bob, 3, gen1|5, 300), at: 7, ok: true, was: Superseded{MaxLease: 300}, live: gen1 | 7},
			{rel: gen1 | 5, at: 8, eff: PrevReleased, live: gen1 | 7},
			{rel: gen1 | 5, at: 9, eff: ReleaseRefused, live: gen1 | 7}, // once
			{own: ownBy(carol, 4, gen1|7, 300), at: 10, ok: true, was: Superseded{MaxLease: 300}, live: gen1 | 10},
			{rel: gen1 | 5, at: 11, eff: ReleaseRefused, live: gen1 | 10}, // the one before the previous
			{rel: gen1 | 10, at: 12, eff: CurrentReleased},
			{rel: gen1 | 10, at: 13, eff: ReleaseRefused}, // once
			{own: ownBy(alice, 4, gen1|10, 300), at: 14, ok: true, was: Superseded{Clean: true}, live: gen1 | 14},
			{rel: gen1 | 10, at: 15, eff: ReleaseRefused, live: gen1 | 14}, // released already
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := NewOwnership(c.generation)
			s.MaxLease = c.lease
			for i, st := range c.steps {
				if st.own != nil {
					was, ok := s.ApplyOwn(st.own, st.at)
					require.Equal(t, st.ok, ok, "step %d", i)
					require.Equal(t, st.was, was, "step %d", i)
				} else {
					require.Equal(t, st.eff, s.ApplyRelease(&entry.Release{Epoch: st.rel}), "step %d", i)
				}
				require.Equal(t, st.live, s.Live(), "step %d", i)
				require.Equal(t, st.live != 0, s.Accepts(s.Epoch), "step %d", i)
				require.False(t, s.Accepts(0))
				require.False(t, s.Accepts(gen1))
			}
		})
	}
}

// owned is one ownership as the naive model keeps it: it never forgets one.
type owned struct {
	own      entry.Own
	epoch    uint64
	released bool // while it was current, or the one before
	reset    bool // released while it was current
}

// The ownership agrees with a model that keeps every owner there ever was, and its state snapshot is the whole of it.
func TestOwnershipAgreesWithItsRules(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		generation := rapid.Uint64Range(1, 3).Draw(t, "generation")
		s := NewOwnership(generation)
		var all []owned
		current := func() uint64 {
			if len(all) == 0 {
				return uint64(wire.StampOf(generation, 0))
			}
			return all[len(all)-1].epoch
		}
		anyEpoch := func() uint64 {
			epochs := []uint64{0, uint64(wire.StampOf(generation, 0)), uint64(wire.StampOf(generation+1, 0)), current(), current(), current()}
			for _, o := range all {
				epochs = append(epochs, o.epoch)
			}
			return rapid.SampledFrom(epochs).Draw(t, "epoch")
		}
		for index := uint64(1); index < 40; index++ {
			if rapid.Bool().Draw(t, "own") {
				who := rapid.SampledFrom([]wire.ID{alice, bob, carol}).Draw(t, "who")
				o := ownBy(who, rapid.Uint64Range(1, 5).Draw(t, "term"), anyEpoch(), rapid.Uint32Range(0, 3).Draw(t, "lease"))
				want := o.PrevEpoch == current()
				var before Superseded
				if n := len(all); n > 0 {
					want = want && o.Term >= all[n-1].own.Term
					before = Superseded{Clean: all[n-1].reset, Same: all[n-1].own.Incarnation == who}
				} else {
					before.Clean = generation == 1
				}
				for i := len(all) - 1; i >= 0 && !all[i].reset; i-- {
					before.MaxLease = max(before.MaxLease, all[i].own.LeaseMs)
				}
				was, ok := s.ApplyOwn(o, index)
				require.Equal(t, want, ok)
				if ok {
					require.Equal(t, before, was)
					all = append(all, owned{own: *o, epoch: uint64(wire.StampOf(generation, index))})
				}
			} else {
				epoch, n := anyEpoch(), len(all)
				want := ReleaseRefused
				switch {
				case n > 0 && epoch == all[n-1].epoch && !all[n-1].released:
					want, all[n-1].released, all[n-1].reset = CurrentReleased, true, true
				case n > 1 && epoch == all[n-2].epoch && !all[n-2].released:
					want, all[n-2].released = PrevReleased, true
				}
				require.Equal(t, want, s.ApplyRelease(&entry.Release{Epoch: epoch}))
			}
			require.Equal(t, current(), s.Epoch)
			require.Less(t, s.PrevEpoch, s.Epoch)
			require.Equal(t, generation, wire.Stamp(s.Epoch).Generation())
			for _, o := range all {
				require.Equal(t, o.epoch == current() && !o.released, s.Accepts(o.epoch))
			}
			stateSnapshot := s.Append(nil)
			require.Len(t, stateSnapshot, OwnershipSize)
			got, err := DecodeOwnership(stateSnapshot)
			require.NoError(t, err)
			require.Equal(t, s, got)
		}
	})
}

func TestOwnershipSnapshotIsChecked(t *testing.T) {
	s := NewOwnership(3)
	stateSnapshot := s.Append(nil)
	for n := range stateSnapshot {
		_, err := DecodeOwnership(stateSnapshot[:n])
		require.ErrorIs(t, err, wire.ErrMalformed)
	}
	_, err := DecodeOwnership(append(stateSnapshot, 0))
	require.ErrorIs(t, err, wire.ErrMalformed)
	stateSnapshot[0]++
	_, err = DecodeOwnership(stateSnapshot)
	require.ErrorContains(t, err, "format")
}
