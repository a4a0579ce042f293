package role

import "github.com/gridiron-io/gridiron/sdk/wire"

// Config describes the replica whose role it is. It never changes.
type Config struct {
	Member      wire.ID
	Incarnation wire.ID // of the member's process
	Replica     uint64
	Partition   int
	Preferred   bool   // this member is the first to own the partition
	LeaseMs     uint32 // largest lease that an Own announces, in milliseconds; 0: none
}

// Voter is one voter of a partition's group.
type Voter struct {
	ID          uint64 // replica ID
	Incarnation wire.ID
}
