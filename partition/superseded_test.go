package partition

import (
	"runtime"
	"sync"
	"testing"
	"time"

	sm "github.com/lni/dragonboat/v4/statemachine"
	"github.com/stretchr/testify/require"

	"github.com/gridiron-io/gridiron/partition/entry"
)

// installWhileUpdating runs an Update of some entries, in the middle of which a state snapshot is installed, and has the test look at the
// replica right after that, while entries are still applied.
func (s *scripted) installWhileUpdating(snap *received, first []byte, last []byte, installed func()) {
	s.tb.Helper()
	nothing := entry.AppendRelease(nil, &entry.Release{Epoch: 1}) // of no epoch that there is
	entries := []sm.Entry{{Index: s.index + 1, Cmd: first}}
	for i := uint64(2); i < 10_000; i++ {
		entries = append(entries, sm.Entry{Index: s.index + i, Cmd: nothing})
	}
	s.index = snap.applied + 1
	entries = append(entries, sm.Entry{Index: s.index, Cmd: last})

	var installing sync.WaitGroup
	now := time.Now()
	calls, done := 0, false
	s.clock = func() time.Time { // Update holds the lock of the state
		if calls++; calls == 1 {
			installing.Go(func() { s.install(snap) })
		}
		if !done {
			// Update releases the lock before the next entry. A mutex gives it to a goroutine that runs and has waited for a millisecond.
			for began := time.Now(); time.Since(began) < 100*time.Microsecond; {
				runtime.Gosched()
			}
			now = now.Add(updateTime)
			if done = s.applied.Load() == snap.applied; done {
				installed()
			}
		}
		return now
	}
	_, err := s.Update(entries)
	require.NoError(s.tb, err)
	installing.Wait()
	require.True(s.tb, done, "the state snapshot came while entries were applied")
	s.clock = time.Now
}

// snapshotOf returns a state snapshot in which alice owns the partition, for the first time or once more.
func (s *scripted) snapshotOf(again bool) *received {
	s.tb.Helper()
	snap := &received{applied: 1_000_000, own: s.state.own, machine: registerMachines{}.New(0, 1)}
	if again {
		_, ok := snap.own.ApplyOwn(ownBy(bob, 5, snap.own.Epoch, 0), 500_000)
		require.True(s.tb, ok)
		_, ok = snap.own.ApplyOwn(ownBy(alice, 5, snap.own.Epoch, 0), 500_001)
		require.True(s.tb, ok)
	}
	return snap
}

// A state snapshot brings a newer Own than an Update that is under way has applied. What is proposed under it is not superseded by the
// older one.
func TestSnapshotIsNewerThanUpdate(t *testing.T) {
	s := newScripted(t, 1)
	s.lead(1)
	s.owned(alice, 0)
	nothing := entry.AppendRelease(nil, &entry.Release{Epoch: 1})
	var op *pendingOp
	s.installWhileUpdating(s.snapshotOf(true), s.ownOf(bob, 0), nothing, func() { op = s.write(7) })
	requireWaiting(t, op)
	s.commitNext()
	requireTold(t, Applied, op)
}

// A state snapshot may hold what is in flight. An Own that is applied behind it does not make that an operation without effect.
func TestSnapshotHoldsWhatIsInFlight(t *testing.T) {
	s := newScripted(t, 1)
	s.lead(1)
	epoch := s.owned(alice, 0)
	nothing := entry.AppendRelease(nil, &entry.Release{Epoch: 1})
	op := s.write(7)
	own := entry.AppendOwn(nil, ownBy(carol, 5, epoch, 0))
	s.installWhileUpdating(s.snapshotOf(false), nothing, own, func() {
		s.proposer.mu.Lock()
		defer s.proposer.mu.Unlock()
		require.Empty(t, s.proposer.flight, "nothing is in flight once the state is the snapshot's")
	})
	requireTold(t, Unknown, op)
}
