package partition

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/lni/dragonboat/v4"

	"github.com/gridiron-io/gridiron/partition/role"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// changeTimeout bounds one change of a group's membership.
const changeTimeout = 10 * time.Second

// unheardFor is for how long a replica that is being removed is not told what is committed since. When it has been removed, its leader sends it
// nothing more but what was queued before.
const unheardFor = changeTimeout + 5*time.Second

var errNotServing = errors.New("this process does not own the partition")

// groupChange is a change of a Raft group by one replica. It looks first at what the group is, so that it may be repeated after any
// answer or none, and it is a compare-and-set on the group's last change, so that of two that are tried at once one is refused.
type groupChange struct {
	shard, replica uint64
	target         string // where the replica runs
	step           groupStep
}

type groupStep uint8

const (
	stepLearner groupStep = iota // the group is given the replica, as a learner
	stepVoter                    // the learner becomes a voter
	stepRemove                   // the replica is removed
)

// run carries out the change through a NodeHost that has a replica of the group.
func (c *groupChange) run(ctx context.Context, nh *dragonboat.NodeHost) error {
	m, err := membership(ctx, nh, c.shard)
	if err != nil {
		return fmt.Errorf("read the group's membership: %w", err)
	}
	_, learner := m.NonVotings[c.replica]
	_, voter := m.Nodes[c.replica]
	switch {
	case c.step == stepLearner && !learner && !voter:
		return nh.SyncRequestAddNonVoting(ctx, c.shard, c.replica, c.target, m.ConfigChangeID)
	case c.step == stepVoter && !voter:
		return nh.SyncRequestAddReplica(ctx, c.shard, c.replica, c.target, m.ConfigChangeID)
	case c.step == stepRemove && (learner || voter):
		return nh.SyncRequestDeleteReplica(ctx, c.shard, c.replica, m.ConfigChangeID)
	}
	return nil
}

// membership reads who belongs to a group. The library can lose an answer for ever, so each try has an end of its own.
func membership(ctx context.Context, nh *dragonboat.NodeHost, shard uint64) (*dragonboat.Membership, error) {
	for {
		short, cancel := context.WithTimeout(ctx, readIndexTimeout)
		m, err := nh.SyncGetShardMembership(short, shard)
		timedOut := short.Err() != nil
		cancel()
		if err == nil || !timedOut || ctx.Err() != nil {
			return m, err
		}
	}
}

// AddLearner gives a partition's group a replica that learns, in the process of an incarnation. It is for the partition's owner, as
// are Promote and Remove, and like them does nothing where nothing is left to do.
func (h *Host) AddLearner(ctx context.Context, partition int, replica uint64, incarnation wire.ID) error {
	return h.change(ctx, partition, groupChange{replica: replica, target: incarnation.String(), step: stepLearner})
}

// Promote makes a learner of a partition's group a voter.
//
// NOTE: one that has not caught up would hold up every write until it has; see CaughtUp.
func (h *Host) Promote(ctx context.Context, partition int, replica uint64, incarnation wire.ID) error {
	return h.change(ctx, partition, groupChange{replica: replica, target: incarnation.String(), step: stepVoter})
}

// Remove removes a replica from a partition's group. It must not be this process's own: an owner transfers its partition first.
func (h *Host) Remove(ctx context.Context, partition int, replica uint64) error {
	if r := h.replicas[partition].Load(); r != nil {
		// The replica hears of its removal from the metadata, when the others have: see mover.heard.
		h.cfg.Transport.LimitCommit(r.shard, replica, r.applied.Load(), time.Now().Add(unheardFor))
	}
	return h.change(ctx, partition, groupChange{replica: replica, step: stepRemove})
}

func (h *Host) change(ctx context.Context, partition int, c groupChange) error {
	r := h.replicas[partition].Load()
	if r == nil || r.serving.Load() == 0 {
		return fmt.Errorf("change the group of partition %d: %w", partition, errNotServing)
	}
	if c.step == stepRemove && c.replica == r.id {
		return fmt.Errorf("change the group of partition %d: its leader does not remove itself", partition)
	}
	if c.step == stepLearner {
		h.shorten(ctx, r)
	}
	c.shard = r.shard
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	defer context.AfterFunc(h.life, cancel)() // Close does not wait for us
	h.gate.RLock()
	defer h.gate.RUnlock()
	if h.gate.closed {
		return errClosed
	}
	if err := c.run(ctx, h.gate.nh); err != nil {
		return fmt.Errorf("change the group of partition %d by replica %d: %w", partition, c.replica, err)
	}
	return nil
}

