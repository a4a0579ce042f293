package partition

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	sm "github.com/lni/dragonboat/v4/statemachine"
	"github.com/stretchr/testify/require"

	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/partition/raftnet"
	"github.com/gridiron-io/gridiron/partition/role"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

var (
	alice = wire.ID{0xa}
	bob   = wire.ID{0xb}
	carol = wire.ID{0xc}
)

var gen1 = uint64(wire.StampOf(1, 0))

func ownBy(who wire.ID, term, prev uint64, lease uint32) *entry.Own {
	return &entry.Own{Member: who, Incarnation: who, Term: term, PrevEpoch: prev, LeaseMs: lease}
}

// scripted is a replica whose Raft is the test's: it decides which entries commit, when, and what the library says of them.
type scripted struct {
	tb testing.TB
	*replica

	mu    sync.Mutex // guards the following
	log   []*scriptedEntry
	err   error // what the next proposals get
	index uint64
}

// scriptedEntry is an entry on its way, and its ticket.
type scriptedEntry struct {
	cmd   []byte
	state atomic.Int32
}

func (e *scriptedEntry) poll() ticketState {
	if s := ticketState(e.state.Load()); s != ticketOpen {
		e.state.Store(-1)
		if s == ticketState(255) {
			panic("a ticket was looked at after it had closed")
		}
		return s
	}
	return ticketOpen
}

// newScripted returns the replica with ID 1 of a partition of the given generation, held by alice.
func newScripted(tb testing.TB, generation uint64) *scripted {
	s := &scripted{tb: tb, index: 10}
	transport, err := raftnet.New(raftnet.Config{Plane: wire.PlaneRaft, Dial: func(context.Context, string, uint8) (net.Conn, error) {
		return nil, errors.New("there is nobody to dial")
	}})
	require.NoError(tb, err)
	h := newHost(HostConfig{Member: alice, Incarnation: alice, Partitions: 1, Machines: registerMachines{},
		Transport: transport, Registry: raftnet.NewRegistry(), Now: func() int64 { return 1000 }, Logger: slog.New(slog.DiscardHandler)})
	h.raft.Shut() // there is no NodeHost
	tb.Cleanup(h.end)
	s.replica = newReplica(h, Placement{Generation: generation, Replica: 1})
	h.replicas[0].Store(s.replica)
	s.raft = func(cmd []byte) (ticket, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.err != nil {
			return nil, s.err
		}
		e := &scriptedEntry{cmd: cmd}
		s.log = append(s.log, e)
		return e, nil
	}
	return s
}

// place has the replica be that of a placement, as if it began now.
func (s *scripted) place(p Placement) {
	raft := s.raft
	s.replica = newReplica(s.host, p)
	s.raft = raft
	s.host.replicas[0].Store(s.replica)
}

// campaign returns the schedule by which a replica campaigns.
func (r *replica) campaign() role.Campaign {
	r.part.Lock()
	defer r.part.Unlock()
	return r.part.role.Campaign()
}

// next takes the oldest entry on its way; nil if there is none.
func (s *scripted) next() *scriptedEntry {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.log) == 0 {
		return nil
	}
	e := s.log[0]
	s.log = s.log[1:]
	return e
}

// commit applies commands as one Update and returns the index of the last.
func (s *scripted) commit(cmds ...[]byte) uint64 {
	s.tb.Helper()
	s.mu.Lock()
	var entries []sm.Entry
	for _, cmd := range cmds {
		s.index++
		entries = append(entries, sm.Entry{Index: s.index, Cmd: cmd})
	}
	index := s.index
	s.mu.Unlock()
	out, err := s.Update(entries)
	require.NoError(s.tb, err)
	require.Len(s.tb, out, len(entries))
	for _, e := range out {
		require.Zero(s.tb, e.Result)
	}
	return index
}

// commitNext applies the oldest entry on its way.
func (s *scripted) commitNext() {
	s.tb.Helper()
	e := s.next()
	require.NotNil(s.tb, e, "an entry on its way")
	e.state.Store(int32(ticketClosed))
	s.commit(e.cmd)
}

func (s *scripted) onItsWay() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.log)
}

// owned commits an Own and returns its epoch.
func (s *scripted) owned(who wire.ID, lease uint32) uint64 {
	s.tb.Helper()
	s.commit(s.ownOf(who, lease))
	epoch, _, incarnation := s.owner()
	require.Equal(s.tb, who, incarnation)
	return epoch
}

