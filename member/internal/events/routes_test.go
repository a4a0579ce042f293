package events

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/gridiron-io/gridiron/member/internal/harness"
	"github.com/gridiron-io/gridiron/member/internal/tap"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// routeNode is a NATS server with its routes, and no member around it.
type routeNode struct {
	id, incarnation wire.ID
	nats            *natsServer
	routes          *routes
	peers           atomic.Pointer[[]Peer]
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
	if r.nats, err = startNATS(&Config{Cluster: wire.ID{9}, Incarnation: r.incarnation, RouteHost: "127.0.0.1", Log: log}); err != nil {
		t.Fatal(err)
	}
	r.peers.Store(&[]Peer{})
	r.routes = newRoutes(id, r.nats, func() []Peer { return *r.peers.Load() }, log)
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
func (r *routeNode) as() Peer {
	return Peer{ID: r.id, Incarnation: r.incarnation, Addr: fmt.Sprintf("127.0.0.1:%d", r.nats.routePort()), Wanted: true, Answers: true}
}

// meet tells all nodes of each other at the same moment.
func meet(nodes []*routeNode) {
	for _, r := range nodes {
		var list []Peer
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
		nodes, logs := make([]*routeNode, 3), make([]harness.Log, 3)
		for i := range nodes {
			nodes[i] = startRouteNode(t, logs[i].Logger(slog.LevelDebug), wire.ID{byte(i + 1)}, 1)
		}
		meet(nodes)
		harness.Eventually(t, "the routes", func() bool { return complete(nodes) })
		for i, r := range nodes {
			for j, other := range nodes {
				if dialed := hasDialed(&logs[i], other.as().Addr); dialed != (i < j) {
					t.Errorf("server %d has dialed server %d: %t", i, j, dialed)
				}
			}
			r.close()
			if strings.Contains(logs[i].Text(), routePassword(wire.ID{9})) {
				t.Error("the password for routes is logged")
			}
		}
	}
}

// hasDialed reports whether a server with such a log has dialed an address: it names a route by its other end.
func hasDialed(log *harness.Log, addr string) bool {
	return strings.Contains(log.Text(), addr+" - rid:")
}

// A server that starts again is dialed at once under its new incarnation, whoever of the two dials.
func TestRouteToTheNextIncarnation(t *testing.T) {
	t.Parallel()
	for _, again := range []int{0, 1} {
		var log harness.Log
		nodes := routeNodes(t, log.Logger(slog.LevelDebug), 2)
		meet(nodes)
		harness.Eventually(t, "the route", func() bool { return complete(nodes) })
		nodes[again].close()
		nodes[again] = startRouteNode(t, log.Logger(slog.LevelDebug), nodes[again].id, 2)
		meet(nodes)
		harness.Eventually(t, "the route to the next incarnation", func() bool { return complete(nodes) })
		for _, r := range nodes {
			r.close()
		}
	}
}

// A route that ends although both sides want it is dialed again without the server's own pause.
func TestRouteIsDialedAgain(t *testing.T) {
	t.Parallel()
	var log harness.Log
	nodes := routeNodes(t, log.Logger(slog.LevelDebug), 2)
	meet(nodes)
	harness.Eventually(t, "the route", func() bool { return complete(nodes) })
	nodes[1].rest()
	for round := range 3 {
		cid := routeIDs(t, nodes[1])
		nodes[1].nats.drop(nodes[0].incarnation) // the side that has not dialed
		harness.Eventually(t, "another route", func() bool {
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
	var log harness.Log
	nodes := routeNodes(t, log.Logger(slog.LevelDebug), 2)
	nodes[1].rest()
	nodes[0].peers.Store(&[]Peer{nodes[1].as()})
	nodes[0].routes.notify()
	harness.Eventually(t, "the route", func() bool { return len(nodes[0].nats.connected()) == 1 && len(nodes[1].nats.connected()) == 1 })
	was := routeIDs(t, nodes[1])
	nodes[1].routes.look()
	if now := routeIDs(t, nodes[1]); !slices.Equal(was, now) {
		t.Errorf("routes were %d, and are %d", was, now)
	}
	gone := nodes[0].as()
	gone.Wanted = false
	nodes[1].peers.Store(&[]Peer{gone})
	nodes[1].routes.look()
	if now := routeIDs(t, nodes[1]); slices.Equal(was, now) {
		t.Error("the route of one that is known to be silent is still there")
	}
}

// A member that is silent loses its route on whichever side it was dialed, and has it again when it is heard.
func TestRouteOfASilentMember(t *testing.T) {
	t.Parallel()
	var log harness.Log
	nodes := routeNodes(t, log.Logger(slog.LevelDebug), 2)
	for _, by := range []int{0, 1} {
		meet(nodes)
		harness.Eventually(t, "the route", func() bool { return complete(nodes) })
		for i, r := range nodes {
			list := []Peer{nodes[1-i].as()}
			list[0].Wanted = i != by
			list[0].Answers = i != by
			r.peers.Store(&list)
		}
		harness.Eventually(t, "the route to end", func() bool { return strings.Count(log.Text(), "given up") > 0 })
		other := nodes[by].as()
		other.Wanted = false
		nodes[1-by].peers.Store(&[]Peer{other})
		harness.Eventually(t, "both sides to have none", func() bool {
			return len(nodes[0].nats.connected()) == 0 && len(nodes[1].nats.connected()) == 0
		})
	}
	meet(nodes)
	harness.Eventually(t, "the route again", func() bool { return complete(nodes) })
}

// A member that reads nothing any more slows nobody who publishes, takes a bounded share of memory, and loses its route.
func TestFrozenMemberSlowsNobody(t *testing.T) {
	t.Parallel()
	var log harness.Log
	nodes := routeNodes(t, log.Logger(slog.LevelDebug), 2)
	frozen := tap.New(t, nodes[1].as().Addr)
	through := nodes[1].as()
	through.Addr = frozen.Addr()
	nodes[0].peers.Store(&[]Peer{through})
	nodes[1].peers.Store(&[]Peer{nodes[0].as()})
	nodes[0].routes.notify()
	harness.Eventually(t, "the route", func() bool { return complete(nodes) })

	subscriber, err := nats.Connect("", nats.InProcessServer(nodes[1].nats.srv), nats.UserInfo(subscriberUser, wire.EventsUser))
	if err != nil {
		t.Fatal(err)
	}
	defer subscriber.Close()
	if _, err := subscriber.Subscribe("grid.ev.m", func(*nats.Msg) {}); err != nil {
		t.Fatal(err)
	}
	publisher, err := nodes[0].nats.connect()
	if err != nil {
		t.Fatal(err)
	}
	defer publisher.Close()
	harness.Eventually(t, "the interest to cross", func() bool { return nodes[0].nats.srv.NumSubscriptions() > 0 && crossed(t, nodes[0]) })

	frozen.Freeze()
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
	harness.Eventually(t, "the route to end", func() bool { return len(nodes[0].nats.connected()) == 0 })
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
