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
	"github.com/gridiron-io/gridiron/partition/cadence"
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

// mover brings the groups of the partitions that this member owns in line with the table. It takes in learners, and makes them voters when they
// have caught up. It removes replicas that are to leave, and transfers partitions to the members that are to own them. It reports to the
// metadata what it has done. Each step looks at what is there and may be repeated, by this owner or the next.
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
	tick := time.NewTimer(cadence.Next(moveEvery))
	defer tick.Stop()
	for {
		// This is taken before the look, so that a change during the look is not missed.
		changed := k.Meta.Changed()
		mv.look(k.Meta.View())
		select {
		case <-changed:
		case <-mv.wake:
		case <-tick.C:
			tick.Reset(cadence.Next(moveEvery))
		case <-k.ctx.Done():
			return
		}
	}
}

// look starts what there is to do for the partitions owned here.
func (mv *mover) look(v *meta.View) {
	k := mv.k
	// A member that closes releases all its partitions itself.
	if k.Closing() {
		return
	}

	now := time.Now()
	// The tokens grow with time, up to those of one second: a member that was idle must not transfer many partitions at once.
	mv.tokens = min(transfersPerSecond, mv.tokens+now.Sub(mv.filled).Seconds()*transfersPerSecond)
	mv.filled = now
	me := v.Member(k.Self)
	standing, _ := k.Clock.Standing()
	// An owner whose clock is ahead ends entries too early, so it gives its partitions away like a member that leaves.
	leaving := me != nil && me.State == meta.StateDraining || standing == clock.Ahead
	for p := range v.Table {
		t := &v.Table[p]
		// Only the owner may change a group, and only the group of the generation that the table names.
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
			// Either the replica here is to leave its group, or this member gives up all that it owns.
			// A leader that removes itself stops the writes of its group until the next election, so another member leads first.
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
		// All slots are taken. A step that ends has the mover look again.
		return false
	}

	// The partition is busy before the goroutine runs, so the next look does not begin a second step.
	k := mv.k
	mv.busy[p].Store(true)
	mv.running.Add(1)
	go func() { // ends with its step, which is bounded, or with the member
		defer mv.running.Done()
		ctx, cancel := context.WithTimeout(k.ctx, stepFor)
		defer cancel()
		err := step(ctx)
		// During the pause the partition stays busy, or the step would fail again at once. The slot is free for another partition.
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
	// A refusal is no error: the table has moved on.
	_, err := mv.k.Propose(ctx, c)
	return err
}

// learn takes a learner in and makes it a voter as soon as it has caught up.
func (mv *mover) learn(ctx context.Context, p int, t *meta.Partition, r meta.Replica) error {
	k := mv.k
	// A learner that runs already hears from its leader as soon as it is taken in. One that starts later waits for a heartbeat.
	// A member that does not answer is not waited for.
	for deadline := time.Now().Add(runsFor); time.Now().Before(deadline); {
		// The metadata tell the member to start its replica, which it does within milliseconds as a rule.
		if st, err := k.ReplicaOf(ctx, p, t, r, caughtUpFor, false); err != nil || st.Runs {
			break
		}
		select {
		case <-time.After(learnerPause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}

	// Since the controller chose this member, other replicas may have used up its memory.
	if in, err := mv.takesIn(ctx, p, r); err != nil {
		return err
	} else if !in {
		k.Logger.Debug("a member has no room for a replica any more", "partition", p, "member", r.Member.String())
		return mv.report(ctx, &meta.Retire{ReplicaStep: stepOf(p, t, r)})
	}

	// A learner has no vote. Until it has caught up, its group needs no larger majority.
	if err := k.Host().AddLearner(ctx, p, r.ID, r.Incarnation); err != nil {
		return err
	}

	// An entry without effect makes the leader send at once.
	k.Host().WakeLearner(p)
	k.At("group", &meta.AddReplica{})
	tried := time.Now()
	for {
		st, err := k.ReplicaOf(ctx, p, t, r, caughtUpFor, true)
		if err == nil && st.CaughtUp {
			break
		}
		now := k.Meta.View().Table[p]
		// The controller may give the learner up while it learns. Its owner must not wait for it until stepFor has passed.
		if n, ok := now.Changing(); now.Generation != t.Generation || now.StoppedForRecovery || !ok || n.ID != r.ID || n.Role != r.Role {
			// The table has given the learner up, or the partition is of another generation.
			return nil
		}
		// The learners of a group with one voter may get no heartbeats. Without another message they would never catch up.
		if err == nil && st.Runs && len(t.Replicas) == 2 && time.Since(tried) > retryEvery {
			tried = time.Now()
			k.Host().Retry(p, r.ID)
		}
		select {
		case <-time.After(learnerPause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}

	// From here on the majority is larger by this voter, which had all that was committed when it was asked.
	if err := k.Host().Promote(ctx, p, r.ID, r.Incarnation); err != nil {
		return err
	}

	// The table calls it a voter only when the others know: placement counts on its vote from then on.
	if err := mv.heard(ctx, p, t, r.ID, true); err != nil {
		return err
	}

	return mv.report(ctx, &meta.Promote{ReplicaStep: stepOf(p, t, r)})
}

// takesIn reports whether a learner may be taken in. It may if it is in the group already, or if its member has room for the partition. The
// controller went by what the member said a moment before, and other replicas may have used that room since.
func (mv *mover) takesIn(ctx context.Context, p int, r meta.Replica) (bool, error) {
	group, err := mv.k.Host().Group(ctx, p)
	if err != nil {
		return false, err
	}

	if slices.ContainsFunc(group, func(g partition.GroupMember) bool { return g.Replica == r.ID }) {
		// What the learner has received counts as used already, so its size must not count twice.
		return true, nil
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
	// The group first, the table second: the member stops a replica that is no longer in the table, and nobody may need it by then.
	if err := mv.k.Host().Remove(ctx, p, r.ID); err != nil {
		return err
	}

	// The replica runs on until then, since the table still has it.
	if err := mv.heard(ctx, p, t, r.ID, false); err != nil {
		return err
	}

	return mv.report(ctx, &meta.DropReplica{ReplicaStep: stepOf(p, t, r)})
}

// heard waits until a majority of a partition's voters, and all that answer, have heard of a committed change: a replica has become a voter,
// or was removed. A voter goes by the changes that it has applied. Say the removed replica stops, and this process dies before the others
// have heard of the change. Then they wait for the votes of both.
func (mv *mover) heard(ctx context.Context, p int, t *meta.Partition, changed uint64, stays bool) error {
	k := mv.k
	var wg sync.WaitGroup
	var applied, silent atomic.Int64
	voters := 0
	for _, r := range t.Replicas {
		// The voters are those of the group after the change.
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
	// Silent voters are not waited for: no change would end while a member is down.
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
	// The list is in order of preference. The first member that can take the partition gets it.
	for _, r := range to {
		st, err := k.ReplicaOf(ctx, p, t, r, transfereeFor, false)
		// A replica that lags has a log too short to be elected, or would serve only after catching up.
		if err != nil || !st.Runs || st.Applied+transfereeLag < mine.Applied {
			continue
		}
		k.Host().TransferOwnership(p, r.Member)
		k.At("group", &meta.Prefer{})
		// The transfer needs this long. A look before that would ask for it again.
		select {
		case <-time.After(stepRetry):
		case <-ctx.Done():
		}
		return nil
	}

	return errNoTransferee
}

var errNoTransferee = errors.New("no other member can take the partition now")

// transferees returns the voters of a partition's other members to which the partition may be transferred. The preferred owner comes first.
// Members that are not ready come last: no client reaches them yet.
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

	// Among equals the order of the table stays, so that repeated calls choose the same.
	slices.SortStableFunc(list, func(a, b meta.Replica) int { return rank(a) - rank(b) })
	return list
}

// transfereeOf returns the voter that another member has of a partition, if the partition may be handed to that.
func (k *Control) transfereeOf(v *meta.View, t *meta.Partition, member wire.ID) (meta.Replica, bool) {
	r, ok := t.Replica(member)
	mb := v.Member(member)
	// A member that leaves would give the partition away again. One whose clock does not agree must own nothing.
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

// ReplicaState answers what another member asks with wire.OpReplica: whether a replica runs here, and how far it is.
func (k *Control) ReplicaState(b wire.ReplicaBody) wire.ReplicaResult {
	// A replica that does not run here is told by an answer, too: the owner then waits, or takes another.
	host := k.Host()
	if host == nil || !host.Runs(b.Shard, b.Replica) {
		return wire.ReplicaResult{}
	}

	// To have caught up takes a read of the group, so it is looked at only for those who ask for it.
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

	// A member without a limit has room for all.
	said, err := wire.DecodePingResult(a.Body)
	if err != nil || a.Code != wire.CodeOK || said.Limit == 0 {
		return true
	}

	// As soon as the member knows the table, the expected bytes contain this replica. The larger of both counts it once.
	return memory.Clamp(said.Used)+max(memory.Clamp(said.Expected), size) <= memory.Clamp(said.Limit)
}