func (s *scripted) ownOf(who wire.ID, lease uint32) []byte {
	epoch, _, _ := s.owner()
	return entry.AppendOwn(nil, ownBy(who, 5, epoch, lease))
}

// lead has the replica elected, or another.
func (s *scripted) lead(replica uint64) { s.leaderChanged(replica, 5) }

func (s *scripted) submit(value uint64) *pendingOp {
	c := newPendingOp()
	s.proposer.submit(setOp(1, value, 0), c)
	return c
}

// told returns what an operation was told, and false if nothing yet.
func (c *pendingOp) toldNow() (Outcome, bool) {
	select {
	case o := <-c.ch:
		return o.what, true
	default:
		return 0, false
	}
}

func requireTold(tb testing.TB, want Outcome, c *pendingOp) {
	tb.Helper()
	o, ok := c.toldNow()
	require.True(tb, ok, "the operation was completed")
	require.Equal(tb, want, o)
}

func requireWaiting(tb testing.TB, c *pendingOp) {
	tb.Helper()
	o, ok := c.toldNow()
	require.False(tb, ok, "the operation waits, but was told %d", o)
}

func (s *scripted) write(value uint64) *pendingOp {
	c := s.submit(value)
	s.proposer.flush()
	return c
}

// When a new owner may answer what it has applied.
func TestNewOwnerAnswers(t *testing.T) {
	const lease = 300
	for name, c := range map[string]struct {
		generation uint64
		before     func(s *scripted)
		wait       time.Duration
	}{
		"at once, the first of all":             {1, func(*scripted) {}, 0},
		"after the leases of a lost generation": {2, func(s *scripted) { s.state.own.MaxLease = lease }, lease},
		"after the lease of another":            {1, func(s *scripted) { s.owned(bob, lease) }, lease},
		"after the largest lease of the others": {1, func(s *scripted) { s.owned(bob, lease); s.owned(carol, 10) }, lease},
		"at once after a release": {1, func(s *scripted) {
			e := s.owned(bob, lease)
			s.commit(entry.AppendRelease(nil, &entry.Release{Epoch: e}))
		}, 0},
		"when it might have before, if it was the owner before": {1, func(s *scripted) {
			s.owned(bob, lease)
			s.owned(alice, lease)
			time.Sleep(100 * time.Millisecond)
		}, lease - 100},
		"at once, if it was a clean owner before": {1, func(s *scripted) { s.owned(alice, lease) }, 0},
		"after all, if another came between":      {1, func(s *scripted) { s.owned(alice, lease); s.owned(bob, 10) }, lease},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScripted(t, c.generation)
				s.lead(1)
				c.before(s)
				s.owned(alice, lease)
				began := time.Now()
				op := s.write(7)
				s.commitNext()
				if c.wait == 0 {
					requireTold(t, Applied, op)
					return
				}
				requireWaiting(t, op)
				require.Equal(t, Applied, op.wait(t).what)
				require.Equal(t, c.wait*time.Millisecond, time.Since(began))
				require.LessOrEqual(t, s.leaseWait(), time.Duration(0))
			})
		})
	}
}

// A Release by the owner before lets the new one answer at once.
func TestReleaseOfThePreviousOwnerFreesAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(t, 1)
		s.lead(1)
		e := s.owned(bob, 300)
		s.owned(alice, 300)
		held := s.write(7)
		s.commitNext()
		requireWaiting(t, held)
		s.commit(entry.AppendRelease(nil, &entry.Release{Epoch: e}))
		requireTold(t, Applied, held)
		next := s.write(8)
		s.commitNext()
		requireTold(t, Applied, next)
		time.Sleep(time.Second) // the timer of the held ones does no harm
	})
}

// An owner that was superseded in the same Update answers no earlier for that.
func TestSupersededOwnerStillWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(t, 1)
		s.lead(1)
		s.owned(bob, 300)
		own := s.ownOf(alice, 300)
		var b entry.Builder
		op := newPendingOp()
		mine := gen1 | (s.index + 1)
		s.proposer.mu.Lock()
		s.proposer.flight = append(s.proposer.flight, &batch{number: 77, epoch: mine, waiters: []Completion{op}, proposed: time.Now()})
		s.proposer.mu.Unlock()
		b.Add(setOp(1, 7, 0))
		cmd := b.Finish(&entry.Header{Epoch: mine, Proposer: alice, Batch: 77})
		s.commit(own, cmd, entry.AppendOwn(nil, ownBy(carol, 5, mine, 300)))
		began := time.Now()
		requireWaiting(t, op)
		require.Equal(t, Applied, op.wait(t).what)
		require.Equal(t, 300*time.Millisecond, time.Since(began))
	})
}

