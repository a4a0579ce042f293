// Package proc is not API: it is for tests and benchmarks of this module, and it may change in any version.
//
// It runs clusters of real member processes on the loopback interface. They are for benchmarks, and for tests that need processes of their
// own: kill -9, SIGSTOP, restarts, exit codes. Within one process, package gridtest is faster.
//
// It owns the processes, their data directories and their logs. It knows the command line of "grid start", and the one line that a member
// prints once it is ready. It knows nothing else of the grid, and speaks to members with signals alone. A Process may
// also be another program, which is measured beside members.
//
//	cl, err := proc.Start(ctx, proc.Config{Binary: grid, Members: 3})
//	if err != nil {
//		return err
//	}
//	defer cl.Close()
//	client, err := sdk.Connect(ctx, cl.Addrs())
package proc
