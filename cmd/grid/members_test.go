package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gridiron-io/gridiron/benchmarks/proc"
	"github.com/gridiron-io/gridiron/sdk"
)

// Three processes that start at once are one cluster. One of them is killed and comes back, a fourth joins, and two leave in good
// order, all under calls none of which fails: every entry is there, and each who left exits with 0.
func TestProcessesComeAndGo(t *testing.T) {
	t.Parallel()
	const entries = 2_000
	binary, err := exec.LookPath("grid")
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	cl, err := proc.Start(ctx, proc.Config{Binary: binary, Members: 3, Partitions: 24})
	require.NoError(t, err)
	t.Cleanup(func() {
		for i := range cl.Addrs() {
			if logs, err := cl.Logs(i); t.Failed() {
				t.Logf("member %d: %v\n%s", i, err, logs)
			}
		}
		_ = cl.Close()
	})
	ids := make(map[string]bool)
	for _, addr := range cl.Addrs() {
		s, err := connect(t, ctx, addr).Cluster(ctx)
		require.NoError(t, err)
		ids[s.ID] = true
	}
	require.Len(t, ids, 1, "the members of one cluster")

	client := connect(t, ctx, cl.Addr(0))
	whole := func(members int) {
		t.Helper()
		require.Eventually(t, func() bool {
			s, err := client.Cluster(ctx)
			return err == nil && s.Safe && s.Members == members && s.Ready == members
		}, patience, 20*time.Millisecond, "a whole cluster of %d members", members)
	}
	m, err := sdk.OpenMap[int, string](client, "entries")
	require.NoError(t, err)
	all, keys := make(map[int]string, entries), make([]int, entries)
	for i := range entries {
		all[i], keys[i] = fmt.Sprint("value ", i), i
	}
	require.NoError(t, m.SetAll(ctx, all))
	written := make(chan int, 1)
	meanwhile, end := context.WithCancel(ctx)
	defer end()
	var calls sync.WaitGroup
	defer calls.Wait()
	calls.Go(func() {
		defer end()
		n := 0
		for ; meanwhile.Err() == nil; n++ {
			k := n % entries
			if err := m.Set(ctx, k, all[k]); err != nil {
				t.Errorf("call %d: %v", n, err)
				break
			}
		}
		written <- n
	})

	whole(3)
	require.NoError(t, cl.Kill(1))
	require.NoError(t, cl.Restart(ctx, 1))
	whole(3)
	joined, err := cl.Add(ctx)
	require.NoError(t, err)
	whole(4)
	require.NoError(t, cl.Stop(ctx, 2))
	whole(3)
	require.NoError(t, cl.Stop(ctx, joined))
	whole(2)
	end()
	require.Greater(t, <-written, entries/10)
	got, err := m.GetAll(ctx, keys...)
	require.NoError(t, err)
	require.Equal(t, all, got)
}

// A member is lite by its file or by its flag: it holds nothing, whatever there is to hold, and calls go through it as through every other.
func TestLiteProcess(t *testing.T) {
	t.Parallel()
	binary, err := exec.LookPath("grid")
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cl, err := proc.Start(ctx, proc.Config{Binary: binary, Members: 1, Partitions: 3})
	require.NoError(t, err)
	t.Cleanup(func() { _ = cl.Close() })
	dir, env := scratch(t)
	file := filepath.Join(dir, "lite.yaml")
	require.NoError(t, os.WriteFile(file, []byte("member: {lite: true}\n"), 0o600))
	for name, how := range map[string]string{"file": "--config=" + file, "flag": "--lite"} {
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(freePort(t)))
		lite := start(t, env, "start", how, "--name", name, "--listen", addr, "--data-dir", filepath.Join(dir, name), "--join", cl.Addr(0))
		require.Equal(t, addr, lite.line())
		through := append(env, "GRID_SERVER="+addr)
		require.Empty(t, output(t, through, "map", "set", "words", name, "word"))
		require.Equal(t, "word", output(t, through, "map", "get", "words", name))
		var balance struct {
			ReplicasMin int `json:"replicas_min"`
			ReplicasMax int `json:"replicas_max"`
		}
		require.NoError(t, json.Unmarshal([]byte(output(t, through, "cluster", "rebalance", "-o", "json")), &balance))
		require.Equal(t, [2]int{3, 3}, [2]int{balance.ReplicasMin, balance.ReplicasMax}, "of the one that may hold any")
		list := partitions(t, through)
		require.Len(t, list, 3)
		for _, p := range list {
			require.Len(t, p.Replicas, 1)
			require.Equal(t, p.Replicas[0], p.Owner)
		}
		lite.interrupt(syscall.SIGTERM)
		code, _ := lite.end()
		require.Equal(t, 0, code, lite.stderr.String())
	}
}

