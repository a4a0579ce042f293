package partition

import (
	"context"

	"github.com/lni/dragonboat/v4"
	"github.com/lni/dragonboat/v4/raftio"

	"github.com/gridiron-io/gridiron/partition/raftgroup"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// group returns the Raft group of the replica that runs.
func (m *MetaHost) group() (raftgroup.Group, error) {
	at := m.at.Load()
	if at == nil {
		return raftgroup.Group{}, errNoMetaReplica
	}
	return m.groupOf(at), nil
}

func (m *MetaHost) groupOf(at *metaReplica) raftgroup.Group {
	return m.raft.Group(at.shard, "the metadata group")
}

// AddLearner adds a member's replica to the group as a learner. Like Promote and Remove it does nothing where nothing is left to do.
func (m *MetaHost) AddLearner(ctx context.Context, replica uint64, member wire.ID) error {
	g, err := m.group()
	if err != nil {
		return err
	}
	return g.AddLearner(ctx, replica, member.String())
}

// Promote makes a learner of the group a voter. It should have caught up.
func (m *MetaHost) Promote(ctx context.Context, replica uint64, member wire.ID) error {
	g, err := m.group()
	if err != nil {
		return err
	}
	return g.Promote(ctx, replica, member.String())
}

// Remove removes another member's replica from the group. It must never be started again.
func (m *MetaHost) Remove(ctx context.Context, replica uint64) error {
	g, err := m.group()
	if err != nil {
		return err
	}
	return g.Remove(ctx, replica, m.applied.Load(), m.cfg.Transport)
}

// Group returns who belongs to the group now.
func (m *MetaHost) Group(ctx context.Context) ([]GroupMember, error) {
	g, err := m.group()
	if err != nil {
		return nil, err
	}
	return g.Members(ctx)
}

// Quit stops the replica for good; the view stays what it is. Another may be run when Clear has removed what the directory holds of it.
func (m *MetaHost) Quit() error {
	at := m.at.Swap(nil)
	if at == nil {
		return nil
	}

	// Only after m.at was cleared: see LeaderUpdated.
	m.leader.forget()

	return m.groupOf(at).StopReplica(at.id)
}

// Clear removes what the directory holds of replicas other than one. None of them may run, or ever will again.
func (m *MetaHost) Clear(ctx context.Context, generation, replica uint64) error {
	held, err := m.held()
	if err != nil {
		return err
	}
	for _, at := range held {
		// Its votes and its log are what the member is about to go on with.
		if at.ShardID == MetaShard(generation) && at.ReplicaID == replica {
			continue
		}
		if err := m.raft.Group(at.ShardID, "the metadata group").RemoveData(ctx, at.ReplicaID); err != nil {
			return err
		}
	}
	return nil
}

// held returns the replicas of which the directory has a log.
func (m *MetaHost) held() ([]raftio.NodeInfo, error) {
	nh, err := m.raft.Enter()
	if err != nil {
		return nil, err
	}
	defer m.raft.Leave()
	// The logs are what counts: a replica that does not run may still have votes there.
	return nh.GetNodeHostInfo(dragonboat.NodeHostInfoOption{}).LogInfo, nil
}
