package partition

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

const (
	gen1 = uint64(1) << epochShift
	gen2 = uint64(2) << epochShift
)

func TestOwn(t *testing.T) {
	type step struct {
		own  *entry.Own
		rel  uint64 // epoch to release, if own is nil
		at   uint64
		ok   bool
		was  superseded
		eff  releaseEffect
		live uint64
	}
	for name, c := range map[string]struct {
		generation uint64
		lease      uint32 // of the generation before
		steps      []step
	}{
		"the first owner of all waits for nobody": {1, 0, []step{
			{own: ownBy(alice, 2, gen1, 300), at: 5, ok: true, was: superseded{clean: true}, live: gen1 | 5},
		}},
		"the first owner of a later generation waits for the leases of the one before": {2, 300, []step{
			{own: ownBy(alice, 2, gen2, 0), at: 5, ok: true, was: superseded{maxLease: 300}, live: gen2 | 5},
			{rel: gen2, at: 6, eff: releaseRefused, live: gen2 | 5},
		}},
		"another owner waits for the largest lease since the last release": {1, 0, []step{
			{own: ownBy(alice, 2, gen1, 300), at: 5, ok: true, was: superseded{clean: true}, live: gen1 | 5},
			{own: ownBy(bob, 3, gen1|5, 100), at: 6, ok: true, was: superseded{maxLease: 300}, live: gen1 | 6},
			{own: ownBy(carol, 4, gen1|6, 50), at: 7, ok: true, was: superseded{maxLease: 300}, live: gen1 | 7},
			{rel: gen1 | 7, at: 8, eff: releaseCurrent},
			{own: ownBy(bob, 5, gen1|7, 100), at: 9, ok: true, was: superseded{clean: true}, live: gen1 | 9},
			{own: ownBy(alice, 6, gen1|9, 20), at: 10, ok: true, was: superseded{maxLease: 100}, live: gen1 | 10},
		}},
		"the same owner again": {1, 0, []step{
			{own: ownBy(alice, 2, gen1, 300), at: 5, ok: true, was: superseded{clean: true}, live: gen1 | 5},
			{own: ownBy(alice, 2, gen1|5, 300), at: 6, ok: true, was: superseded{same: true, maxLease: 300}, live: gen1 | 6},
		}},
		"an Own of an older epoch is refused": {1, 0, []step{
			{own: ownBy(alice, 2, gen1, 0), at: 5, ok: true, was: superseded{clean: true}, live: gen1 | 5},
			{own: ownBy(bob, 3, gen1, 0), at: 6, live: gen1 | 5},
			{own: ownBy(bob, 3, gen1|4, 0), at: 7, live: gen1 | 5},
			{own: ownBy(bob, 3, gen2|5, 0), at: 8, live: gen1 | 5},
		}},
		"a deposed leader's Own is refused by its term": {1, 0, []step{
			{own: ownBy(alice, 5, gen1, 0), at: 5, ok: true, was: superseded{clean: true}, live: gen1 | 5},
			{own: ownBy(bob, 4, gen1|5, 0), at: 6, live: gen1 | 5},
			{own: ownBy(bob, 5, gen1|5, 0), at: 7, ok: true, live: gen1 | 7},
		}},
		"a release does not lower the term": {1, 0, []step{
			{own: ownBy(alice, 5, gen1, 0), at: 5, ok: true, was: superseded{clean: true}, live: gen1 | 5},
			{rel: gen1 | 5, at: 6, eff: releaseCurrent},
			{own: ownBy(bob, 4, gen1|5, 0), at: 7},
		}},
		"nobody cannot own": {1, 0, []step{
			{own: &entry.Own{Member: alice, Term: 9, PrevEpoch: gen1}, at: 5},
			{own: &entry.Own{Incarnation: alice, Term: 9, PrevEpoch: gen1}, at: 6},
		}},
		"releases": {1, 0, []step{
			{rel: gen1, at: 4, eff: releaseRefused},
			{own: ownBy(alice, 2, gen1, 300), at: 5, ok: true, was: superseded{clean: true}, live: gen1 | 5},
			{rel: gen1, at: 6, eff: releaseRefused, live: gen1 | 5},
			{own: ownBy(bob, 3, gen1|5, 300), at: 7, ok: true, was: superseded{maxLease: 300}, live: gen1 | 7},
			{rel: gen1 | 5, at: 8, eff: releasePrevious, live: gen1 | 7},
			{rel: gen1 | 5, at: 9, eff: releaseRefused, live: gen1 | 7}, // once
			{own: ownBy(carol, 4, gen1|7, 300), at: 10, ok: true, was: superseded{maxLease: 300}, live: gen1 | 10},
			{rel: gen1 | 5, at: 11, eff: releaseRefused, live: gen1 | 10}, // the one before the previous
			{rel: gen1 | 10, at: 12, eff: releaseCurrent},
			{rel: gen1 | 10, at: 13, eff: releaseRefused}, // once
			{own: ownBy(alice, 4, gen1|10, 300), at: 14, ok: true, was: superseded{clean: true}, live: gen1 | 14},
			{rel: gen1 | 10, at: 15, eff: releaseRefused, live: gen1 | 14}, // released already
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newOwnership(c.generation)
			s.maxLease = c.lease
			for i, st := range c.steps {
				if st.own != nil {
					was, ok := s.own(st.own, st.at)
					require.Equal(t, st.ok, ok, "step %d", i)
					require.Equal(t, st.was, was, "step %d", i)
				} else {
					require.Equal(t, st.eff, s.release(&entry.Release{Epoch: st.rel}), "step %d", i)
				}
				require.Equal(t, st.live, s.live(), "step %d", i)
				require.Equal(t, st.live != 0, s.accepts(s.epoch), "step %d", i)
				require.False(t, s.accepts(0))
				require.False(t, s.accepts(gen1))
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

// The ownership agrees with a model that keeps every owner there ever was, and its image is the whole of it.
func TestOwnershipAgreesWithItsRules(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		generation := rapid.Uint64Range(1, 3).Draw(t, "generation")
		s := newOwnership(generation)
		var all []owned
		current := func() uint64 {
			if len(all) == 0 {
				return generation << epochShift
			}
			return all[len(all)-1].epoch
		}
		anyEpoch := func() uint64 {
			epochs := []uint64{0, generation << epochShift, (generation + 1) << epochShift, current(), current(), current()}
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
				var before superseded
				if n := len(all); n > 0 {
					want = want && o.Term >= all[n-1].own.Term
					before = superseded{clean: all[n-1].reset, same: all[n-1].own.Incarnation == who}
				} else {
					before.clean = generation == 1
				}
				for i := len(all) - 1; i >= 0 && !all[i].reset; i-- {
					before.maxLease = max(before.maxLease, all[i].own.LeaseMs)
				}
				was, ok := s.own(o, index)
				require.Equal(t, want, ok)
				if ok {
					require.Equal(t, before, was)
					all = append(all, owned{own: *o, epoch: generation<<epochShift | index})
				}
			} else {
				epoch, n := anyEpoch(), len(all)
				want := releaseRefused
				switch {
				case n > 0 && epoch == all[n-1].epoch && !all[n-1].released:
					want, all[n-1].released, all[n-1].reset = releaseCurrent, true, true
				case n > 1 && epoch == all[n-2].epoch && !all[n-2].released:
					want, all[n-2].released = releasePrevious, true
				}
				require.Equal(t, want, s.release(&entry.Release{Epoch: epoch}))
			}
			require.Equal(t, current(), s.epoch)
			require.Less(t, s.prevEpoch, s.epoch)
			require.Equal(t, generation, s.epoch>>epochShift)
			for _, o := range all {
				require.Equal(t, o.epoch == current() && !o.released, s.accepts(o.epoch))
			}
			image := s.append(nil)
			require.Len(t, image, ownershipSize)
			got, err := decodeOwnership(image)
			require.NoError(t, err)
			require.Equal(t, s, got)
		}
	})
}

func TestOwnershipImageIsChecked(t *testing.T) {
	s := newOwnership(3)
	image := s.append(nil)
	for n := range image {
		_, err := decodeOwnership(image[:n])
		require.ErrorIs(t, err, wire.ErrMalformed)
	}
	_, err := decodeOwnership(append(image, 0))
	require.ErrorIs(t, err, wire.ErrMalformed)
	image[0]++
	_, err = decodeOwnership(image)
	require.ErrorContains(t, err, "format")
}
