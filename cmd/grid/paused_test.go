package main

import (
	"context"
	"fmt"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gridiron-io/gridiron/benchmarks/proc"
	"github.com/gridiron-io/gridiron/sdk"
)

// A process is stopped until the others go on without it, and continued. Its monotonic clock has gone on, so its time is right, and all
// else it believes is late. It takes part again, as an owner too, without a step of its clock.
func TestPausedProcess(t *testing.T) {
	t.Parallel()
	binary, err := exec.LookPath("grid")
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cl, err := proc.Start(ctx, proc.Config{Binary: binary, Members: 3, Partitions: 6})
	require.NoError(t, err)
	t.Cleanup(func() { _ = cl.Close() })
	client, err := sdk.Connect(ctx, cl.Addrs()[1:])
	require.NoError(t, err)
	t.Cleanup(func() { _ = client.Close() })
	victim := memberAt(t, ctx, client, cl.Addr(0))
	m, err := sdk.OpenMap[int, string](client, "m")
	require.NoError(t, err)

	require.NoError(t, cl.Signal(0, syscall.SIGSTOP))
	until(t, ctx, "the others own everything", func() bool {
		list, err := client.Partitions(ctx)
		return err == nil && len(list) == 6 && ownedBy(list, victim) == 0 && ownedBy(list, "") == 0
	})
	for i := range 30 {
		require.NoError(t, m.Set(ctx, i, fmt.Sprint(i), sdk.WithTTL(time.Hour)))
	}
	require.NoError(t, cl.Signal(0, syscall.SIGCONT))
	until(t, ctx, "it takes part again", func() bool {
		status, err := client.Cluster(ctx)
		if err != nil || !status.Safe || status.Ready != 3 || status.OutOfStep != 0 {
			return false
		}
		list, err := client.Partitions(ctx)
		return err == nil && ownedBy(list, victim) > 0
	})
	through, err := sdk.Connect(ctx, cl.Addrs()[:1])
	require.NoError(t, err)
	t.Cleanup(func() { _ = through.Close() })
	m, err = sdk.OpenMap[int, string](through, "m")
	require.NoError(t, err)
	for i := range 30 {
		got, found, err := m.Get(ctx, i)
		require.NoError(t, err)
		require.True(t, found)
		require.Equal(t, fmt.Sprint(i), got)
		require.NoError(t, m.Set(ctx, i, "again"))
	}
	logs, err := cl.Logs(0)
	require.NoError(t, err)
	require.NotContains(t, logs, "CLOCK_")
}

// memberAt returns the identity of the member with an address.
func memberAt(t *testing.T, ctx context.Context, c *sdk.Client, addr string) string {
	t.Helper()
	members, err := c.Members(ctx)
	require.NoError(t, err)
	for _, m := range members {
		if m.Addr == addr {
			return m.ID
		}
	}
	require.Fail(t, "no member has the address", addr)
	return ""
}

// ownedBy counts the partitions that a member owns, or nobody if it is empty.
func ownedBy(list []sdk.Partition, member string) (n int) {
	for _, p := range list {
		if p.Owner == member {
			n++
		}
	}
	return n
}

// until waits until ok reports true, asking again and again.
func until(t *testing.T, ctx context.Context, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			require.Fail(t, "waited without success", what)
		}
	}
}
