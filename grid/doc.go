// Package grid runs a member of a Gridiron cluster inside a Go program.
//
// Start starts a member as its Config says and returns once it is ready. Member.Client returns a client in the same process.
// Member.Close leaves the cluster.
//
//	m, err := grid.Start(ctx, grid.Config{})
//	if err != nil {
//		return err
//	}
//	defer m.Close(context.Background())
//	users, err := sdk.OpenMap[string, User](m.Client(), "users")
//
// The zero Config makes a cluster of one member, in memory, on free ports of the loopback interface. Package gridtest runs whole
// clusters for the tests of programs that use a grid.
//
// # Not for programs
//
// [StartWith] and [Option] are how package gridtest gives its members a network that it can cut. They are not API.
package grid
