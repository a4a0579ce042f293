// Package benchmarks is the load driver behind "grid bench": callers that each do one operation after the other on a map,
// by uniformly drawn keys, and what that costs.
//
// Its main number is CPU-microseconds per operation over all processes that take part, client and members: it holds on a
// machine that is shared, where operations per second and latencies do not. Package proc runs the members; the results are
// in docs/BENCHMARKS.md.
//
//	result, err := benchmarks.Run(ctx, benchmarks.Config{Servers: addrs, PIDs: pids, Callers: []int{64, 512}})
//	if err != nil {
//		return err
//	}
//	return result.WriteTable(os.Stdout)
//
// It is a closed loop: a caller waits for its answer before it goes on, so a stall shows in the operations per second and in
// the maximum, and once per caller in the percentiles.
package benchmarks
