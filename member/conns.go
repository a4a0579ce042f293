package member

import (
	"context"
	"net"
	"sync"
)

// conns are the connections of a member's calls planes.
type conns struct {
	mu   sync.Mutex
	list map[*conn]struct{}
}

func (s *conns) add(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.list == nil {
		s.list = make(map[*conn]struct{})
	}
	s.list[c] = struct{}{}
}

func (s *conns) remove(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.list, c)
}

func (s *conns) all() []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]*conn, 0, len(s.list))
	for c := range s.list {
		out = append(out, c)
	}
	return out
}

// drain waits until the answers to what clients have asked are on their way, or until ctx ends.
func (s *conns) drain(ctx context.Context) {
	for _, c := range s.all() {
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

// closeAll ends all connections, and every one that is added later. With abruptly, the other side sees them reset.
func (r *sockets) closeAll(abruptly bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	for nc := range r.list {
		if t, ok := nc.(interface{ SetLinger(seconds int) error }); ok && abruptly {
			_ = t.SetLinger(0)
		}
		_ = nc.Close()
	}
}
