package partition

import (
	"context"
	"fmt"
	"sync"

	"github.com/lni/dragonboat/v4"
	"github.com/lni/dragonboat/v4/config"
	sm "github.com/lni/dragonboat/v4/statemachine"

	"github.com/gridiron-io/gridiron/partition/role"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// group is what a host has of a partition besides the replica that runs.
type group struct {
	sync.Mutex // guards the following
	closed     bool
	leaving    *replica   // stopped, and its data not yet removed
	keptState  *keptState // what a generation stopped for recovery has left behind
}

// raftConfig returns the settings of a replica. The flag of a replica that came to its group as a learner stays set when the replica has
// become a voter: the log says what it is.
func raftConfig(shard, replicaID uint64, learner bool) config.Config {
	return config.Config{
		IsNonVoting: learner,
		ReplicaID:   replicaID, ShardID: shard,
		ElectionRTT: electionTicks, HeartbeatRTT: heartbeatTicks,
		CheckQuorum: true, PreVote: true, OrderedConfigChange: true,
		// The host cuts logs itself: see trimLog. A limit in memory would refuse writes for seconds after one overrun, and the
		// proposer bounds what is on its way.
		SnapshotEntries: 0, CompactionOverhead: 1024, MaxInMemLogSize: 0,
		DisableAutoCompactions: true,
	}
}

// targets returns the initial voters of a group, and where they run, as the library wants them.
func targets(initial map[uint64]wire.ID) map[uint64]dragonboat.Target {
	list := make(map[uint64]dragonboat.Target, len(initial))
	for id, at := range initial {
		list[id] = at.String()
	}
	return list
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
			// The caller goes by the placement table, and may ask for the same again.
			return nil
		}
		if g, _ := partitionOf(cur.shard); g > p.Generation {
			return fmt.Errorf("start a replica: generation %d of partition %d is superseded by %d", p.Generation, p.Partition, g)
		}
	}

	// Of one group a NodeHost has one replica at a time.
	if err := h.removeLocked(h.life, p.Partition); err != nil {
		return err
	}
	return h.startLocked(p)
}

// startLocked starts a replica where none runs and none is left. REQUIRES the partition's group.
func (h *Host) startLocked(p Placement) error {
	r := newReplica(h, p)

	// This process may have the state with which the generation begins.
	if k := h.groups[p.Partition].keptState; p.FromSurvivor && k != nil && k.generation+1 == p.Generation {
		// Without a machine the generation already has its state.
		if k.machine != nil {
			// Listeners must hear of a loss that the metadata count and this state does not know of yet.
			if p.Losses > k.losses {
				k.machine.MarkLoss()
			}

			// The role proposes the pieces of this state once the replica leads.
			r.part.stateTransfer = k
			r.step(role.StateKept{})
		}
	} else {
		// The state of an older generation, if there is one, is of no use any more.
		h.groups[p.Partition].keptState = nil
	}

	cfg := raftConfig(r.shard, r.id, p.Learner)
	nh, err := h.raft.Enter()
	if err != nil {
		return err
	}
	defer h.raft.Leave()

	h.replicas[p.Partition].Store(r) // before the library tells of leaders
	err = nh.StartOnDiskReplica(targets(p.Initial), p.Join, func(uint64, uint64) sm.IOnDiskStateMachine { return r }, cfg)
	if err != nil {
		// The replica could be found until now, so somebody may wait for it.
		h.replicas[p.Partition].Store(nil)
		r.stop()
		r.free()
		return fmt.Errorf("start replica %d of partition %d: %w", p.Replica, p.Partition, err)
	}

	// A replica that is preferred may have to campaign before the library tells of any leader.
	h.notify(r)
	return nil
}

// Drop stops the replica of a partition for good and removes what it held. After an error the replica is stopped, and Drop
// or StartReplica may be called again to remove what is left.
func (h *Host) Drop(ctx context.Context, partition int) error {
	g := &h.groups[partition]
	g.Lock()
	defer g.Unlock()
	if g.closed {
		return errClosed
	}

	// The table wants nothing of the partition here, so nobody will ask for the kept state.
	g.keptState = nil
	return h.removeLocked(ctx, partition)
}

// removeLocked stops a partition's replica, if there is one, and waits until the library has finished with it: before that
// another replica of the group must not start. REQUIRES the partition's group.
func (h *Host) removeLocked(ctx context.Context, partition int) error {
	r, err := h.stopLocked(partition)
	if r == nil || err != nil {
		return err
	}

	// leaving stays set after an error, so the next call tries again.
	if err := r.group().RemoveData(ctx, r.id); err != nil {
		return err
	}

	// The library has released the replica, so nobody applies entries to the state any more.
	h.groups[partition].leaving = nil
	r.free()
	return nil
}

// stopLocked stops a partition's replica, if there is one, and returns the one whose data is still to be removed, nil if there is
// none. REQUIRES the partition's group.
func (h *Host) stopLocked(partition int) (*replica, error) {
	g := &h.groups[partition]
	// Whoever looks for the replica from here on finds none. Calls that found it before end with its stop.
	if r := h.replicas[partition].Swap(nil); r != nil {
		r.stop()
		g.leaving = r
	}

	// An earlier call may have failed half-way. What it left is stopped again, which does no harm.
	r := g.leaving
	if r == nil {
		return nil, nil
	}

	if err := r.group().StopReplica(r.id); err != nil {
		return nil, err
	}
	return r, nil
}
