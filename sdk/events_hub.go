package sdk

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// eventHub is the client's one connection for events, made when the first listener asks for it. It leads through the client
// port of any member to the NATS server inside that, from which the events of all members come; when it ends, another is
// made, through another member. It lives as long as the client.
type eventHub struct {
	c    *Client
	turn atomic.Uint32 // which member is tried first
	up   atomic.Bool   // conn is connected to a member now
	upAt atomic.Int64  // since when up has its value

	mu      sync.Mutex // guards the following
	conn    *nats.Conn // nil until the first connection, which stays
	streams map[*eventStream]struct{}
	closed  bool

	changed broadcast // signals that conn is set
}

// newHub returns the client's event hub, at work.
func newHub(c *Client) *eventHub {
	h := &eventHub{c: c, streams: make(map[*eventStream]struct{})}
	h.turn.Store(rand.Uint32())
	c.spawn(h.run)
	return h
}

// run is the goroutine that owns the connection. It ends with the client, and with it the streams.
func (h *eventHub) run() {
	gone := make(chan struct{})
	conn, err := nats.Connect("nats://members", // the dialer knows better
		nats.Name(h.c.cfg.name),
		nats.SetCustomDialer(h), nats.SkipHostLookup(), nats.IgnoreDiscoveredServers(), nats.DontRandomize(),
		// By default NATS gives up after two refusals. The next member may accept.
		nats.UserInfo(wire.EventsUser, wire.EventsUser), nats.IgnoreAuthErrorAbort(),
		// The streams' subscriptions stay with this connection, so it must outlast every outage.
		nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1),
		nats.ReconnectWait(50*time.Millisecond), nats.ReconnectJitter(50*time.Millisecond, 50*time.Millisecond),
		nats.Timeout(2*time.Second), nats.PingInterval(2*time.Second), nats.MaxPingsOutstanding(2),
		nats.ConnectHandler(func(*nats.Conn) { h.stir(true) }),
		nats.ReconnectHandler(func(*nats.Conn) { h.stir(true) }),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			h.c.cfg.logger.Debug("gridiron: connection for events lost", "error", err)
			h.stir(false)
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { // owners are asked for what is lost
			h.c.cfg.logger.Debug("gridiron: events", "error", err)
		}),
		nats.ClosedHandler(func(*nats.Conn) { close(gone) }),
	)

	// Only now can streams subscribe: nats below waits for this.
	if err == nil {
		h.mu.Lock()
		h.conn = conn
		h.mu.Unlock()
		h.changed.signal()
	} else if h.c.life.Err() == nil {
		h.c.cfg.logger.Error("gridiron: there is no connection for events", "error", err)
	}

	// The NATS client does everything else on goroutines of its own, until the client is closed.
	<-h.c.life.Done()

	// From here on add refuses streams, so the list below is complete.
	h.mu.Lock()
	h.closed = true
	streams := h.streams
	h.streams = nil
	h.mu.Unlock()

	for s := range streams {
		s.close(ErrClosed)
	}

	// Close comes after the streams are closed, so that none takes the end of the connection for an outage.
	if err == nil {
		conn.Close()
		<-gone
	}
}

// stir makes all streams find out what they miss: the connection has ended, or there is one again.
func (h *eventHub) stir(up bool) {
	if h.up.Swap(up) != up {
		h.upAt.Store(h.c.clock.now())
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.streams {
		s.lookSoon()
	}
}

// connected reports whether there is a connection to a member at a moment, and since when.
func (h *eventHub) connected(now int64) (up bool, since int64) {
	h.mu.Lock()
	conn := h.conn
	h.mu.Unlock()

	up = conn != nil && conn.IsConnected()
	// The connection knows first. Its handlers, which note the time, run a moment later.
	if up != h.up.Load() {
		return up, now
	}
	return up, h.upAt.Load()
}

// nats returns the connection, or what ended the wait for it. The connection may be interrupted.
func (h *eventHub) nats(ctx context.Context) (*nats.Conn, error) {
	for {
		// Taken before conn is looked at, so that a connection made in between is not missed.
		changed := h.changed.wait()
		h.mu.Lock()
		conn := h.conn
		h.mu.Unlock()
		if conn != nil {
			return conn, nil
		}

		select {
		case <-changed:
		case <-h.c.life.Done():
			return nil, ErrClosed
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// add makes the hub close s with the client. It reports false if that is closed.
func (h *eventHub) add(s *eventStream) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return false
	}
	h.streams[s] = struct{}{}
	return true
}

func (h *eventHub) remove(s *eventStream) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.streams, s)
}

// planeTimeout bounds how long one member may take to open a connection for events.
const planeTimeout = time.Second

// Dial opens the events plane of a member, preferring those that the client is connected to. The arguments mean nothing.
func (h *eventHub) Dial(string, string) (net.Conn, error) {
	members := slices.Clone(h.c.serving())
	if len(members) == 0 {
		return nil, errors.New("no member is known to serve")
	}

	// The first member is another one each time, so that clients spread, and a member that fails is not tried first again.
	start := int(h.turn.Add(1) % uint32(len(members)))
	members = slices.Concat(members[start:], members[:start])

	// A member without a connection for calls may be out of reach, and would cost the whole of planeTimeout.
	worth := func(m wire.MemberInfo) int {
		p := h.c.peer(m.ID)
		switch {
		case p == nil || p.live() == nil:
			return 2
		case MemberState(m.State) != MemberReady:
			return 1
		}
		return 0
	}
	slices.SortStableFunc(members, func(a, b wire.MemberInfo) int { return cmp.Compare(worth(a), worth(b)) })

	var errs []error
	for i := range members {
		ctx, cancel := context.WithTimeout(h.c.life, planeTimeout)

		// No more than planeTimeout for each: NATS waits for the whole of Dial before it tries again.
		nc, err := h.c.dialPlane(ctx, members[i].ID, wire.PlaneEvents)
		cancel()
		if err == nil {
			// NATS does not know of the client's life, so the end of life closes the connection.
			return &planeConn{Conn: nc, stop: context.AfterFunc(h.c.life, func() { _ = nc.Close() })}, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// planeConn is a connection that ends with the client.
type planeConn struct {
	net.Conn
	stop func() bool
}

// Close ends the connection.
func (p *planeConn) Close() error {
	p.stop()
	return p.Conn.Close()
}
