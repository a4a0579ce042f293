// Package leasesim is not API: it is evidence, run by tests, and it may change in any version.
//
// It is a randomised simulation of the rules by which owners of a partition read without asking a majority: under leases, and before
// their serve-after time. It is the evidence that the rules suffice, and that each of them is needed. With all of them no read is ever
// stale, and with any one of the planted bugs some is.
//
// The simulation is pure: a seed gives one history. It states the rules a second time, so that a mistake in package
// partition is not repeated here with its code. It knows nothing of Raft but what the rules rest on:
//
//   - a log that all processes apply in order, each in its own time, or skip a part of by a snapshot;
//   - proposals that commit late, out of order or never;
//   - several processes that believe to be elected;
//   - a ReadIndex that tells how long the log was at some moment after it was asked for.
//
// Clocks run at up to eight percent more or less than true time. A machine may be suspended: its monotonic clock then stands still, and
// its wall clock goes on. Cluster time, by which entries expire, differs between processes.
//
// A read is stale if it finds less than was known outside before it began: than an acknowledged write, or than another read had found.
// An entry that has expired is more than the entry.
package leasesim
