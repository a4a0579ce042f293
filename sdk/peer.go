package sdk

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gridiron-io/gridiron/sdk/internal/rpc"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

const (
	dialTimeout  = 3 * time.Second // one address, with TLS and hello
	firstBackoff = 5 * time.Millisecond
	maxBackoff   = 100 * time.Millisecond
)

// peer is one member as the client reaches it. It stays the same while the member's connections come and go.
type peer struct {
	id   wire.ID
	conn atomic.Pointer[rpc.Conn] // the latest; nil before the first

	mu struct {
		sync.Mutex
		announced  string   // address that the member announces
		known      []string // addresses given to Connect behind which it was found
		gone       bool     // no longer among the members
		dialing    bool
		failures   int   // dials in a row
		failedFrom int64 // when the last of them began
		notBefore  int64 // when the next dial may begin
		lastErr    error // of the last dial
	}
}

// live returns the peer's connection, nil if it has none now.
func (p *peer) live() *rpc.Conn {
	if conn := p.conn.Load(); conn != nil && conn.Alive() {
		return conn
	}
	return nil
}

// failure returns what ended the last dial, nil if none has failed since the last success, and whether one is under way.
func (p *peer) failure() (err error, dialing bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.lastErr, p.mu.dialing
}

// backoff returns how long to wait after n failures in a row: twice as long each time, less a random part of up to a half. So clients
// that fail together do not come back together.
func backoff(n int) time.Duration {
	d := maxBackoff
	if n < 5 {
		d = min(firstBackoff<<n, maxBackoff)
	}
	return d - rand.N(d/2)
}

var errNoAddress = errors.New("the member's address is not known")

// dial connects to p in a goroutine of its own. It does nothing if a dial is under way or has just failed, or if p is no longer a
// member. At its end, with or without success, it wakes the client's waiters.
func (c *Client) dial(p *peer) {
	p.mu.Lock()
	ok := !p.mu.dialing && !p.mu.gone && c.clock.now() >= p.mu.notBefore
	if ok {
		p.mu.dialing = true
	}

	// The announced address comes first. The others have worked before, say behind a translation of addresses.
	addrs := append([]string{p.mu.announced}, p.mu.known...)
	p.mu.Unlock()

	began := c.clock.now()
	if !ok {
		return
	}
	c.spawn(func() {
		// errNoAddress stays only if there is nothing to try.
		errs := []error{errNoAddress}
		for i, addr := range addrs {
			if addr == "" || slices.Contains(addrs[:i], addr) {
				continue
			}
			err := c.open(c.life, addr, p.id)
			// One connection to a member is enough.
			if err == nil {
				errs = nil
				break
			}
			if errs = append(errs, err); errs[0] == errNoAddress {
				errs = errs[1:]
			}
		}

		err := errors.Join(errs...)
		p.mu.Lock()
		p.mu.dialing, p.mu.lastErr = false, err
		if err != nil {
			// A member that is down must not be dialed by every call that wants it.
			p.mu.notBefore = c.clock.now() + int64(backoff(p.mu.failures))
			p.mu.failures++
			p.mu.failedFrom = began
		} else {
			p.mu.failures = 0
		}
		p.mu.Unlock()

		if err != nil && c.life.Err() == nil {
			c.cfg.logger.Debug("gridiron: cannot connect", "member", p.id, "error", err)
		}
		c.changed.signal()
	})
}

// open connects to addr for calls and makes the connection that of the member found there. want, if not zero, is the
// member that must be found.
func (c *Client) open(ctx context.Context, addr string, want wire.ID) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()

	sent := c.clock.now()
	nc, answer, err := c.greet(ctx, addr, wire.PlaneCalls)
	if err != nil {
		return err
	}

	// Another member may have taken over the address.
	if !want.IsZero() && answer.Member != want {
		_ = nc.Close()
		return fmt.Errorf("%s: member %v answers, not %v", addr, answer.Member, want)
	}

	// Only now is it sure that the clock is that of the cluster.
	c.clock.sample(answer.Time, sent, c.clock.now())
	c.adopt(nc, addr, &answer)
	return nil
}

