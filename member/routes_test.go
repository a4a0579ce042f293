package member

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/gridiron-io/gridiron/sdk"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// routeNode is a NATS server with its routes, and no member around it.
type routeNode struct {
	id, incarnation wire.ID
	nats            *natsServer
	routes          *routes
	peers           atomic.Pointer[[]routePeer]
	done            chan struct{}
	once            sync.Once
	ended           sync.WaitGroup
}

// routeNodes returns n servers that do not know each other yet.
func routeNodes(t *testing.T, log *slog.Logger, n int) []*routeNode {
	t.Helper()
	nodes := make([]*routeNode, n)
	for i := range nodes {
		nodes[i] = startRouteNode(t, log, wire.ID{byte(i + 1)}, 1)
	}
	return nodes
}

func startRouteNode(t *testing.T, log *slog.Logger, id wire.ID, start byte) *routeNode {
	t.Helper()
	r := &routeNode{id: id, incarnation: wire.ID{0xff - id[0], start}, done: make(chan struct{})}
	var err error
	if r.nats, err = startNATS(wire.ID{9}, r.incarnation, "127.0.0.1", 0, "password", log); err != nil {
		t.Fatal(err)
	}
	r.peers.Store(&[]routePeer{})
	r.routes = newRoutes(id, r.nats, func() []routePeer { return *r.peers.Load() }, log)
	r.ended.Go(func() { r.routes.run(r.done) })
	t.Cleanup(r.close)
	return r
}

// rest has nobody look at the routes any more.
func (r *routeNode) rest() {
	r.once.Do(func() { close(r.done) })
	r.ended.Wait()
}

func (r *routeNode) close() {
	r.rest()
	r.nats.close()
}

// as returns the node as another sees it.
func (r *routeNode) as() routePeer {
	return routePeer{id: r.id, incarnation: r.incarnation, addr: fmt.Sprintf("127.0.0.1:%d", r.nats.routePort()), wanted: true, answers: true}
}

// meet tells all nodes of each other at the same moment.
func meet(nodes []*routeNode) {
	for _, r := range nodes {
		var list []routePeer
		for _, other := range nodes {
			if other != r {
				list = append(list, other.as())
			}
		}
		r.peers.Store(&list)
	}
	for _, r := range nodes {
		r.routes.notify()
	}
}

func complete(nodes []*routeNode) bool {
	for _, r := range nodes {
		if !r.routes.complete() || len(r.nats.connected()) != len(nodes)-1 {
			return false
		}
	}
	return true
}

// Servers that hear of each other at the same moment have a route each to each, and none of these collides with another.
func TestRoutesDoNotCollide(t *testing.T) {
	t.Parallel()
	for range 10 {
		nodes, logs := make([]*routeNode, 3), make([]lineLog, 3)
		for i := range nodes {
			nodes[i] = startRouteNode(t, logs[i].logger(slog.LevelDebug), wire.ID{byte(i + 1)}, 1)
		}
		meet(nodes)
		eventually(t, "the routes", func() bool { return complete(nodes) })
		for i, r := range nodes {
			for j, other := range nodes {
				if dialed := hasDialed(&logs[i], other.as().addr); dialed != (i < j) {
					t.Errorf("server %d has dialed server %d: %t", i, j, dialed)
				}
			}
			r.close()
		}
	}
}

// hasDialed reports whether a server with such a log has dialed an address: it names a route by its other end.
func hasDialed(log *lineLog, addr string) bool { return strings.Contains(log.text(), addr+" - rid:") }

// A server that starts again is dialed at once under its new incarnation, whoever of the two dials.
func TestRouteToTheNextIncarnation(t *testing.T) {
	t.Parallel()
	for _, again := range []int{0, 1} {
		var log lineLog
		nodes := routeNodes(t, log.logger(slog.LevelDebug), 2)
		meet(nodes)
		eventually(t, "the route", func() bool { return complete(nodes) })
		nodes[again].close()
		nodes[again] = startRouteNode(t, log.logger(slog.LevelDebug), nodes[again].id, 2)
		meet(nodes)
		eventually(t, "the route to the next incarnation", func() bool { return complete(nodes) })
		for _, r := range nodes {
			r.close()
		}
	}
}

// A route that ends although both sides want it is dialed again without the server's own pause.
func TestRouteIsDialedAgain(t *testing.T) {
	t.Parallel()
	var log lineLog
	nodes := routeNodes(t, log.logger(slog.LevelDebug), 2)
	meet(nodes)
	eventually(t, "the route", func() bool { return complete(nodes) })
	nodes[1].rest()
	for round := range 3 {
		cid := routeIDs(t, nodes[1])
		nodes[1].nats.drop(nodes[0].incarnation) // the side that has not dialed
		eventually(t, "another route", func() bool {
			now := routeIDs(t, nodes[1])
			return complete(nodes) && len(now) == 1 && now[0] != cid[0]
		})
		if t.Failed() {
			t.Fatalf("round %d", round)
		}
	}
}

