// Package wire is not API: programs use package sdk, and it may change in any version.
//
// It owns what two processes of a cluster must agree on: operations with their codes, bodies and descriptors, frames, error codes, the
// protocol version, the partition hash, the table, events and NATS subjects. A thing is here if and only if two processes must agree
// on it. The package does no I/O, keeps no state, and does not know what its callers do with it.
//
// All integers are big-endian. Every decoder is total: it accepts any bytes, allocates no more than a small multiple of
// their length, and reports what is wrong as an error wrapping ErrMalformed.
package wire

// Version is the protocol version that this build speaks. History:
//
//	1: first version.
//	2: entries stand in another order and state snapshots have another form, so an iteration cannot go on at a member of version 1.
//	3: parts of bulk calls share frames, which members of version 2 do not read.
//	4: a removal may have the text of a predicate, which members of version 3 refuse.
//	5: the configuration of a map may have fields that members of version 4 do not read.
//	6: the log may have processors, which members of version 5 do not carry out; a read may ask for what a near cache needs.
const Version = 6

// Magic opens every hello in both directions. A stray HTTP or TLS client is recognized by its first four bytes.
const Magic = "GRDN"

// Sizes that both sides enforce. All are in bytes.
const (
	MaxHello      = 4 << 10            // one hello or hello answer, before authentication
	MaxKey        = 64 << 10           // an encoded key
	MaxKeys       = 4096               // keys of one operation: the partition waits while an operation is executed
	MaxValue      = 1 << 20            // an encoded value, unless configured; MaxValueHard is the ceiling
	MaxValueHard  = 4 << 20            // no configuration allows a larger value
	MaxMapName    = 255                // a map's name in bytes of UTF-8
	MaxOperation  = 4<<20 + 128<<10    // one operation as it stands in the log
	MaxFrame      = 5 << 20            // one frame on the client port
	MaxFramePeer  = 16 << 20           // one frame between members
	MaxPartitions = 4096               // partitions of a cluster
	NoPartition   = uint32(0xFFFFFFFF) // the partition of a request that is not for one
)