// greet makes a connection to addr for plane and exchanges hellos on it. Only members of the client's cluster will do.
func (c *Client) greet(ctx context.Context, addr string, plane wire.Plane) (net.Conn, wire.HelloAnswer, error) {
	// Once there is a table, its cluster is the client's. A client that wants any cluster must not end up in two.
	if t := c.table.Load(); t != nil {
		return c.greetCluster(ctx, addr, plane, t.name, t.cluster)
	}
	return c.greetCluster(ctx, addr, plane, c.cfg.cluster, c.cfg.clusterID)
}

// greetCluster is greet for members of a cluster with a name and an ID, which mean any if they are empty.
func (c *Client) greetCluster(ctx context.Context, addr string, plane wire.Plane, name string, id wire.ID) (net.Conn, wire.HelloAnswer, error) {
	nc, err := c.cfg.dial(ctx, addr)
	if err != nil {
		return nil, wire.HelloAnswer{}, fmt.Errorf("%s: %w", addr, err)
	}

	if c.cfg.tls != nil {
		cfg := c.cfg.tls
		// Without a name in the configuration, the certificate must be valid for the host that is dialed.
		if cfg.ServerName == "" {
			host, _, err := net.SplitHostPort(addr)
			if err != nil {
				host = addr
			}
			// The configuration is shared by all members, whose names differ.
			cfg = cfg.Clone()
			cfg.ServerName = host
		}
		secured := tls.Client(nc, cfg)
		if err := secured.HandshakeContext(ctx); err != nil {
			_ = nc.Close()
			return nil, wire.HelloAnswer{}, fmt.Errorf("%s: TLS: %w", addr, err)
		}
		nc = secured
	}

	hello := wire.Hello{Version: wire.Version, Plane: plane, Cluster: name, ClusterID: id, Name: c.cfg.name, Client: c.id}
	answer, err := rpc.Greet(ctx, nc, &hello)
	// Refusals count as sightings too: a member of another cluster refuses this hello.
	c.sighted(addr, &hello, &answer)
	if other := otherCluster(&hello, &answer, addr); other != nil {
		err = other // the member's own text would say the same
	}
	if err != nil {
		_ = nc.Close()
		return nil, answer, fmt.Errorf("%s: %w", addr, err)
	}
	return nc, answer, nil
}

// adopt makes nc the connection of the member that answered on it, unless that has one already, and subscribes to its
// table there.
func (c *Client) adopt(nc net.Conn, addr string, answer *wire.HelloAnswer) {
	c.mu.Lock()
	// Close has its list of peers already, and would never end this connection.
	if c.mu.closed {
		c.mu.Unlock()
		_ = nc.Close()
		return
	}

	p := c.peerLocked(answer.Member)

	// An address that is not announced still led here. It is kept for the time when the announced address does not.
	p.mu.Lock()
	if p.mu.announced != addr && !slices.Contains(p.mu.known, addr) {
		p.mu.known = append(p.mu.known, addr)
	}
	p.mu.Unlock()

	// Two dials may reach the same member at once, under two addresses. One connection is enough.
	if p.live() != nil {
		c.mu.Unlock()
		_ = nc.Close()
		return
	}

	// Under c.mu, so that Close either sees the connection among the peers or has made closed true before.
	conn := rpc.New(nc, rpc.Config{
		Silence:  c.cfg.silence,
		PongWait: c.cfg.pongWait,
		Now:      c.clock.now,
		OnTime:   c.clock.sample,
		OnView:   c.onView,
		OnClose: func(err error) {
			if c.life.Err() == nil {
				c.cfg.logger.Info("gridiron: connection lost", "member", p.id, "addr", addr, "error", err)
			}
			c.changed.signal()
		},
		Batcher:    c.batcher,
		Goroutines: &c.wg,
	})
	p.conn.Store(conn)
	c.mu.Unlock()

	c.cfg.logger.Info("gridiron: connected", "member", p.id, "name", answer.MemberName, "addr", addr)

	// The question subscribes to later tables as well.
	conn.AskTable(c.clock.now())
	c.changed.signal()
}

// peerLocked returns the peer with an ID, a new one if need be. REQUIRES c.mu.
func (c *Client) peerLocked(id wire.ID) *peer {
	p := c.mu.peers[id]
	if p == nil {
		p = &peer{id: id}
		c.mu.peers[id] = p
	}
	return p
}
