// Package maps is the service of distributed maps at the owner of their partitions: it checks what callers ask for, hands
// writes to the partition's proposer and reads to its reader, and makes answers of what comes back. What an operation does is
// defined in maps/state, which is pure; who may do it, in package partition.
package maps
