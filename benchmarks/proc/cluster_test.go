package proc_test

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/gridiron-io/gridiron/benchmarks/internal/standin"
	"github.com/gridiron-io/gridiron/benchmarks/proc"
	"github.com/gridiron-io/gridiron/sdk"
)

// put writes a key and reads it back through a client of its own.
func put(t *testing.T, cl *proc.Cluster, key string) {
	t.Helper()
	client, err := sdk.Connect(t.Context(), cl.Addrs())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	m, err := sdk.OpenMap[string, string](client, "proc")
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Set(t.Context(), key, key); err != nil {
		t.Fatal(err)
	}
	if v, ok, err := m.Get(t.Context(), key); v != key || !ok || err != nil {
		t.Fatalf("Get = %q, %v, %v, want %q", v, ok, err, key)
	}
}

// alive reports whether there is a process, by the null signal.
func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

func TestThreeMembersServeWhileOneIsKilled(t *testing.T) {
	t.Parallel()
	cl := start(t, proc.Config{Members: 3, Partitions: 8})
	pids := cl.PIDs()
	if len(pids) != 3 || pids[0] == pids[1] || slices.Contains(pids, os.Getpid()) {
		t.Fatalf("PIDs = %v, want those of three other processes than %d", pids, os.Getpid())
	}
	put(t, cl, "before")
	if err := cl.Kill(1); err != nil {
		t.Fatal(err)
	}
	if alive(pids[1]) {
		t.Errorf("process %d is there after Kill", pids[1])
	}
	if got, want := cl.PIDs(), []int{pids[0], pids[2]}; !slices.Equal(got, want) {
		t.Errorf("PIDs after Kill(1) = %v, want %v", got, want)
	}
	put(t, cl, "after")
}

