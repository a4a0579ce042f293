package partition

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// newServing returns a replica that owns its partition.
func newServing(t testing.TB) *scripted {
	s := newScripted(t, 1)
	s.lead(1)
	s.owned(alice, 0)
	return s
}

func TestProposerKeepsTwoEntriesInFlight(t *testing.T) {
	s := newServing(t)
	var ops []*pendingOp
	for i := range uint64(10) {
		ops = append(ops, s.write(i+1))
	}
	require.Equal(t, maxInFlight, s.onItsWay())
	s.commitNext()
	requireTold(t, Applied, ops[0])
	require.Equal(t, maxInFlight, s.onItsWay(), "the next one, which holds all that has come meanwhile")
	s.commitNext()
	s.commitNext()
	for _, op := range ops[1:] {
		requireTold(t, Applied, op)
	}
	require.Zero(t, s.onItsWay())
	require.Zero(t, s.host.pending.Load())
}

// Entries stay below their bound however much waits, and not more than two are on their way.
func TestProposerBoundsEntries(t *testing.T) {
	s := newServing(t)
	var ops []*pendingOp
	submit := func(size int) {
		op := newPendingOp()
		s.proposer.submit(paddedOp(1, uint64(len(ops)+1), size), op)
		ops = append(ops, op)
	}
	submit(3 << 20) // larger than an entry: alone in its own
	for range 40 {
		submit(200 << 10)
	}
	submit(3 << 20)
	s.proposer.flush()
	entries := 0
	for s.onItsWay() > 0 {
		require.LessOrEqual(t, s.onItsWay(), maxInFlight)
		cmd := s.log[0].cmd
		b, err := entry.DecodeBatch(cmd)
		require.NoError(t, err)
		if submitted(&b) > 1 {
			require.LessOrEqual(t, len(cmd), maxBatchBytes)
		}
		entries++
		s.commitNext()
	}
	for _, op := range ops {
		requireTold(t, Applied, op)
	}
	require.Equal(t, 1+8+1, entries)
	history := s.state.machine.(*registers).history
	require.True(t, slices.IsSorted(history) && len(history) == len(ops), "in the order of their arrival")

	for range entry.MaxBatchOps + 1 {
		s.submit(1)
	}
	require.Equal(t, 1, s.onItsWay())
	b, err := entry.DecodeBatch(s.log[0].cmd)
	require.NoError(t, err)
	require.Equal(t, entry.MaxBatchOps, b.Ops)
	s.stop()
	require.Zero(t, s.host.pending.Load())
}

// However small keys are, one entry does not hold back readers for longer than a bounded number of them takes.
func TestProposerBoundsKeys(t *testing.T) {
	s := newServing(t)
	const most = wire.MaxKeys
	for _, n := range []int{most, most, 1, most, 0, 0, most / 2, most, most} { // 0: an operation on one key
		op := setOp(1, 1, 0)
		op.Keys = n
		s.proposer.submit(op, newPendingOp())
	}
	s.proposer.flush()
	var ops []int
	for s.onItsWay() > 0 {
		b, err := entry.DecodeBatch(s.log[0].cmd)
		require.NoError(t, err)
		ops = append(ops, submitted(&b))
		s.commitNext()
	}
	require.Equal(t, []int{2, 5, 2}, ops)
}

// submitted counts the operations of a batch that somebody has submitted.
func submitted(b *entry.Batch) (n int) {
	var op entry.Op
	for b.Next(&op) {
		if op.Code != wire.OpResume {
			n++
		}
	}
	return n
}

