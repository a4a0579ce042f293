package meta

import (
	"fmt"
	"slices"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// A replica moves up and down a ladder, one step of one replica of a partition at a time. Every step is a compare-and-set that
// may be repeated, and says what has happened in the Raft group or is to happen there. Whoever owns the partition brings the
// group in line with the table, in the order that leaves no doubt after a crash between the two:
//
//	AddReplica   the table names a learner       then the group is given it
//	Promote      the group has made it a voter   then the table says so
//	Retire       the table says that it leaves   then the group removes it
//	DropReplica  the group has removed it        then the table forgets it, and its holder clears it away

// partition returns a partition at a generation, or the refusal of a command that names another.
func (v *View) partition(p uint32, generation uint64) (Partition, Result) {
	if len(v.Table) == 0 {
		return Partition{}, refuse(wire.CodeNotReady, "there is no partition table yet")
	}
	if uint64(p) >= uint64(len(v.Table)) {
		return Partition{}, refuse(wire.CodeNotFound, "there is no partition %d, there are %d", p, len(v.Table))
	}

	// A late command of an earlier generation names replicas that no longer exist.
	if t := v.Table[p]; t.Generation == generation {
		return t, Result{}
	} else {
		return t, refuse(wire.CodeConflict, "partition %d is at generation %d, not %d", p, t.Generation, generation)
	}
}

// put replaces a partition, whose list of replicas is the caller's own.
func (s *State) put(partition uint32, p Partition) { s.changeTable().Table[partition] = p }

// AddReplica gives a partition one more replica, which learns first. The result's ReplicaID is the replica's. If the process holds
// one already nothing changes, and the result names that.
type AddReplica struct {
	Partition  uint32
	Generation uint64
	Holder     Holder // at that incarnation, joining or ready
}

func (*AddReplica) kind() Kind { return KindAddReplica }

func (c *AddReplica) append(dst []byte) []byte {
	return c.Holder.append(wire.AppendU64(wire.AppendU32(dst, c.Partition), c.Generation))
}

func (c *AddReplica) decode(r *wire.Reader) {
	c.Partition, c.Generation = r.U32(), r.U64()
	c.Holder.decode(r)
}

func (c *AddReplica) check() error { return nil }

func (c *AddReplica) apply(s *State) Result {
	p, res := s.v.partition(c.Partition, c.Generation)
	if !res.OK() {
		return res
	}

	// A repeated command finds what the first one did.
	if r, ok := p.Replica(c.Holder.Member); ok {
		if r.Incarnation != c.Holder.Incarnation || r.Role == RoleLeaving {
			// A process runs one replica of a partition at a time. The old one must be removed first.
			return refuse(wire.CodeConflict, "partition %d: member %s still holds replica %d", c.Partition, r.Member, r.ID)
		}
		return Result{Value: wire.AppendU64(nil, r.ID)}
	}

	if res := mayChange(&p, c.Partition, 0); !res.OK() {
		return res
	}

	// The controller chose the member from an older view. It may have left, or started again, since.
	if text := s.v.refuseHolders([]Holder{c.Holder}); text != "" {
		return refuse(wire.CodeConflict, "partition %d: %s", c.Partition, text)
	}

	// One more than MaxReplicas may be there, until the replica that it replaces has left.
	if len(p.Replicas) > MaxReplicas {
		return refuse(wire.CodeOverloaded, "partition %d has %d replicas", c.Partition, len(p.Replicas))
	}

	v := s.changeTable()
	// The log of the metadata gives out IDs, so no two replicas ever have the same one.
	r := v.allocate([]Holder{c.Holder})[0]
	r.Role, r.Joined = RoleLearner, true
	p.Replicas = append(slices.Clone(p.Replicas), r)
	v.Table[c.Partition] = p
	return Result{Value: wire.AppendU64(nil, r.ID)}
}

// mayChange refuses a change of a partition's replicas while the partition is stopped for recovery. It also refuses one while a
// replica other than the one named is on its way in or out.
func mayChange(p *Partition, partition uint32, replica uint64) Result {
	if p.StoppedForRecovery {
		return refuse(wire.CodeConflict, "partition %d is stopped for recovery", partition)
	}

	// The group may be one step further than the table. With two steps under way, nobody could count the voters.
	if r, ok := p.Changing(); ok && r.ID != replica {
		return refuse(wire.CodeConflict, "partition %d: replica %d is on its way", partition, r.ID)
	}
	return Result{}
}

// ReplicaStep names a replica: what the commands that move one by a step have in common.
type ReplicaStep struct {
	Partition  uint32
	Generation uint64
	Replica    uint64
}

func (c *ReplicaStep) append(dst []byte) []byte {
	return wire.AppendU64(wire.AppendU64(wire.AppendU32(dst, c.Partition), c.Generation), c.Replica)
}

func (c *ReplicaStep) decode(r *wire.Reader) {
	c.Partition, c.Generation, c.Replica = r.U32(), r.U64(), r.U64()
}

func (c *ReplicaStep) check() error {
	if c.Replica == 0 {
		return fmt.Errorf("partition %d: replica 0", c.Partition)
	}
	return nil
}

// find returns the partition, with a list of replicas of its own, and the replica's place in it; -1 if it has none.
func (c *ReplicaStep) find(s *State) (Partition, int, Result) {
	p, res := s.v.partition(c.Partition, c.Generation)
	if !res.OK() {
		return p, -1, res
	}

	// Views share the list, and callers write to it.
	p.Replicas = slices.Clone(p.Replicas)
	return p, p.replica(c.Replica), Result{}
}

func (c *ReplicaStep) missing() Result {
	return refuse(wire.CodeNotFound, "partition %d has no replica %d", c.Partition, c.Replica)
}

// Promote records that a replica has become a voter of its group. A voter stays one.
type Promote struct{ ReplicaStep }

func (*Promote) kind() Kind { return KindPromote }

func (c *Promote) apply(s *State) Result {
	p, i, res := c.find(s)
	switch {
	case !res.OK():
		return res
	case i < 0:
		return c.missing()
	case p.Replicas[i].Role == RoleVoter:
		// A copy of the command, which has had its effect.
		return Result{}
	case p.StoppedForRecovery, p.Replicas[i].Role == RoleLeaving:
		// A removal is not taken back: the group may have carried it out.
		return refuse(wire.CodeConflict, "partition %d: replica %d is to be removed", c.Partition, c.Replica)
	}

	p.Replicas[i].Role = RoleVoter
	s.put(c.Partition, p)
	return Result{}
}

// Retire says that a replica is to be removed from its group: a voter besides which there is another, or one that still learns.
type Retire struct{ ReplicaStep }

func (*Retire) kind() Kind { return KindRetire }

func (c *Retire) apply(s *State) Result {
	p, i, res := c.find(s)
	if res.OK() && i < 0 {
		res = c.missing()
	}
	if res.OK() {
		res = mayChange(&p, c.Partition, c.Replica)
	}
	if !res.OK() || p.Replicas[i].Role == RoleLeaving {
		// The step is refused, or the replica leaves already.
		return res
	}

	// The list is a copy, so a refusal leaves no trace. A group without a voter that stays could never change again.
	p.Replicas[i].Role = RoleLeaving
	next := slices.IndexFunc(p.Replicas, func(r Replica) bool { return r.Role == RoleVoter })
	if next < 0 {
		return refuse(wire.CodeConflict, "partition %d: replica %d is the only voter", c.Partition, c.Replica)
	}

	// The owner must be a voter that stays.
	if p.Replicas[i].Member == p.Preferred {
		p.Preferred = p.Replicas[next].Member
	}
	s.put(c.Partition, p)
	return Result{}
}

// DropReplica records that a replica was removed from its group. One that the table does not have is CodeOK.
type DropReplica struct{ ReplicaStep }

func (*DropReplica) kind() Kind { return KindDropReplica }

func (c *DropReplica) apply(s *State) Result {
	p, i, res := c.find(s)
	switch {
	case !res.OK() || i < 0:
		return res
	case p.Replicas[i].Role != RoleLeaving || p.StoppedForRecovery:
		// Only a replica that was to leave is forgotten. A stopped partition keeps its list: each survivor in it may have the most.
		return refuse(wire.CodeConflict, "partition %d: replica %d is to stay", c.Partition, c.Replica)
	}

	p.Replicas = slices.Delete(p.Replicas, i, i+1)
	s.put(c.Partition, p)
	return Result{}
}

// Prefer says which of the members that have a voter is to own a partition.
type Prefer struct {
	Partition  uint32
	Generation uint64
	Member     wire.ID
}

func (*Prefer) kind() Kind { return KindPrefer }

func (c *Prefer) append(dst []byte) []byte {
	return append(wire.AppendU64(wire.AppendU32(dst, c.Partition), c.Generation), c.Member[:]...)
}
func (c *Prefer) decode(r *wire.Reader) {
	c.Partition, c.Generation, c.Member = r.U32(), r.U64(), r.ID()
}
func (c *Prefer) check() error { return nil }

func (c *Prefer) apply(s *State) Result {
	p, res := s.v.partition(c.Partition, c.Generation)
	// A repeated command changes nothing, not even the version of the view.
	if !res.OK() || p.Preferred == c.Member {
		return res
	}
	if p.StoppedForRecovery {
		return refuse(wire.CodeConflict, "partition %d is stopped for recovery", c.Partition)
	}

	// Only a voter can be elected, and only the leader can own.
	if r, ok := p.Replica(c.Member); !ok || r.Role != RoleVoter {
		return refuse(wire.CodeConflict, "partition %d has no voter on member %s", c.Partition, c.Member)
	}

	p.Preferred = c.Member
	s.put(c.Partition, p)
	return Result{}
}

// StopForRecovery ends a generation of which so many voters are confirmed dead that it can never have a quorum again: the survivors stop
// their replicas for good. It is accepted only where that is so, or may be: a replica that comes or goes may be a voter, and the metadata
// cannot know. Stopping a group that has a quorum costs time and loses nothing, for all survivors stop before one of them goes on.
type StopForRecovery struct {
	Partition  uint32
	Generation uint64
}

func (*StopForRecovery) kind() Kind { return KindStopForRecovery }
func (c *StopForRecovery) append(dst []byte) []byte {
	return wire.AppendU64(wire.AppendU32(dst, c.Partition), c.Generation)
}
func (c *StopForRecovery) decode(r *wire.Reader) { c.Partition, c.Generation = r.U32(), r.U64() }
func (c *StopForRecovery) check() error          { return nil }

func (c *StopForRecovery) apply(s *State) Result {
	p, res := s.v.partition(c.Partition, c.Generation)
	switch {
	case !res.OK() || p.StoppedForRecovery:
		return res
	case s.v.hasQuorum(&p):
		// Such a group repairs itself, and its replicas need not stop.
		return refuse(wire.CodeConflict, "partition %d can form a quorum: of %d replicas %d are not confirmed dead",
			c.Partition, len(p.Replicas), s.v.survivors(&p))
	}

	// From here on no replica of this generation comes or goes, so the list of survivors is final.
	p.StoppedForRecovery = true
	s.put(c.Partition, p)
	return Result{}
}

// Stopped records that a process has stopped its replica of a partition stopped for recovery for good, and how far its log goes. It is accepted
// once: a stopped replica's log does not change.
type Stopped struct {
	ReplicaStep
	Incarnation wire.ID // of the process
	Term, Index uint64  // of the last entry of its log
}

func (*Stopped) kind() Kind { return KindStopped }

func (c *Stopped) append(dst []byte) []byte {
	return wire.AppendU64(wire.AppendU64(append(c.ReplicaStep.append(dst), c.Incarnation[:]...), c.Term), c.Index)
}

func (c *Stopped) decode(r *wire.Reader) {
	c.ReplicaStep.decode(r)
	c.Incarnation, c.Term, c.Index = r.ID(), r.U64(), r.U64()
}

func (c *Stopped) apply(s *State) Result {
	p, i, res := c.find(s)
	switch {
	case !res.OK():
		return res
	case i < 0:
		// The generation goes on without this replica, so nobody asks how far its log goes.
		return c.missing()
	case !p.StoppedForRecovery || p.Replicas[i].Incarnation != c.Incarnation:
		// Only the process that held the replica knows how far its log goes.
		return refuse(wire.CodeConflict, "partition %d: replica %d is not one of %s to stop", c.Partition, c.Replica, c.Incarnation)
	case p.Replicas[i].Stopped:
		// The first report stands: nothing is appended to a stopped replica's log.
		return Result{}
	}

	r := &p.Replicas[i]
	r.Stopped, r.Term, r.Index = true, c.Term, c.Index
	s.put(c.Partition, p)
	return Result{}
}
