// Command failover measures what clients see while members of a cluster die, fall silent, leave, and are rebuilt. It starts clusters
// of real processes, itself standing in for the grid binary, and is the only client that is measured:
//
//	go run ./benchmarks/failover -scenario kill,pause,disagree,leave,rebuild
//
// The load is open: writes, and reads of keys that nothing writes meanwhile, begin at fixed rates. They go over all partitions in turn,
// whether or not those before have been answered. All times are of one clock, that of the machine. The results are in
// docs/BENCHMARKS.md.
package main
