// Package grid embeds a member of a Gridiron cluster in a Go program: Config says what it shall be, Start starts it, Client
// returns a client in the same process, Close leaves the cluster.
//
//	m, err := grid.Start(ctx, grid.Config{})
//	if err != nil {
//		return err
//	}
//	defer m.Close(context.Background())
//	users, err := sdk.OpenMap[string, User](m.Client(), "users")
//
// The zero Config is a single member in memory on free ports of the loopback interface. For tests of programs that use a
// grid there is package gridtest.
package grid