func routeIDs(t *testing.T, r *routeNode) (ids []uint64) {
	t.Helper()
	info, err := r.nats.srv.Routez(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, route := range info.Routes {
		ids = append(ids, route.Rid)
	}
	return ids
}

// A member that was dialed by one of which it does not know yet keeps the route: its view is the older one.
func TestRouteOfAnUnknownMember(t *testing.T) {
	t.Parallel()
	var log lineLog
	nodes := routeNodes(t, log.logger(slog.LevelDebug), 2)
	nodes[1].rest()
	nodes[0].peers.Store(&[]routePeer{nodes[1].as()})
	nodes[0].routes.notify()
	eventually(t, "the route", func() bool { return len(nodes[0].nats.connected()) == 1 && len(nodes[1].nats.connected()) == 1 })
	was := routeIDs(t, nodes[1])
	nodes[1].routes.look()
	if now := routeIDs(t, nodes[1]); !slices.Equal(was, now) {
		t.Errorf("routes were %d, and are %d", was, now)
	}
	gone := nodes[0].as()
	gone.wanted = false
	nodes[1].peers.Store(&[]routePeer{gone})
	nodes[1].routes.look()
	if now := routeIDs(t, nodes[1]); slices.Equal(was, now) {
		t.Error("the route of one that is known to be silent is still there")
	}
}

// A member that is silent loses its route on whichever side it was dialed, and has it again when it is heard.
func TestRouteOfASilentMember(t *testing.T) {
	t.Parallel()
	var log lineLog
	nodes := routeNodes(t, log.logger(slog.LevelDebug), 2)
	for _, by := range []int{0, 1} {
		meet(nodes)
		eventually(t, "the route", func() bool { return complete(nodes) })
		for i, r := range nodes {
			list := []routePeer{nodes[1-i].as()}
			list[0].wanted = i != by
			list[0].answers = i != by
			r.peers.Store(&list)
		}
		eventually(t, "the route to end", func() bool { return strings.Count(log.text(), "given up") > 0 })
		other := nodes[by].as()
		other.wanted = false
		nodes[1-by].peers.Store(&[]routePeer{other})
		eventually(t, "both sides to have none", func() bool {
			return len(nodes[0].nats.connected()) == 0 && len(nodes[1].nats.connected()) == 0
		})
	}
	meet(nodes)
	eventually(t, "the route again", func() bool { return complete(nodes) })
}

// tap carries connections to an address, until it is shut: then it reads no more, and ends nothing, like a process that is frozen.
type tap struct {
	l    net.Listener
	shut chan struct{}
	wg   sync.WaitGroup
	mu   sync.Mutex // guards conns
	all  []net.Conn
}

func newTap(t *testing.T, to string) *tap {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &tap{l: l, shut: make(chan struct{})}
	p.wg.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			up, err := net.Dial("tcp", to)
			if err != nil {
				_ = nc.Close()
				continue
			}
			p.mu.Lock()
			p.all = append(p.all, nc, up)
			p.mu.Unlock()
			for _, pair := range [...][2]net.Conn{{up, nc}, {nc, up}} {
				p.wg.Go(func() { p.carry(pair[0], pair[1]) })
			}
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		p.mu.Lock()
		for _, nc := range p.all {
			_ = nc.Close()
		}
		p.mu.Unlock()
		p.wg.Wait()
	})
	return p
}

func (p *tap) carry(to, from net.Conn) {
	b := make([]byte, 64<<10)
	for {
		select {
		case <-p.shut:
			return
		default:
		}
		n, err := from.Read(b)
		if _, werr := to.Write(b[:n]); err == nil && werr == nil {
			continue
		}
		select {
		case <-p.shut:
		default:
			_, _ = to.Close(), from.Close() // as the two would have heard of it
		}
		return
	}
}

