// Package partition is not API: programs use package grid, and it may change in any version.
//
// It owns the partitions of a cluster as one member holds them: their replicas (Raft groups through
// dragonboat), who owns each of them, the proposer that turns operations into log entries, linearizable reads, and the
// metadata group. It knows nothing of maps, tasks, connections or clients: what a partition holds is a Machine, and what
// becomes of an operation is told to a Completion.
//
// The rules of ownership, outcomes and exactly-once are those of docs/CONSISTENCY.md.
package partition
