package wire

import (
	"fmt"
	"strconv"
)

// Op is an operation code of the calls plane. Codes below 128 are for clients, the others between members only. The codes stand in
// the files of their families, each with its bodies and its descriptor.
type Op uint8

// Kind is where an operation is answered and what it does there.
type Kind uint8

const (
	KindUnknown Kind = iota // no operation of this build
	KindMember              // for clients, addressed to a member
	KindRead                // for clients, reads one partition
	KindWrite               // for clients, writes one partition
	KindLogged              // stands in the log of a partition only
	KindPeer                // between members
)

// Descriptor is what clients and members have to know of an operation. What the operation does to the state of a partition is registered
// in maps/state.
type Descriptor struct {
	Op   Op
	Name string // in spans, metrics and logs
	Kind Kind

	// Repeatable reports whether a client may send the operation again though an earlier copy may have been executed: it changes nothing,
	// members recognize the copy by the identity of its call, or executing it twice has no further effect.
	Repeatable bool

	// Parks is set where the body is a LockBody and the owner may keep the call open in its wait queue.
	Parks bool

	// ByKey is set where a read looks at the keys that its body names and at nothing else.
	ByKey bool

	// Check decodes the body of a read or write of one partition and returns an error unless the operation accepts it. Nothing is checked
	// after a write stands in the log. Check is nil for other kinds.
	Check func(op Op, body []byte) (Contents, error)

	// WithOptions appends the body again with other options. It is nil unless the operation stores values: those get the TTL and the
	// max-idle of their map, and the owner reserves memory for them.
	WithOptions func(dst, body []byte, o *WriteOptions) ([]byte, error)

	fields writeFields // writes of one key, else 0
	writes writtenKeys // writes of anything else: of what; 0 is any key
}

// writtenKeys says of which keys a write changes or learns the newest value.
type writtenKeys uint8

const (
	writesAny  writtenKeys = iota // of its map in its partition
	writesKey                     // its body has it behind the map
	writesKeys                    // its body is a ManyBody
	writesNone
)

// EachWritten calls f with each key whose value the write with a body may have changed, or has learned to be another. It reports false if that
// may be any key of the map in the partition.
func (o Op) EachWritten(body []byte, f func(key []byte)) bool {
	d := &descriptors[o]
	switch {
	case d.writes == writesNone:
		return true
	case d.writes == writesKeys:
		b, err := DecodeManyBody(body)
		if err != nil {
			return false
		}
		for _, key := range b.Keys {
			f(key)
		}
		return true
	case d.writes == writesKey || d.fields != 0:
		r := NewReader(body)
		_, key := r.Bytes(), r.Bytes()
		if r.Err() != nil {
			return false
		}
		f(key)
		return true
	}
	return false
}

// GivesVersion reports whether the WriteResult of the operation has the version of the change.
func (o Op) GivesVersion() bool {
	d := &descriptors[o]
	// OpSetTTL changes no value. It is treated as a change of unknown version, which drops the key in any case.
	return d.fields != 0 && d.fields&needsTTL == 0
}

// StoresValues reports whether the operation may store values.
func (d *Descriptor) StoresValues() bool { return d.WithOptions != nil }

// Contents is what the owner of a partition has to know of an operation's body. Map aliases the body.
type Contents struct {
	Map     []byte
	Options WriteOptions // zero where the operation has none
	Keys    int          // of an operation on several keys; else 0
	Values  int          // how many values the operation stores
	Largest int          // bytes of the largest of them
}

// descriptors are the operations of this build, by code. An array, for each call looks here several times.
var descriptors [256]Descriptor

// The table is filled here and not where it is declared, for its functions refer to it.
func init() {
	descriptors = described(clusterOps, mapStatsOps, readOps, writeOps, lockOps, loadOps, removeOps, processorOps, eventOps, upkeepOps, taskOps,
		mapConfigOps, adminOps, peerOps)
}

// described returns the operations of all families by code. An operation that is described twice is a mistake in the program.
func described(families ...[]Descriptor) (all [256]Descriptor) {
	for _, family := range families {
		for _, d := range family {
			// The table is made when the program starts, so every test would notice.
			if all[d.Op].Kind != KindUnknown {
				panic(fmt.Sprintf("wire: operation %d is both %s and %s", d.Op, all[d.Op].Name, d.Name))
			}
			all[d.Op] = d
		}
	}
	return all
}

// Descriptor describes the operation. The result must not be changed. An operation that this build does not know has KindUnknown.
func (o Op) Descriptor() *Descriptor { return &descriptors[o] }

// String returns the operation's name as it appears in spans, metrics and logs.
func (o Op) String() string {
	if o.Known() {
		return descriptors[o].Name
	}
	return "op " + strconv.Itoa(int(o))
}

// Known reports whether this build knows the operation. What follows is false for others.
func (o Op) Known() bool { return descriptors[o].Kind != KindUnknown }

// IsRead reports whether o reads one partition and changes nothing.
func (o Op) IsRead() bool { return descriptors[o].Kind == KindRead }

// IsWrite reports whether o is a write of one partition that a client may ask for.
func (o Op) IsWrite() bool { return descriptors[o].Kind == KindWrite }

// ForClients reports whether o is accepted on the client port.
func (o Op) ForClients() bool {
	k := descriptors[o].Kind
	return k == KindMember || k == KindRead || k == KindWrite
}

// Repeatable reports whether a client may send o again though an earlier copy may have been executed.
func (o Op) Repeatable() bool { return descriptors[o].Repeatable }