func TestMemberThatIsGone(t *testing.T) {
	t.Parallel()
	cl := start(t, proc.Config{Partitions: 2})
	pid, err := cl.PID(0)
	if err != nil || !alive(pid) {
		t.Fatalf("PID = %d, %v", pid, err)
	}
	exited := cl.Exited(0)
	select {
	case <-exited:
		t.Fatal("Exited is closed while the member runs")
	default:
	}
	if err := cl.Signal(0, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-exited
	if _, err := cl.PID(0); !errors.Is(err, proc.ErrNotRunning) {
		t.Errorf("PID: %v", err)
	}
	for name, err := range map[string]error{"Kill": cl.Kill(0), "Stop": cl.Stop(t.Context(), 0), "Signal": cl.Signal(0, syscall.SIGTERM),
		"Kill(-1)": cl.Kill(-1), "Kill(1)": cl.Kill(1), "Restart(1)": cl.Restart(t.Context(), 1)} {
		if !errors.Is(err, proc.ErrNotRunning) {
			t.Errorf("%s: %v, want ErrNotRunning", name, err)
		}
	}
	if pids := cl.PIDs(); len(pids) != 0 {
		t.Errorf("PIDs = %v, want none", pids)
	}
}

func TestStopLetsAMemberLeave(t *testing.T) {
	t.Parallel()
	cl := start(t, proc.Config{Partitions: 2})
	if err := cl.Stop(t.Context(), 0); err != nil {
		t.Fatalf("a member that obeys: %v", err)
	}
}

func TestStopKillsWhoDoesNotObey(t *testing.T) {
	t.Parallel()
	cl := start(t, proc.Config{Partitions: 2})
	pid, err := cl.PID(0)
	if err != nil {
		t.Fatal(err)
	}
	if err := cl.Signal(0, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := cl.Stop(ctx, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("Stop: %v, want the context's error", err)
	}
	if alive(pid) {
		t.Errorf("process %d is there after Stop", pid)
	}
}

func TestRestartKeepsTheAddress(t *testing.T) {
	t.Parallel()
	cl := start(t, proc.Config{Partitions: 2})
	addr := cl.Addr(0)
	before, err := cl.PID(0)
	if err != nil {
		t.Fatal(err)
	}
	if err := cl.Restart(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	after, err := cl.PID(0)
	if err != nil {
		t.Fatal(err)
	}
	if before == after || alive(before) {
		t.Errorf("process %d after process %d, which is still there: %v", after, before, alive(before))
	}
	if cl.Addr(0) != addr || !slices.Equal(cl.Addrs(), []string{addr}) {
		t.Errorf("Addrs = %v, want %s", cl.Addrs(), addr)
	}
	put(t, cl, "again")
	logs, err := cl.Logs(0)
	if err != nil || logs == "" {
		t.Errorf("Logs = %q, %v", logs, err)
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	cl := start(t, proc.Config{Partitions: 2})
	pids := cl.PIDs()
	if err := cl.Signal(0, syscall.SIGSTOP); err != nil { // obeys SIGKILL alone
		t.Fatal(err)
	}
	if err := cl.Close(); err != nil {
		t.Fatal(err)
	}
	if alive(pids[0]) {
		t.Errorf("process %d is there after Close", pids[0])
	}
	if left, err := os.ReadDir(os.Getenv("TMPDIR")); err != nil || len(left) > 0 {
		t.Errorf("files left: %v, %v", left, err)
	}
	if err := cl.Close(); err != nil {
		t.Errorf("a second Close: %v", err)
	}
	if err := cl.Restart(t.Context(), 0); err == nil {
		t.Error("Restart after Close succeeds")
	}
}

func TestDirStays(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cl := start(t, proc.Config{Partitions: 2, Dir: dir})
	if err := cl.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"m0", "m0.log"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
}

func TestStartFails(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	fails := func(name, want string, cfg proc.Config) error {
		t.Helper()
		cl, err := proc.Start(t.Context(), cfg)
		if err == nil {
			_ = cl.Close()
			t.Fatalf("%s: starts", name)
		}
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q in it", name, err, want)
		}
		if left, err := os.ReadDir(os.Getenv("TMPDIR")); err != nil || len(left) > 0 {
			t.Errorf("%s: files left: %v, %v", name, left, err)
		}
		return err
	}
	self, env := executable(t), standin.Env()
	if err := fails("no binary", "grid-not-here", proc.Config{Binary: "/grid-not-here"}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v, want ErrNotExist", err)
	}
	err := fails("an unknown flag", "its last words: flag provided but not defined: -frobnicate",
		proc.Config{Binary: self, Env: env, Members: 2, Args: []string{"-frobnicate"}})
	if exit := new(exec.ExitError); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("%v, want exit status 1", err)
	}
	fails("a program that ends well", "exit status 0", proc.Config{Binary: "/bin/true"})
	fails("a program that prints another line", `printed "start --name m0`, proc.Config{Binary: "/bin/echo"})
	err = fails("all that is wrong", "no binary", proc.Config{Members: 17, Partitions: -1, Replicas: -1, StopTimeout: -1})
	for _, want := range []string{"members 17", "partitions -1", "replicas -1", "stop timeout -1ns"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q in it", err, want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := proc.Start(ctx, proc.Config{Binary: self, Env: env}); !errors.Is(err, context.Canceled) {
		t.Errorf("start under a context that has ended: %v", err)
	}
}

func TestEnvironmentOfTheCallerDoesNotConfigureMembers(t *testing.T) {
	t.Setenv("GRID_LISTEN", "127.0.0.1:1")
	t.Setenv("GRIDIRON_OTHER", "kept")
	dir := t.TempDir()
	script := filepath.Join(dir, "env")
	if err := os.WriteFile(script, []byte("#!/bin/sh\nenv >&2\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := proc.Start(t.Context(), proc.Config{Binary: script, Dir: dir, Env: []string{"GRID_NAME=given"}}); err == nil {
		t.Fatal("a script that only prints its environment starts")
	}
	b, err := os.ReadFile(filepath.Join(dir, "m0.log"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(b), "\n")
	if slices.Contains(lines, "GRID_LISTEN=127.0.0.1:1") {
		t.Error("GRID_LISTEN reached the member")
	}
	for _, want := range []string{"GRID_NAME=given", "GRIDIRON_OTHER=kept"} {
		if !slices.Contains(lines, want) {
			t.Errorf("%s did not reach the member", want)
		}
	}
}

func TestPortsAreApart(t *testing.T) {
	t.Parallel()
	a, b := start(t, proc.Config{Partitions: 2}), start(t, proc.Config{Partitions: 2})
	if a.Addr(0) == b.Addr(0) {
		t.Errorf("two clusters at %s", a.Addr(0))
	}
	for _, cl := range []*proc.Cluster{a, b} {
		conn, err := net.Dial("tcp", cl.Addr(0))
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.Close()
	}
}

func TestAddedMemberJoins(t *testing.T) {
	t.Parallel()
	cl := start(t, proc.Config{Partitions: 2})
	i, err := cl.Add(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if i != 1 || len(cl.Addrs()) != 2 || cl.Addr(0) == cl.Addr(1) || len(cl.PIDs()) != 2 {
		t.Errorf("member %d of %v, which run as %v", i, cl.Addrs(), cl.PIDs())
	}
	client, err := sdk.Connect(t.Context(), []string{cl.Addr(1)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	if members, err := client.Members(t.Context()); err != nil || len(members) != 2 {
		t.Errorf("members %+v, %v, want two", members, err)
	}
	if err := cl.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := cl.Add(t.Context()); err == nil {
		t.Error("Add after Close succeeds")
	}
}