// A replica that is stopped while results are held back does not know that they may be told.
func TestStopWhileResultsAreHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(t, 1)
		s.lead(1)
		s.owned(bob, 300)
		s.owned(alice, 300)
		op := s.write(7)
		s.commitNext()
		require.NoError(t, s.Close())
		requireTold(t, Unknown, op)
		time.Sleep(time.Second)
		require.NoError(t, s.Close())
	})
}

// The loop's side of ownership: what is proposed, and when again.
func TestReconcileOwnership(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(t, 1)
		reconcile := func(mayOwn bool) int {
			s.host.cfg.MayOwn = func() bool { return mayOwn }
			s.reconcile(time.Now())
			return s.onItsWay()
		}
		kind := func() entry.Kind {
			k, err := entry.KindOf(s.log[0].cmd)
			require.NoError(t, err)
			return k
		}
		require.Zero(t, reconcile(true), "nobody was elected")
		s.lead(2)
		require.Zero(t, reconcile(true), "another was elected")
		s.leaderChanged(1, 6)
		require.Zero(t, reconcile(false), "it may not own")
		require.Equal(t, 1, reconcile(true))
		require.Equal(t, entry.KindOwn, kind())
		require.Equal(t, 1, reconcile(true), "one Own at a time")
		s.next() // lost
		time.Sleep(role.OwnRetry + 1)
		require.Equal(t, 1, reconcile(true), "again, should it have been lost")

		// Refused, for another had come before: again at once, on what is true now.
		other := s.owned(bob, 0)
		require.Equal(t, 2, reconcile(true))
		s.commitNext() // the one from before
		require.Equal(t, 1, reconcile(true), "a refused Own that was replaced already is no reason for another")
		s.commitNext()
		mine, _, who := s.owner()
		require.Equal(t, alice, who)
		require.Greater(t, mine, other)
		require.Equal(t, mine, s.serving.Load())
		require.Zero(t, reconcile(true))

		// Another is elected: serve no longer, release.
		s.leaderChanged(2, 7)
		require.Zero(t, s.serving.Load())
		require.Equal(t, 1, reconcile(true))
		require.Equal(t, entry.KindRelease, kind())
		require.Equal(t, 1, reconcile(true), "one Release at a time")

		// Elected again before the Release is applied: it may be at any time, so the epoch is never served again.
		s.leaderChanged(1, 8)
		require.Zero(t, s.serving.Load())
		require.Equal(t, 2, reconcile(true))
		s.commitNext() // the Release
		require.Zero(t, s.serving.Load())
		s.commitNext() // the Own
		next, _, _ := s.owner()
		require.Greater(t, next, mine)
		require.Equal(t, next, s.serving.Load())

		// Elected again after another was, without another Own between: the epoch is as good as before.
		s.leaderChanged(0, 9)
		require.Zero(t, s.serving.Load())
		require.Zero(t, reconcile(true), "nobody to give it up to")
		s.leaderChanged(1, 10)
		require.Equal(t, next, s.serving.Load())
		s.leaderChanged(2, 9)
		require.Equal(t, next, s.serving.Load(), "an event of an older term")
	})
}

// A leader of an older term than the owner's does not fill the log with Owns that cannot be accepted.
func TestNoOwnBelowTheOwnersTerm(t *testing.T) {
	s := newScripted(t, 1)
	s.leaderChanged(1, 4)
	s.owned(bob, 0) // term 5
	s.reconcile(time.Now())
	require.Zero(t, s.onItsWay())
	s.leaderChanged(1, 5)
	s.reconcile(time.Now())
	require.Equal(t, 1, s.onItsWay())
}

