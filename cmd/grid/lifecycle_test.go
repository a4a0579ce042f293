package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
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

	"github.com/gridiron-io/gridiron/grid/gridtest"
	"github.com/gridiron-io/gridiron/member/porttest"
)

// patience bounds how long a run of the binary may take.
const patience = 4 * time.Minute

// running is a run of the binary in the background.
type running struct {
	t      *testing.T
	cmd    *exec.Cmd
	lines  chan string // of standard output; closed at its end
	stderr said
}

// said is what a run has written to standard error so far.
type said struct {
	mu  sync.Mutex // guards the following
	buf bytes.Buffer
}

func (s *said) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.Write(b)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}

// start runs the binary with an environment. It is killed with the test unless it has ended.
func start(t *testing.T, env []string, args ...string) *running {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	r := &running{t: t, cmd: exec.CommandContext(ctx, "grid", args...), lines: make(chan string, 100)}
	r.cmd.Env, r.cmd.Stderr = env, &r.stderr
	out, err := r.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, r.cmd.Start())
	go func() { // ends with the output, that is, with the run
		defer close(r.lines)
		for in := bufio.NewScanner(out); in.Scan(); {
			r.lines <- in.Text()
		}
	}()
	t.Cleanup(func() {
		cancel()
		for range r.lines { // until the output ends
		}
		_ = r.cmd.Wait()
	})
	return r
}

// line returns the next line of standard output.
func (r *running) line() string {
	r.t.Helper()
	line, ok := <-r.lines
	if !ok {
		_ = r.cmd.Wait()
		r.t.Fatalf("grid %v has ended: %s", r.cmd.Args[1:], r.stderr.String())
	}
	return line
}

// interrupt sends a signal.
func (r *running) interrupt(s os.Signal) {
	r.t.Helper()
	require.NoError(r.t, r.cmd.Process.Signal(s))
}

// end waits for the end of the run and returns its exit code and the lines of its standard output that are left.
func (r *running) end() (code int, rest []string) {
	r.t.Helper()
	for line := range r.lines {
		rest = append(rest, line)
	}
	if err := r.cmd.Wait(); err != nil {
		exit, ok := errors.AsType[*exec.ExitError](err)
		require.True(r.t, ok, "%v", err)
		return exit.ExitCode(), rest
	}
	return 0, rest
}

// output runs the binary to its end and returns its standard output.
func output(t *testing.T, env []string, args ...string) string {
	t.Helper()
	cmd := exec.Command("grid", args...)
	cmd.Env = env
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return strings.TrimSuffix(string(out), "\n")
}

// refused runs the binary, which must fail with 1 and say nothing on standard output. It returns the one line of its
// failure; logs may come before.
func refused(t *testing.T, env []string, args ...string) string {
	t.Helper()
	return refusedWith(t, 1, env, args...)
}

// refusedWith is refused for another exit code.
func refusedWith(t *testing.T, want int, env []string, args ...string) string {
	t.Helper()
	r := start(t, env, args...)
	code, rest := r.end()
	require.Equal(t, want, code, "%s", r.stderr.String())
	require.Empty(t, rest)
	lines := strings.Split(strings.TrimSuffix(r.stderr.String(), "\n"), "\n")
	last := lines[len(lines)-1]
	require.True(t, strings.HasPrefix(last, "grid: "), "%q", last)
	return last
}

// freePort returns a base port that is the test's to the end, as are the next two, porttest.Apart from each other.
func freePort(t *testing.T) int {
	t.Helper()
	return freePorts(t, 3)[0]
}

// freePorts returns base ports that are the test's to the end.
func freePorts(t *testing.T, n int) (list []int) {
	t.Helper()
	for _, addr := range porttest.Addrs(t, n) {
		_, port, err := net.SplitHostPort(addr)
		require.NoError(t, err)
		base, err := strconv.Atoi(port)
		require.NoError(t, err)
		list = append(list, base)
	}
	return list
}

