package main

import (
	"context"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	taskexec "github.com/gridiron-io/gridiron/exec"
	"github.com/gridiron-io/gridiron/exec/builtin"
	"github.com/gridiron-io/gridiron/grid"
	"github.com/gridiron-io/gridiron/grid/gridtest"
	"github.com/gridiron-io/gridiron/sdk"
)

// TestMain makes the test binary also be the command "grid", for scripts and for exec.Command.
func TestMain(m *testing.M) {
	// The tests wait for most of their time: more run side by side than there are processors, unless told otherwise.
	_ = flag.Set("test.parallel", "8")
	testscript.Main(m, map[string]func(){"grid": main})
}

// TestScripts runs testdata/script against one cluster of three members. Scripts share it: each uses maps of its own.
func TestScripts(t *testing.T) {
	t.Parallel()
	tasks := taskexec.NewRegistry()
	builtin.Register(tasks)
	cl := gridtest.New(t, 3, gridtest.WithRegistry(tasks), gridtest.WithPartitions(12), gridtest.WithConfig(func(i int, cfg *grid.Config) {
		switch i { // the member 0 has no tags
		case 1:
			cfg.Tags = map[string]string{"rack": "r1"}
		case 2:
			cfg.Tags = map[string]string{"rack": "r1", "os:arch": "arm64"}
		}
	}))
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

// TestClusterScripts runs testdata/cluster, each script against three members of its own, m0 to m2, that it may end and start.
func TestClusterScripts(t *testing.T) {
	t.Parallel()
	eachMember := func(do func(cl *gridtest.Cluster, i int)) func(*testscript.TestScript, bool, []string) {
		return func(ts *testscript.TestScript, neg bool, args []string) {
			if neg || len(args) != 1 {
				ts.Fatalf("usage: COMMAND MEMBER")
			}
			i, err := strconv.Atoi(args[0])
			ts.Check(err)
			do(ts.Value(clusterKey{}).(*gridtest.Cluster), i)
		}
	}
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "cluster"),
		Setup: func(env *testscript.Env) error {
			cl := gridtest.New(env.T().(testing.TB), 3, gridtest.WithPartitions(6))
			env.Values[clusterKey{}] = cl
			env.Setenv("GRID_SERVER", strings.Join(cl.Addrs(), ","))
			env.Setenv("ID1", cl.Member(1).ID())
			for _, name := range []string{"GRID_CLUSTER_NAME", "GRID_TIMEOUT", "GRID_CONFIG", "NO_COLOR"} {
				env.Setenv(name, "")
			}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":          exits,
			"fails":          fails,
			"member-kill":    eachMember((*gridtest.Cluster).Kill),
			"member-stop":    eachMember((*gridtest.Cluster).Stop),
			"known":          known,
			"until-not":      untilNot,
			"suspect":        suspect,
			"led":            led,
			"member-restart": eachMember(func(cl *gridtest.Cluster, i int) { cl.Restart(i) }),
		},
	})
}

// known N waits until all members that run know of so many.
func known(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: known N")
	}
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	untilAll(ts, func(members []sdk.Member) bool { return len(members) == n })
}

// until-not PATTERN COMMAND… runs a command until its output does not match: a member that is busy answers with what it knows.
func untilNot(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: until-not PATTERN COMMAND [ARG…]")
	}
	pattern, err := regexp.Compile(args[0])
	ts.Check(err)
	for until := time.Now().Add(2 * time.Minute); ; {
		ts.Check(ts.Exec(args[1], args[2:]...))
		out := ts.ReadFile("stdout")
		if !pattern.MatchString(out) {
			return
		}
		if time.Now().After(until) {
			ts.Fatalf("it still says %s", out)
		}
	}
}

// suspect MEMBER waits until all members that run find one silent that does not.
func suspect(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: suspect MEMBER")
	}
	untilAll(ts, func(members []sdk.Member) bool {
		return slices.ContainsFunc(members, func(m sdk.Member) bool { return m.Name == args[0] && m.State == sdk.MemberSuspect })
	})
}

// led waits until some member leads the metadata, as all see it.
func led(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: led")
	}
	cl := ts.Value(clusterKey{}).(*gridtest.Cluster)
	until := time.Now().Add(2 * time.Minute)
	for agree := 0; agree < 2*cl.Size(); agree++ {
		status, err := cl.Client().Cluster(context.Background())
		if err == nil && status.MetadataLed {
			continue
		}
		if agree = -1; time.Now().After(until) {
			ts.Fatalf("nobody leads: %+v, %v", status, err)
		}
	}
}

// untilAll waits until every member that runs knows the members as look wants them: the client asks them in turn.
func untilAll(ts *testscript.TestScript, look func([]sdk.Member) bool) {
	cl := ts.Value(clusterKey{}).(*gridtest.Cluster)
	until := time.Now().Add(2 * time.Minute)
	for agree := 0; agree < 2*cl.Size(); {
		members, err := cl.Client().Members(context.Background())
		if err == nil && look(members) {
			agree++
			continue
		}
		if agree = 0; time.Now().After(until) {
			ts.Fatalf("the members are %+v, %v", members, err)
		}
	}
}

// clusterKey is where a script finds its cluster.
type clusterKey struct{}

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
