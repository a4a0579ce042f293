package partition

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

const testLease = 300 * time.Millisecond

// newLeased returns a replica whose owners have leases, led by alice.
func newLeased(tb testing.TB) *scripted {
	s := newScripted(tb, 1)
	s.host.cfg.Lease = testLease
	s.place(Placement{Generation: 1, Replica: 1})
	s.lead(1)
	return s
}

// tryRead makes a read under the lease, and reports whether it was made.
func (s *scripted) tryRead() bool {
	return s.host.TryRead(0, &pendingRead{key: 1, ch: make(chan Outcome, 1)}, s.host.Moment())
}

// renewed has a write renew the lease.
func (s *scripted) renewed() {
	s.tb.Helper()
	op := s.write(7)
	s.commitNext()
	requireTold(s.tb, Applied, op)
}

// A write that was applied and accepted makes a lease, for eight tenths of what was announced, from before it was proposed.
func TestWritesRenewTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newLeased(t)
		s.owned(alice, 300)
		require.False(t, s.tryRead(), "nothing has proved the lease")

		op := s.write(7)
		time.Sleep(100 * time.Millisecond) // on its way
		s.commitNext()
		requireTold(t, Applied, op)
		require.True(t, s.tryRead())
		time.Sleep(139 * time.Millisecond)
		require.True(t, s.tryRead())
		time.Sleep(time.Millisecond)
		require.False(t, s.tryRead(), "240 ms after it was proposed")

		s.renewed()
		require.True(t, s.tryRead())
		require.EqualValues(t, 3, s.host.readCounts[0].lease.Load())
	})
}

// Entries of other epochs prove nothing, and neither does what a process has proposed that no longer serves.
func TestNothingElseMakesALease(t *testing.T) {
	s := newLeased(t)
	s.owned(alice, 300)
	refused := s.write(7)
	s.owned(alice, 300) // supersedes itself
	s.commitNext()
	requireTold(t, Moved, refused)
	require.False(t, s.tryRead())

	late := s.write(8)
	s.lead(2)
	s.commitNext()
	requireTold(t, Unknown, late) // the process had heard that another leads
	require.False(t, s.tryRead())
}

// A process that gives its epoch up, or is deposed, or stopped, has no lease from then on.
func TestLeaseEndsWithServing(t *testing.T) {
	for name, end := range map[string]func(s *scripted){
		"given up":    func(s *scripted) { s.giveUp() },
		"deposed":     func(s *scripted) { s.lead(2) },
		"leaderless":  func(s *scripted) { s.lead(0) },
		"superseded":  func(s *scripted) { s.owned(bob, 300) },
		"own epoch":   func(s *scripted) { s.owned(alice, 300) },
		"stopped":     func(s *scripted) { s.stop() },
		"forbidden":   func(s *scripted) { s.host.cfg.MayOwn = func() bool { return false }; s.reconcile(time.Now()) },
		"by snapshot": func(s *scripted) { requireSnapshotOf(s, bob) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newLeased(t)
			s.owned(alice, 300)
			s.renewed()
			require.True(t, s.tryRead())
			end(s)
			require.Nil(t, s.reads.lease.Load())
			require.False(t, s.tryRead())
		})
	}
}

// What a read is as new as, is a moment at which the process had the lease.
func TestLeaseGivenUpBeforeTheRead(t *testing.T) {
	s := newLeased(t)
	s.owned(alice, 300)
	s.renewed()
	now := s.host.cfg.Now
	s.host.cfg.Now = func() int64 {
		s.host.cfg.Now = now
		s.giveUp()
		return now()
	}
	require.False(t, s.tryRead())
}

// Reads that came together share one look at the clocks, however late the last of them is made. What counts is that the lease held when they had
// come, and that its epoch still stands.
func TestReadsShareAMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newLeased(t)
		s.owned(alice, 300)
		before := s.host.Moment()
		s.renewed()
		read := func(at Moment) bool {
			return s.host.TryRead(0, &pendingRead{key: 1, ch: make(chan Outcome, 1)}, at)
		}
		require.True(t, read(before), "the lease says the same of its beginning, which is later")

		came := s.host.Moment()
		time.Sleep(300 * time.Millisecond)
		require.False(t, s.tryRead())
		require.True(t, read(came), "a goroutine may be paused for as long")

		// A lease that was given up before the moment says nothing of it, and a state of another epoch is not shown.
		s.renewed()
		came = s.host.Moment()
		s.owned(bob, 300)
		require.False(t, read(came))
	})
}