// A member serves, keeps others off its ports and its directory, leaves at SIGTERM, and knows its directory again.
func TestStart(t *testing.T) {
	t.Parallel()
	dir, env := scratch(t)
	port := freePort(t)
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	file := filepath.Join(dir, "grid.yaml")
	require.NoError(t, os.WriteFile(file, []byte("cluster: {name: shop, partitions: 3}\nmember: {name: nobody, zone: z1, tags: {rack: r7}}\nlisten: {port: "+strconv.Itoa(port)+"}\n"), 0o600))
	env = append(env, "GRID_CONFIG="+file, "GRID_MEMBER_NAME=m1")

	m := start(t, env, "start", "--zone", "z2")
	require.Equal(t, addr, m.line())
	// Nobody says which cluster it must be: it is the one that is there.
	client := append(env, "GRID_SERVER="+addr, "GRID_CONFIG=")
	require.Equal(t, "", output(t, client, "map", "set", "users", "alice", "1"))
	require.Equal(t, "1", output(t, client, "map", "get", "users", "alice"))
	members := output(t, client, "cluster", "members", "-o", "json")
	require.Contains(t, members, `"name":"m1","addr":"`+addr+`","zone":"z2","tags":{"rack":"r7"},"state":"ready"`)

	// One member tolerates the loss of none.
	safe := start(t, client, "cluster", "safe", "-o", "json")
	code, out := safe.end()
	require.Equal(t, 4, code)
	require.Equal(t, []string{`{"safe":true,"tolerates":0}`}, out)
	require.Equal(t, "grid: cluster \"shop\" with 1 members cannot lose a member without an outage; add members\n", safe.stderr.String())

	line := refusedWith(t, 2, append(client, "GRID_CLUSTER_NAME=grid"), "map", "get", "users", "alice")
	require.Contains(t, line, `this is cluster "shop", not "grid" as GRID_CLUSTER_NAME says, in place of --cluster-name`)
	line = refusedWith(t, 2, append(env, "GRID_CLUSTER_NMAE=shop"), "start")
	require.Contains(t, line, "unknown variable GRID_CLUSTER_NMAE in the environment; did you mean GRID_CLUSTER_NAME?")
	line = refusedWith(t, 2, append(env, "GRID_HOME=/opt"), "start")
	require.Contains(t, line, "unknown variable GRID_HOME")
	line = refusedWith(t, 2, env, "start", "--listen", "0.0.0.0:0")
	require.Contains(t, line, "--insecure")

	// Its default directory is its name's, and is held.
	held := filepath.Join(dir, "state", "gridiron", "shop", "m1")
	require.DirExists(t, held)
	line = refused(t, env, "start", "--listen", "127.0.0.1:0")
	require.Contains(t, line, held)
	require.Contains(t, line, "is held by a running member")
	line = refused(t, env, "start", "--data-dir", filepath.Join(dir, "other"))
	require.Contains(t, line, "port in use: "+addr+", wanted for clients")

	m.interrupt(syscall.SIGTERM)
	code, out = m.end()
	require.Equal(t, 0, code, "%s", m.stderr.String())
	require.Empty(t, out, "nothing but the address is printed")
	require.Contains(t, m.stderr.String(), `"msg":"leaving the cluster"`, "logs go to standard error, as JSON where that is no terminal")

	line = refused(t, env, "start", "--cluster-name", "other", "--data-dir", held)
	require.Contains(t, line, `belongs to cluster "shop", not to "other"`)
}

// A start that waits for others ends at the first signal, with the code of an interrupt.
func TestStartInterrupted(t *testing.T) {
	t.Parallel()
	dir, env := scratch(t)
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(freePort(t)))
	m := start(t, env, "start", "--listen", addr, "--join", addr+",127.0.0.1:1,127.0.0.1:2", "--expect", "3", "--data-dir", filepath.Join(dir, "d"))
	require.Eventually(t, func() bool { // it listens, so it handles signals
		c, err := net.Dial("tcp", addr)
		return err == nil && c.Close() == nil
	}, patience, 5*time.Millisecond)
	m.interrupt(os.Interrupt)
	code, out := m.end()
	require.Equal(t, 130, code, "%s", m.stderr.String())
	require.Empty(t, out)
	require.True(t, strings.HasSuffix(m.stderr.String(), "grid: interrupted\n"), "%s", m.stderr.String())
}

