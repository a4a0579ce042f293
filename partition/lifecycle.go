package partition

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/lni/dragonboat/v4"
	"github.com/lni/dragonboat/v4/config"
	sm "github.com/lni/dragonboat/v4/statemachine"

	"github.com/gridiron-io/gridiron/partition/role"
)

// removeTimeout bounds the wait for the library to let go of a stopped replica.
const removeTimeout = 30 * time.Second

// group is what a host has of a partition besides the replica that runs.
type group struct {
	sync.Mutex // guards the following
	closed     bool
	leaving    *replica   // stopped, and its data not yet removed
	keptState  *keptState // what a generation stopped for recovery has left behind
}

// raftConfig returns the settings of a group.
func raftConfig(shard, replicaID uint64) config.Config {
	return config.Config{
		ReplicaID: replicaID, ShardID: shard,
		ElectionRTT: electionTicks, HeartbeatRTT: heartbeatTicks,
		CheckQuorum: true, PreVote: true, OrderedConfigChange: true,
		SnapshotEntries: 0, CompactionOverhead: 1024, MaxInMemLogSize: 0,
		DisableAutoCompactions: true,
	}
}

// StartReplica starts a replica of a group that begins with it, or that it joins. A replica that runs already is left alone; one of
// an older generation, or under another ID, is removed first. A placement of an older generation than the replica that runs is
// refused: what the caller goes by is out of date.
func (h *Host) StartReplica(p Placement) error {
	if err := p.validate(&h.cfg); err != nil {
		return fmt.Errorf("start a replica: %w", err)
	}
	g := &h.groups[p.Partition]
	g.Lock()
	defer g.Unlock()
	if g.closed {
		return errClosed
	}
	if cur := h.replicas[p.Partition].Load(); cur != nil {
		if cur.shard == ShardOf(p.Generation, p.Partition) && cur.id == p.Replica {
			return nil
		}
		if g, _ := partitionOf(cur.shard); g > p.Generation {
			return fmt.Errorf("start a replica: generation %d of partition %d is superseded by %d", p.Generation, p.Partition, g)
		}
	}
	if err := h.removeLocked(h.life, p.Partition); err != nil {
		return err
	}
	return h.startLocked(p)
}

// startLocked starts a replica where none runs and none is left. REQUIRES the partition's group.
func (h *Host) startLocked(p Placement) error {
	r := newReplica(h, p)
	if k := h.groups[p.Partition].keptState; p.FromSurvivor && k != nil && k.generation+1 == p.Generation {
		if k.machine != nil { // else the generation has it already
			if p.Losses > k.losses {
				k.machine.MarkLoss()
			}
			r.part.stateTransfer = k
			r.step(role.StateKept{})
		}
	} else {
		h.groups[p.Partition].keptState = nil // nobody will ask for it any more
	}
	initial := make(map[uint64]dragonboat.Target, len(p.Initial))
	for id, inc := range p.Initial {
		initial[id] = inc.String()
	}
	cfg := raftConfig(r.shard, r.id)
	// The flag stays true for a replica that came as a learner, also when it has become a voter: the log says so.
	cfg.IsNonVoting = p.Learner
	h.gate.RLock()
	defer h.gate.RUnlock()
	if h.gate.closed {
		return errClosed
	}
	h.replicas[p.Partition].Store(r) // before the library tells of leaders
	err := h.gate.nh.StartOnDiskReplica(initial, p.Join, func(uint64, uint64) sm.IOnDiskStateMachine { return r }, cfg)
	if err != nil {
		h.replicas[p.Partition].Store(nil)
		r.stop()
		r.free()
		return fmt.Errorf("start replica %d of partition %d: %w", p.Replica, p.Partition, err)
	}
	h.notify(r)
	return nil
}

// Drop stops the replica of a partition for good and removes what it held. After an error the replica is stopped, and Drop
// or Found may be called again to remove what is left.
func (h *Host) Drop(ctx context.Context, partition int) error {
	g := &h.groups[partition]
	g.Lock()
	defer g.Unlock()
	if g.closed {
		return errClosed
	}
	g.keptState = nil
	return h.removeLocked(ctx, partition)
}

// removeLocked stops a partition's replica, if there is one, and waits until the library has let go of it: before that
// another replica of the group must not start. REQUIRES the partition's group.
func (h *Host) removeLocked(ctx context.Context, partition int) error {
	r, err := h.stopLocked(partition)
	if r == nil || err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, removeTimeout)
	defer cancel()
	defer context.AfterFunc(h.life, cancel)() // Close does not wait for us
	h.gate.RLock()
	defer h.gate.RUnlock()
	if h.gate.closed {
		return errClosed
	}
	if err := h.gate.nh.SyncRemoveData(ctx, r.shard, r.id); err != nil {
		return fmt.Errorf("remove replica %d of partition %d: %w", r.id, partition, err)
	}
	h.groups[partition].leaving = nil
	r.free()
	return nil
}

// stopLocked stops a partition's replica, if there is one, and returns the one whose data is still to be removed, nil if there is
// none. REQUIRES the partition's group.
func (h *Host) stopLocked(partition int) (*replica, error) {
	g := &h.groups[partition]
	if r := h.replicas[partition].Swap(nil); r != nil {
		r.stop()
		g.leaving = r
	}
	r := g.leaving
	if r == nil {
		return nil, nil
	}
	h.gate.RLock()
	defer h.gate.RUnlock()
	if h.gate.closed {
		return nil, errClosed
	}
	if err := h.gate.nh.StopReplica(r.shard, r.id); err != nil && !errors.Is(err, dragonboat.ErrShardNotFound) {
		return nil, fmt.Errorf("stop replica %d of partition %d: %w", r.id, partition, err)
	}
	return r, nil
}
