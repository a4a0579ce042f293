package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gridiron-io/gridiron/member/internal/clock"
	"github.com/gridiron-io/gridiron/member/internal/memory"
	"github.com/gridiron-io/gridiron/partition"
	"github.com/gridiron-io/gridiron/partition/meta"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

const (
	// moveEvery is how often the owner of partitions looks at them without an event.
	moveEvery = 100 * time.Millisecond
	// stepFor bounds one step of one partition.
	stepFor = 15 * time.Second
	// stepRetry is the pause after a step that failed, or a transfer that did not come about.
	stepRetry = 200 * time.Millisecond
	// caughtUpFor is how long a learner is given to catch up before it is asked again.
	caughtUpFor = time.Second
	// transfereeFor is how long a member may take to say how far its replica is before it is given a partition.
	transfereeFor = 100 * time.Millisecond
	// transfereeLag is how many entries such a replica may be behind.
	transfereeLag = 1000
	// transfersPerSecond bounds the partitions that a member gives away for the sake of balance.
	transfersPerSecond = 5
	// stepsAtOnce bounds the partitions at which a member works at a time.
	stepsAtOnce = 32
)

// mover brings the groups of the partitions that this member owns in line with the table: it takes in learners, makes those voters
// that have caught up, removes those that are to leave, and transfers partitions to the members that are to own them. What it has done it
// reports to the metadata. Each step looks at what is there and may be repeated, by this owner or the next.
type mover struct {
	k       *Control
	wake    chan struct{} // one slot
	busy    []atomic.Bool // by partition
	slots   chan struct{}
	running sync.WaitGroup
	tokens  float64 // transfers for the sake of balance that may be made now
	filled  time.Time

	compared []comparedGroup // by partition; belongs to whoever has set busy, else to run
	looked   time.Time       // when it was last seen which groups have changed
}

func newMover(k *Control, partitions int) *mover {
	return &mover{k: k, wake: make(chan struct{}, 1), busy: make([]atomic.Bool, partitions), slots: make(chan struct{}, stepsAtOnce),
		compared: make([]comparedGroup, partitions)}
}

// notify has the mover look soon. It never blocks.
func (mv *mover) notify() {
	select {
	case mv.wake <- struct{}{}:
	default:
	}
}

// run works until the member stops.
func (mv *mover) run() {
	k := mv.k
	defer k.wg.Done()
	defer mv.running.Wait()
	tick := time.NewTicker(moveEvery)
	defer tick.Stop()
	for {
		changed := k.Meta().Changed()
		mv.look(k.Meta().View())
		select {
		case <-changed:
		case <-mv.wake:
		case <-tick.C:
		case <-k.ctx.Done():
			return
		}
	}
}

// look starts what there is to do for the partitions owned here.
func (mv *mover) look(v *meta.View) {
	k := mv.k
	if k.Closing() {
		return
	}

	now := time.Now()
	mv.tokens = min(transfersPerSecond, mv.tokens+now.Sub(mv.filled).Seconds()*transfersPerSecond)
	mv.filled = now
	me := v.Member(k.Self)
	standing, _ := k.Clock.Standing()
	leaving := me != nil && me.State == meta.StateDraining || standing == clock.Ahead
	for p := range v.Table {
		t := &v.Table[p]
		if epoch := k.Host().Serving(p); epoch == 0 || wire.Stamp(epoch).Generation() != t.Generation || t.StoppedForRecovery || mv.busy[p].Load() {
			continue
		}
		r, changing := t.Changing()
		switch {
		case changing && r.Role == meta.RoleLearner:
			mv.start(p, func(ctx context.Context) error { return mv.learn(ctx, p, t, r) })
		case changing && r.Member != k.Self:
			mv.start(p, func(ctx context.Context) error { return mv.remove(ctx, p, t, r) })
		case changing || leaving:
			mv.start(p, func(ctx context.Context) error { return mv.transfer(ctx, v, p, t, k.transferees(v, t)) })
		case t.Preferred != k.Self && mv.tokens >= 1:
			// A transfer for balance costs clients a retry, so it goes to members that are ready, a few each second.
			if transferee, ok := k.transfereeOf(v, t, t.Preferred); ok && v.Member(transferee.Member).State == meta.StateReady {
				if mv.start(p, func(ctx context.Context) error { return mv.transfer(ctx, v, p, t, []meta.Replica{transferee}) }) {
					mv.tokens--
				}
			}
		}
	}

	mv.compareGroups(v)
}

// start has a goroutine take a step for a partition, and reports whether one was free.
func (mv *mover) start(p int, step func(ctx context.Context) error) bool {
	select {
	case mv.slots <- struct{}{}:
	default:
		return false // in its turn
	}

	k := mv.k
	mv.busy[p].Store(true)
	mv.running.Add(1)
	go func() { // ends with its step, which is bounded, or with the member
		defer mv.running.Done()
		ctx, cancel := context.WithTimeout(k.ctx, stepFor)
		defer cancel()
		err := step(ctx)
		<-mv.slots
		if err != nil && k.ctx.Err() == nil {
			k.Logger.Debug("a partition's group is not as the table says", "partition", p, "err", err)
			select {
			case <-time.After(stepRetry):
			case <-k.ctx.Done():
			}
		}
		mv.busy[p].Store(false)
		mv.notify()
	}()
	return true
}

