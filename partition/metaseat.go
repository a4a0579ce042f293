package partition

import (
	"context"
	"errors"
	"fmt"

	"github.com/lni/dragonboat/v4"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// AddLearner adds a member's replica to the group as a learner. Like Promote and Remove it does nothing where nothing is left to do.
func (m *MetaHost) AddLearner(ctx context.Context, replica uint64, member wire.ID) error {
	return m.change(ctx, groupChange{replica: replica, target: member.String(), step: stepLearner})
}

// Promote makes a learner of the group a voter. It should have caught up.
func (m *MetaHost) Promote(ctx context.Context, replica uint64, member wire.ID) error {
	return m.change(ctx, groupChange{replica: replica, target: member.String(), step: stepVoter})
}

// Remove removes another member's replica from the group. It must never be started again.
func (m *MetaHost) Remove(ctx context.Context, replica uint64) error {
	return m.change(ctx, groupChange{replica: replica, step: stepRemove})
}

func (m *MetaHost) change(ctx context.Context, c groupChange) error {
	at := m.at.Load()
	if at == nil {
		return errNoSeat
	}
	c.shard = at.shard
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	defer context.AfterFunc(m.life, cancel)() // Close does not wait for us
	m.gate.RLock()
	defer m.gate.RUnlock()
	if m.gate.closed {
		return errClosed
	}
	if err := c.run(ctx, m.gate.nh); err != nil {
		return fmt.Errorf("change the metadata group by replica %d: %w", c.replica, err)
	}
	return nil
}

// LetLead asks Raft to have another voter lead, if this one does. It returns at once; nothing may come of it.
func (m *MetaHost) LetLead(replica uint64) {
	m.gate.RLock()
	defer m.gate.RUnlock()
	at := m.at.Load()
	if m.gate.closed || at == nil {
		return
	}
	if err := m.gate.nh.RequestLeaderTransfer(at.shard, replica); err != nil {
		m.cfg.Logger.Debug("the metadata group was not handed over", "err", err)
	}
}

// Quit stops the replica for good; the view stays what it is. Another may be run when Clear has removed what the directory holds of it.
func (m *MetaHost) Quit() error {
	at := m.at.Swap(nil)
	if at == nil {
		return nil
	}
	m.leader.Lock()
	m.leader.id, m.leader.term = 0, 0
	m.leader.Unlock()
	m.gate.RLock()
	defer m.gate.RUnlock()
	if m.gate.closed {
		return errClosed
	}
	if err := m.gate.nh.StopReplica(at.shard, at.id); err != nil && !errors.Is(err, dragonboat.ErrShardNotFound) {
		return fmt.Errorf("stop metadata replica %d: %w", at.id, err)
	}
	return nil
}

// Clear removes what the directory holds of replicas other than one. None of them may run, or ever will again.
func (m *MetaHost) Clear(ctx context.Context, generation, replica uint64) error {
	ctx, cancel := context.WithTimeout(ctx, removeTimeout)
	defer cancel()
	defer context.AfterFunc(m.life, cancel)() // Close does not wait for us
	m.gate.RLock()
	defer m.gate.RUnlock()
	if m.gate.closed {
		return errClosed
	}
	for _, held := range m.gate.nh.GetNodeHostInfo(dragonboat.NodeHostInfoOption{}).LogInfo {
		if held.ShardID == MetaShard(generation) && held.ReplicaID == replica {
			continue
		}
		if err := m.gate.nh.SyncRemoveData(ctx, held.ShardID, held.ReplicaID); err != nil {
			return fmt.Errorf("remove metadata replica %d: %w", held.ReplicaID, err)
		}
	}
	return nil
}
