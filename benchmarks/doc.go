// Package benchmarks is not API: it is for the grid binary, and it may change in any version.
//
// It is the load driver behind "grid bench": callers that do operations on a map, and what that costs. Keys are drawn with equal chances,
// or so that few are popular.
//
// Its main number is CPU-microseconds per operation over all processes that take part, client and members. That number holds on a shared
// machine, where operations per second and latencies do not. Package proc runs the members; the results are in docs/BENCHMARKS.md.
//
//	result, err := benchmarks.Run(ctx, benchmarks.Config{Servers: addrs, PIDs: pids, Callers: []int{64, 512}})
//	if err != nil {
//		return err
//	}
//	return result.WriteTable(os.Stdout)
//
// Without a rate it is a closed loop: a caller waits for its answer before it goes on. So a stall shows in the operations per second and
// in the maximum, and once per caller in the percentiles. With a rate it is an open one: operations have their times, and a stall shows in
// the latency of each whose time came meanwhile.
package benchmarks