// A development cluster prints its members' addresses, serves, and leaves no file behind.
func TestDev(t *testing.T) {
	t.Parallel()
	dir, env := scratch(t)
	base := freePort(t)
	d := start(t, env, "dev", "--listen", net.JoinHostPort("127.0.0.1", strconv.Itoa(base)), "--partitions", "3", "--cluster-name", "dev")
	var addrs []string
	for i := range 3 {
		addrs = append(addrs, d.line())
		require.Equal(t, net.JoinHostPort("127.0.0.1", strconv.Itoa(base+10*i)), addrs[i])
	}
	client := append(env, "GRID_SERVER="+strings.Join(addrs, ","), "GRID_CLUSTER_NAME=dev")
	for i, addr := range addrs {
		require.Contains(t, output(t, client, "cluster", "members", "--server", addr, "-o", "json"), `"name":"m`+strconv.Itoa(i+1)+`","addr":"`+addr+`"`)
	}
	require.NotEmpty(t, entriesOf(t, filepath.Join(dir, "tmp")))

	d.interrupt(os.Interrupt)
	code, out := d.end()
	require.Equal(t, 0, code, "%s", d.stderr.String())
	require.Empty(t, out)
	require.Empty(t, entriesOf(t, filepath.Join(dir, "tmp")), "files are left")
	for _, addr := range addrs {
		l, err := net.Listen("tcp", addr)
		require.NoError(t, err, "a port is left")
		require.NoError(t, l.Close())
	}
}

func entriesOf(t *testing.T, dir string) []os.DirEntry {
	t.Helper()
	list, err := os.ReadDir(dir)
	require.NoError(t, err)
	return list
}

// The story is told to its end, and every step of it came true.
func TestDemo(t *testing.T) {
	t.Parallel()
	dir, env := scratch(t)
	d := start(t, env, "demo")
	code, out := d.end()
	require.Equal(t, 0, code, "%s\n%s", strings.Join(out, "\n"), d.stderr.String())
	text := strings.Join(out, "\n")
	for _, want := range []string{
		"3. Listen to changes", "heard [ADDED UPDATED REMOVED ADDED EXPIRED], in this order",
		"4. Read from a copy", "hits: 1, without any call", "the copy was dropped, and the next read found 4", "m3 is dead",
		"all 10000 entries are there", "10000 entries written again and read back", "nothing is left of it",
	} {
		require.Contains(t, text, want)
	}
	require.Empty(t, d.stderr.String())
	require.Empty(t, entriesOf(t, filepath.Join(dir, "tmp")), "files are left")
}

// watch prints a document for each change, goes on where a token says, and ends with 130 when it is interrupted.
func TestWatch(t *testing.T) {
	t.Parallel()
	cl := gridtest.New(t, 1, gridtest.WithPartitions(3))
	_, env := scratch(t)
	env = append(env, "GRID_SERVER="+cl.Addr(0))

	w := start(t, env, "map", "watch", "w", "-o", "json")
	// Nothing tells when it has begun but its first event: a probe is changed until there is one.
	begun := make(chan string)
	go func() {
		line := w.line()
		begun <- line
	}()
	var event string
	for probes := 0; event == ""; probes++ {
		output(t, env, "map", "set", "w", "probe", strconv.Itoa(probes))
		select {
		case event = <-begun:
		default:
		}
	}
	require.Contains(t, event, `"key":"probe"`)
	output(t, env, "map", "set", "w", "k", `{"a":1}`)
	output(t, env, "map", "set", "w", "k", "2")
	output(t, env, "map", "delete", "w", "k")

	next := func() string { // of key k
		for {
			if line := w.line(); strings.Contains(line, `"key":"k"`) {
				return line
			}
		}
	}
	const rest = `,"version":[0-9]+,"time":"20[0-9-]+T[0-9:.]+Z","token":"[^"]+"\}$`
	added := next()
	require.Regexp(t, `^\{"kind":"ADDED","key":"k","old":null,"new":\{"a":1\}`+rest, added)
	updated := next()
	require.Regexp(t, `^\{"kind":"UPDATED","key":"k","old":\{"a":1\},"new":2`+rest, updated)
	require.Regexp(t, `^\{"kind":"REMOVED","key":"k","old":2,"new":null`+rest, next())
	w.interrupt(os.Interrupt)
	code, _ := w.end()
	require.Equal(t, 130, code)
	require.Equal(t, "grid: interrupted\n", w.stderr.String())

	// From the token of ADDED on, UPDATED comes next, though it happened before.
	token := added[strings.LastIndex(added, `"token":"`)+len(`"token":"`):]
	again := start(t, env, "map", "watch", "w", "--from", strings.TrimSuffix(token, `"}`), "--without-values", "-o", "csv")
	require.Equal(t, "kind,key,old,new,version,time,token", again.line())
	require.Regexp(t, `^UPDATED,k,,,[0-9]+,`, again.line())
	require.Regexp(t, `^REMOVED,k,,,[0-9]+,`, again.line())
	again.interrupt(syscall.SIGTERM)
	code, _ = again.end()
	require.Equal(t, 130, code)
}
