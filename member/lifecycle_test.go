package member

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/member/internal/bootstrap"
	"github.com/gridiron-io/gridiron/member/porttest"
	"github.com/gridiron-io/gridiron/sdk"
)

func TestStartAndClose(t *testing.T) {
	t.Parallel()
	m := runningMember(t, Config{})
	users, err := sdk.OpenMap[string, int](m.Client(), "users")
	if err != nil {
		t.Fatal(err)
	}
	if err := users.Set(testContext(t), "a", 1); err != nil {
		t.Fatal(err)
	}
	if m.control.LetLead(testContext(t), m.metaView()) {
		t.Error("it finds another that could lead the metadata group") // Close would wait for that
	}
	dir := m.cfg.DataDir
	for range 2 { // the second does nothing
		if err := m.Close(testContext(t)); err != nil {
			t.Fatalf("close: %v", err)
		}
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the temporary directory %s is left: %v", dir, err)
	}
	for _, addr := range []string{m.Addr(), m.peerAddr()} {
		if nc, err := net.Dial("tcp", addr); err == nil {
			_ = nc.Close()
			t.Errorf("somebody still listens at %s", addr)
		}
	}
}

// A start that is given up at whatever moment leaves no goroutine (which TestMain sees to), no port and no temporary file.
func TestStartGivenUp(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	for _, after := range []time.Duration{0, time.Millisecond, 10 * time.Millisecond, 40 * time.Millisecond, 80 * time.Millisecond, 150 * time.Millisecond} {
		base := porttest.Addrs(t, 1)[0]
		ctx, cancel := context.WithTimeout(context.Background(), after)
		m, err := Start(ctx, Config{Settings: Settings{Listen: base, Partitions: 64, NoHTTP: true}})
		cancel()
		if err == nil {
			m.Kill() // it was faster
		} else if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("given up after %v: %v", after, err)
		}
		l, err := net.Listen("tcp", base)
		if err != nil {
			t.Errorf("given up after %v: the port is still taken: %v", after, err)
			continue
		}
		_ = l.Close()
		if left, _ := filepath.Glob(filepath.Join(tmp, "gridiron-*")); len(left) > 0 {
			t.Errorf("given up after %v: %v is left", after, left)
		}
	}
}

func TestStartGivenUpWhileItWaitsForOthers(t *testing.T) {
	t.Parallel()
	addrs := porttest.Addrs(t, 3)
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if _, err := Start(ctx, Config{Settings: Settings{Listen: addrs[0], Join: addrs, Expect: 3, NoHTTP: true}}); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("start without the others: %v", err)
	}
	canceled, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Start(canceled, Config{Settings: Settings{Listen: addrs[0], NoHTTP: true}}); !errors.Is(err, context.Canceled) {
		t.Fatalf("start under an ended context: %v", err)
	}
}

func TestPortInUse(t *testing.T) {
	t.Parallel()
	for offset, what := range map[int]string{0: "clients", peerOffset: "members", routeOffset: "NATS routes", httpOffset: "HTTP"} {
		base := porttest.Addrs(t, 1)[0]
		_, port, _ := net.SplitHostPort(base)
		var n int
		_, _ = fmt.Sscan(port, &n)
		taken := fmt.Sprintf("127.0.0.1:%d", n+offset)
		l, err := net.Listen("tcp", taken)
		if err != nil {
			t.Fatal(err)
		}
		_, err = Start(testContext(t), Config{Settings: Settings{Listen: base, Partitions: 4}})
		if !errors.Is(err, ErrPortInUse) || !strings.Contains(err.Error(), taken) || !strings.Contains(err.Error(), what) {
			t.Errorf("%s is taken: %v", taken, err)
		}
		_ = l.Close()
	}
}

func TestDataDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	m := runningMember(t, Config{Settings: Settings{DataDir: dir, Name: "m"}})
	id := m.ID()
	if _, err := Start(testContext(t), Config{Settings: Settings{DataDir: dir, NoHTTP: true}}); !errors.Is(err, bootstrap.ErrLocked) {
		t.Errorf("a directory that a running member holds: %v", err)
	}
	m.Kill()
	if _, err := Start(testContext(t), Config{Settings: Settings{DataDir: dir, ClusterName: "other", NoHTTP: true}}); !errors.Is(err, bootstrap.ErrOtherCluster) {
		t.Errorf("a directory of another cluster: %v", err)
	}
	again := runningMember(t, Config{Settings: Settings{DataDir: dir, Name: "m"}})
	if again.ID() != id {
		t.Errorf("the member came back as %v, it was %v", again.ID(), id)
	}
	again.Kill()
	if err := os.RemoveAll(filepath.Join(dir, "meta")); err != nil {
		t.Fatal(err)
	}
	_, err := Start(testContext(t), Config{Settings: Settings{DataDir: dir, NoHTTP: true}})
	if !errors.Is(err, ErrDataDir) || !strings.Contains(err.Error(), dir) {
		t.Errorf("a directory without its metadata: %v", err)
	}
}

func TestDamagedFilesOfTheDirectory(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"meta-replica", "peers"} {
		dir := t.TempDir()
		m := runningMember(t, Config{Settings: Settings{DataDir: dir}})
		m.Kill()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte{1, 2, 3}, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Start(testContext(t), Config{Settings: Settings{DataDir: dir, NoHTTP: true}}); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("with a damaged %s: %v", name, err)
		}
	}
}

// Kill while a Close waits for something ends the waiting.
func TestKillHurriesClose(t *testing.T) {
	t.Parallel()
	m := runningMember(t, Config{})
	c := connected(t, m)
	// A call that nobody answers: the drain would wait for it.
	stuck := m.server.Connections()
	for _, cn := range stuck {
		if cn.Hello().Client == c.id {
			cn.Hold(1)
		}
	}
	closed := make(chan struct{})
	began := time.Now()
	go func() {
		defer close(closed)
		_ = m.Close(context.Background())
	}()
	eventually(t, "Close to begin", m.isClosing)
	m.Kill()
	<-closed
	if took := time.Since(began); took > drainFor/2 {
		t.Errorf("Close under a Kill took %v", took)
	}
}
