package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	taskexec "github.com/gridiron-io/gridiron/exec"
	"github.com/gridiron-io/gridiron/exec/builtin"
	"github.com/gridiron-io/gridiron/grid/gridtest"
)

// TestMain makes the test binary also be the command "grid", for scripts and for exec.Command.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"grid": main})
}

// TestScripts runs testdata/script against one cluster of three members. Scripts share it: each uses maps of its own.
func TestScripts(t *testing.T) {
	tasks := taskexec.NewRegistry()
	builtin.Register(tasks)
	cl := gridtest.New(t, 3, gridtest.WithRegistry(tasks), gridtest.WithPartitions(12))
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(env *testscript.Env) error {
			env.Setenv("GRID_SERVER", strings.Join(cl.Addrs(), ","))
			env.Setenv("XDG_STATE_HOME", filepath.Join(env.WorkDir, "state"))
			for _, name := range []string{"GRID_CLUSTER_NAME", "GRID_TIMEOUT", "GRID_CONFIG", "NO_COLOR"} {
				env.Setenv(name, "")
			}
			// Nobody listens on port 1.
			env.Setenv("NOBODY", "127.0.0.1:1")
			env.Setenv("ADDR0", cl.Addr(0))
			env.Setenv("ID0", cl.Member(0).ID())
			env.Setenv("LONGKEY", strings.Repeat("k", 64<<10))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits,
			"fails": fails,
		},
	})
}

// exits CODE COMMAND… runs a command that must exit with the code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND [ARG…]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// fails CODE COMMAND… is exits for a command that must fail as failures do: with one line on standard error that begins
// with "grid: ", and nothing on standard output.
func fails(ts *testscript.TestScript, neg bool, args []string) {
	exits(ts, neg, args)
	if out := ts.ReadFile("stdout"); out != "" {
		ts.Fatalf("a failure wrote to standard output: %q", out)
	}
	text := ts.ReadFile("stderr")
	if !strings.HasPrefix(text, "grid: ") || strings.Count(text, "\n") != 1 || !strings.HasSuffix(text, "\n") {
		ts.Fatalf("a failure is one line that begins with \"grid: \", not %q", text)
	}
}

// scratch returns a directory of the test's own and an environment in which commands write nowhere else.
func scratch(t *testing.T) (dir string, env []string) {
	t.Helper()
	dir = t.TempDir()
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "GRID_") {
			env = append(env, v)
		}
	}
	tmp := filepath.Join(dir, "tmp")
	if err := os.Mkdir(tmp, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir, append(env, "TMPDIR="+tmp, "HOME="+dir, "XDG_STATE_HOME="+filepath.Join(dir, "state"))
}