// GroupMember is one replica of a partition's group, as the group itself has it.
type GroupMember struct {
	Replica uint64
	Voter   bool
}

// Group returns who belongs to a partition's group now. It is for the partition's owner.
func (h *Host) Group(ctx context.Context, partition int) ([]GroupMember, error) {
	r := h.replicas[partition].Load()
	if r == nil || r.serving.Load() == 0 {
		return nil, fmt.Errorf("read the group of partition %d: %w", partition, errNotServing)
	}
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	defer context.AfterFunc(h.life, cancel)() // Close does not wait for us
	h.gate.RLock()
	defer h.gate.RUnlock()
	if h.gate.closed {
		return nil, errClosed
	}
	m, err := membership(ctx, h.gate.nh, r.shard)
	if err != nil {
		return nil, fmt.Errorf("read the group of partition %d: %w", partition, err)
	}
	return groupMembers(m), nil
}

// groupMembers lists a group, in the order of the replicas' IDs.
func groupMembers(m *dragonboat.Membership) []GroupMember {
	list := make([]GroupMember, 0, len(m.Nodes)+len(m.NonVotings))
	for id := range m.Nodes {
		list = append(list, GroupMember{Replica: id, Voter: true})
	}
	for id := range m.NonVotings {
		list = append(list, GroupMember{Replica: id})
	}
	slices.SortFunc(list, func(a, b GroupMember) int { return cmp.Compare(a.Replica, b.Replica) })
	return list
}

// GroupChanges returns, by partition, the log index of the last change of the group that the replica here has applied; 0 where none
// runs. It is cheap: whoever keeps what it returned knows which groups to look at again.
func (h *Host) GroupChanges() []uint64 {
	changes := make([]uint64, len(h.replicas))
	h.gate.RLock()
	defer h.gate.RUnlock()
	if h.gate.closed {
		return changes
	}
	for _, info := range h.gate.nh.GetNodeHostInfo(dragonboat.NodeHostInfoOption{SkipLogInfo: true}).ShardInfoList {
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
	if r == nil || r.shard != ShardOf(generation, partition) {
		return
	}
	r.step(role.VotersChanged{Voters: sortedVoters(voters)})
}

// CaughtUp reports whether the replica of a partition that runs here, a learner as a rule, has applied all that its group had
// committed when it was asked. It waits for the answer, but not for ever.
func (h *Host) CaughtUp(shard, replica uint64) bool {
	r := h.find(shard, replica)
	if r == nil {
		return false
	}
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	ctx, cancel := context.WithTimeout(h.life, caughtUpFor)
	defer cancel()
	return r.readIndex(ctx.Done(), timer) == readReady
}

// caughtUpFor is how long CaughtUp waits: a replica that has only just come is often not answered at all, and is soon asked again.
const caughtUpFor = 150 * time.Millisecond

// WakeLearner has the owner of a partition, if that is this process, commit an entry without effect: so a learner that was just taken in
// hears from its leader at once, and not with the next heartbeat.
func (h *Host) WakeLearner(partition int) {
	if r := h.replicas[partition].Load(); r != nil && r.serving.Load() != 0 {
		r.proposer.tick(make(tickDone, 1))
		r.proposer.flush()
	}
}

// Retry has the owner of a partition, if that is this process, send to a learner again which runs and does not come along. It is for
// groups of one voter, whose learners may get no heartbeats: see raftnet.Transport.Retry. Elsewhere it does no harm.
func (h *Host) Retry(partition int, learner uint64) {
	r := h.replicas[partition].Load()
	if r == nil || r.serving.Load() == 0 {
		return
	}
	if leader, term := r.leader(); leader == r.id && term != 0 {
		h.cfg.Transport.Retry(r.shard, r.id, learner, term)
	}
}

// TransferOwnership has the owner of a partition, if that is this process, give it to a member that has a voter of its group. It returns at
// once and reports whether the partition is on its way. The member may not come to own it: then this process does again.
func (h *Host) TransferOwnership(partition int, to wire.ID) bool {
	r := h.replicas[partition].Load()
	if r == nil || r.serving.Load() == 0 {
		return false
	}
	r.step(role.Transfer{To: to})
	return true
}
