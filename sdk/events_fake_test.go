package sdk

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/gridiron-io/gridiron/sdk/codec"
	"github.com/gridiron-io/gridiron/sdk/internal/fakegrid"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// eventGrid is a fake grid with events: rings that tests write to, members that answer from them, and a NATS server of a few
// lines behind the events plane of each member.
type eventGrid struct {
	*fakegrid.Grid
	t       testing.TB
	mapName string

	mu       sync.Mutex // guards the following
	rings    []*modelRing
	interest []int // by member: listeners that it knows of
	deaf     int   // a member that refuses to know of listeners; -1: none
	down     bool  // the events plane is refused
	conns    map[*natsSession]struct{}
	asks     int           // requests for events
	changed  chan struct{} // closed by the next change of interest, asks or conns
}

// newEventGrid returns a fake grid whose partitions have no events yet.
func newEventGrid(t testing.TB, members, partitions int, mapName string) *eventGrid {
	t.Helper()
	g := &eventGrid{Grid: fakegrid.New(t, members, partitions), t: t, mapName: mapName, interest: make([]int, members), deaf: -1,
		conns: make(map[*natsSession]struct{}), changed: make(chan struct{})}
	for range partitions {
		g.rings = append(g.rings, &modelRing{generation: 1, epoch: 1})
	}
	g.OnRequest(g.judge)
	t.Cleanup(func() { g.setDown(true) })
	return g
}

func (g *eventGrid) noteLocked() {
	close(g.changed)
	g.changed = make(chan struct{})
}

// until waits for something about the grid to hold; cond is called with the mutex held.
func (g *eventGrid) until(what string, cond func() bool) {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(g.t.Context(), eventPatience)
	defer cancel()
	for {
		g.mu.Lock()
		changed, ok := g.changed, cond()
		g.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			g.t.Fatalf("not within %v: %s", eventPatience, what)
		}
	}
}

// judge answers what concerns events in place of the fake grid.
func (g *eventGrid) judge(m *fakegrid.Member, req *wire.Request) fakegrid.Verdict {
	a := wire.Answer{ID: req.ID, Time: g.Now(), Table: 1}
	g.mu.Lock()
	defer g.mu.Unlock()
	switch req.Op {
	case wire.OpInterest:
		if m.Index == g.deaf {
			a.Code = wire.CodeOverloaded
			break
		}
		g.interest[m.Index]++
		a.Body = wire.AppendPositions(nil, g.positionsLocked(m.Index))
		g.noteLocked()
	case wire.OpUninterest:
		g.interest[m.Index]--
		g.noteLocked()
	case wire.OpEvents:
		b, err := wire.DecodeEventsBody(req.Body)
		if err != nil || string(b.Map) != g.mapName {
			g.t.Errorf("asked for events with %q: %v", req.Body, err)
		}
		g.asks++
		g.noteLocked()
		res := g.rings[req.Partition].events(place{b.Generation, b.Pos}, 100)
		res.Last.Partition, res.AsOf = req.Partition, g.Now()
		a.Body = wire.AppendEventsResult(nil, res)
	default:
		return fakegrid.Verdict{}
	}
	return fakegrid.Verdict{Raw: wire.AppendAnswer(nil, &a)}
}

func (g *eventGrid) positionsLocked(member int) (list []wire.Position) {
	for i, r := range g.rings {
		if g.Owner(i) == member {
			p := r.stand()
			p.Partition = uint32(i)
			list = append(list, p)
		}
	}
	return list
}

// put appends an event to the ring of the key's partition. It is not published.
func (g *eventGrid) put(key string, value any) {
	g.t.Helper()
	k, err := codec.EncodeKey(nil, key)
	noErr(g.t, err)
	v, err := codec.Msgpack{}.Encode(nil, value)
	noErr(g.t, err)
	partition := g.partitionOf(key)
	g.mu.Lock()
	defer g.mu.Unlock()
	r := g.rings[partition]
	r.emit(wire.EventAdded, 0)
	e := &r.history[len(r.history)-1]
	e.Key, e.New, e.Time = k, v, 1
}

// partitionOf returns the partition of a key.
func (g *eventGrid) partitionOf(key string) int {
	g.t.Helper()
	k, err := codec.EncodeKey(nil, key)
	noErr(g.t, err)
	return wire.PartitionOf(k, len(g.rings))
}

// publish sends what is not published yet to all who are connected.
func (g *eventGrid) publish() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, r := range g.rings {
		for _, b := range r.publish() {
			b.Partition = uint32(i)
			g.sendLocked(wire.EventSubject(g.mapName), wire.AppendEventBatch(nil, &b))
		}
	}
}