func TestProposerOutcomes(t *testing.T) {
	lost := errors.New("not now")
	for name, c := range map[string]struct {
		happens            func(s *scripted)
		flight, gathered   Outcome // what operations are told
		flightIs, gathIs   bool    // whether they are told at all
		applied            int     // operations applied once everything on its way is committed
		acceptsMore, moved bool
	}{
		"applied":             {func(s *scripted) { s.commitNext(); s.commitNext() }, Applied, 0, true, false, 3, true, false},
		"another Own":         {func(s *scripted) { s.owned(bob, 0) }, Moved, Moved, true, true, 0, false, true},
		"own Own again":       {func(s *scripted) { s.owned(alice, 0) }, Moved, Moved, true, true, 0, true, false},
		"released":            {func(s *scripted) { s.commit(entry.AppendRelease(nil, &entry.Release{Epoch: s.serving.Load()})) }, Moved, Moved, true, true, 0, false, true},
		"another elected":     {func(s *scripted) { s.lead(2) }, Unknown, Moved, true, true, 2, false, true},
		"nobody elected":      {func(s *scripted) { s.lead(0) }, Unknown, Moved, true, true, 2, false, true},
		"elected again":       {func(s *scripted) { s.leaderChanged(1, 6) }, 0, 0, false, false, 3, true, false},
		"given up":            {func(s *scripted) { s.giveUp() }, 0, Moved, false, true, 2, false, true},
		"refused Own":         {func(s *scripted) { s.commit(entry.AppendOwn(nil, ownBy(bob, 1, 1, 0))) }, 0, 0, false, false, 3, true, false},
		"stopped":             {func(s *scripted) { s.stop() }, Unknown, NotProposed, true, true, 2, false, false},
		"dropped":             {func(s *scripted) { s.drop(); s.drop(); s.reconcile(time.Now()) }, NotProposed, 0, true, false, 1, true, false},
		"no more than closed": {func(s *scripted) { s.log[0].state.Store(int32(ticketClosed)); s.reconcile(time.Now()) }, 0, 0, false, false, 3, true, false},
		"Raft refuses the next": {func(s *scripted) {
			s.err = lost
			s.commitNext()
			s.commitNext()
		}, Applied, NotProposed, true, true, 2, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServing(t)
			first, second, gathered := s.write(1), s.write(2), s.write(3)
			c.happens(s)
			for _, op := range []*pendingOp{first, second} {
				if c.flightIs {
					requireTold(t, c.flight, op)
				} else {
					requireWaiting(t, op)
				}
			}
			if c.gathIs {
				requireTold(t, c.gathered, gathered)
			} else {
				requireWaiting(t, gathered)
			}
			s.err = nil
			more := s.write(4)
			for s.onItsWay() > 0 {
				s.commitNext()
			}
			applied := len(s.state.machine.(*registers).history)
			switch {
			case c.acceptsMore:
				requireTold(t, Applied, more)
				applied--
			case c.moved:
				requireTold(t, Moved, more)
			default:
				requireTold(t, NotProposed, more)
			}
			require.Equal(t, c.applied, applied)
			require.Zero(t, s.host.pending.Load())
			s.stop()
		})
	}
}

// drop loses the oldest entry on its way, and the library says so.
func (s *scripted) drop() { s.next().state.Store(int32(ticketDropped)) }

// The entry may be applied, or its partition lost, before Propose has returned.
func TestAppliedBeforeProposeReturns(t *testing.T) {
	for name, happens := range map[string]func(s *scripted, cmd []byte) error{
		"applied":          func(s *scripted, cmd []byte) error { s.commit(cmd); return nil },
		"another Own":      func(s *scripted, cmd []byte) error { s.owned(bob, 0); return nil },
		"stopped":          func(s *scripted, cmd []byte) error { s.stop(); return nil },
		"stopped, refused": func(s *scripted, cmd []byte) error { s.stop(); return errClosed },
		"superseded, refused": func(s *scripted, cmd []byte) error {
			s.owned(bob, 0)
			return errClosed
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServing(t)
			tickets := &scriptedEntry{}
			s.raft = func(cmd []byte) (ticket, error) { return tickets, happens(s, cmd) }
			op := s.write(1)
			_, told := op.toldNow()
			require.True(t, told)
			require.Empty(t, s.proposer.flight)
			require.Zero(t, s.host.pending.Load())
			tickets.state.Store(int32(ticketClosed))
			s.proposer.mu.Lock()
			s.proposer.reapLocked()
			require.Empty(t, s.proposer.spent, "what dragonboat has finished with is given back")
			s.proposer.mu.Unlock()
		})
	}
}

// What is flushed while another goroutine proposes is not forgotten.
func TestFlushWhileProposing(t *testing.T) {
	for name, full := range map[string]bool{"a full batch": true, "a flush": false} {
		t.Run(name, func(t *testing.T) {
			s := newServing(t)
			raft, during := s.raft, (*pendingOp)(nil)
			s.raft = func(cmd []byte) (ticket, error) {
				if during == nil {
					during = s.submit(3)
					s.proposer.flush()
				}
				return raft(cmd)
			}
			if full {
				s.proposer.submit(paddedOp(1, 1, maxBatchBytes), newPendingOp())
				s.submit(2) // one batch is full now
			} else {
				s.write(1)
			}
			require.Equal(t, 2, s.onItsWay())
			s.commitNext()
			s.commitNext()
			requireTold(t, Applied, during)
			s.stop()
		})
	}
}

