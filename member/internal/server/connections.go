package server

import (
	"context"
	"net"
	"sync"
)

// connections are the connections of a member's calls planes.
type connections struct {
	mu   sync.Mutex
	list map[*Conn]struct{}
}

func (s *connections) add(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.list == nil {
		s.list = make(map[*Conn]struct{})
	}

	s.list[c] = struct{}{}
}

func (s *connections) remove(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.list, c)
}

func (s *connections) all() []*Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]*Conn, 0, len(s.list))
	for c := range s.list {
		out = append(out, c)
	}

	return out
}

// drain waits until the answers to what clients have asked are on their way, or until ctx ends.
func (s *connections) drain(ctx context.Context) {
	// They are waited for in turn: the drain is as long as the slowest of them.
	for _, c := range s.all() {
		// Heartbeats of other members go on until the end, and nothing is lost when one has no answer.
		if c.peer {
			continue
		}
		idle := c.drained()
		if idle == nil {
			continue
		}
		select {
		case <-idle:
		case <-c.done:
		case <-ctx.Done():
			return
		}
	}
}

// sockets are all connections that a member has accepted, on whatever plane, so that they can be counted and cut.
type sockets struct {
	mu     sync.Mutex // guards the following
	list   map[net.Conn]struct{}
	closed bool
}

// add takes a connection and reports whether it may go on: not when there are limit already, nor after closeAll.
func (r *sockets) add(nc net.Conn, limit int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	// A connection that is accepted while the member ends would be closed by nobody.
	if r.closed || len(r.list) >= limit {
		return false
	}

	if r.list == nil {
		r.list = make(map[net.Conn]struct{})
	}

	r.list[nc] = struct{}{}
	return true
}

func (r *sockets) remove(nc net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.list, nc)
}

func (r *sockets) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.list)
}

// closeAll ends all connections, and every one that is added later. With abruptly, the other side sees them reset.
func (r *sockets) closeAll(abruptly bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	for nc := range r.list {
		// A crash resets its connections. An orderly end would tell the other side that all was sent.
		if t, ok := nc.(interface{ SetLinger(seconds int) error }); ok && abruptly {
			_ = t.SetLinger(0)
		}
		_ = nc.Close()
	}
}
