package member

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/member/internal/harness"
	"github.com/gridiron-io/gridiron/member/porttest"
	"github.com/gridiron-io/gridiron/partition"
	"github.com/gridiron-io/gridiron/sdk"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// statusOf waits until a member says of the cluster what is wanted.
func statusOf(t *testing.T, m *Member, what string, want func(st *wire.Status) bool) {
	t.Helper()
	var st wire.Status
	eventually(t, what, func() bool {
		st = m.status()
		return want(&st)
	})
	if st.Safe != (st.Unavailable == 0 && st.UnderReplicated == 0 && st.Moves == 0) {
		t.Errorf("%s: %+v contradicts itself", what, st)
	}
}

func TestStatus(t *testing.T) {
	t.Parallel()
	t.Run("1 member", func(t *testing.T) {
		m := runningMember(t, Config{Settings: Settings{Partitions: 4}})
		statusOf(t, m, "a single member", func(st *wire.Status) bool {
			return st.State == "active" && st.Safe && st.Tolerates == 0 && st.Members == 1 && st.Ready == 1 && st.Replicas == 1 && st.Partitions == 4
		})
	})
	t.Run("2 members", func(t *testing.T) {
		ms := runningMembers(t, 2, nil)
		statusOf(t, ms[0], "two members", func(st *wire.Status) bool {
			return st.State == "active" && st.Safe && st.Tolerates == 0 && st.Members == 2 && st.Ready == 2 && st.Replicas == 2
		})
		ms[1].Kill()
		statusOf(t, ms[0], "one of two killed", func(st *wire.Status) bool {
			return st.State == "unavailable" && !st.Safe && st.Tolerates == 0 && st.Members == 2 && st.Ready == 1 && st.Unavailable == 6
		})
	})
	t.Run("3 members", func(t *testing.T) {
		ms := runningMembers(t, 3, nil)
		statusOf(t, ms[0], "three members", func(st *wire.Status) bool {
			return st.State == "active" && st.Safe && st.Tolerates == 1 && st.Members == 3 && st.Ready == 3 && st.Replicas == 3
		})
		ms[2].Kill()
		statusOf(t, ms[0], "one of three killed", func(st *wire.Status) bool {
			return st.State == "degraded" && !st.Safe && st.Tolerates == 0 && st.Members == 3 && st.Ready == 2 && st.UnderReplicated == 6 && st.Unavailable == 0
		})
		ms[1].Kill()
		statusOf(t, ms[0], "two of three killed", func(st *wire.Status) bool {
			return st.State == "unavailable" && st.Unavailable == 6 && st.Ready == 1 && st.Tolerates == 0
		})
		if v := ms[0].views.Table(); len(v.Members) != 3 {
			t.Errorf("the view has %d members", len(v.Members))
		}
		eventually(t, "the dead to be shown as suspect", func() bool {
			n := 0
			for _, mb := range ms[0].views.Table().Members {
				if mb.State == string(sdk.MemberSuspect) {
					n++
				}
			}
			return n == 2
		})
	})
}

// After the same operations all replicas are the same, byte for byte. Removals by predicate are among them, also of values that no predicate
// can read.
func TestReplicasAgree(t *testing.T) {
	t.Parallel()
	ms := runningMembers(t, 3, nil)
	ctx := testContext(t)
	m, err := sdk.OpenMap[int, []byte](ms[0].Client(), "m")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 200 {
				k := (w*200 + i) % 150
				var err error
				if i%50 == 49 {
					where := [...]string{"this > X'07' AND __key < 20", "this.a[any] = 1 OR __key = 7", "NOT this = X''", "__key >= 100"}[i/50]
					if _, err := m.RemoveAll(ctx, sdk.SQL(where)); err != nil {
						t.Error(err)
					}
				}
				switch i % 5 {
				case 0:
					_, err = m.Delete(ctx, k)
				case 1:
					err = m.Set(ctx, k, []byte{byte(i)}, sdk.WithTTL(time.Duration(i)*time.Millisecond))
				case 2:
					_, err = m.SetTTL(ctx, k, time.Hour)
				default:
					_, _, err = m.Put(ctx, k, make([]byte, i))
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	hash := func(m *Member, p int) (h uint64, index uint64) {
		m.host.Inspect(p, func(pm partition.Machine) {
			h = pm.Hash()
			st, _ := m.host.Status(p)
			index = st.Applied
		})
		return h, index
	}
	for p := range 6 {
		eventually(t, fmt.Sprintf("the replicas of partition %d to agree", p), func() bool {
			h0, i0 := hash(ms[0], p)
			h1, i1 := hash(ms[1], p)
			h2, i2 := hash(ms[2], p)
			if i0 != i1 || i1 != i2 {
				return false // not yet at the same place of the log
			}
			if h0 != h1 || h1 != h2 {
				t.Fatalf("partition %d at index %d: %x, %x, %x", p, i0, h0, h1, h2)
			}
			return true
		})
	}
}

// A member that leaves in good order gives up what it owns: nobody waits for a time-out, nobody meets an error.
func TestLeaving(t *testing.T) {
	t.Parallel()
	ms := runningMembers(t, 3, nil)
	ctx := testContext(t)
	c, err := sdk.Connect(ctx, []string{ms[0].Addr(), ms[1].Addr()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	m, err := sdk.OpenMap[int, int](c, "m")
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				if err := m.Set(ctx, w*1000+i%50, i); err != nil {
					t.Errorf("set: %v", err)
				}
			}
		})
	}
	if err := ms[2].Close(ctx); err != nil {
		t.Errorf("close: %v", err)
	}
	eventually(t, "the others to know", func() bool {
		mb := ms[0].metaView().Member(ms[2].ID())
		return mb != nil && !mb.Live()
	})
	statusOf(t, ms[0], "every partition to be owned again", func(st *wire.Status) bool { return st.Unavailable == 0 && st.Members == 2 })
	close(stop)
	wg.Wait()
}

