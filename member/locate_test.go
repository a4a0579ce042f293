package member

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/gridiron-io/gridiron/member/internal/bootstrap"
	"github.com/gridiron-io/gridiron/member/internal/harness"
	"github.com/gridiron-io/gridiron/member/porttest"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// nomads are members whose addresses change from start to start.
type nomads struct {
	t       *testing.T
	members []*Member
	cfgs    []Config
}

// runningNomads returns n members that have bootstrapped a cluster together.
func runningNomads(t *testing.T, n int) *nomads {
	t.Helper()
	ns := &nomads{t: t, cfgs: make([]Config, n)}
	ns.members = runningMembers(t, n, func(i int, cfg *Config) { ns.cfgs[i] = *cfg })
	return ns
}

// restart kills members and starts them from their directories, at the addresses given and with one list to join.
func (ns *nomads) restart(join []string, at map[int]string) {
	ns.t.Helper()
	var wg sync.WaitGroup
	for i := range at {
		wg.Go(ns.members[i].Kill)
	}
	wg.Wait()
	errs := make([]error, len(ns.members))
	ctx := testContext(ns.t)
	for i, addr := range at {
		cfg := ns.cfgs[i]
		cfg.Listen, cfg.Join, cfg.Expect = addr, join, 0
		wg.Go(func() {
			if ns.members[i], errs[i] = Start(ctx, cfg); errs[i] == nil {
				ns.t.Cleanup(ns.members[i].Kill)
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		ns.t.Fatal(err)
	}
	eventually(ns.t, "a whole cluster", func() bool {
		for _, m := range ns.members {
			if st := m.status(); !st.Safe || st.Ready != uint32(len(ns.members)) || m.clusterID() != ns.members[0].clusterID() {
				return false
			}
		}
		return true
	})
	for i, m := range ns.members {
		for j, other := range ns.members {
			if mb := m.metaView().Member(other.id); mb == nil || mb.Addr != other.Addr() || mb.PeerAddr != other.peerAddr() {
				ns.t.Errorf("member %d has member %d at %+v, it is at %s", i, j, mb, other.Addr())
			}
		}
	}
}

// Members find each other by who they are, wherever they are after a restart: one of them elsewhere, two, all, all with one address to
// join among them, and at each other's addresses.
func TestMembersAtOtherAddresses(t *testing.T) {
	t.Parallel() // most of it is waiting
	ns := runningNomads(t, 3)
	at := porttest.Addrs(t, 9)
	old := []string{ns.members[0].Addr(), ns.members[1].Addr(), ns.members[2].Addr()}

	t.Log("one moves")
	ns.restart(old, map[int]string{0: at[0]})
	t.Log("two move, and one stays which has joined nobody there")
	ns.restart(nil, map[int]string{1: at[1], 2: at[2]})
	t.Log("all move, and all are told where one of them is")
	ns.restart(at[4:5], map[int]string{0: at[3], 1: at[4], 2: at[5]})
	t.Log("two change places, and nobody is told")
	ns.restart(nil, map[int]string{0: at[4], 1: at[3]})
	t.Log("all change places")
	ns.restart(at[3:6], map[int]string{0: at[3], 1: at[5], 2: at[4]})
}

// While the others are away, a member says for whom it waits, where they were last, and where it has asked.
func TestMemberSaysForWhomItWaits(t *testing.T) {
	t.Parallel() // most of it is waiting
	ns := runningNomads(t, 3)
	for _, m := range ns.members {
		m.Kill()
	}
	nobody := porttest.Addrs(t, 2)
	var lines harness.Log
	cfg := ns.cfgs[0]
	cfg.Listen, cfg.Join, cfg.Logger = nobody[0], nobody[1:], lines.Logger(slog.LevelWarn)
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	ended := make(chan error, 1)
	go func() { // ends with ctx
		_, err := Start(ctx, cfg)
		ended <- err
	}()
	eventually(t, "a warning", func() bool { return strings.Contains(lines.Text(), "waiting for other members") })
	for _, want := range []string{"a leader of the metadata group", "m1 " + ns.members[1].id.String() + ", last at " + ns.members[1].peerAddr(),
		"m2 " + ns.members[2].id.String(), nobody[1] + ": ", ns.members[1].Addr() + ": ", "no join address answers"} {
		if !strings.Contains(lines.Text(), want) {
			t.Errorf("the log does not say %q:\n%s", want, lines.Text())
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the start ended with %v", err)
	}
}

// A false claim, and an address at which another member answers, lead nobody astray.
func TestFalseClaims(t *testing.T) {
	t.Parallel()
	ms := runningMembers(t, 3, nil)
	ms[2].Kill()
	eventually(t, "the dead to be missed", func() bool { return ms[0].peers.Silent(ms[2].id) })
	hello := bootstrap.Hello{Member: ms[2].id, Addr: ms[1].Addr(), PeersAddr: ms[1].peerAddr(), Cluster: "grid", State: bootstrap.StateMember, ID: ms[0].clusterID()}
	ms[0].locator.Heard(&hello)
	ms[0].locator.Look(t.Context())
	if at, ok := ms[0].locator.Locate(ms[2].id); ok {
		t.Errorf("member 2 is taken to be at %s, where member 1 is", at.PeerAddr)
	}
	if _, _, err := ms[0].peers.DialAddr(t.Context(), ms[2].id, ms[1].peerAddr(), wire.PlaneMeta, 0); err == nil {
		t.Error("a connection to member 2 was made to member 1")
	}
	hello.ID = wire.ID{1}
	hello.Addr = "192.0.2.1:5701"
	ms[0].locator.Heard(&hello)
	if got := ms[0].locator.Addrs(); strings.Contains(fmt.Sprint(got), hello.Addr) {
		t.Errorf("an address of another cluster was learned: %v", got)
	}
}

// stoppedSingle returns the configuration of a member that has bootstrapped a cluster alone, and that cluster's ID.
func stoppedSingle(t *testing.T, name string) (Config, wire.ID) {
	t.Helper()
	cfg := Config{Settings: Settings{Name: name, Partitions: 2, NoHTTP: true, DataDir: t.TempDir()}}
	m := runningMember(t, cfg)
	m.Kill()
	return cfg, m.clusterID()
}

// A directory of one cluster and an address of another do not go together: whose they are is told, and what to do. An address where
// nobody answers holds nothing up.
func TestJoinAddressOfAnotherCluster(t *testing.T) {
	t.Parallel() // most of it is waiting
	x, xID := stoppedSingle(t, "x")
	y := runningMember(t, Config{Settings: Settings{Name: "y", Partitions: 2}})
	refused := func(t *testing.T, cfg Config, join string, wants ...string) {
		t.Helper()
		cfg.Join = []string{porttest.Addrs(t, 1)[0], join}
		m, err := Start(testContext(t), cfg)
		if err == nil {
			m.Kill()
			t.Fatal("it has started")
		}
		for _, want := range append(wants, cfg.DataDir, join, "remove") {
			if !errors.Is(err, bootstrap.ErrOtherCluster) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%q is not in one line with %q, or not ErrOtherCluster", want, err)
			}
		}
	}
	t.Run("a single member", func(t *testing.T) { refused(t, x, y.Addr(), xID.String(), y.clusterID().String()) })
	t.Run("another name", func(t *testing.T) {
		z := runningMember(t, Config{Settings: Settings{Name: "z", ClusterName: "zebra", Partitions: 2}})
		refused(t, x, z.Addr(), xID.String(), "zebra", z.clusterID().String())
	})
	t.Run("one of several", func(t *testing.T) {
		ns := runningNomads(t, 3)
		ns.members[1].Kill()
		refused(t, ns.cfgs[1], y.Addr(), ns.members[0].clusterID().String(), y.clusterID().String())
		cfg := ns.cfgs[1]
		cfg.Join = append(cfg.Join, porttest.Addrs(t, 1)...)
		m, err := Start(testContext(t), cfg)
		if err != nil {
			t.Fatalf("an address where nobody is keeps it from its cluster: %v", err)
		}
		m.Kill()
	})
	t.Run("that answers when the member waits", func(t *testing.T) {
		ns := runningNomads(t, 3)
		for _, m := range ns.members {
			m.Kill()
		}
		late := porttest.Addrs(t, 1)[0]
		cfg := ns.cfgs[0]
		cfg.Join = []string{late}
		failed := make(chan error, 1)
		ctx := testContext(t)
		go func() { // ends with ctx
			m, err := Start(ctx, cfg)
			if m != nil {
				m.Kill()
			}
			failed <- err
		}()
		other := runningMember(t, Config{Settings: Settings{Name: "late", Listen: late, Partitions: 2}})
		if err := <-failed; !errors.Is(err, bootstrap.ErrOtherCluster) || !strings.Contains(err.Error(), other.clusterID().String()) {
			t.Errorf("the start ended with %v", err)
		}
	})
	t.Run("that answers when the member runs", func(t *testing.T) {
		late := porttest.Addrs(t, 1)[0]
		var lines harness.Log
		cfg := x
		cfg.Join, cfg.Logger = []string{late}, lines.Logger(slog.LevelWarn)
		runningMember(t, cfg)
		if !strings.Contains(lines.Text(), "no join address answers") {
			t.Errorf("it came up alone without a word:\n%s", lines.Text())
		}
		other := runningMember(t, Config{Settings: Settings{Name: "late", Listen: late, Partitions: 2}})
		eventually(t, "an error in the log", func() bool {
			return strings.Contains(lines.Text(), "OTHER_CLUSTER") && strings.Contains(lines.Text(), other.clusterID().String())
		})
	})
}