// A member that reads nothing any more slows nobody who publishes, takes a bounded share of memory, and loses its route.
func TestFrozenMemberSlowsNobody(t *testing.T) {
	t.Parallel()
	var log lineLog
	nodes := routeNodes(t, log.logger(slog.LevelDebug), 2)
	frozen := newTap(t, nodes[1].as().addr)
	through := nodes[1].as()
	through.addr = frozen.l.Addr().String()
	nodes[0].peers.Store(&[]routePeer{through})
	nodes[1].peers.Store(&[]routePeer{nodes[0].as()})
	nodes[0].routes.notify()
	eventually(t, "the route", func() bool { return complete(nodes) })

	subscriber, err := nats.Connect("", nats.InProcessServer(nodes[1].nats.srv), nats.UserInfo(subscriberUser, wire.EventsUser))
	if err != nil {
		t.Fatal(err)
	}
	defer subscriber.Close()
	if _, err := subscriber.Subscribe("grid.ev.m", func(*nats.Msg) {}); err != nil {
		t.Fatal(err)
	}
	publisher, err := nodes[0].nats.publisher("password")
	if err != nil {
		t.Fatal(err)
	}
	defer publisher.Close()
	eventually(t, "the interest to cross", func() bool { return nodes[0].nats.srv.NumSubscriptions() > 0 && crossed(t, nodes[0]) })

	close(frozen.shut)
	message := make([]byte, 256<<10)
	for sent := 0; sent < 5*maxPendingEvents; sent += len(message) {
		if err := publisher.Publish("grid.ev.m", message); err != nil {
			t.Fatal(err)
		}
		info, err := nodes[0].nats.srv.Routez(nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, route := range info.Routes {
			if route.Pending > maxPendingEvents {
				t.Fatalf("%d bytes wait for the frozen member, at most %d may", route.Pending, maxPendingEvents)
			}
		}
	}
	if err := publisher.FlushTimeout(30 * time.Second); err != nil {
		t.Fatal(err)
	}
	if n := nodes[0].nats.srv.NumStalledClients(); n != 0 {
		t.Errorf("the publisher was made to wait %d times", n)
	}
	// Nobody says that the member is silent: a write has taken too long.
	eventually(t, "the route to end", func() bool { return len(nodes[0].nats.connected()) == 0 })
}

// crossed reports whether a server has heard of an interest of another.
func crossed(t *testing.T, r *routeNode) bool {
	t.Helper()
	info, err := r.nats.srv.Routez(nil)
	if err != nil {
		t.Fatal(err)
	}
	return len(info.Routes) == 1 && info.Routes[0].NumSubs > 0
}

// A member is ready only with routes to all others, also when all of them start at the same time.
func TestReadyWithRoutes(t *testing.T) {
	t.Parallel()
	logs := make([]lineLog, 3)
	members := runningMembers(t, 3, func(i int, cfg *Config) { cfg.Logger = logs[i].logger(slog.LevelDebug) })
	for i, m := range members {
		if strings.Contains(logs[i].text(), "no route for events") {
			t.Errorf("%s was ready without its routes", m.Name())
		}
		for _, p := range m.routePeers() {
			if dialed := hasDialed(&logs[i], p.addr); dialed != m.routes.dials(p.id) {
				t.Errorf("%s has dialed %v: %t", m.Name(), p.id, dialed)
			}
		}
	}
}

// freezer is a network of which the routes can be frozen, and all else that members say to each other.
type freezer struct {
	plain
	t *testing.T

	mu     sync.Mutex // guards the following, by address
	routes map[string]*tap
	others map[string]*tap
}

func newFreezer(t *testing.T) *freezer {
	return &freezer{t: t, routes: make(map[string]*tap), others: make(map[string]*tap)}
}

// through returns the address of the tap that leads to an address.
func (n *freezer) through(taps map[string]*tap, addr string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if taps[addr] == nil {
		taps[addr] = newTap(n.t, addr)
	}
	return taps[addr].l.Addr().String()
}

// Route leads through a tap.
func (n *freezer) Route(addr string) string { return n.through(n.routes, addr) }

// Dial leads through a tap.
func (n *freezer) Dial(ctx context.Context, addr string) (net.Conn, error) {
	return n.plain.Dial(ctx, n.through(n.others, addr))
}

func (n *freezer) freeze(taps map[string]*tap) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range taps {
		close(p.shut)
	}
}

// Members that hear nothing of each other give up the routes between them, which by themselves are as they were.
func TestSilentMembersHaveNoRoute(t *testing.T) {
	t.Parallel()
	network := newFreezer(t)
	members := runningMembers(t, 2, func(_ int, cfg *Config) { cfg.Network = network })
	eventually(t, "the route", func() bool { return len(members[0].nats.connected()) == 1 && len(members[1].nats.connected()) == 1 })
	network.freeze(network.others)
	eventually(t, "the route to end", func() bool { return len(members[0].nats.connected())+len(members[1].nats.connected()) == 0 })
	for _, m := range members {
		if !m.routes.complete() {
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