// watermark sends the watermarks of all members.
func (g *eventGrid) watermark() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range g.interest {
		g.sendLocked(wire.WatermarkSubject(g.mapName), wire.AppendWatermark(nil, &wire.Watermark{Member: g.MemberID(i), AsOf: g.Now(), Positions: g.positionsLocked(i)}))
	}
}

func (g *eventGrid) sendLocked(subject string, payload []byte) {
	for s := range g.conns {
		for sid, to := range s.subs {
			if to == subject {
				s.out = append(s.out, fmt.Sprintf("MSG %s %s %d\r\n%s\r\n", subject, sid, len(payload), payload))
			}
		}
		signal(s.wake)
	}
}

// setDown ends the connections for events and refuses others, or takes them again.
func (g *eventGrid) setDown(down bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.down = down
	for s := range g.conns {
		_ = s.nc.Close()
	}
}

// dial is for WithDialer. It leads connections of the events plane to the NATS server.
func (g *eventGrid) dial(ctx context.Context, addr string) (net.Conn, error) {
	var d net.Dialer
	nc, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return &forkedConn{Conn: nc, g: g, addr: addr}, nil
}

// forkedConn is a connection to a member until its hello asks for the events plane.
type forkedConn struct {
	net.Conn
	g    *eventGrid
	addr string
	told bool
}

// Write passes b on, but for a hello that asks for the events plane.
func (c *forkedConn) Write(b []byte) (int, error) {
	if c.told {
		return c.Conn.Write(b)
	}
	c.told = true
	h, err := wire.DecodeHello(b[8:])
	if err != nil || h.Plane != wire.PlaneEvents {
		return c.Conn.Write(b)
	}
	_ = c.Conn.Close()
	client, server := net.Pipe()
	c.Conn = client
	go c.g.serveEvents(server, c.addr)
	return len(b), nil
}

// natsSession is one connection to the NATS server.
type natsSession struct {
	nc   net.Conn
	wake chan struct{}
	subs map[string]string // guarded by eventGrid.mu, as the following: subject by sid
	out  []string
}

// serveEvents answers the hello, and then what a client of NATS says that only listens.
func (g *eventGrid) serveEvents(nc net.Conn, addr string) {
	defer nc.Close()
	s := &natsSession{nc: nc, wake: make(chan struct{}, 1), subs: make(map[string]string)}
	answer := wire.HelloAnswer{Version: wire.Version, Cluster: g.Name, ClusterID: g.ID, Time: g.Now()}
	for i := range g.interest {
		if g.Addr(i) == addr {
			answer.Member = g.MemberID(i)
		}
	}
	g.mu.Lock()
	if g.down {
		answer.Code = wire.CodeNotReady
	} else {
		g.conns[s] = struct{}{}
		g.noteLocked()
	}
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.conns, s)
		g.noteLocked()
	}()
	if _, err := nc.Write(wire.AppendHelloAnswer(nil, &answer)); err != nil || answer.Code != wire.CodeOK {
		return
	}
	if _, err := io.WriteString(nc, `INFO {"server_id":"fake","version":"2.11.0","proto":1,"headers":true,"max_payload":1048576}`+"\r\n"); err != nil {
		return
	}
	done := make(chan struct{})
	defer close(done)
	go s.write(g, done)
	lines := bufio.NewScanner(nc)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		g.mu.Lock()
		switch {
		case len(words) == 0:
		case words[0] == "CONNECT" && !strings.Contains(lines.Text(), strconv.Quote(wire.EventsUser)):
			g.t.Errorf("a client connects as %s", lines.Text())
		case words[0] == "PING":
			s.out = append(s.out, "PONG\r\n")
		case words[0] == "SUB":
			s.subs[words[len(words)-1]] = words[1]
		case words[0] == "UNSUB":
			delete(s.subs, words[1])
			g.noteLocked()
		}
		g.mu.Unlock()
		signal(s.wake)
	}
}

// write sends what is queued until the session ends.
func (s *natsSession) write(g *eventGrid, done <-chan struct{}) {
	for {
		g.mu.Lock()
		out := strings.Join(s.out, "")
		s.out = nil
		g.mu.Unlock()
		if out != "" {
			if _, err := io.WriteString(s.nc, out); err != nil {
				return
			}
			continue
		}
		select {
		case <-s.wake:
		case <-done:
			return
		}
	}
}