// A directory that the cluster knows to have been started later is an old copy: nothing is started from it.
func TestOldCopyOfADirectory(t *testing.T) {
	t.Parallel()
	dirs := make([]string, 3)
	configs := make([]Config, 3)
	ms := runningMembers(t, 3, func(i int, cfg *Config) { dirs[i], configs[i] = cfg.DataDir, *cfg })
	ms[1].Kill()
	saved := t.TempDir()
	if err := os.CopyFS(saved, os.DirFS(dirs[1])); err != nil {
		t.Fatal(err)
	}
	again, err := Start(testContext(t), configs[1])
	if err != nil {
		t.Fatal(err)
	}
	again.Kill()
	configs[1].DataDir = saved
	_, err = Start(testContext(t), configs[1])
	if !errors.Is(err, ErrDataDir) || !strings.Contains(err.Error(), saved) {
		t.Errorf("started from an old copy: %v", err)
	}
}

// A member that comes back on another port, under another host name, is the same: the others find it there, and so do clients.
func TestChangedAddress(t *testing.T) {
	t.Parallel()
	configs := make([]Config, 3)
	ms := runningMembers(t, 3, func(i int, cfg *Config) { configs[i] = *cfg })
	id := ms[1].id
	ms[1].Kill()
	addr := porttest.Addrs(t, 1)[0]
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	configs[1].Listen, configs[1].Advertise = addr, "localhost"
	moved, err := Start(testContext(t), configs[1])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(moved.Kill)
	now := net.JoinHostPort("localhost", port)
	if moved.id != id || moved.Addr() != now {
		t.Errorf("it is %v at %s, it was %v", moved.id, moved.Addr(), id)
	}
	for _, m := range []*Member{ms[0], ms[2], moved} {
		eventually(t, "everybody to know the address and reach it", func() bool {
			mb, st := m.metaView().Member(id), m.status()
			return mb != nil && mb.Addr == now && m.peers.Answers(id, moved.incarnation) && st.Ready == 3 && st.UnderReplicated+st.Unavailable == 0
		})
	}
	c, err := sdk.Connect(testContext(t), []string{now})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	m, err := sdk.OpenMap[string, int](c, "words")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 30 { // of all partitions
		if err := m.Set(testContext(t), fmt.Sprint(i), i); err != nil {
			t.Fatal(err)
		}
	}
}

// The events of one member reach the listeners of another: the NATS servers find each other, also those of members that come
// later.
func TestRoutes(t *testing.T) {
	t.Parallel()
	var log harness.Log
	ms := runningMembers(t, 2, func(_ int, cfg *Config) { cfg.Logger = log.Logger(0) })
	routed := func(m *Member, n int) func() bool {
		return func() bool { return m.events.Routes() == n }
	}
	eventually(t, "two servers to be joined", routed(ms[0], 1))
	third, err := Start(testContext(t), Config{Settings: Settings{Name: "third", Join: []string{ms[0].Addr()}, NoHTTP: true, DataDir: t.TempDir()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(third.Kill)
	for _, m := range append(ms, third) {
		eventually(t, "three servers to be joined", routed(m, 2))
	}
	if err := third.Close(testContext(t)); err != nil {
		t.Error(err)
	}
	eventually(t, "two servers to be left", routed(ms[0], 1))
	if s := log.Text(); strings.Contains(s, "level=WARN") || strings.Contains(s, "component=nats") {
		t.Errorf("joining and leaving made noise:\n%s", s)
	}
}

// Files of a member are nobody else's business.
func TestFileModes(t *testing.T) {
	t.Parallel()
	m := runningMember(t, Config{Settings: Settings{DataDir: filepath.Join(t.TempDir(), "data")}})
	err := filepath.WalkDir(m.cfg.DataDir, func(path string, d os.DirEntry, err error) error {
		if err != nil || path == filepath.Join(m.cfg.DataDir, "meta") {
			return filepath.SkipDir // the library's own files, behind a directory that only we may enter
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(m.cfg.DataDir, "meta")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("meta: %v, %v", info.Mode(), err)
	}
}

// To others, Kill is a crash: connections are reset, and nothing is said.
func TestKillCutsConnections(t *testing.T) {
	t.Parallel()
	ms := runningMembers(t, 2, nil)
	c := connected(t, ms[1])
	var at time.Time
	done := make(chan struct{})
	go func() { // ends with the connection
		defer close(done)
		var b [1]byte
		_, err := c.nc.Read(b[:])
		at = time.Now()
		if err == nil || !strings.Contains(err.Error(), "reset") {
			t.Errorf("a client of the member that was killed reads %v", err)
		}
	}()
	began := time.Now()
	ms[1].Kill()
	<-done
	if took := at.Sub(began); took > time.Second {
		t.Errorf("its clients learned of it after %v", took)
	}
	eventually(t, "it to be unreachable for the other", func() bool { return ms[0].peers.Silent(ms[1].ID()) })
	if mb := ms[0].metaView().Member(ms[1].ID()); mb == nil || !mb.Live() {
		t.Error("a crash was taken for leaving")
	}
}
