package member

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

const (
	// maxOut is how many bytes of answers may wait for a peer that does not read; then it is cut off.
	maxOut = 16 << 20
	// maxInFlight is how many calls of one connection may be under way.
	maxInFlight = 16 << 10
	// writeTimeout cuts off a peer that takes nothing for so long.
	writeTimeout = 10 * time.Second
	// readBuffer is the size of a connection's read buffer to begin with.
	readBuffer = 32 << 10
)

// conn is one connection of the calls plane. Its reader takes all frames that one read of the socket brought, starts them,
// and only then flushes the partitions they were for; its writer sends all answers that have gathered in one write.
type conn struct {
	m     *Member
	nc    net.Conn
	hello wire.Hello
	peer  bool // on the members' port
	limit int  // bytes of a frame

	inFlight  atomic.Int32
	viewsSent atomic.Bool // subscribed to the table

	out struct {
		sync.Mutex
		buf    []byte
		closed bool
	}
	wake chan struct{} // one slot: there is something to write
	done chan struct{} // closed when the connection has ended

	interests map[string]int // owned by the reader: maps listened to
	closeOnce sync.Once
}

func newConn(m *Member, nc net.Conn, hello wire.Hello, peer bool) *conn {
	c := &conn{m: m, nc: nc, hello: hello, peer: peer, limit: wire.MaxFrame, wake: make(chan struct{}, 1), done: make(chan struct{})}
	if peer {
		c.limit = wire.MaxFramePeer
	}
	return c
}

// serve reads requests until the connection ends.
func (c *conn) serve() {
	c.m.conns.add(c)
	defer c.m.conns.remove(c)
	c.m.wg.Add(1)
	go c.write() // ends when the connection is closed; owns writing to it
	err := c.read()
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
		c.m.log.Debug("a connection ended", "remote", c.nc.RemoteAddr().String(), "client", c.hello.Name, "err", err)
	}
	c.close()
	for name, n := range c.interests {
		for range n {
			c.m.events.uninterest(name)
		}
	}
}

func (c *conn) read() error {
	buf := make([]byte, readBuffer)
	start, end := 0, 0
	touched := newTouched(c.m.partitions())
	for {
		if start == end {
			start, end = 0, 0
		}
		n, ok, err := wire.FrameLength(buf[start:end], c.limit)
		if err != nil {
			return err
		}
		if ok && end-start >= n+4 {
			if err := c.handle(buf[start+4:start+4+n], touched); err != nil {
				return err
			}
			start += 4 + n
			continue
		}
		// No whole frame is left of what was read: what was started goes out together.
		touched.flush(c.m.host)
		if start > 0 {
			copy(buf, buf[start:end])
			start, end = 0, end-start
		}
		if ok && len(buf) < n+4 {
			buf = append(make([]byte, 0, n+4), buf[:end]...)[:n+4]
		} else if end == 0 && len(buf) > 1<<20 {
			buf = make([]byte, readBuffer)
		}
		k, err := c.nc.Read(buf[end:])
		if err != nil {
			return err
		}
		end += k
	}
}

func (c *conn) handle(frame []byte, touched *touched) error {
	var req wire.Request
	if err := wire.DecodeRequest(frame, &req); err != nil {
		return err
	}
	if c.inFlight.Add(1) > maxInFlight {
		c.Answer(req.ID, wire.CodeOverloaded, []byte("too many calls under way on one connection"))
		return nil
	}
	c.m.dispatch(c, &req, touched)
	return nil
}

// Answer queues the answer to a request.
func (c *conn) Answer(id uint64, code wire.Code, body []byte) {
	c.inFlight.Add(-1)
	c.send(&wire.Answer{ID: id, Code: code, Body: body})
}

// push queues an answer that nobody asked for.
func (c *conn) push(op wire.Op, body []byte) {
	c.send(&wire.Answer{ID: uint64(op), Flags: wire.FlagPush, Body: body})
}

func (c *conn) send(a *wire.Answer) {
	a.Time, a.Table = c.m.clock.Now(), c.m.views.version()
	c.out.Lock()
	if c.out.closed {
		c.out.Unlock()
		return
	}
	c.out.buf = wire.AppendAnswer(c.out.buf, a)
	over := len(c.out.buf) > maxOut
	c.out.Unlock()
	if over {
		c.m.log.Warn("a peer that does not read its answers is cut off", "remote", c.nc.RemoteAddr().String(), "client", c.hello.Name)
		c.close()
		return
	}
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// write sends what has gathered, until the connection is closed.
func (c *conn) write() {
	defer c.m.wg.Done()
	var spare []byte
	for {
		select {
		case <-c.wake:
		case <-c.done:
			return
		}
		c.out.Lock()
		buf := c.out.buf
		c.out.buf = spare[:0]
		c.out.Unlock()
		if len(buf) > 0 {
			_ = c.nc.SetWriteDeadline(time.Now().Add(writeTimeout))
			if _, err := c.nc.Write(buf); err != nil {
				c.close()
				return
			}
		}
		if spare = buf; cap(spare) > 1<<20 {
			spare = nil
		}
	}
}

// close ends the connection. It may be called twice and from anywhere.
func (c *conn) close() {
	c.closeOnce.Do(func() {
		c.out.Lock()
		c.out.closed = true
		c.out.Unlock()
		close(c.done)
		_ = c.nc.Close()
	})
}

// drain waits until what was queued has been handed to the socket, or the deadline.
func (c *conn) drain(deadline time.Time) {
	for time.Now().Before(deadline) {
		c.out.Lock()
		empty := len(c.out.buf) == 0 || c.out.closed
		c.out.Unlock()
		if empty && c.inFlight.Load() <= 0 {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

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
