package partition

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// batchBy returns an entry of an owner that says up to where the owner has applied, and writes keys.
func batchBy(who wire.ID, epoch uint64, applied mark, now int64, ops ...*entry.Op) []byte {
	var b entry.Builder
	for _, op := range ops {
		b.Add(op)
	}
	return b.Finish(&entry.Header{Epoch: epoch, Applied: uint64(applied), Now: now, Proposer: who, Batch: 1 << 40})
}

// newSuccessor returns a replica to which bob, who owns the partition under a lease, has written key 1, which he has applied, and then key 2.
// Alice is elected.
func newSuccessor(tb testing.TB) *scripted {
	s := newLeased(tb)
	epoch := s.owned(bob, 300)
	s.commit(
		batchBy(bob, epoch, markOf(0), 0, setOp(1, 11, 0)),
		batchBy(bob, epoch, markOf(1), 0, setOp(2, 12, 0)))
	return s
}

// inherits has alice propose her Own, and commits it.
func (s *scripted) inherits() {
	s.tb.Helper()
	s.reconcile(time.Now())
	s.commitNext()
	require.NotZero(s.tb, s.serving.Load())
}

// readsInherited reports whether a key is read before the serve-after time, and what is found.
func (s *scripted) readsInherited(key uint64) (value uint64, ok bool) {
	r := &pendingRead{key: key, ch: make(chan Outcome, 1)}
	before := s.host.readCounts[0].inherited.Load()
	ok = s.host.TryRead(0, r, s.host.Moment())
	require.Equal(s.tb, ok, s.host.readCounts[0].inherited.Load() > before)
	return r.value, ok
}

func (s *scripted) requireInherited(want bool, key uint64, why ...any) {
	s.tb.Helper()
	_, ok := s.readsInherited(key)
	require.Equal(s.tb, want, ok, why...)
}

// A new owner reads at once what nothing has touched since the owner before had applied it.
func TestInheritedReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSuccessor(t)
		s.requireInherited(false, 1, "bob owns")
		s.reconcile(time.Now())
		time.Sleep(100 * time.Millisecond)
		s.commitNext()

		value, ok := s.readsInherited(1)
		require.True(t, ok)
		require.EqualValues(t, 11, value)
		s.requireInherited(true, 3, "there is no such key")
		s.requireInherited(false, 2, "bob may not have applied it")

		require.False(t, s.host.TryRead(0, &pendingRead{key: 1, quorum: true}, s.host.Moment()), "a read that insists on a majority")

		time.Sleep(139 * time.Millisecond)
		s.requireInherited(true, 1)
		time.Sleep(time.Millisecond)
		s.requireInherited(false, 1, "240 ms after the Own was proposed, a third owner may be about to answer")
	})
}

// The process may have proposed several Owns. Any of them may be the one that was accepted.
func TestInheritedTimeBeginsWithTheFirstProposal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSuccessor(t)
		s.reconcile(time.Now())
		s.next() // it is lost, as far as anybody knows
		time.Sleep(100 * time.Millisecond)
		s.leaderChanged(0, 6)
		s.leaderChanged(1, 7)
		s.reconcile(time.Now())
		s.commitNext()
		s.requireInherited(true, 1)
		time.Sleep(140 * time.Millisecond)
		s.requireInherited(false, 1)
	})
}

// What the new owner has applied itself, and what has expired, the owner before does not know.
func TestInheritedReadsOfTouchedKeys(t *testing.T) {
	s := newSuccessor(t)
	epoch, _, _ := s.owner()
	s.commit(batchBy(bob, epoch, markOf(2), 900, setOp(4, 14, 990), setOp(5, 15, 1000), setOp(6, 16, 1001)))
	s.commit(batchBy(bob, epoch, markOf(5), 900))
	s.inherits()
	s.requireInherited(false, 4, "it has expired by the log's clock")
	s.requireInherited(false, 5, "it has expired by cluster time")
	s.requireInherited(true, 6)

	s.requireInherited(true, 1)
	op := s.submit(7) // of key 1
	s.proposer.flush()
	s.requireInherited(true, 1, "what is proposed is not told to anybody")
	s.commitNext()
	requireWaiting(t, op)
	s.requireInherited(false, 1)
}

// Where it is not known what the owner before had applied, nothing is inherited.
func TestNothingIsInherited(t *testing.T) {
	for name, begin := range map[string]func(s *scripted){
		"no mark": func(s *scripted) {
			s.commit(batchBy(bob, s.owned(bob, 300), 0, 0, setOp(1, 11, 0)))
			s.inherits()
		},
		"the Own was not asked for": func(s *scripted) {
			s.commit(batchBy(bob, s.owned(bob, 300), markOf(0), 0))
			s.owned(alice, 300)
		},
		"after a state snapshot": func(s *scripted) {
			s.commit(batchBy(bob, s.owned(bob, 300), markOf(0), 0))
			other := newScripted(s.tb, 1)
			other.index += 100
			other.owned(bob, 300)
			require.NoError(s.tb, s.take(other.stateSnapshotOf(s.tb)))
			s.index += 200
			s.inherits()
		},
		"from a state snapshot": func(s *scripted) {
			s.commit(batchBy(bob, s.owned(bob, 300), markOf(0), 0))
			s.reconcile(time.Now())
			s.next()
			other := newScripted(s.tb, 1)
			other.index += 100
			epoch := other.owned(bob, 300)
			other.owned(alice, 300)
			require.NoError(s.tb, s.take(other.stateSnapshotOf(s.tb)))
			s.index += 200
			s.commit(batchBy(bob, epoch, markOf(0), 0))
		},
		"a mark of a superseded owner": func(s *scripted) {
			epoch := s.owned(bob, 300)
			s.owned(carol, 300)
			s.commit(batchBy(bob, epoch, markOf(0), 0))
			s.inherits()
		},
		"given up": func(s *scripted) {
			s.commit(batchBy(bob, s.owned(bob, 300), markOf(0), 0))
			s.inherits()
			s.requireInherited(true, 3)
			s.giveUp()
		},
		"deposed": func(s *scripted) {
			s.commit(batchBy(bob, s.owned(bob, 300), markOf(0), 0))
			s.inherits()
			s.lead(2)
		},
		"superseded": func(s *scripted) {
			s.commit(batchBy(bob, s.owned(bob, 300), markOf(0), 0))
			s.inherits()
			s.owned(carol, 300)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newLeased(t)
			begin(s)
			s.requireInherited(false, 1)
			s.requireInherited(false, 3)
		})
	}
}

