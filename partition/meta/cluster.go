package meta

import (
	"fmt"
	"slices"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Init bootstraps the cluster. Each initial member may propose it. A second one is answered CodeOK if it says the same. It is answered
// CodeConflict if it names another cluster or other properties, which never change.
type Init struct {
	Cluster    wire.ID
	Name       string
	Partitions int  // 1 to MaxPartitions
	Replicas   int  // wanted of each partition, 1 to MaxReplicas
	Durable    bool // data outlives the process
	Level      uint32

	// InitialVoters are the members that begin the metadata group as its voters, in the order of their replica IDs, from 1.
	InitialVoters []wire.ID
}

func (*Init) kind() Kind { return KindInit }

func (c *Init) append(dst []byte) []byte {
	dst = append(dst, c.Cluster[:]...)
	dst = wire.AppendString(dst, c.Name)
	dst = wire.AppendUvarint(wire.AppendUvarint(dst, uint64(c.Partitions)), uint64(c.Replicas))
	dst = wire.AppendU32(appendBool(dst, c.Durable), c.Level)
	return appendIDs(dst, c.InitialVoters)
}

func (c *Init) decode(r *wire.Reader) {
	c.Cluster, c.Name = r.ID(), r.String()
	c.Partitions, c.Replicas = decodeInt(r, MaxPartitions), decodeInt(r, MaxReplicas)
	c.Durable, c.Level = decodeBool(r), r.U32()
	c.InitialVoters = decodeIDs(r, MaxInitialVoters)
}

func (c *Init) check() error {
	if c.Cluster.IsZero() {
		return fmt.Errorf("a cluster without an ID")
	}
	if c.Name == "" {
		return fmt.Errorf("a cluster without a name")
	}
	if err := checkText(c.Name); err != nil {
		return fmt.Errorf("name of the cluster: %w", err)
	}

	if c.Partitions < 1 || c.Partitions > MaxPartitions {
		return fmt.Errorf("%d partitions, 1 to %d are allowed", c.Partitions, MaxPartitions)
	}
	if c.Replicas < 1 || c.Replicas > MaxReplicas {
		return fmt.Errorf("%d replicas, 1 to %d are allowed", c.Replicas, MaxReplicas)
	}

	if n := len(c.InitialVoters); n < 1 || n > MaxInitialVoters {
		return fmt.Errorf("%d initial voters, 1 to %d are allowed", n, MaxInitialVoters)
	}

	// A place in the list is a replica ID, so each member stands there once.
	for i, id := range c.InitialVoters {
		if id.IsZero() || slices.Contains(c.InitialVoters[:i], id) {
			return fmt.Errorf("initial voter %s is none or stands twice", id)
		}
	}
	return nil
}

func (c *Init) apply(s *State) Result {
	// Each initial voter may propose Init, so all copies but the first come to a cluster that exists.
	if v := s.v; v.Bootstrapped() {
		switch {
		case v.Cluster != c.Cluster:
			return refuse(wire.CodeConflict, "this is cluster %s (%q), not %s (%q)", v.Cluster, v.Name, c.Cluster, c.Name)
		case v.Name != c.Name:
			return refuse(wire.CodeConflict, "the cluster was bootstrapped with the name %q, not %q", v.Name, c.Name)
		case v.PartitionCount != c.Partitions:
			return refuse(wire.CodeConflict, "the cluster was bootstrapped with %d partitions, not %d", v.PartitionCount, c.Partitions)
		case v.ReplicasWanted != c.Replicas:
			return refuse(wire.CodeConflict, "the cluster was bootstrapped with %d replicas, not %d", v.ReplicasWanted, c.Replicas)
		case v.Durable != c.Durable:
			return refuse(wire.CodeConflict, "the cluster was bootstrapped with durable=%t, not %t", v.Durable, c.Durable)
		case !slices.EqualFunc(v.InitialVoters, c.InitialVoters, func(a, b wire.ID) bool { return a == b || a.IsZero() }):
			// A zero ID stands for an initial voter that was forgotten since. Nobody can tell who it was.
			return refuse(wire.CodeConflict, "the cluster was bootstrapped by other members")
		}
		return Result{}
	}

	v := s.change()
	v.Cluster, v.Name, v.PartitionCount, v.ReplicasWanted = c.Cluster, c.Name, c.Partitions, c.Replicas
	v.Durable, v.Level, v.InitialVoters = c.Durable, c.Level, c.InitialVoters

	// The initial voters have the first metadata replicas. No data replica has ID 0, which stands for none.
	v.NextMeta, v.NextReplica = uint64(len(c.InitialVoters))+1, 1
	return Result{}
}

// SetTime keeps cluster time: the greatest ever proposed. It does not count in Version.
type SetTime struct {
	Time int64 // milliseconds
}

func (*SetTime) kind() Kind                 { return KindSetTime }
func (c *SetTime) append(dst []byte) []byte { return wire.AppendI64(dst, c.Time) }
func (c *SetTime) decode(r *wire.Reader)    { c.Time = r.I64() }
func (c *SetTime) check() error             { return nil }

func (c *SetTime) apply(s *State) Result {
	// Members may propose their times out of order. Cluster time never goes back.
	if c.Time > s.v.Time {
		s.edit().Time = c.Time
	}
	return Result{}
}

// RaiseLevel raises the feature level. A lower one than the cluster has changes nothing.
type RaiseLevel struct {
	Level uint32
}

func (*RaiseLevel) kind() Kind                 { return KindRaiseLevel }
func (c *RaiseLevel) append(dst []byte) []byte { return wire.AppendU32(dst, c.Level) }
func (c *RaiseLevel) decode(r *wire.Reader)    { c.Level = r.U32() }
func (c *RaiseLevel) check() error             { return nil }

func (c *RaiseLevel) apply(s *State) Result {
	// A proposal may come after a higher one. What was allowed by then stays allowed.
	if c.Level > s.v.Level {
		s.change().Level = c.Level
	}
	return Result{}
}

func appendIDs(dst []byte, ids []wire.ID) []byte {
	dst = wire.AppendUvarint(dst, uint64(len(ids)))
	for _, id := range ids {
		dst = append(dst, id[:]...)
	}
	return dst
}

func decodeIDs(r *wire.Reader, limit int) []wire.ID {
	n := r.Count(16)
	if n > limit {
		r.Fail("a list of %d, at most %d are allowed", n, limit)
	}
	if n == 0 || r.Err() != nil {
		// No list and an empty one are the same, so that equal states do not differ.
		return nil
	}

	ids := make([]wire.ID, n)
	for i := range ids {
		ids[i] = r.ID()
	}
	return ids
}

// decodeInt reads an unsigned varint that is at most limit.
func decodeInt(r *wire.Reader, limit int) int {
	u := r.Uvarint()
	// Compared before it is converted, since an int may be too short for it.
	if u > uint64(limit) {
		r.Fail("%d, at most %d is allowed", u, limit)
		return 0
	}
	return int(u)
}