// Three processes are killed and all come back from their directories at other addresses, told the new ones, and without names of their
// own. The first waits, and says for whom; when the others come they are the same cluster.
func TestProcessesAtOtherAddresses(t *testing.T) {
	t.Parallel()
	dir, env := scratch(t)
	var addrs []string
	for _, port := range freePorts(t, 6) {
		addrs = append(addrs, net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	}
	processes := make([]*running, 3)
	run := func(i int, addr string, join []string) {
		processes[i] = start(t, env, "start", "--listen", addr, "--data-dir", filepath.Join(dir, strconv.Itoa(i)), "--expect", "3",
			"--join", strings.Join(join, ","), "--partitions", "6", "--log-level", "warn", "--log-format", "text")
	}
	cluster := func() (id string) {
		var status struct {
			ID    string `json:"id"`
			Ready int    `json:"ready"`
		}
		through := append(env, "GRID_SERVER="+strings.Join(addrs, ","))
		require.Eventually(t, func() bool {
			return json.Unmarshal([]byte(output(t, through, "cluster", "status", "-o", "json")), &status) == nil && status.Ready == 3
		}, patience, 100*time.Millisecond)
		return status.ID
	}
	old, moved := addrs[:3], addrs[3:]
	for i := range processes {
		run(i, old[i], old)
	}
	for i, p := range processes {
		require.Equal(t, old[i], p.line())
	}
	was := cluster()
	for _, p := range processes {
		p.interrupt(syscall.SIGKILL)
	}
	for _, p := range processes {
		p.end()
	}

	run(0, moved[0], moved)
	require.Eventually(t, func() bool { return strings.Contains(processes[0].stderr.String(), "waiting for other members") }, patience, 50*time.Millisecond)
	require.Contains(t, processes[0].stderr.String(), "a leader of the metadata group")
	run(1, moved[1], moved)
	run(2, moved[2], moved)
	for i, p := range processes {
		require.Equal(t, moved[i], p.line())
	}
	require.Equal(t, was, cluster())
}

// A directory of one cluster and a member of another to join: one line says which is which, and the process ends with 1.
func TestJoinAddressOfAnotherCluster(t *testing.T) {
	dir, env := scratch(t)
	var addrs []string
	for _, port := range freePorts(t, 2) {
		addrs = append(addrs, net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	}
	x, y := filepath.Join(dir, "x"), filepath.Join(dir, "y")
	first := start(t, env, "start", "--listen", addrs[0], "--data-dir", x, "--partitions", "2")
	require.Equal(t, addrs[0], first.line())
	first.interrupt(syscall.SIGTERM)
	code, _ := first.end()
	require.Equal(t, 0, code)
	other := start(t, env, "start", "--listen", addrs[1], "--data-dir", y, "--partitions", "2")
	require.Equal(t, addrs[1], other.line())
	line := refused(t, env, "start", "--listen", addrs[0], "--data-dir", x, "--join", addrs[1])
	for _, want := range []string{"another cluster", x, addrs[1], "use another data directory", "remove this one to join"} {
		require.Contains(t, line, want)
	}
}

// partition is what "grid cluster partitions" says of one.
type partition struct {
	Owner    string
	Replicas []string
}

func partitions(t *testing.T, env []string) (list []partition) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(output(t, env, "cluster", "partitions", "-o", "json")), &list))
	return list
}