// The preferred owner of a new partition campaigns until somebody leads; a candidate that nobody elects campaigns
// again, less and less often.
func TestPreferredOwnerCampaigns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted(t, 1)
		campaigns := func() (uint64, bool) {
			s.part.Lock()
			defer s.part.Unlock()
			fx := s.part.role.Step(role.Tick{}, role.Now{Time: time.Now()})
			return fx.After, fx.Campaign
		}
		_, ok := campaigns()
		require.False(t, ok, "another is preferred")
		s.place(Placement{Generation: 1, Replica: 1, Preferred: true})
		for range 3 {
			term, ok := campaigns()
			require.True(t, ok)
			require.Zero(t, term, "no term is known")
			time.Sleep(time.Second)
		}
		s.leaderChanged(0, 2) // it has become a candidate
		for _, wait := range []time.Duration{role.RetryFirst, 2 * role.RetryFirst, 4 * role.RetryFirst, 8 * role.RetryFirst, role.RetryMost, role.RetryMost} {
			time.Sleep(wait)
			_, ok := campaigns()
			require.False(t, ok, "another may be elected in this term")
			time.Sleep(time.Nanosecond)
			term, ok := campaigns()
			require.True(t, ok)
			require.Equal(t, uint64(3), term, "after %v", wait)
		}
		s.leaderChanged(3, 4)
		_, ok = campaigns()
		require.False(t, ok, "another was elected")
		s.leaderChanged(0, 5)
		time.Sleep(role.RetryFirst + time.Nanosecond)
		_, ok = campaigns()
		require.True(t, ok)
		s.owned(bob, 0)
		_, ok = campaigns()
		require.False(t, ok, "it is no new partition any more")
	})
}

func TestServesSignalsItsEnd(t *testing.T) {
	s := newScripted(t, 1)
	_, ended := s.serves()
	s.lead(1)
	s.owned(alice, 0)
	<-ended
	epoch, ended := s.serves()
	require.Equal(t, s.serving.Load(), epoch)
	s.commit([]byte{entry.Format, 99}, []byte{}, []byte{9, 9, 9}) // of no kind that this build knows: no effect
	select {
	case <-ended:
		t.Fatal("nothing has ended")
	default:
	}
	s.lead(2)
	<-ended
}

func (s *scripted) stateSnapshotOf(t testing.TB) []byte {
	t.Helper()
	frozen := s.freeze()
	var b bytes.Buffer
	n, err := frozen.writeTo(&b)
	frozen.machine.Close()
	require.NoError(t, err)
	require.EqualValues(t, b.Len(), n)
	return b.Bytes()
}

// take has the replica take a state snapshot.
func (s *scripted) take(stateSnapshot []byte) error {
	return (*carried)(s.host).Incoming(s.shard, s.id, bytes.NewReader(stateSnapshot))
}

// A replica that is given a state snapshot and the entries after it is the same as one that was given all entries.
func TestStateSnapshotAndTailAreTheWhole(t *testing.T) {
	whole, part := newScripted(t, 1), newScripted(t, 1)
	whole.lead(1)
	whole.owned(alice, 0)
	for i := range uint64(20) {
		op := whole.write(i + 1)
		whole.commitNext()
		requireTold(t, Applied, op)
	}
	stateSnapshot := whole.stateSnapshotOf(t)
	require.NoError(t, part.take(stateSnapshot))
	require.Equal(t, stateSnapshot, part.stateSnapshotOf(t))
	part.index = whole.index
	for i := range uint64(20) {
		whole.write(100 + i)
		e := whole.next()
		whole.commit(e.cmd)
		part.commit(e.cmd)
	}
	require.Equal(t, whole.stateSnapshotOf(t), part.stateSnapshotOf(t))
	require.Equal(t, whole.state.machine.Hash(), part.state.machine.Hash())
}

// What a state snapshot says of the ownership counts for this process as if it had applied it entry by entry.
func TestStateSnapshotNamesThisProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from := newScripted(t, 1)
		from.owned(bob, 300)
		from.owned(alice, 200)
		s := newScripted(t, 1)
		s.lead(1)
		require.NoError(t, s.take(from.stateSnapshotOf(t)))
		epoch, _, _ := from.owner()
		require.Equal(t, epoch, s.serving.Load())
		require.Equal(t, 300*time.Millisecond, s.leaseWait())

		clean := newScripted(t, 1)
		clean.owned(alice, 200)
		s = newScripted(t, 1)
		s.lead(1)
		require.NoError(t, s.take(clean.stateSnapshotOf(t)))
		require.Zero(t, s.leaseWait())
	})
}

