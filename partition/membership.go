package partition

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lni/dragonboat/v4"

	"github.com/gridiron-io/gridiron/partition/raftgroup"
	"github.com/gridiron-io/gridiron/partition/role"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

var errNotServing = errors.New("this process does not own the partition")

// GroupMember is one replica of a Raft group, as the group itself has it.
type GroupMember = raftgroup.Member

// group returns the replica's Raft group.
func (r *replica) group() raftgroup.Group {
	return r.host.raft.Group(r.shard, fmt.Sprintf("partition %d", r.partition)).CountReads(&r.reads.majorities)
}

// owned returns the replica of a partition that this process owns.
func (h *Host) owned(partition int) (*replica, error) {
	r := h.replicas[partition].Load()
	if r == nil || r.serving.Load() == 0 {
		return nil, fmt.Errorf("change the group of partition %d: %w", partition, errNotServing)
	}

	// Changes of a group go through its leader, and a process that serves leads.
	return r, nil
}

// AddLearner adds a replica to a partition's group as a learner, in the process of an incarnation. AddLearner, Promote and Remove are
// for the partition's owner. They do nothing where nothing is left to do.
func (h *Host) AddLearner(ctx context.Context, partition int, replica uint64, incarnation wire.ID) error {
	r, err := h.owned(partition)
	if err != nil {
		return err
	}

	// A learner applies a long log more slowly than it takes a state snapshot, so what it does not need is cut first.
	h.shorten(ctx, r)
	return r.group().AddLearner(ctx, replica, incarnation.String())
}

// Promote makes a learner of a partition's group a voter.
//
// NOTE: a learner that has not caught up would hold up every write until it has; see CaughtUp.
func (h *Host) Promote(ctx context.Context, partition int, replica uint64, incarnation wire.ID) error {
	r, err := h.owned(partition)
	if err != nil {
		return err
	}
	return r.group().Promote(ctx, replica, incarnation.String())
}

// Remove removes a replica from a partition's group. It must not be this process's own: an owner transfers the ownership first.
func (h *Host) Remove(ctx context.Context, partition int, replica uint64) error {
	r, err := h.owned(partition)
	if err != nil {
		return err
	}
	if replica == r.id {
		return fmt.Errorf("remove replica %d of partition %d: it leads the group; transfer the ownership first", replica, partition)
	}

	// The metadata tells the replica of its removal: see mover.heard.
	return r.group().Remove(ctx, replica, r.applied.Load(), h.cfg.Transport)
}

// Group returns who belongs to a partition's group now. It is for the partition's owner.
func (h *Host) Group(ctx context.Context, partition int) ([]GroupMember, error) {
	r, err := h.owned(partition)
	if err != nil {
		return nil, err
	}
	return r.group().Members(ctx)
}

// GroupChanges returns, by partition, the log index of the last change of the group that the replica here has applied; 0 where none
// runs. It is cheap: whoever keeps what it returned knows which groups to look at again.
func (h *Host) GroupChanges() []uint64 {
	changes := make([]uint64, len(h.replicas))
	nh, err := h.raft.Enter()
	if err != nil {
		return changes
	}
	defer h.raft.Leave()

	for _, info := range nh.GetNodeHostInfo(dragonboat.NodeHostInfoOption{SkipLogInfo: true}).ShardInfoList {
		// The library still lists a replica that is being removed.
		if _, p := partitionOf(info.ShardID); p < len(changes) && h.find(info.ShardID, info.ReplicaID) != nil {
			changes[p] = info.ConfigChangeIndex
		}
	}
	return changes
}

// SetVoters tells a replica who its group's voters are, by replica ID: who is asked, and who campaigns, when the leader is down. A
// replica that runs in another generation is left alone.
func (h *Host) SetVoters(partition int, generation uint64, voters map[uint64]wire.ID) {
	r := h.replicas[partition].Load()
	// Replica IDs belong to one generation.
	if r == nil || r.shard != ShardOf(generation, partition) {
		return
	}
	r.step(role.VotersChanged{Voters: sortedVoters(voters)})
}

// CaughtUp reports whether a replica that runs here has applied all that its group had committed when CaughtUp was called. The
// replica is a learner as a rule. CaughtUp waits for the answer, at most for caughtUpFor.
func (h *Host) CaughtUp(shard, replica uint64) bool {
	r := h.find(shard, replica)
	if r == nil {
		return false
	}
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	ctx, cancel := context.WithTimeout(h.life, caughtUpFor)
	defer cancel()
	// A ReadIndex answers with the commit index of the leader, which this replica then waits to apply.
	return r.readIndex(ctx.Done(), timer) == readReady
}

// caughtUpFor is how long CaughtUp waits. The leader often does not answer a new replica at all, and the caller asks again soon.
const caughtUpFor = 150 * time.Millisecond

// WakeLearner has the owner of a partition, if that is this process, commit an entry without effect. A learner that was just added
// hears from its leader at once by that, and not with the next heartbeat.
func (h *Host) WakeLearner(partition int) {
	if r := h.replicas[partition].Load(); r != nil && r.serving.Load() != 0 {
		// There is room for the outcome, which nobody reads.
		r.proposer.tick(make(tickDone, 1))
		r.proposer.flush()
	}
}

// Retry has the owner of a partition, if that is this process, send again to a learner that runs and does not catch up. It is for
// groups of one voter, whose learners may get no heartbeats: see raftnet.Transport.Retry. Elsewhere it does no harm.
func (h *Host) Retry(partition int, learner uint64) {
	r := h.replicas[partition].Load()
	if r == nil || r.serving.Load() == 0 {
		return
	}

	// Only the leader sends to learners, and what it sends carries its term.
	if leader, term := r.leader(); leader == r.id && term != 0 {
		h.cfg.Transport.Retry(r.shard, r.id, learner, term)
	}
}

// TransferOwnership has the owner of a partition, if that is this process, transfer it to a member that has a voter of its group. It
// returns at once and reports whether the partition is on its way. If the member does not come to own it, this process does again.
func (h *Host) TransferOwnership(partition int, to wire.ID) bool {
	r := h.replicas[partition].Load()
	if r == nil || r.serving.Load() == 0 {
		return false
	}
	r.step(role.Transfer{To: to})
	return true
}
