package member

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/member/internal/events"
	"github.com/gridiron-io/gridiron/member/internal/harness"
	"github.com/gridiron-io/gridiron/member/internal/tap"
	"github.com/gridiron-io/gridiron/sdk"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// A member is ready only with routes to all others, also when all of them start at the same time.
func TestReadyWithRoutes(t *testing.T) {
	t.Parallel()
	logs := make([]harness.Log, 3)
	members := runningMembers(t, 3, func(i int, cfg *Config) { cfg.Logger = logs[i].Logger(slog.LevelDebug) })
	for i, m := range members {
		if strings.Contains(logs[i].Text(), "no route for events") {
			t.Errorf("%s was ready without its routes", m.Name())
		}
		for _, p := range m.routePeers() {
			if dialed := strings.Contains(logs[i].Text(), p.Addr+" - rid:"); dialed != (bytes.Compare(m.id[:], p.ID[:]) < 0) {
				t.Errorf("%s has dialed %v: %t", m.Name(), p.ID, dialed)
			}
		}
	}
}

// freezer is a network of which the routes can be frozen, and all else that members say to each other.
type freezer struct {
	plain
	t *testing.T

	mu     sync.Mutex // guards the following, by address
	routes map[string]*tap.Tap
	others map[string]*tap.Tap
}

func newFreezer(t *testing.T) *freezer {
	return &freezer{t: t, routes: make(map[string]*tap.Tap), others: make(map[string]*tap.Tap)}
}

// through returns the address of the tap that leads to an address.
func (n *freezer) through(taps map[string]*tap.Tap, addr string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if taps[addr] == nil {
		taps[addr] = tap.New(n.t, addr)
	}
	return taps[addr].Addr()
}

// Route leads through a tap.
func (n *freezer) Route(addr string) string { return n.through(n.routes, addr) }

// Dial leads through a tap.
func (n *freezer) Dial(ctx context.Context, addr string) (net.Conn, error) {
	return n.plain.Dial(ctx, n.through(n.others, addr))
}

func (n *freezer) freeze(taps map[string]*tap.Tap) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range taps {
		p.Freeze()
	}
}

// Members that hear nothing of each other give up the routes between them, which by themselves are as they were.
func TestSilentMembersHaveNoRoute(t *testing.T) {
	t.Parallel()
	network := newFreezer(t)
	members := runningMembers(t, 2, func(_ int, cfg *Config) { cfg.Network = network })
	eventually(t, "the route", func() bool { return members[0].events.Routes() == 1 && members[1].events.Routes() == 1 })
	network.freeze(network.others)
	eventually(t, "the route to end", func() bool { return members[0].events.Routes()+members[1].events.Routes() == 0 })
	for _, m := range members {
		if !m.events.RoutesComplete() {
			t.Errorf("%s would wait for the route to a member that does not answer", m.Name())
		}
	}
}

// The interest of a new listener never reaches the other members' NATS servers, and no event crosses. Whatever happens from the moment
// at which AddEntryListener returns is heard all the same, also what is the last to happen.
func TestListenerWhoseInterestDoesNotCross(t *testing.T) {
	t.Parallel()
	network := newFreezer(t)
	members := runningMembers(t, 3, func(_ int, cfg *Config) { cfg.Network = network })
	ctx := testContext(t)
	m := newcomer(t, members)
	network.freeze(network.routes)
	const keys = 30
	var heard sync.Map
	sub, err := m.AddEntryListener(ctx, sdk.EntryListener[string, string]{Added: func(e sdk.Event[string, string]) {
		if _, twice := heard.LoadOrStore(e.Key, e.New); twice {
			t.Errorf("%s was heard of twice", e.Key)
		}
	}, Lost: func(e sdk.Event[string, string]) { t.Errorf("events were lost: %+v", e) }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sub.Close() }()
	for i := range keys {
		if err := m.Set(ctx, fmt.Sprint("key", i), "new"); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "all events", func() bool {
		n := 0
		heard.Range(func(any, any) bool { n++; return true })
		return n == keys
	})
}

// BenchmarkRouteAfterRestart is one member of three that dies and starts again. It reports how long the slowest of its routes took from the
// moment at which the other side had heard of the new incarnation, and from the start.
func BenchmarkRouteAfterRestart(b *testing.B) {
	configs := make([]Config, 3)
	members := runningMembers(b, len(configs), func(i int, cfg *Config) { configs[i] = *cfg })
	var known, began []time.Duration
	for victim := 0; b.Loop(); victim = (victim + 1) % len(members) {
		dead := members[victim]
		dead.Kill()
		start := time.Now()
		var ended sync.WaitGroup
		ended.Go(func() {
			m, err := Start(b.Context(), configs[victim])
			if err != nil {
				b.Error(err)
				return
			}
			members[victim] = m
		})

		slowest, last := time.Duration(0), time.Duration(0)
		var sides sync.WaitGroup
		var mu sync.Mutex
		for i, m := range members {
			if i == victim {
				continue
			}
			sides.Go(func() { // ends with the route, or with a start that failed
				after := routeTo(b, m, dead.id, dead.incarnation)
				mu.Lock()
				defer mu.Unlock()
				slowest, last = max(slowest, after), max(last, time.Since(start))
			})
		}
		sides.Wait()
		ended.Wait()
		if b.Failed() {
			b.FailNow()
		}
		known, began = append(known, slowest), append(began, last)
	}
	for name, list := range map[string][]time.Duration{"known": known, "start": began} {
		slices.Sort(list)
		b.ReportMetric(float64(list[len(list)/2].Microseconds())/1000, name+"-p50-ms")
		b.ReportMetric(float64(list[len(list)-1].Microseconds())/1000, name+"-max-ms")
	}
}

// routeTo waits until a member has a route to the next incarnation of another, and returns how long that took since it had heard of it.
func routeTo(b *testing.B, m *Member, id, was wire.ID) time.Duration {
	b.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	var heard time.Time
	for !b.Failed() {
		if heard.IsZero() && slices.ContainsFunc(m.routePeers(), func(p events.Peer) bool {
			return p.ID == id && p.Incarnation != was && p.Wanted && p.Answers
		}) {
			heard = time.Now()
		}
		if !heard.IsZero() && m.events.RoutesComplete() {
			return time.Since(heard)
		}
		<-tick.C
	}
	return 0
}
