package member

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

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
		r.routes.kick()
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
	for range 10 {
		var log lineLog
		nodes := routeNodes(t, log.logger(slog.LevelDebug), 3)
		meet(nodes)
		eventually(t, "the routes", func() bool { return complete(nodes) })
		for i, r := range nodes {
			info, err := r.nats.srv.Routez(nil)
			if err != nil {
				t.Fatal(err)
			}
			dialed := 0
			for _, route := range info.Routes {
				if route.DidSolicit {
					dialed++
				}
			}
			if dialed != len(nodes)-1-i {
				t.Errorf("server %d has dialed %d of its routes", i, dialed)
			}
			r.close()
		}
		if text := log.text(); strings.Contains(text, "Duplicate") || strings.Contains(text, "duplicate") {
			t.Fatalf("routes have collided:\n%s", text)
		}
	}
}

// A server that starts again is dialed at once under its new incarnation, whoever of the two dials.
func TestRouteToTheNextIncarnation(t *testing.T) {
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

// A member that is silent loses its route on whichever side it was dialed, and has it again when it is heard.
func TestRouteOfASilentMember(t *testing.T) {
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

func (p *tap) carry(to io.Writer, from io.Reader) {
	b := make([]byte, 64<<10)
	for {
		select {
		case <-p.shut:
			return
		default:
		}
		n, err := from.Read(b)
		if _, werr := to.Write(b[:n]); err != nil || werr != nil {
			return
		}
	}
}

// A member that reads nothing any more slows nobody who publishes, takes a bounded share of memory, and loses its route.
func TestFrozenMemberSlowsNobody(t *testing.T) {
	var log lineLog
	nodes := routeNodes(t, log.logger(slog.LevelDebug), 2)
	frozen := newTap(t, nodes[1].as().addr)
	through := nodes[1].as()
	through.addr = frozen.l.Addr().String()
	nodes[0].peers.Store(&[]routePeer{through})
	nodes[1].peers.Store(&[]routePeer{nodes[0].as()})
	nodes[0].routes.kick()
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
	nodes[0].peers.Store(&[]routePeer{}) // or what the deadline of a write does by itself, if it comes first
	nodes[0].routes.kick()
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
	var log lineLog
	members := runningMembers(t, 3, func(_ int, cfg *Config) { cfg.Logger = log.logger(slog.LevelDebug) })
	for _, m := range members {
		if !m.routes.complete() {
			t.Errorf("%s has routes to %d others", m.Name(), len(m.nats.connected()))
		}
	}
	if strings.Contains(log.text(), "Duplicate Route") {
		t.Error("routes have collided")
	}
}