// An entry without news holds the next ones back for a while, and its waiters wait on; in the end they are told that
// nothing is known.
func TestProposerStalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServing(t)
		first, second, third := s.write(1), s.write(2), s.write(3)
		s.reconcile(time.Now().Add(stallAfter))
		require.Equal(t, 2, s.onItsWay())
		time.Sleep(stallAfter + 1)
		s.reconcile(time.Now())
		require.Equal(t, 3, s.onItsWay())
		requireWaiting(t, first)
		lost := s.next()
		s.commitNext()
		requireTold(t, Applied, second)
		requireWaiting(t, first)
		time.Sleep(forgetAfter + 1)
		s.reconcile(time.Now())
		requireTold(t, Unknown, first)
		requireTold(t, Unknown, third)
		s.commit(lost.cmd) // late, and nobody waits any more
		require.Equal(t, []uint64{2, 1}, s.state.machine.(*registers).history)
		require.Zero(t, s.host.pending.Load())
	})
}

// Anything may happen in any order: every operation is completed exactly once, what was told to be applied was, what was
// told not to be never is, and no byte stays accounted for.
func TestProposerInAnyOrder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := newScripted(t, 1)
		s.lead(1)
		ops := map[uint64]*pendingOp{}
		told := map[uint64]Outcome{}
		var late [][]byte // lost for now, and committed at the end
		stopped := false
		for step := range rapid.IntRange(5, 60).Draw(rt, "steps") {
			value := uint64(step + 1)
			switch rapid.IntRange(0, 13).Draw(rt, "what") {
			case 0, 1, 2:
				ops[value] = s.submit(value)
			case 3, 4:
				ops[value] = s.write(value)
			case 5:
				big := newPendingOp()
				s.proposer.submit(paddedOp(1, value, 700<<10), big)
				ops[value] = big
			case 6, 7, 8:
				if e := s.next(); e != nil {
					if rapid.Bool().Draw(rt, "closed") {
						e.state.Store(int32(ticketClosed))
					}
					if !stopped {
						s.commit(e.cmd)
					}
				}
			case 9:
				if e := s.next(); e != nil {
					if rapid.Bool().Draw(rt, "dropped") {
						e.state.Store(int32(ticketDropped))
					} else {
						late = append(late, e.cmd)
					}
				}
			case 10:
				if !stopped {
					s.commit(s.ownOf(rapid.SampledFrom([]wire.ID{alice, alice, bob}).Draw(rt, "owner"), 0))
				}
			case 11:
				s.leaderChanged(rapid.Uint64Range(0, 2).Draw(rt, "leader"), 5)
			case 12:
				s.err = nil
				if rapid.Bool().Draw(rt, "refuse") {
					s.err = errClosed
				}
			case 13:
				s.proposer.reconcile(time.Now().Add(time.Duration(rapid.IntRange(0, 70).Draw(rt, "later")) * time.Second))
			}
			if !stopped && rapid.IntRange(0, 50).Draw(rt, "stop") == 0 {
				stopped = true
				s.stop()
			}
		}
		if !stopped { // what was lost turns up after all
			for _, cmd := range late {
				s.commit(cmd)
			}
			for e := s.next(); e != nil; e = s.next() {
				s.commit(e.cmd)
			}
		}
		s.stop()
		applied := map[uint64]int{}
		for _, v := range s.state.machine.(*registers).history {
			applied[v]++
		}
		for value, op := range ops {
			o, ok := op.toldNow()
			require.True(rt, ok, "operation %d was never completed", value)
			told[value] = o
			switch o {
			case Applied:
				require.Equal(rt, 1, applied[value], "operation %d was told to be applied", value)
			case Moved, NotProposed, Overloaded:
				require.Zero(rt, applied[value], "operation %d was told not to be applied: %d", value, o)
			}
		}
		require.Zero(rt, s.host.pending.Load())
		require.Zero(rt, s.proposer.count.Load())
	})
}

