package partition

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gridiron-io/gridiron/partition/entry"
)

// OpResume comes before everything else that an owner proposes after it has begun to serve, whatever is lost on the way.
func TestResumeComesFirst(t *testing.T) {
	for name, c := range map[string]struct {
		happens func(s *scripted) // between two writes that are committed
		want    []int             // how much had been written at each OpResume
	}{
		"it goes on serving":    {func(*scripted) {}, []int{0}},
		"it is elected again":   {func(s *scripted) { s.leaderChanged(1, 6) }, []int{0}},
		"another was elected":   {func(s *scripted) { s.lead(2); s.leaderChanged(1, 6) }, []int{0, 1}},
		"another was the owner": {func(s *scripted) { s.owned(bob, 0); s.owned(alice, 0) }, []int{0, 1}},
		"it owns again":         {func(s *scripted) { s.owned(alice, 0) }, []int{0, 1}},
		"nobody was elected for a while, and the first entry afterwards is dropped": {func(s *scripted) {
			s.lead(0)
			s.leaderChanged(1, 6)
			s.write(8)
			s.drop()
			s.reconcile(time.Now())
		}, []int{0, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServing(t)
			for i := range uint64(2) {
				if i > 0 {
					c.happens(s)
				}
				op := s.write(i + 1)
				s.commitNext()
				requireTold(t, Applied, op)
			}
			require.Equal(t, c.want, s.state.machine.(*registers).resumes)
			require.Zero(t, s.host.pending.Load())
			s.stop()
		})
	}
}

// Entries that are on their way when the owner begins to serve all hold an OpResume, for the first may be lost. It costs no
// entry of its own, and none once it was applied.
func TestResumeIsRepeatedUntilApplied(t *testing.T) {
	s := newServing(t)
	first, second, third := s.write(1), s.write(2), s.write(3)
	for _, cmd := range [][]byte{s.log[0].cmd, s.log[1].cmd} {
		b, err := entry.DecodeBatch(cmd)
		require.NoError(t, err)
		require.Equal(t, 2, b.Ops)
		require.Equal(t, 1, submitted(&b))
	}
	s.drop()
	s.commitNext() // has become the first
	s.reconcile(time.Now())
	requireTold(t, NotProposed, first)
	requireTold(t, Applied, second)
	s.commitNext()
	requireTold(t, Applied, third)
	require.Equal(t, 0, s.state.machine.(*registers).resumes[0])
	op := s.write(4)
	b, err := entry.DecodeBatch(s.log[0].cmd)
	require.NoError(t, err)
	require.Equal(t, 1, b.Ops)
	s.commitNext()
	requireTold(t, Applied, op)
	s.stop()
}

// Once entries have been on their way for long, what is proposed next begins with OpResume, while they are and after they have
// come: nobody could have anything committed meanwhile.
func TestResumeAfterAStall(t *testing.T) {
	for name, come := range map[string]bool{"while it lasts": false, "when it is over": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServing(t)
				history := func() []int { return s.state.machine.(*registers).resumes }
				s.write(1)
				s.commitNext()
				s.write(2)
				time.Sleep(stallAfter)
				s.commitNext()
				s.write(3)
				require.Equal(t, []int{0}, history(), "not yet a stall")
				time.Sleep(stallAfter + time.Millisecond)
				if come {
					s.commitNext()
				}
				op := s.write(4)
				for s.onItsWay() > 0 {
					s.commitNext()
				}
				requireTold(t, Applied, op)
				require.Equal(t, []int{0, 3}, history())
				s.write(5)
				s.commitNext()
				require.Equal(t, []int{0, 3}, history(), "once is enough")
				s.stop()
			})
		})
	}
}
