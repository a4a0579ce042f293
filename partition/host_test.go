package partition

import (
	"context"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Preferred owners are elected, which by election timeouts would come about once in 3^48 times.
func TestBootstrap(t *testing.T) {
	c := newCluster(t, 3, 48)
	began := time.Now()
	c.found()
	c.awaitPreferred()
	t.Logf("%d partitions owned after %v", c.partitions, time.Since(began))
	for p := range c.partitions {
		c.await("all replicas know the owner", func() bool {
			for _, h := range c.hosts {
				if _, _, incarnation := h.Owner(p); incarnation != c.hosts[p%3].id {
					return false
				}
			}
			return true
		})
	}
}

func (c *testCluster) awaitPreferred() {
	c.tb.Helper()
	c.await("every partition is served by its preferred owner", func() bool {
		for p := range c.partitions {
			if c.hosts[p%len(c.hosts)].Serving(p) == 0 {
				return false
			}
		}
		return true
	})
}

// A preferred owner that campaigned before the others were there is freed to campaign again.
func TestBootstrapOneAfterTheOther(t *testing.T) {
	c := newCluster(t, 3, 12)
	for i, h := range c.hosts {
		for p := range c.partitions {
			require.NoError(t, h.StartReplica(c.placement(p, i)))
		}
		c.await("a replica has campaigned", func() bool {
			st, _ := h.Status(i)
			return st.Term > 1
		})
	}
	c.awaitPreferred()
}

// Operations that come while entries are in flight share the next one.
func TestGroupCommit(t *testing.T) {
	c := newBootstrappedCluster(t, 3, 1)
	h := c.hosts[0]
	var before, after int
	h.Inspect(0, func(m Machine) { before = m.(*registers).batches })
	const n = 2000
	ops := make([]*pendingOp, n)
	for i := range ops {
		ops[i] = h.submit(0, setOp(uint64(i), uint64(i+1), 0))
		h.Flush(0)
	}
	for _, op := range ops {
		require.Equal(t, Applied, op.wait(t).what)
	}
	h.Inspect(0, func(m Machine) {
		after = m.(*registers).batches
		for i, v := range m.(*registers).history {
			require.Equal(t, uint64(i+1), v, "in the order of their arrival")
		}
	})
	t.Logf("%d operations in %d entries", n, after-before)
	require.Less(t, after-before, n/4)
}

func TestResultsBelongToTheirOperations(t *testing.T) {
	c := newBootstrappedCluster(t, 1, 1)
	h := c.hosts[0]
	var wg sync.WaitGroup
	for w := range uint64(8) {
		wg.Go(func() {
			for i := range uint64(200) {
				o := h.write(0, w, i+1)
				if o.what != Applied || len(o.res.Body) != 8 {
					t.Errorf("outcome %v", o)
					return
				}
				r := wire.NewReader(o.res.Body)
				if before := r.U64(); before != i {
					t.Errorf("register %d was %d, want %d", w, before, i)
				}
			}
		})
	}
	wg.Wait()
}

func TestOutcomeMovedWithoutOwnership(t *testing.T) {
	c := newBootstrappedCluster(t, 3, 1)
	require.Equal(t, Moved, c.hosts[1].write(0, 1, 1).what)
	_, o := c.hosts[1].read(0, 1)
	require.Equal(t, Moved, o)
	other := newCluster(t, 1, 1) // no replica at all
	require.Equal(t, Moved, other.hosts[0].write(0, 1, 1).what)
	_, o = other.hosts[0].read(0, 1)
	require.Equal(t, Moved, o)
	require.False(t, other.hosts[0].Inspect(0, func(Machine) { t.Error("there is nothing to see") }))
	require.Zero(t, other.hosts[0].Serving(0))
}

func TestOutcomesOfAClosedHost(t *testing.T) {
	c := newBootstrappedCluster(t, 3, 1)
	h := c.hosts[0]
	for _, o := range c.hosts[1:] {
		o.mute.Store(true) // nothing is committed any more
	}
	var inFlight []*pendingOp
	for i := range uint64(maxInFlight) {
		inFlight = append(inFlight, h.submit(0, setOp(1, i, 0)))
		h.Flush(0)
	}
	gathered := h.submit(0, setOp(1, 9, 0))
	h.Flush(0)
	read := h.startRead(0, 1)
	h.Close()
	for _, op := range inFlight {
		require.Equal(t, Unknown, op.wait(t).what)
	}
	require.Contains(t, []Outcome{NotProposed, Moved}, gathered.wait(t).what) // moved if the owner was deposed before
	require.Contains(t, []Outcome{NotProposed, Moved}, read.wait(t))
	require.Equal(t, NotProposed, h.write(0, 1, 1).what)
	_, o := h.read(0, 1)
	require.Equal(t, NotProposed, o)
	require.ErrorIs(t, h.StartReplica(c.placement(0, 0)), errClosed)
	require.ErrorIs(t, h.Drop(t.Context(), 0), errClosed)
	h.Close()
}

// What an owner without a quorum had on its way has no effect once another owns the partition.
func TestDeposedWithEntriesInFlight(t *testing.T) {
	c := newBootstrappedCluster(t, 3, 1)
	a := c.hosts[0]
	require.Equal(t, Applied, a.write(0, 1, 1).what)
	a.mute.Store(true)
	lost := a.submit(0, setOp(1, 2, 0))
	a.Flush(0)
	c.elect(0, 1)
	require.Equal(t, Applied, c.hosts[1].write(0, 1, 3).what)
	a.mute.Store(false)
	require.Contains(t, []Outcome{Moved, Unknown}, lost.wait(t).what) // unknown if it hears of the election first
	require.Equal(t, map[uint64]register{1: {value: 3}}, c.settle(0).values)
	require.Zero(t, a.Serving(0))
}

// A batch of a deposed owner that reaches the log late, through the new leader, is refused on every replica.
func TestLateBatchOfADeposedOwner(t *testing.T) {
	c := newBootstrappedCluster(t, 3, 1)
	a := c.hosts[0]
	epoch := a.Serving(0)
	require.Equal(t, Applied, a.write(0, 1, 1).what)
	c.elect(0, 1)
	c.await("the deposed owner knows", func() bool {
		_, _, owner := a.Owner(0)
		return owner == c.hosts[1].id
	})
	var b entry.Builder
	b.Add(setOp(1, 666, 0))
	r := a.replicas[0].Load()
	st, _ := a.Status(0)
	_, err := r.propose(b.Finish(&entry.Header{Epoch: epoch, Now: c.now() + 1_000_000, Proposer: a.id, Batch: 1 << 40}))
	require.NoError(t, err)
	c.await("the late batch was committed", func() bool { now, _ := a.Status(0); return now.Applied > st.Applied })
	s := c.settle(0)
	require.Equal(t, uint64(1), s.values[1].value)
	require.Less(t, s.clock, c.now()+1000, "not even its time counts")
}

// A deposed owner's Own that reaches the log late does not take the ownership back.
func TestLateOwnOfADeposedOwner(t *testing.T) {
	c := newBootstrappedCluster(t, 3, 1)
	a := c.hosts[0]
	epoch := a.Serving(0)
	st, _ := a.Status(0)
	c.elect(0, 1)
	now := c.hosts[1].Serving(0)
	before, _ := c.hosts[1].Status(0)
	_, err := a.replicas[0].Load().propose(entry.AppendOwn(nil, &entry.Own{Member: a.cfg.Member, Incarnation: a.id,
		Term: st.Term, PrevEpoch: epoch, Now: c.now()}))
	require.NoError(t, err)
	c.await("the late Own was committed", func() bool { now, _ := c.hosts[1].Status(0); return now.Applied > before.Applied })
	c.settle(0)
	for _, h := range c.hosts {
		got, _, owner := h.Owner(0)
		require.Equal(t, now, got)
		require.Equal(t, c.hosts[1].id, owner)
	}
}

func TestReadsSeeWrites(t *testing.T) {
	c := newBootstrappedCluster(t, 3, 1)
	h := c.hosts[0]
	for i := range uint64(50) {
		require.Equal(t, Applied, h.write(0, 1, i+1).what)
		v, o := h.read(0, 1)
		require.Equal(t, Applied, o)
		require.Equal(t, i+1, v)
	}
}

// Replicas leave out the steps after their applies, but not while this process waits for the group's leader to be confirmed.
func TestStepsAreLeftOutUnlessAReadWaits(t *testing.T) {
	c := newBootstrappedCluster(t, 3, 1)
	h := c.hosts[0]
	require.Equal(t, Applied, h.write(0, 1, 1).what)
	r := h.replicas[0].Load()
	r.state.RLock()
	steps := r.steps
	r.state.RUnlock()
	require.NotNil(t, steps)

	for _, o := range c.hosts[1:] {
		o.mute.Store(true) // nobody confirms that the owner still leads
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	asked := make(chan error, 1)
	go func() { // ends with ctx
		_, err := h.Group(ctx, 0)
		asked <- err
	}()
	for deadline := time.Now().Add(patience); r.reads.majorities.Load() == 0; runtime.Gosched() {
		require.True(t, time.Now().Before(deadline), "the question is not counted")
	}
	cancel()
	require.Error(t, <-asked)
	require.Zero(t, r.reads.majorities.Load())
}

// A read that meets an entry due by cluster time commits a tick first, and only one.
func TestReadTicksTheClock(t *testing.T) {
	c := newBootstrappedCluster(t, 3, 1)
	h := c.hosts[0]
	h.mayOwn.Store(true)
	expires := c.now() + 3_600_000
	op := h.submit(0, setOp(1, 7, expires))
	h.Flush(0)
	require.Equal(t, Applied, op.wait(t).what)
	v, o := h.read(0, 1)
	require.Equal(t, Applied, o)
	require.Equal(t, uint64(7), v)
	c.ahead.Store(3_600_000)
	r := h.startRead(0, 1)
	require.Equal(t, Applied, r.wait(t))
	require.Zero(t, r.value)
	require.LessOrEqual(t, r.tries, 3, "under the lease, and by the queue before and after the tick")
	require.GreaterOrEqual(t, r.at.Now, expires)
	require.Equal(t, h.Serving(0), r.at.Epoch)
	h.Inspect(0, func(m Machine) { require.GreaterOrEqual(t, m.Clock(), expires) })
}

// What a read asks for is applied before it is made again, and then it is made with nothing more.
func TestReadCommitsWhatItAsksFor(t *testing.T) {
	c := newBootstrappedCluster(t, 3, 1)
	h := c.hosts[0]
	require.Equal(t, Applied, h.write(0, 1, 5).what)
	r := &pendingRead{key: 1, commit: setOp(1, 6, 0), ch: make(chan Outcome, 2)}
	h.Read(0, r)
	require.Equal(t, Applied, r.wait(t))
	require.Equal(t, uint64(6), r.value)
	require.Equal(t, 2, r.tries)
}

// Entries whose time has come are removed without anybody reading them, also more than one sweep removes.
func TestSweep(t *testing.T) {
	c := newBootstrappedCluster(t, 1, 1)
	h := c.hosts[0]
	expires := c.now() + 3_600_000
	var last *pendingOp
	for i := range uint64(sweepLimit + 2*sweepLimit + 4*sweepLimit) {
		last = h.submit(0, setOp(i+1, i+1, expires))
	}
	h.Flush(0)
	require.Equal(t, Applied, last.wait(t).what)
	c.ahead.Store(3_600_000)
	var sweeps int
	c.await("all entries are gone", func() (gone bool) {
		h.Inspect(0, func(m Machine) { gone, sweeps = len(m.(*registers).values) == 0, m.(*registers).sweeps })
		return gone
	})
	require.LessOrEqual(t, sweeps, 4, "each removes twice as many as the one before")
}

func TestReleaseBeforeLeaving(t *testing.T) {
	c := newBootstrappedCluster(t, 3, 6)
	a := c.hosts[0]
	a.mayOwn.Store(false)
	a.Release(t.Context())
	for p := range c.partitions {
		_, _, owner := a.Owner(p)
		require.NotEqual(t, a.id, owner)
		require.Zero(t, a.Serving(p))
	}
	require.Equal(t, Moved, a.write(0, 1, 1).what)
	c.elect(0, 1)
	require.Equal(t, Applied, c.hosts[1].write(0, 1, 2).what)
}

// Without a quorum nothing can be released, and Release does not wait for it for ever.
func TestReleaseWithoutQuorum(t *testing.T) {
	t.Parallel()
	c := newBootstrappedCluster(t, 3, 1)
	for _, o := range c.hosts[1:] {
		o.mute.Store(true)
	}
	a := c.hosts[0]
	a.mayOwn.Store(false)
	a.Release(t.Context())
	require.Zero(t, a.Serving(0), "what is being given up is not served again")
}

func TestDropAndBeginAgain(t *testing.T) {
	c := newBootstrappedCluster(t, 1, 2)
	h := c.hosts[0]
	require.Equal(t, Applied, h.write(0, 1, 1).what)
	require.NoError(t, h.StartReplica(c.placement(0, 0)), "it runs already")
	require.NotZero(t, h.Serving(0))

	next := c.placement(0, 0)
	next.Generation, next.Replica = 2, 9
	next.Initial = map[uint64]wire.ID{9: h.id}
	require.NoError(t, h.StartReplica(next))
	require.False(t, h.Runs(ShardOf(1, 0), 1))
	require.True(t, h.Runs(ShardOf(2, 0), 9))
	entries, _ := h.log.Size(ShardOf(1, 0), 1)
	require.Zero(t, entries, "nothing is left of the old replica")
	require.Error(t, h.StartReplica(c.placement(0, 0)), "an older generation")
	require.True(t, h.Runs(ShardOf(2, 0), 9))

	require.NoError(t, h.Drop(t.Context(), 1))
	require.NoError(t, h.Drop(t.Context(), 1), "it is gone already")
	require.Equal(t, Moved, h.write(1, 1, 1).what)
	err := h.StartReplica(c.placement(1, 0))
	require.Error(t, err, "a replica ID is used once")
	require.False(t, h.Runs(ShardOf(1, 1), 1), "nothing is left of a replica that could not be started")
	require.Equal(t, Moved, h.write(1, 1, 1).what)
}

func TestStartReplicaRefusesWhatItCannotStart(t *testing.T) {
	c := newCluster(t, 1, 2)
	for name, change := range map[string]func(*Placement){
		"partition":    func(p *Placement) { p.Partition = 2 },
		"negative":     func(p *Placement) { p.Partition = -1 },
		"generation 0": func(p *Placement) { p.Generation = 0 },
		"replica 0":    func(p *Placement) { p.Replica = 0 },
		"not initial":  func(p *Placement) { p.Replica = 7 },
		"another's":    func(p *Placement) { p.Initial = map[uint64]wire.ID{1: {3}} },
	} {
		p := c.placement(0, 0)
		change(&p)
		require.Error(t, c.hosts[0].StartReplica(p), name)
	}
	_, err := Start(HostConfig{Partitions: MaxPartitions + 1})
	for _, word := range []string{"Member", "Incarnation", "Cluster", "Addr", "Machines", "Transport", "Registry", "Now", "Logger", "4097"} {
		require.ErrorContains(t, err, word)
	}
}

// A new owner waits for the lease that its predecessor announced, with reads and with results.
func TestNewOwnerWaitsForALease(t *testing.T) {
	c := newBootstrappedCluster(t, 1, 1)
	h := c.hosts[0]
	epoch := h.Serving(0)
	st, _ := h.Status(0)
	_, ended := h.replicas[0].Load().serves()
	const lease = 200
	began := time.Now()
	_, err := h.replicas[0].Load().propose(entry.AppendOwn(nil, &entry.Own{Member: bob, Incarnation: bob, Term: st.Term,
		PrevEpoch: epoch, LeaseMs: lease, Now: c.now()}))
	require.NoError(t, err)
	<-ended
	c.await("it has taken the partition back", func() bool { return h.Serving(0) != 0 })
	read := h.startRead(0, 1)
	require.Equal(t, Applied, h.write(0, 1, 5).what)
	require.GreaterOrEqual(t, time.Since(began), lease*time.Millisecond)
	require.Equal(t, Applied, read.wait(t))
	require.GreaterOrEqual(t, time.Since(began), lease*time.Millisecond)
}

// The log of a partition that is written to stays within its bounds, on all replicas, and so does the memory.
func TestLogIsTrimmed(t *testing.T) {
	t.Parallel()
	c := newBootstrappedCluster(t, 3, 1)
	h := c.hosts[0]
	most, heap := 0, uint64(0)
	const rounds = 40
	for round := range rounds {
		var ops []*pendingOp
		for i := range 600 {
			ops = append(ops, h.submit(0, paddedOp(1, uint64(i), 1000)))
			h.Flush(0)
		}
		for _, op := range ops {
			require.Equal(t, Applied, op.wait(t).what)
		}
		entries, _ := h.log.Size(ShardOf(1, 0), 1)
		most = max(most, entries)
		if round == rounds/4 {
			heap = liveHeap()
		}
	}
	for i, o := range c.hosts {
		c.await("the log is within its bounds", func() bool { return !o.logFull(o.replicas[0].Load()) })
		entries, bytes := o.log.Size(ShardOf(1, 0), uint64(i+1))
		require.Positive(t, entries, "something is kept for those who lag")
		require.LessOrEqual(t, bytes, int64(logBytesPerReplica))
	}
	h.Inspect(0, func(m Machine) { m.(*registers).history = nil }) // the tests' own
	grown := int64(liveHeap()) - int64(heap)
	t.Logf("%d MB written, heap grown by %d KB since a quarter of it", rounds*600*1000>>20, grown>>10)
	require.Less(t, grown, int64(16<<20), "three logs of 2 MB, and what a loaded machine is behind with")
	require.Equal(t, Applied, h.write(0, 1, 1).what)
}

// Many small entries are bounded by their number.
func TestLogIsTrimmedByNumber(t *testing.T) {
	c := newBootstrappedCluster(t, 1, 1)
	h := c.hosts[0]
	for range 3 * logEntries {
		h.write(0, 1, 1)
	}
	c.await("the log is within its bounds", func() bool { return !h.logFull(h.replicas[0].Load()) })
	entries, _ := h.log.Size(ShardOf(1, 0), 1)
	require.Positive(t, entries)
	require.LessOrEqual(t, entries, logEntries)
}

func TestLoad(t *testing.T) {
	c := newBootstrappedCluster(t, 3, 6)
	var all HostLoad
	for _, h := range c.hosts {
		l := h.Load()
		require.Equal(t, 6, l.Replicas)
		require.Positive(t, l.OwnerChanges) // of the last ones it may still hear
		require.Positive(t, l.Elections)
		all.Owned += l.Owned
	}
	require.Equal(t, 6, all.Owned)
	h := c.hosts[0]
	before := h.Load()
	op := h.submit(0, setOp(1, 1, 0))
	require.Positive(t, h.Load().PendingBytes)
	h.Flush(0)
	require.Equal(t, Applied, op.wait(t).what)
	after := h.Load()
	require.Greater(t, after.LogEntries, before.LogEntries)
	require.Greater(t, after.LogBytes, before.LogBytes)
	require.GreaterOrEqual(t, after.OwnerChanges, before.OwnerChanges)
}
