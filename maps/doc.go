// Package maps is the service of distributed maps at the owner of their partitions. It checks requests, hands writes to the partition's
// proposer and reads to its reader, and turns the results into answers. It owns all that an owner knows beside the replicated state: calls
// that wait for locks, uses of entries, counts, and evictions.
//
// It does not define what an operation does: that is in maps/state, which is pure. It does not decide who owns a partition: that is in
// package partition.
package maps
