package meta

import "github.com/gridiron-io/gridiron/sdk/wire"

// Replica is one replica of a partition. Its ID is never given to another replica of the cluster and is started at most once.
// Where data is durable, Incarnation is the start at which the replica was placed, and later starts of the member go on with it.
type Replica struct {
	ID uint64
	Holder
}

// Partition says where a partition lives.
type Partition struct {
	Generation uint64    // from 1; grows when the partition is founded again
	Replicas   []Replica // of this generation
	Preferred  wire.ID   // member that shall own it first; it holds a replica
	Seeded     bool      // this generation begins with the state that Preferred kept from the one before
	Lost       uint64    // how many generations ended with all their data lost
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

// minPartition is the least that a partition takes in an image.
const minPartition = 1 + 1 + 1 + (1 + 32) + 1 + 1

func (p *Partition) append(dst []byte) []byte {
	dst = wire.AppendUvarint(dst, p.Generation)
	dst = wire.AppendUvarint(dst, uint64(len(p.Replicas)))
	preferred := 0
	for i, r := range p.Replicas {
		dst = wire.AppendUvarint(dst, r.ID)
		dst = append(dst, r.Member[:]...)
		dst = append(dst, r.Incarnation[:]...)
		if r.Member == p.Preferred {
			preferred = i
		}
	}
	dst = append(dst, byte(preferred))
	return wire.AppendUvarint(appendBool(dst, p.Seeded), p.Lost)
}

func (p *Partition) decode(r *wire.Reader) {
	p.Generation = r.Uvarint()
	n := r.Count(33)
	if n == 0 || n > MaxReplicas {
		r.Fail("a partition of %d replicas", n)
		return
	}
	p.Replicas = make([]Replica, n)
	for i := range p.Replicas {
		p.Replicas[i] = Replica{ID: r.Uvarint(), Holder: Holder{Member: r.ID(), Incarnation: r.ID()}}
	}
	if i := int(r.U8()); i < n {
		p.Preferred = p.Replicas[i].Member
	} else {
		r.Fail("replica %d of %d is preferred", i, n)
	}
	p.Seeded, p.Lost = decodeBool(r), r.Uvarint()
}
