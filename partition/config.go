package partition

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/gridiron-io/gridiron/partition/raftnet"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// MaxPartitions bounds the partitions of a cluster: a Raft group's number holds the partition in its lowest twelve bits.
const MaxPartitions = 1 << partitionBits

const partitionBits = 12

const (
	// DefaultLease is a lease after which a new owner answers soon enough, and which a partition that is read needs to renew only a few
	// times a second.
	DefaultLease = 300 * time.Millisecond
	// MaxLease bounds leases. A new owner answers nothing for that long.
	MaxLease = 5 * time.Second
)

// HostConfig describes a Host. All fields are required but for those marked optional.
type HostConfig struct {
	Member      wire.ID
	Incarnation wire.ID // also the name of the host among the hosts of the cluster
	Cluster     wire.ID
	Addr        string // of the members' port, as dragonboat wants to see one
	Partitions  int    // of the cluster
	Machines    Machines
	Transport   *raftnet.Transport
	Registry    *raftnet.Registry
	Now         func() int64 // cluster time in milliseconds
	// Lease is the time that a new owner waits for the lease of an owner that is gone, at most MaxLease and in whole milliseconds. An
	// owner reads for eight tenths of it without asking a majority. 0: owners have no leases, and each batch of reads asks a majority.
	Lease time.Duration
	// MayOwn is optional: it is asked before ownership is taken, and while it is held. A process that may not own serves nothing. It must
	// not block.
	MayOwn func() bool
	// Transferee is optional: of the incarnations that hold the partition's other replicas, the one to which it is handed when this
	// process gives it up; zero: nobody in particular.
	Transferee func(partition int, others []wire.ID) (member wire.ID)
	OnOwner    func(partition int) // optional; the owner, or whether this process serves, is another. Must not block
	OnApplied  func(partition int) // optional; operations were applied. Called by Raft's workers: must not block
	Logger     *slog.Logger
}

// validate returns all that is wrong with the configuration.
func (c *HostConfig) validate() error {
	var errs []error
	// All that is wrong is gathered, so that one attempt to start shows everything.
	need := func(ok bool, what string) {
		if !ok {
			errs = append(errs, fmt.Errorf("no %s", what))
		}
	}
	need(!c.Member.IsZero(), "Member")
	need(!c.Incarnation.IsZero(), "Incarnation")
	need(!c.Cluster.IsZero(), "Cluster")
	need(c.Addr != "", "Addr")
	need(c.Machines != nil, "Machines")
	need(c.Transport != nil, "Transport")
	need(c.Registry != nil, "Registry")
	need(c.Now != nil, "Now")
	need(c.Logger != nil, "Logger")
	if c.Lease < 0 || c.Lease > MaxLease || c.Lease%time.Millisecond != 0 {
		errs = append(errs, fmt.Errorf("a lease of %v, want whole milliseconds from 0 to %v", c.Lease, MaxLease))
	}
	if c.Partitions < 1 || c.Partitions > MaxPartitions {
		errs = append(errs, fmt.Errorf("%d partitions, want 1 to %d", c.Partitions, MaxPartitions))
	}
	return errors.Join(errs...)
}

// Placement is one replica that a Host is to hold.
type Placement struct {
	Partition    int
	Generation   uint64
	Replica      uint64
	Initial      map[uint64]wire.ID // replica IDs and incarnations with which the group is bootstrapped; nobody with Join
	Join         bool               // the group lives: the replica takes its log from the others
	Learner      bool               // with Join, the group was given the replica later, as a learner; it may be a voter by now
	Preferred    bool               // this member is to own the partition first
	FromSurvivor bool               // the generation begins with the state that one of its initial members has kept of the one before
	Losses       uint64             // how many generations of the partition have ended in a way in which acknowledged operations may be lost
}

func (p *Placement) validate(cfg *HostConfig) error {
	switch {
	case p.Partition < 0 || p.Partition >= cfg.Partitions:
		return fmt.Errorf("partition %d of %d", p.Partition, cfg.Partitions)
	case p.Generation == 0 || p.Generation > wire.MaxGeneration:
		return fmt.Errorf("partition %d: generation %d, want 1 to %d", p.Partition, p.Generation, wire.MaxGeneration)
	case p.Replica == 0:
		return fmt.Errorf("partition %d: a replica without an ID", p.Partition)
	case p.Join && len(p.Initial) != 0:
		// A group that is bootstrapped names its first members, and one that is joined has them already.
		return fmt.Errorf("partition %d: replica %d joins a group that is bootstrapped", p.Partition, p.Replica)
	case !p.Join && p.Initial[p.Replica] != cfg.Incarnation:
		return fmt.Errorf("partition %d: replica %d is not of this process by its own initial members", p.Partition, p.Replica)
	}
	return nil
}

// ShardOf returns the Raft group of a generation of a partition.
func ShardOf(generation uint64, partition int) uint64 {
	return generation<<partitionBits | uint64(partition)
}

// partitionOf undoes ShardOf.
func partitionOf(shard uint64) (generation uint64, partition int) {
	return shard >> partitionBits, int(shard & (MaxPartitions - 1))
}

// DeploymentID returns the number by which Raft messages of one cluster are told from those of another.
func DeploymentID(cluster wire.ID) uint64 {
	r := wire.NewReader(cluster[:8])
	// Never zero: the library takes zero for a NodeHost without a deployment.
	return r.U64() | 1
}
