package main

import (
	"context"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gridiron-io/gridiron/benchmarks/proc"
)

// A process is held up, and an operator declares its member dead meanwhile. When it goes on it ends with 1 and says why; started again
// it is a member like any other.
func TestRemovedProcess(t *testing.T) {
	t.Parallel()
	binary, err := exec.LookPath("grid")
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cl, err := proc.Start(ctx, proc.Config{Binary: binary, Members: 2, Partitions: 3})
	require.NoError(t, err)
	t.Cleanup(func() { _ = cl.Close() })
	dir, env := scratch(t)
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(freePort(t)))
	args := []string{"start", "--name", "late", "--listen", addr, "--data-dir", filepath.Join(dir, "late"), "--join", strings.Join(cl.Addrs(), ",")}
	late := start(t, env, args...)
	require.Equal(t, addr, late.line())

	late.interrupt(syscall.SIGSTOP)
	admin := append(env, "GRID_SERVER="+cl.Addr(0)+","+cl.Addr(1))
	for code, text := 4, ""; code != 0; { // while it is not missed yet, or, where it led the metadata, nobody else does
		require.Contains(t, []int{4, 5}, code, text)
		require.NoError(t, ctx.Err())
		removal := start(t, admin, "cluster", "remove", "late", "--force")
		code, _ = removal.end()
		text = removal.stderr.String()
	}
	late.interrupt(syscall.SIGCONT)
	code, _ := late.end()
	text := late.stderr.String()
	require.Equal(t, 1, code, text)
	require.Contains(t, text, "\ngrid: the member stopped by itself: this member was removed from the cluster: ")

	again := start(t, env, args...)
	require.Equal(t, addr, again.line())
	require.Contains(t, output(t, admin, "cluster", "members", "-o", "json"), `"name":"late"`)
	again.interrupt(syscall.SIGTERM)
	code, _ = again.end()
	require.Equal(t, 0, code, again.stderr.String())
}
