package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gridiron-io/gridiron/grid/gridtest"
)

// watch prints the status at once, then a line for each change, with the members that it is about, and ends with 130 when it is
// interrupted.
func TestClusterWatch(t *testing.T) {
	t.Parallel()
	cl := gridtest.New(t, 1, gridtest.WithPartitions(3))
	_, env := scratch(t)
	w := start(t, append(env, "GRID_SERVER="+cl.Addr(0)), "cluster", "watch", "-o", "json")
	type change struct{ ID, Name, From, To string }
	type line struct {
		Name, State string
		Members     int
		Safe        bool
		Changes     []change
	}
	next := func() (l line) {
		require.NoError(t, json.Unmarshal([]byte(w.line()), &l))
		return l
	}
	require.Equal(t, line{Name: "grid", State: "active", Members: 1, Safe: true, Changes: []change{}}, next())
	cl.Add()
	id := cl.Member(1).ID()
	var seen []change
	for len(seen) == 0 || seen[len(seen)-1].To != "ready" {
		seen = append(seen, next().Changes...)
	}
	for _, c := range seen {
		require.Equal(t, [2]string{id, "m1"}, [2]string{c.ID, c.Name})
	}
	require.Empty(t, seen[0].From, "it was not known")
	w.interrupt(os.Interrupt)
	code, _ := w.end()
	require.Equal(t, 130, code)
}

// A member whose cluster was never bootstrapped can begin again; one that has a cluster, and one that runs, cannot.
func TestResetBootstrapCommand(t *testing.T) {
	t.Parallel()
	dir, env := scratch(t)
	data := filepath.Join(dir, "data")
	reset := func(args ...string) (int, string) {
		p := start(t, env, append([]string{"cluster", "reset-bootstrap", "-o", "json"}, args...)...)
		code, _ := p.end()
		return code, p.stderr.String()
	}
	code, text := reset()
	require.Equal(t, 2, code, text)
	code, text = reset("--data-dir", data)
	require.Equal(t, 3, code, text)
	require.NoDirExists(t, data)

	// Its companion never comes: nobody listens on port 1.
	waits := start(t, env, "start", "--data-dir", data, "--listen", "127.0.0.1:0", "--join", "127.0.0.1:1", "--expect", "2")
	for until := time.Now().Add(2 * time.Minute); ; {
		if _, err := os.Stat(filepath.Join(data, "member.record")); err == nil {
			break
		}
		require.True(t, time.Now().Before(until), "it does not start")
	}
	code, text = reset("--data-dir", data)
	require.Equal(t, 4, code, text)
	require.Contains(t, text, "is held by a running member")
	waits.interrupt(os.Interrupt)
	code, _ = waits.end()
	require.Equal(t, 130, code)

	code, text = reset("--data-dir", data, "--cluster-name", "other")
	require.Equal(t, 2, code, text)
	code, text = reset("--data-dir", data)
	require.Equal(t, 0, code, text)

	alone := start(t, env, "start", "--data-dir", data, "--listen", "127.0.0.1:0", "--partitions", "3")
	require.NotEmpty(t, alone.line())
	alone.interrupt(os.Interrupt)
	code, _ = alone.end()
	require.Equal(t, 0, code)
	code, text = reset("--data-dir", data)
	require.Equal(t, 4, code, text)
	require.Contains(t, text, "already belongs to a cluster")
}
