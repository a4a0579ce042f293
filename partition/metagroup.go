package partition

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lni/dragonboat/v4"

	"github.com/gridiron-io/gridiron/partition/role"
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
	at := m.at.Load()
	if at == nil {
		return errNoMetaReplica
	}
	// As for a partition's replica: see Host.Remove. It goes on as a member of the group if it is not removed.
	m.cfg.Transport.LimitCommit(at.shard, replica, m.applied.Load(), time.Now().Add(unheardFor))
	err := m.change(ctx, groupChange{replica: replica, step: stepRemove})
	if err != nil {
		m.cfg.Transport.LimitCommit(at.shard, replica, 0, time.Time{})
	}
	return err
}

// Group returns who belongs to the group now.
func (m *MetaHost) Group(ctx context.Context) ([]GroupMember, error) {
	at := m.at.Load()
	if at == nil {
		return nil, errNoMetaReplica
	}
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	defer context.AfterFunc(m.life, cancel)() // Close does not wait for us
	m.gate.RLock()
	defer m.gate.RUnlock()
	if m.gate.closed {
		return nil, errClosed
	}
	members, err := membership(ctx, m.gate.nh, at.shard)
	if err != nil {
		return nil, fmt.Errorf("read the metadata group: %w", err)
	}
	return groupMembers(members), nil
}

func (m *MetaHost) change(ctx context.Context, c groupChange) error {
	at := m.at.Load()
	if at == nil {
		return errNoMetaReplica
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

// campaignFor bounds how long a replica campaigns in the place of another.
const campaignFor = 5 * time.Second

// Elect has the group elect another leader, without waiting for an election timeout, in the place of a replica that leads it, or led
// last, because that is down or wants another to lead. place is that of this replica in the order in which the voters campaign that are left,
// so many. Elect reports whether that replica leads and this one campaigns when its period comes. Whatever the caller believes, it is as safe as any
// election. The library's own transfer is not used: one that is lost stops the group for an election timeout.
func (m *MetaHost) Elect(gone uint64, place, left int) bool {
	at := m.at.Load()
	m.leader.Lock()
	defer m.leader.Unlock()
	l := &m.leader
	if at == nil || at.id == gone || l.led != gone || l.id != 0 && l.id != gone {
		return false
	}
	l.campaign.Begin(role.Death, gone, place, left, l.ledTerm, time.Now())
	m.gate.RLock()
	defer m.gate.RUnlock()
	if !l.electing && !m.gate.closed {
		l.electing = true
		m.stopped.Add(1)
		go m.campaignInTurn(at, gone) // ends with life or the replica, or when somebody else leads
	}
	return true
}

// campaignInTurn has a replica campaign whenever it is its turn, until a leader other than the unreachable one is known.
func (m *MetaHost) campaignInTurn(at *metaReplica, gone uint64) {
	defer m.stopped.Done()
	until := time.Now().Add(campaignFor)
	tick := time.NewTicker(role.InjectEvery)
	defer tick.Stop()
	for {
		m.leader.Lock()
		l, now := &m.leader, time.Now()
		if l.id != 0 && l.id != gone || m.at.Load() != at || m.life.Err() != nil || now.After(until) {
			l.campaign.End()
			l.electing = false
			l.Unlock()
			return
		}
		due, term := l.campaign.Due(l.term, now), l.term
		if l.id == 0 && now.Sub(l.at) > role.RetryFirst {
			term++ // its campaign brought no leader, for its messages were lost: a candidate hears only terms later than its own
		}
		l.Unlock()
		if due {
			m.cfg.Transport.Inject(at.shard, at.id, gone, term)
		}
		select {
		case <-tick.C:
		case <-m.life.Done():
		}
	}
}

// Renew has this member's replica elected again, if it leads the group, and reports whether it goes about it. It is for the only voter of
// a group, and does no harm elsewhere.
//
// Where a group shrinks to one voter while reads wait for the others to confirm who leads, they wait for ever, and for as long the library
// sends learners no heartbeats: one that was not there when it was first sent to, or that starts again, would not hear of anything. A new
// term forgets such reads.
func (m *MetaHost) Renew() bool {
	at := m.at.Load()
	m.leader.Lock()
	defer m.leader.Unlock()
	l := &m.leader
	m.gate.RLock()
	defer m.gate.RUnlock()
	if at == nil || l.id != at.id || l.electing || m.gate.closed {
		return false
	}
	l.electing = true
	m.stopped.Add(1)
	go m.renew(at, l.term) // ends with life or the replica, or when somebody leads in a later term
	return true
}

// renew has a replica campaign until somebody leads in a later term than one.
func (m *MetaHost) renew(at *metaReplica, was uint64) {
	defer m.stopped.Done()
	until := time.Now().Add(campaignFor)
	tick := time.NewTicker(role.InjectEvery)
	defer tick.Stop()
	for {
		m.leader.Lock()
		l, now := &m.leader, time.Now()
		if l.id != 0 && l.term > was || m.at.Load() != at || m.life.Err() != nil || now.After(until) {
			l.electing = false
			l.Unlock()
			return
		}
		term := l.term
		if l.id != 0 || now.Sub(l.at) > role.RetryFirst {
			term++ // a leader, and a candidate, hears nothing but a later term
		}
		l.Unlock()
		m.cfg.Transport.Inject(at.shard, at.id, 0, term) // again and again, because it does not campaign while it has entries to apply
		select {
		case <-tick.C:
		case <-m.life.Done():
		}
	}
}

// Quit stops the replica for good; the view stays what it is. Another may be run when Clear has removed what the directory holds of it.
func (m *MetaHost) Quit() error {
	at := m.at.Swap(nil)
	if at == nil {
		return nil
	}
	m.leader.Lock()
	m.leader.id, m.leader.term, m.leader.led, m.leader.ledTerm = 0, 0, 0, 0
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