// Where the owner before has given up its lease there is no wait. Then others may answer as soon, and leases alone tell who reads.
func TestInheritedTimeEndsWithTheWait(t *testing.T) {
	s := newSuccessor(t)
	epoch, _, _ := s.owner()
	s.inherits()
	s.requireInherited(true, 1)
	s.commit(entry.AppendRelease(nil, &entry.Release{Epoch: epoch}))
	s.requireInherited(false, 1)
	require.Nil(t, s.reads.inherited.Load())
}

// A monotonic clock stands still while the machine is suspended.
func TestInheritedTimeEndsWithASuspend(t *testing.T) {
	s := newSuccessor(t)
	s.inherits()
	s.requireInherited(true, 1)
	s.reads.wall = func(now time.Time) int64 { return now.Add(time.Second).UnixNano() }
	s.requireInherited(false, 1)
	s.reads.wall = time.Time.UnixNano
	s.requireInherited(false, 1, "nobody knows for how long")
	require.EqualValues(t, 1, s.host.counts.suspends.Load())
}

// A goroutine is paused after it has looked at the time.
func TestPauseBeforeAnInheritedRead(t *testing.T) {
	for name, meanwhile := range map[string]func(s *scripted){
		"superseded":     func(s *scripted) { s.owned(bob, 300) },
		"freed":          func(s *scripted) { s.stop(); s.free() },
		"touched by us":  func(s *scripted) { s.renewedLater() },
		"by snapshot":    func(s *scripted) { requireSnapshotOf(s, bob) },
		"superseded too": func(s *scripted) { s.owned(alice, 300) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSuccessor(t)
			s.inherits()
			s.requireInherited(true, 1)
			paused := false
			s.reads.wall = func(now time.Time) int64 {
				if !paused {
					paused = true
					meanwhile(s)
				}
				return now.UnixNano()
			}
			s.requireInherited(false, 1)
			require.True(t, paused)
		})
	}
}

// renewedLater has a write of key 1 applied, whose answer waits.
func (s *scripted) renewedLater() {
	s.write(7)
	s.commitNext()
}

// An owner says up to where it has applied, but not while it waits: others may read that have applied less.
func TestOwnersSayWhatTheyHaveApplied(t *testing.T) {
	said := func(s *scripted) uint64 {
		s.tb.Helper()
		s.write(7)
		e := s.next()
		b, err := entry.DecodeBatch(e.cmd)
		require.NoError(s.tb, err)
		s.commit(e.cmd)
		return b.Applied
	}
	synctest.Test(t, func(t *testing.T) {
		s := newSuccessor(t)
		s.inherits()
		require.Zero(t, said(s), "bob may read and not know key 2")
		time.Sleep(299 * time.Millisecond)
		require.Zero(t, said(s))
		time.Sleep(time.Millisecond)
		require.EqualValues(t, markOf(4), said(s))
		require.EqualValues(t, markOf(5), said(s))
		require.EqualValues(t, markOf(5), s.state.settled)

		s.host.cfg.Lease = 0
		require.Zero(t, said(s), "nobody asks")
	})
}

// When an owner dies, keys that nothing has touched lately can be read at once. Others wait until the dead owner's lease is over.
func TestReadsAfterAnOwnerDies(t *testing.T) {
	t.Parallel()
	const lease = 3 * time.Second // longer than this takes on a busy machine
	c := newLeasedCluster(t, 3, 1, lease)
	a, b := c.hosts[0], c.hosts[1]
	for key := range uint64(5) {
		require.Equal(t, Applied, a.write(0, key, 10+key).what)
	}

	a.mute.Store(true)
	c.elect(0, 1)
	after := b.replicas[0].Load().servesAfter()
	require.False(t, after.IsZero(), "the new owner waits")

	for key := range uint64(4) {
		value, o := b.read(0, key)
		require.Equal(t, Applied, o)
		require.EqualValues(t, 10+key, value)
	}
	require.True(t, time.Now().Before(after), "they have not waited")
	require.EqualValues(t, 4, b.Load().InheritedReads)

	value, o := b.read(0, 4)
	require.Equal(t, Applied, o)
	require.EqualValues(t, 14, value)
	require.False(t, time.Now().Before(after), "the last write may have been unknown to the owner")
	a.mute.Store(false)
}
