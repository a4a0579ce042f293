package member

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/partition/meta"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// deafNetwork is a member's network that brings it nothing of the metadata group's as soon as it is deaf.
type deafNetwork struct {
	plain
	deaf atomic.Bool
}

func (d *deafNetwork) Listener(l net.Listener) net.Listener { return &deafListener{l, d} }

type deafListener struct {
	net.Listener
	d *deafNetwork
}

func (l *deafListener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &deafConn{Conn: nc, d: l.d}, nil
}

// deafConn is a connection whose hello is looked at. A member has one reader for each.
type deafConn struct {
	net.Conn
	d     *deafNetwork
	first []byte // as far as the plane
}

// planeAt is where a hello names what the connection is for.
const planeAt = 10

func (c *deafConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.first = append(c.first, b[:min(n, max(0, planeAt+1-len(c.first)))]...)
	if len(c.first) > planeAt && wire.Plane(c.first[planeAt]) == wire.PlaneMeta && c.d.deaf.Load() {
		return 0, io.ErrUnexpectedEOF
	}
	return n, err
}

// A member that the metadata group does not reach, as one without a place in it, was declared dead. It hears of that from those who
// answer its pings, reads it up, and stops.
func TestUnknownPeerHearsOfItsEnd(t *testing.T) {
	t.Parallel()
	networks := make([]*deafNetwork, 3)
	members := runningMembers(t, len(networks), func(i int, cfg *Config) {
		networks[i] = &deafNetwork{}
		cfg.Network = networks[i]
	})
	leader := leaderOf(t, members)
	i := 0
	if members[i] == leader {
		i++
	}
	given := members[i]
	networks[i].deaf.Store(true)
	ctx, cancel := context.WithTimeout(testContext(t), 3*time.Second)
	defer cancel()
	res, err := leader.meta.Commit(ctx, &meta.SetState{ID: given.id, Incarnation: given.incarnation, State: meta.StateDead})
	if err != nil || !res.OK() {
		t.Fatalf("declare it dead: %v, %v", res, err)
	}
	select {
	case <-given.Done():
	case <-time.After(2 * time.Minute):
		t.Fatal("it goes on")
	}
	if err := given.Err(); !errors.Is(err, ErrRemoved) || !strings.Contains(err.Error(), "it was declared dead") {
		t.Errorf("it has stopped by %v", err)
	}
	if mb := given.meta.View().Member(given.id); mb == nil || !mb.Live() {
		t.Errorf("its own metadata say so too: %+v", mb)
	}
}
