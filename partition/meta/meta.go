// Package meta is not API: programs use package grid, and it may change in any version.
//
// It owns the replicated metadata of a cluster as a pure state machine: who the members are, which of them holds
// which replica of which partition, and how maps are configured. It counts the identities that must never be given out
// twice. It also plans the placement of partitions on members.
//
// A change is a Command, encoded by Append and carried out by State.Apply, the same on every replica of the metadata group.
// A command is a compare-and-set or idempotent: repeated, delayed or overtaken by others, it does no harm. What it did is a
// Result; there are no errors. Readers hold a View, which never changes.
//
// The package knows nothing of Raft, clocks, networks and goroutines, and its results depend on its arguments alone.
package meta

import "github.com/gridiron-io/gridiron/sdk/wire"

// Bounds of what the state holds. Commands beyond them are refused.
const (
	MaxReplicas      = 7                  // replicas of one partition
	MaxInitialVoters = 5                  // members that begin the metadata group
	MaxMembers       = wire.NoOwner - 1   // members known, those that left included; a place in a table view has 16 bits
	MaxText          = 255                // a name, address, zone, program version, tag or its value, in bytes of UTF-8
	MaxTags          = 64                 // tags of a member
	MaxGeneration    = wire.MaxGeneration // of a partition
	MaxPartitions    = wire.MaxPartitions // partitions of a cluster
)