// A state snapshot may hold the effect of entries in flight, whoever owns the partition by now: nobody can tell.
func TestStateSnapshotLeavesEntriesInFlightUnknown(t *testing.T) {
	s := newScripted(t, 1)
	s.lead(1)
	s.owned(alice, 0)
	inFlight := s.write(1)
	other := newScripted(t, 1)
	other.commit(s.ownOf(alice, 0)) // refused: the epochs differ, as after many Owns
	other.owned(bob, 0)
	other.index += 50
	other.owned(carol, 0)
	gathered := s.submit(2)
	require.NoError(t, s.take(other.stateSnapshotOf(t)))
	requireTold(t, Unknown, inFlight)
	requireTold(t, Moved, gathered)
	require.Zero(t, s.host.pending.Load())
}

func TestStateSnapshotIsChecked(t *testing.T) {
	s := newScripted(t, 1)
	s.owned(alice, 0)
	stateSnapshot := s.stateSnapshotOf(t)
	other := newScripted(t, 1)
	for n := range stateSnapshot {
		before := other.stateSnapshotOf(t)
		require.Error(t, other.take(stateSnapshot[:n]))
		require.Equal(t, before, other.stateSnapshotOf(t), "nothing has changed")
	}
	require.ErrorContains(t, newScripted(t, 2).take(stateSnapshot), "generation")
	stateSnapshot[0] ^= 1
	require.ErrorContains(t, s.take(stateSnapshot), "not a state snapshot")
}

// A state snapshot may come at any time: of what the log brings after that the replica leaves out what the state snapshot has, and it takes no state snapshot that
// is older than what it has applied.
func TestStateSnapshotBesideTheLog(t *testing.T) {
	whole, part := newScripted(t, 1), newScripted(t, 1)
	whole.owned(bob, 0)
	var log [][]byte
	var stateSnapshots [][]byte
	for i := range uint64(10) {
		var b entry.Builder
		b.Add(setOp(i, 100+i, 0))
		epoch, _, _ := whole.owner()
		log = append(log, b.Finish(&entry.Header{Epoch: epoch, Proposer: bob, Batch: i + 1}))
		whole.commit(log[i])
		stateSnapshots = append(stateSnapshots, whole.stateSnapshotOf(t))
	}
	part.owned(bob, 0)
	part.commit(log[0], log[1])
	require.NoError(t, part.take(stateSnapshots[5]))
	require.Equal(t, stateSnapshots[5], part.stateSnapshotOf(t))
	part.commit(log[2], log[3]) // which it has
	require.Equal(t, stateSnapshots[5], part.stateSnapshotOf(t))
	require.NoError(t, part.take(stateSnapshots[3]))
	require.Equal(t, stateSnapshots[5], part.stateSnapshotOf(t), "an older state snapshot")
	part.commit(log[4], log[5], log[6]) // of which it lacks the last
	require.Equal(t, stateSnapshots[6], part.stateSnapshotOf(t))
	part.commit(log[7:]...)
	require.Equal(t, stateSnapshots[9], part.stateSnapshotOf(t))
}

// A replica that does not run here is given nothing.
func TestStateSnapshotForNobody(t *testing.T) {
	s := newScripted(t, 1)
	require.ErrorContains(t, (*carried)(s.host).Incoming(s.shard, s.id+1, bytes.NewReader(s.stateSnapshotOf(t))), "does not run here")
	_, err := (*carried)(s.host).Outgoing(t.Context().Done(), raftnet.Request{Shard: s.shard, From: s.id + 1, To: 2})
	require.ErrorContains(t, err, "does not run here")
}

// Update releases the state between entries when these take long: it is whole then, and its index is known.
func TestUpdateGoesInParts(t *testing.T) {
	for name, takes := range map[string]time.Duration{"quick": 0, "slow": updateTime} {
		t.Run(name, func(t *testing.T) {
			s := newServing(t)
			s.submit(1)
			s.proposer.flush()
			s.commitNext()
			s.submit(2)
			s.proposer.flush()
			s.submit(3)
			s.proposer.flush()
			first, second := s.next(), s.next()
			before := s.applied.Load()

			var now time.Time
			type look struct {
				applied uint64
				written int
			}
			var looks []look
			s.clock = func() time.Time {
				looks = append(looks, look{s.applied.Load() - before, len(s.state.machine.(*registers).history)})
				now = now.Add(takes)
				return now
			}
			s.commit(first.cmd, second.cmd)
			if takes == 0 {
				require.Equal(t, []look{{0, 1}, {0, 2}}, looks)
			} else {
				require.Equal(t, []look{{0, 1}, {0, 2}, {1, 2}}, looks)
			}
			require.EqualValues(t, 2, s.applied.Load()-before)
		})
	}
}
