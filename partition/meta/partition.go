package meta

import (
	"fmt"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Role is the part of a replica in its Raft group, as far as the metadata know: the group itself may be one step further.
type Role uint8

const (
	RoleVoter   Role = iota // is a voter
	RoleLearner             // was placed here while the group lived: learns, or is a voter already
	RoleLeaving             // is to be removed from the group, or was already

	roles
)

// Replica is one replica of a partition. Its ID is never given to another replica of the cluster and is started at most once.
// Where data is durable, Incarnation is the start at which the replica was placed, and later starts of the member go on with it.
type Replica struct {
	ID uint64
	Holder
	Role   Role
	Joined bool // it came to a group that lived; else the generation began with it

	// Stopped says that the process has stopped the replica for good, because its group can never form a quorum again; Term and
	// Index are the last of its log.
	Stopped     bool
	Term, Index uint64
}

// Flags of a replica's encoding, above its role.
const (
	replicaRole    = 3
	replicaJoined  = 4
	replicaStopped = 8
)

// minReplica is the least that a replica takes.
const minReplica = 1 + 16 + 16 + 1

func (r *Replica) append(dst []byte) []byte {
	dst = r.Holder.append(wire.AppendUvarint(dst, r.ID))
	flags := byte(r.Role)
	if r.Joined {
		flags |= replicaJoined
	}
	if r.Stopped {
		flags |= replicaStopped
	}
	if dst = append(dst, flags); r.Stopped {
		dst = wire.AppendUvarint(wire.AppendUvarint(dst, r.Term), r.Index)
	}
	return dst
}

func (r *Replica) decode(d *wire.Reader) {
	r.ID = d.Uvarint()
	r.Holder.decode(d)
	flags := d.U8()
	r.Role, r.Joined, r.Stopped = Role(flags&replicaRole), flags&replicaJoined != 0, flags&replicaStopped != 0
	if r.Role >= roles || flags > replicaRole|replicaJoined|replicaStopped {
		d.Fail("a replica with flags %d", flags)
	}
	if r.Stopped {
		r.Term, r.Index = d.Uvarint(), d.Uvarint()
	}
}

// Partition says where a partition lives.
type Partition struct {
	Generation         uint64    // from 1; grows when the partition is recovered
	InitialReplicas    int       // replicas with which the generation began; some may be gone
	Replicas           []Replica // of this generation; at most one of them is no voter
	Preferred          wire.ID   // member that is to own it; it holds a replica
	FromSurvivor       bool      // this generation begins with the state that Preferred kept from the one before
	StoppedForRecovery bool      // its replicas are to be stopped for good, so that the next generation begins with what one of them holds
	Lost               uint64    // how many generations ended with all their data lost
	PossibleLosses     uint64    // how many ended with so many replicas that acknowledged writes may be lost
}

// Replica returns the replica that a member holds.
func (p *Partition) Replica(member wire.ID) (Replica, bool) {
	for _, r := range p.Replicas {
		if r.Member == member {
			return r, true
		}
	}
	return Replica{}, false
}

// Voters counts the replicas that are voters for certain and are to stay so.
func (p *Partition) Voters() int {
	n := 0
	for _, r := range p.Replicas {
		if r.Role == RoleVoter {
			n++
		}
	}
	return n
}

// Changing returns the replica that is on its way in or out, if one is.
func (p *Partition) Changing() (Replica, bool) {
	for _, r := range p.Replicas {
		if r.Role != RoleVoter {
			// There is at most one: see check.
			return r, true
		}
	}
	return Replica{}, false
}

// Whole reports whether all replicas with which the generation began are still in the table.
func (p *Partition) Whole() bool { return p.initialReplicas() == p.InitialReplicas }

func (p *Partition) initialReplicas() int {
	n := 0
	for _, r := range p.Replicas {
		// Replicas that joined later do not count: the generation began without them.
		if !r.Joined {
			n++
		}
	}
	return n
}

// replica returns the place of a replica, or -1.
func (p *Partition) replica(id uint64) int {
	for i, r := range p.Replicas {
		if r.ID == id {
			return i
		}
	}
	return -1
}

// check returns what is wrong with the partition by itself, if anything.
func (p *Partition) check() error {
	// Losses ended earlier generations, so all of them together are fewer than the generations.
	if p.Generation < 1 || p.Generation > MaxGeneration || p.Lost >= p.Generation || p.PossibleLosses >= p.Generation-p.Lost ||
		p.FromSurvivor && p.Generation < 2 {
		return fmt.Errorf("generation %d, lost %d, possible losses %d, from survivor %t", p.Generation, p.Lost, p.PossibleLosses, p.FromSurvivor)
	}

	// One replica more than allowed: a new one joins before the surplus one is removed.
	if n := len(p.Replicas); n < 1 || n > MaxReplicas+1 {
		return fmt.Errorf("%d replicas", n)
	}

	if n := p.initialReplicas(); p.InitialReplicas < max(n, 1) || p.InitialReplicas > MaxReplicas {
		return fmt.Errorf("%d initial replicas, %d of them still there", p.InitialReplicas, n)
	}

	changing := 0
	for i, r := range p.Replicas {
		if r.Role != RoleVoter {
			changing++
		}

		// A generation begins with voters, so a learner has joined later. Only a stopped replica has told how far its log goes.
		if r.Role == RoleLearner && !r.Joined || r.Stopped && !p.StoppedForRecovery || !r.Stopped && (r.Term != 0 || r.Index != 0) {
			return fmt.Errorf("replica %d: role %d, joined %t, stopped %t at %d of term %d", r.ID, r.Role, r.Joined, r.Stopped, r.Index, r.Term)
		}

		for _, o := range p.Replicas[:i] {
			if o.Member == r.Member {
				return fmt.Errorf("two replicas on member %s", r.Member)
			}
		}
	}

	// The group may be one step further than the table. With two replicas on their way, nobody could count its voters.
	if changing > 1 || changing == len(p.Replicas) {
		return fmt.Errorf("of %d replicas %d come or go", len(p.Replicas), changing)
	}

	// Only a voter can be elected, and only the leader can own.
	if r, ok := p.Replica(p.Preferred); !ok || r.Role != RoleVoter {
		return fmt.Errorf("preferred %s is no voter", p.Preferred)
	}
	return nil
}

// minPartition is the least that a partition takes in a snapshot.
const minPartition = 1 + 1 + 1 + minReplica + 1 + 1 + 1 + 1

func (p *Partition) append(dst []byte) []byte {
	dst = wire.AppendUvarint(dst, p.Generation)
	dst = wire.AppendUvarint(append(dst, byte(p.InitialReplicas)), uint64(len(p.Replicas)))

	preferred := 0
	for i, r := range p.Replicas {
		dst = r.append(dst)
		if r.Member == p.Preferred {
			preferred = i
		}
	}

	dst = append(dst, byte(preferred))
	dst = appendBool(appendBool(dst, p.FromSurvivor), p.StoppedForRecovery)
	return wire.AppendUvarint(wire.AppendUvarint(dst, p.Lost), p.PossibleLosses)
}

func (p *Partition) decode(r *wire.Reader) {
	p.Generation, p.InitialReplicas = r.Uvarint(), int(r.U8())
	n := r.Count(minReplica)
	if n == 0 || n > MaxReplicas+1 {
		// One more than MaxReplicas may be there while one replaces another.
		r.Fail("a partition of %d replicas", n)
		return
	}

	p.Replicas = make([]Replica, n)
	for i := range p.Replicas {
		p.Replicas[i].decode(r)
	}

	if i := int(r.U8()); i < n {
		p.Preferred = p.Replicas[i].Member
	} else {
		r.Fail("replica %d of %d is preferred", i, n)
	}

	p.FromSurvivor, p.StoppedForRecovery = decodeBool(r), decodeBool(r)
	p.Lost, p.PossibleLosses = r.Uvarint(), r.Uvarint()
}