// The same with everything at the same time.
func TestProposerConcurrently(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			s := newServing(t)
			const writers, each = 4, 200
			ops := make([]map[uint64]*pendingOp, writers)
			var work, raft sync.WaitGroup
			var written atomic.Int64
			for w := range ops {
				ops[w] = map[uint64]*pendingOp{}
				work.Go(func() {
					for value, n := uint64(w)<<32, 0; n < each; {
						value++
						op := newPendingOp()
						s.proposer.submit(setOp(uint64(w), value, 0), op)
						ops[w][value] = op
						if value%3 == 0 {
							continue // the next one's flush, or somebody else's, takes it along
						}
						s.proposer.flush()
						o := op.wait(t)
						op.ch <- o
						if o.what == Moved {
							runtime.Gosched()
							continue
						}
						n++
						written.Add(1)
					}
				})
			}
			done := make(chan struct{})
			raft.Go(func() { // applies, in order, and changes the owner now and then
				rnd := rand.New(rand.NewPCG(seed, 1))
				for {
					e := s.next()
					if e == nil {
						select {
						case <-done:
							return
						default:
							s.proposer.flush()
							runtime.Gosched()
							continue
						}
					}
					switch k := rnd.IntN(20); {
					case k == 0:
						e.state.Store(int32(ticketDropped))
						continue
					case k == 1:
						s.commit(s.ownOf(alice, 0))
					case k == 2:
						s.commit(s.ownOf(bob, 0))
						s.commit(s.ownOf(alice, 0))
					}
					s.commit(e.cmd)
					e.state.Store(int32(ticketClosed))
				}
			})
			raft.Go(func() { // leaders come and go, and the loop reconciles
				rnd, next := rand.New(rand.NewPCG(seed, 2)), int64(20)
				for {
					select {
					case <-done:
						return
					default:
					}
					if n := written.Load(); n >= next {
						next = n + 20 + rnd.Int64N(40)
						s.leaderChanged(rnd.Uint64N(3), 5)
						s.leaderChanged(1, 5)
					}
					s.proposer.reconcile(time.Now())
					runtime.Gosched()
				}
			})
			if seed%2 == 0 {
				work.Go(func() {
					for written.Load() < writers*each/2 {
						runtime.Gosched()
					}
					s.stop()
				})
			}
			work.Wait()
			close(done)
			raft.Wait()
			s.stop()
			applied := map[uint64]int{}
			for _, v := range s.state.machine.(*registers).history {
				applied[v]++
			}
			counts := map[Outcome]int{}
			for w := range ops {
				for value, op := range ops[w] {
					o := op.wait(t).what
					counts[o]++
					switch o {
					case Applied:
						require.Equal(t, 1, applied[value])
					case Moved, NotProposed, Overloaded:
						require.Zero(t, applied[value], "told %d", o)
					}
				}
			}
			t.Logf("outcomes %v", counts)
			require.Zero(t, s.host.pending.Load())
		})
	}
}

func TestProposerBoundsMemory(t *testing.T) {
	s := newServing(t)
	const size = 1<<20 - opOverhead
	op := func() *pendingOp {
		c := newPendingOp()
		s.proposer.submit(paddedOp(1, 1, size), c)
		return c
	}
	var ops []*pendingOp
	for range pendingBytes >> 20 {
		ops = append(ops, op())
	}
	requireTold(t, Overloaded, op())
	s.proposer.flush()
	s.commitNext()
	requireTold(t, Applied, ops[0])
	ops = append(ops, op())
	requireTold(t, Overloaded, op())
	requireTold(t, Overloaded, s.submit(1))
	for s.onItsWay() > 0 {
		s.commitNext()
	}
	for _, op := range ops[1:] {
		requireTold(t, Applied, op)
	}
	require.Zero(t, s.host.pending.Load())
}

// The bound on remembered results admits one call at a time, so that it can be come down from.
func TestProposerBoundsRecords(t *testing.T) {
	s := newServing(t)
	call := func() *pendingOp {
		c, op := newPendingOp(), setOp(1, 1, 0)
		op.Client, op.Seq = wire.ID{7}, 1
		s.proposer.submit(op, c)
		s.proposer.flush()
		return c
	}
	s.state.machine.(*registers).records = maxRecordBytes
	s.owned(alice, 0)
	first, second := call(), call()
	s.state.machine.(*registers).records = maxRecordBytes + 1
	s.commitNext()
	requireTold(t, Applied, first)
	requireTold(t, Overloaded, call())
	own := s.write(2) // no call: nothing is remembered of it
	s.commitNext()
	requireTold(t, Applied, second)
	s.commitNext()
	requireTold(t, Applied, own)
	first = call()
	requireTold(t, Overloaded, call())
	s.commitNext()
	requireTold(t, Applied, first)
}

// A sweep that removes nothing is not repeated at once, for that would fill the log.
func TestSweepDoesNotSpin(t *testing.T) {
	s := newServing(t)
	s.proposer.keepUp()
	s.proposer.keepUp()
	require.Equal(t, 1, s.onItsWay(), "one at a time")
	s.host.notified(map[*replica]struct{}{})
	s.commitNext()
	require.Empty(t, s.host.notified(map[*replica]struct{}{}))
	s.proposer.keepUp()
	require.Equal(t, 1, s.onItsWay())
	s.stop()
	s.proposer.keepUp()
	require.False(t, s.proposer.upkeep.busy)
}