// What stands in the state is told to nobody before the serve-after time.
func TestAnswersIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newLeased(t)
		require.Zero(t, s.host.AnswersIn(0))
		s.owned(bob, 300)
		s.owned(alice, 300)
		require.Equal(t, 300*time.Millisecond, s.host.AnswersIn(0))
		time.Sleep(299 * time.Millisecond)
		require.Equal(t, time.Millisecond, s.host.AnswersIn(0))
		time.Sleep(time.Second)
		require.Zero(t, s.host.AnswersIn(0))
		s.owned(alice, 300)
		require.Zero(t, s.host.AnswersIn(0), "the owner before was the same")
	})
}

// Nothing is read under a lease before the serve-after time, unless the owner before gave its lease up.
func TestLeaseBeginsWithTheServeAfterTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newLeased(t)
		s.owned(bob, 300)
		s.owned(alice, 300)
		time.Sleep(100 * time.Millisecond)
		op := s.write(7)
		s.commitNext()
		requireWaiting(t, op)
		time.Sleep(199 * time.Millisecond)
		require.False(t, s.tryRead())
		time.Sleep(time.Millisecond)
		require.True(t, s.tryRead())

		s = newLeased(t)
		e := s.owned(bob, 300)
		s.owned(alice, 300)
		op = s.write(7)
		s.commitNext()
		require.False(t, s.tryRead())
		s.commit(entry.AppendRelease(nil, &entry.Release{Epoch: e}))
		requireTold(t, Applied, op)
		require.True(t, s.tryRead())
	})
}

// A goroutine is paused after it has looked at the lease. What it finds then belongs to another epoch and must not be shown: others may
// still read under an older lease, and do not know it.
func TestPauseBetweenLeaseAndRead(t *testing.T) {
	for name, meanwhile := range map[string]func(s *scripted){
		"superseded":        func(s *scripted) { s.owned(bob, 300) },
		"superseded itself": func(s *scripted) { s.owned(alice, 300) },
		"released":          func(s *scripted) { s.commit(entry.AppendRelease(nil, &entry.Release{Epoch: s.serving.Load()})) },
		"by snapshot":       func(s *scripted) { requireSnapshotOf(s, bob) },
		"freed":             func(s *scripted) { s.stop(); s.free() },
	} {
		t.Run(name, func(t *testing.T) {
			s := newLeased(t)
			s.owned(alice, 300)
			s.renewed()
			require.True(t, s.tryRead())
			paused := false
			s.reads.wall = func(now time.Time) int64 {
				if !paused {
					paused = true
					meanwhile(s)
				}
				return now.UnixNano()
			}
			require.False(t, s.tryRead())
			require.True(t, paused)
		})
	}
}

// A monotonic clock stands still while the machine is suspended: the wall clock tells that the lease is over.
func TestLeaseIsDroppedAtSuspend(t *testing.T) {
	for _, apart := range []time.Duration{51 * time.Millisecond, time.Hour, -time.Second} {
		s := newLeased(t)
		s.owned(alice, 300)
		s.renewed()
		require.True(t, s.tryRead())
		set := time.Duration(0)
		s.reads.wall = func(now time.Time) int64 { return now.Add(set).UnixNano() }
		set = 40 * time.Millisecond
		require.True(t, s.tryRead(), "wall clocks are corrected")

		set = apart
		require.False(t, s.tryRead())
		require.Nil(t, s.reads.lease.Load())
		require.False(t, s.tryRead())
		require.EqualValues(t, 1, s.host.counts.suspends.Load())

		// What begins afterwards makes a new lease.
		s.renewed()
		require.True(t, s.tryRead())
	}
}

// What was begun before the machine was suspended makes no lease afterwards.
func TestProofFromBeforeASuspend(t *testing.T) {
	s := newLeased(t)
	s.owned(alice, 300)
	set := time.Duration(0)
	s.reads.wall = func(now time.Time) int64 { return now.Add(set).UnixNano() }
	began := time.Now()
	proof := s.reads.proof(s.serving.Load(), began)
	set = time.Second
	s.step(proof)
	require.False(t, s.tryRead())
	require.EqualValues(t, 1, s.host.counts.suspends.Load())
}

