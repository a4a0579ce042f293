// Command compare measures Gridiron beside Hazelcast, Redis Cluster, Olric, etcd and memcached, in one run on one machine.
//
//	go run . -quick                       the goals' cells, in less than eight minutes
//	go run . -out results                 all cells, memory and numbers of members; more than an hour
//	go run . -peers gridiron-24,rueidis -ops get -callers 512 -stages speed
//
// It is a module of its own, so it runs in this folder, and the clients of other systems are no dependencies of Gridiron. It starts the
// clusters whose programs it finds on the machine, on free ports of the loopback interface, and says which it does not find. It ends by
// their process IDs all that it started, and removes their files.
//
// All peers have the same callers, keys, values and recorder: those of package benchmarks. They run at the same time, and one at a time
// has work. Each cell, which is an operation with a size of values and a number of callers, is measured for each peer in turn, and the
// rounds go over all cells. So what else the machine does meets all alike. Ratios are those of the same round.
//
// The number to compare first is CPU-microseconds per operation of all processes, client included. See docs/BENCHMARKS.md.
package main