// report tells the metadata what was done.
func (mv *mover) report(ctx context.Context, c meta.Command) error {
	mv.k.At("group", c)
	_, err := mv.k.Propose(ctx, c) // a refusal is as good: the table has moved on
	return err
}

// learn takes a learner in and makes it a voter as soon as it has caught up.
func (mv *mover) learn(ctx context.Context, p int, t *meta.Partition, r meta.Replica) error {
	k := mv.k
	// Where it runs already, it hears from its leader as soon as it is taken in; else at a heartbeat, long after.
	for deadline := time.Now().Add(runsFor); time.Now().Before(deadline); {
		if st, err := k.ReplicaOf(ctx, p, t, r, caughtUpFor, false); err != nil || st.Runs {
			break
		}
		select {
		case <-time.After(learnerPause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}

	if in, err := mv.takesIn(ctx, p, r); err != nil {
		return err
	} else if !in {
		k.Logger.Debug("a member has no room for a replica any more", "partition", p, "member", r.Member.String())
		return mv.report(ctx, &meta.Retire{ReplicaStep: stepOf(p, t, r)})
	}

	if err := k.Host().AddLearner(ctx, p, r.ID, r.Incarnation); err != nil {
		return err
	}

	k.Host().WakeLearner(p)
	k.At("group", &meta.AddReplica{})
	tried := time.Now()
	for {
		st, err := k.ReplicaOf(ctx, p, t, r, caughtUpFor, true)
		if err == nil && st.CaughtUp {
			break
		}
		now := k.Meta().View().Table[p]
		if n, ok := now.Changing(); now.Generation != t.Generation || now.StoppedForRecovery || !ok || n.ID != r.ID || n.Role != r.Role {
			return nil // it is not to become one any more
		}
		if err == nil && st.Runs && len(t.Replicas) == 2 && time.Since(tried) > retryEvery {
			tried = time.Now()
			k.Host().Retry(p, r.ID) // beside it there is this one alone
		}
		select {
		case <-time.After(learnerPause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}

	if err := k.Host().Promote(ctx, p, r.ID, r.Incarnation); err != nil {
		return err
	}

	if err := mv.heard(ctx, p, t, r.ID, true); err != nil {
		return err
	}

	return mv.report(ctx, &meta.Promote{ReplicaStep: stepOf(p, t, r)})
}

// takesIn reports whether a learner may be taken in: it is in the group already, or its member has room for the partition. The controller went
// by what the member said a moment before, and others may have filled it since.
func (mv *mover) takesIn(ctx context.Context, p int, r meta.Replica) (bool, error) {
	group, err := mv.k.Host().Group(ctx, p)
	if err != nil {
		return false, err
	}

	if slices.ContainsFunc(group, func(g partition.GroupMember) bool { return g.Replica == r.ID }) {
		return true, nil // what it has taken of the partition counts as used
	}

	return mv.k.roomAt(ctx, r.Member, mv.k.Size(p)), nil
}

const (
	// learnerPause is how long a learner that does not run yet, or has not caught up, is left alone.
	learnerPause = 10 * time.Millisecond
	// runsFor is how long a learner is given to be started before it is taken in all the same.
	runsFor = time.Second
	// retryEvery is how often the one voter of a group is told to send to a learner that runs and has not caught up: as often as a
	// heartbeat would.
	retryEvery = 200 * time.Millisecond
)

// remove removes a replica from its group.
func (mv *mover) remove(ctx context.Context, p int, t *meta.Partition, r meta.Replica) error {
	if err := mv.k.Host().Remove(ctx, p, r.ID); err != nil {
		return err
	}

	if err := mv.heard(ctx, p, t, r.ID, false); err != nil {
		return err
	}

	return mv.report(ctx, &meta.DropReplica{ReplicaStep: stepOf(p, t, r)})
}

// heard waits until a majority of a partition's voters, and all that answer, have heard of a change that was committed: that a replica
// is a voter now, or is none any more. A voter goes by the changes that it has applied. Were the replica that was removed stopped and
// this process to die before the others had heard of it, they would wait for the votes of both.
func (mv *mover) heard(ctx context.Context, p int, t *meta.Partition, changed uint64, stays bool) error {
	k := mv.k
	var wg sync.WaitGroup
	var applied, silent atomic.Int64
	voters := 0
	for _, r := range t.Replicas {
		if r.ID == changed && !stays || r.ID != changed && r.Role != meta.RoleVoter {
			continue
		}
		if voters++; r.Member == k.Self {
			applied.Add(1)
			continue
		}
		wg.Go(func() { // ends with its call
			switch st, err := k.ReplicaOf(ctx, p, t, r, caughtUpFor, true); {
			case err == nil && st.CaughtUp:
				applied.Add(1)
			case !k.Peers.Answers(r.Member, r.Incarnation):
				silent.Add(1)
			}
		})
	}

	wg.Wait()
	if n := applied.Load(); n <= int64(voters/2) || n+silent.Load() < int64(voters) {
		return fmt.Errorf("of %d voters %d have heard of the change", voters, n)
	}

	return nil
}

func stepOf(p int, t *meta.Partition, r meta.Replica) meta.ReplicaStep {
	return meta.ReplicaStep{Partition: uint32(p), Generation: t.Generation, Replica: r.ID}
}

// transfer gives a partition to the first of some members whose replica is up to date.
func (mv *mover) transfer(ctx context.Context, v *meta.View, p int, t *meta.Partition, to []meta.Replica) error {
	k := mv.k
	mine, _ := k.Host().Status(p)
	for _, r := range to {
		st, err := k.ReplicaOf(ctx, p, t, r, transfereeFor, false)
		if err != nil || !st.Runs || st.Applied+transfereeLag < mine.Applied {
			continue
		}
		k.Host().TransferOwnership(p, r.Member)
		k.At("group", &meta.Prefer{})
		// Whatever comes of it, the next look is not before it can have come about.
		select {
		case <-time.After(stepRetry):
		case <-ctx.Done():
		}
		return nil
	}

	return errNoTransferee
}

var errNoTransferee = errors.New("no other member can take the partition now")

// transferees returns the voters of a partition's other members to which it may be handed: the one that is preferred first, and at last
// those that are not ready, which no client reaches yet.
func (k *Control) transferees(v *meta.View, t *meta.Partition) []meta.Replica {
	var list []meta.Replica
	for _, r := range t.Replicas {
		if transferee, ok := k.transfereeOf(v, t, r.Member); ok {
			list = append(list, transferee)
		}
	}

	rank := func(r meta.Replica) int {
		switch {
		case v.Member(r.Member).State != meta.StateReady:
			return 2
		case r.Member != t.Preferred:
			return 1
		}
		return 0
	}

	slices.SortStableFunc(list, func(a, b meta.Replica) int { return rank(a) - rank(b) })
	return list
}

// transfereeOf returns the voter that another member has of a partition, if the partition may be handed to that.
func (k *Control) transfereeOf(v *meta.View, t *meta.Partition, member wire.ID) (meta.Replica, bool) {
	r, ok := t.Replica(member)
	mb := v.Member(member)
	ok = ok && member != k.Self && r.Role == meta.RoleVoter && mb != nil && mb.State != meta.StateDraining && mb.Live() &&
		mb.Incarnation == r.Incarnation && k.Peers.Answers(member, r.Incarnation) && k.Clock.Agrees(member)
	return r, ok
}

// ReplicaOf asks a member how far a replica is.
func (k *Control) ReplicaOf(ctx context.Context, p int, t *meta.Partition, r meta.Replica, patience time.Duration, caughtUp bool) (wire.ReplicaResult, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	a, err := k.Peers.Ask(ctx, r.Member, wire.OpReplica,
		wire.AppendReplicaBody(nil, wire.ReplicaBody{Shard: partition.ShardOf(t.Generation, p), Replica: r.ID, CaughtUp: caughtUp}))
	if err != nil {
		return wire.ReplicaResult{}, err
	}

	return wire.DecodeReplicaResult(a.Body)
}

// ReplicaState answers replicaOf.
func (k *Control) ReplicaState(b wire.ReplicaBody) wire.ReplicaResult {
	host := k.Host()
	if host == nil || !host.Runs(b.Shard, b.Replica) {
		return wire.ReplicaResult{}
	}

	res := wire.ReplicaResult{Runs: true, CaughtUp: b.CaughtUp && host.CaughtUp(b.Shard, b.Replica)}
	st, _ := host.Status(int(b.Shard & (partition.MaxPartitions - 1)))
	res.Applied = st.Applied
	return res
}

// roomAt asks a member whether it has room for a replica of a size. One that does not answer is taken to have it: nothing is sent to it before it
// answers.
func (k *Control) roomAt(ctx context.Context, id wire.ID, size int64) bool {
	ctx, cancel := context.WithTimeout(ctx, caughtUpFor)
	defer cancel()
	a, err := k.Peers.Ask(ctx, id, wire.OpMemberPing, wire.AppendPingBody(nil, wire.PingBody{}))
	if err != nil {
		return true
	}

	said, err := wire.DecodePingResult(a.Body)
	if err != nil || a.Code != wire.CodeOK || said.Limit == 0 {
		return true
	}

	// What it expects has this replica in it, as soon as it has heard of that.
	return memory.Clamp(said.Used)+max(memory.Clamp(said.Expected), size) <= memory.Clamp(said.Limit)
}