// A read under a lease leaves nothing to the garbage collector.
func TestTryReadAllocatesNothing(t *testing.T) {
	s := newLeased(t)
	s.owned(alice, 300)
	rd := new(quietRead)
	s.renewed()
	n := testing.AllocsPerRun(100, func() {
		if !s.host.TryRead(0, rd, s.host.Moment()) {
			s.renewed()
		}
	})
	require.Zero(t, n)
}

// quietRead reads nothing and tells nobody.
type quietRead struct{ pendingRead }

func (r *quietRead) Finish() {}

// A partition that is read and not written to asks a majority a few times a second, and its reads do not wait for that.
func TestReadsRenewTheLease(t *testing.T) {
	c := newBootstrappedCluster(t, 3, 1)
	h := c.hosts[0]
	_, o := h.read(0, 1)
	require.Equal(t, Applied, o)
	first := h.replicas[0].Load().reads.lease.Load()
	require.NotNil(t, first, "a ReadIndex makes a lease")

	before := h.Load()
	c.await("the lease was renewed by reads alone", func() bool {
		h.read(0, 1)
		l := h.replicas[0].Load().reads.lease.Load()
		return l != nil && l.Began.Sub(first.Began) > 2*testLease
	})
	after := h.Load()
	t.Logf("%d reads under leases, %d with a majority", after.LeaseReads-before.LeaseReads, after.MajorityReads-before.MajorityReads)
	require.Greater(t, after.LeaseReads, before.LeaseReads)
}

// A read that insists on a majority asks one under a lease too, and one that must commit something first is queued.
func TestReadsThatALeaseDoesNotDoFor(t *testing.T) {
	c := newBootstrappedCluster(t, 3, 1)
	h := c.hosts[0]
	c.await("there is a lease", func() bool {
		return h.write(0, 1, 5).what == Applied && h.TryRead(0, &pendingRead{key: 1, ch: make(chan Outcome, 2)}, h.Moment())
	})

	before := h.Load().MajorityReads
	r := &pendingRead{key: 1, quorum: true, ch: make(chan Outcome, 2)}
	require.False(t, h.TryRead(0, r, h.Moment()))
	h.Read(0, r)
	require.Equal(t, Applied, r.wait(t))
	require.EqualValues(t, 5, r.value)
	require.Equal(t, before+1, h.Load().MajorityReads)

	r = &pendingRead{key: 1, commit: setOp(1, 6, 0), ch: make(chan Outcome, 2)}
	require.False(t, h.TryRead(0, r, h.Moment()))
	r.tries = 0
	h.Read(0, r)
	require.Equal(t, Applied, r.wait(t))
	require.EqualValues(t, 6, r.value)
}

// An owner that is cut off from the others reads until its lease is over, and no longer. The next owner answers nothing before.
func TestLeaseOfAnOwnerThatIsCutOff(t *testing.T) {
	c := newBootstrappedCluster(t, 3, 1)
	a, b := c.hosts[0], c.hosts[1]
	require.Equal(t, Applied, a.write(0, 1, 1).what)
	a.mute.Store(true)
	var last time.Time // at which a has read
	c.elect(0, 1)
	next := b.submit(0, setOp(1, 2, 0))
	b.Flush(0)
	c.await("the next owner answers", func() bool {
		if a.TryRead(0, &pendingRead{key: 1, ch: make(chan Outcome, 2)}, a.Moment()) {
			last = time.Now()
		}
		_, told := next.toldNow()
		return told
	})
	require.False(t, a.TryRead(0, &pendingRead{key: 1, ch: make(chan Outcome, 2)}, a.Moment()), "last read %v ago", time.Since(last))
	a.mute.Store(false)
}

// Without leases every read asks, and nobody waits for anybody.
func TestWithoutLeases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(t, 1)
		s.lead(1)
		s.reconcile(time.Now())
		own := s.next()
		o, err := entry.DecodeOwn(own.cmd)
		require.NoError(t, err)
		require.Zero(t, o.LeaseMs)
		s.commit(own.cmd)
		op := s.write(7)
		s.commitNext()
		requireTold(t, Applied, op)
		require.False(t, s.tryRead())
	})
}

// requireSnapshotOf has the replica take a state snapshot that names another owner.
func requireSnapshotOf(s *scripted, owner wire.ID) {
	s.tb.Helper()
	other := newScripted(s.tb, 1)
	other.index += 100
	other.owned(owner, 300)
	require.NoError(s.tb, s.take(other.stateSnapshotOf(s.tb)))
}
