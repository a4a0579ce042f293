package cable

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// maxHeld is how many bytes that cannot be sent wait in a connection before writing blocks, as the buffers of a socket would
// have them.
const maxHeld = 256 << 10

// conn is one end of a connection. While it is cut, what arrives and what is written wait, up to maxHeld, and nobody learns that
// it was closed. Deadlines and Close work as ever.
type conn struct {
	net.Conn // the socket
	n        *Network
	a, b     int  // whose end this is, and whose the other
	accepted bool // not dialed

	asked, inside bool        // owned by the reader: whether it is known, and true, that the other end is a member's and sees to faults
	exempt        atomic.Bool // inside, for all

	closed    chan struct{}
	closeOnce sync.Once
	abrupt    atomic.Bool // nothing that waits is delivered after Close

	reading sync.Mutex // held while reading; guards the following
	pending []byte     // arrived and not yet read
	failed  error      // what comes after pending

	writing sync.Mutex // held while writing; guards the following
	held    []byte     // written and not yet sent

	limits struct {
		sync.Mutex
		read, write time.Time
		moved       chan struct{} // closed when one of them changes
		releasing   bool          // the socket has no deadline for writing at present
		over        bool          // the socket's deadlines are no longer changed
	}
}

func newConn(n *Network, nc net.Conn, a, b int) *conn {
	c := &conn{Conn: nc, n: n, a: a, b: b, closed: make(chan struct{})}
	c.limits.moved = make(chan struct{})
	n.add(c)
	return c
}

// silent reports whether the connection is cut.
func (c *conn) silent() bool { return c.n.faults.Load().silent(c.a, c.b) && !c.exempt.Load() }

// Read reads what has arrived, once it could have.
func (c *conn) Read(b []byte) (int, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	if len(c.pending) == 0 && c.failed == nil {
		k, err := c.Conn.Read(b)
		// Once the first byte has come, a member that dialed has noted its connection. That member's end sees to the faults then.
		if c.accepted && !c.asked && k > 0 {
			c.asked, c.inside = true, c.n.fromMember(c)
			c.exempt.Store(c.inside)
		}

		switch {
		case c.isClosed():
			return 0, net.ErrClosed
		// A deadline is kept by this end alone, so it needs no cable.
		case !c.silent() || errors.Is(err, os.ErrDeadlineExceeded) && k == 0:
			return k, err
		}

		c.pending, c.failed = append(c.pending[:0], b[:k]...), err
	}

	for c.silent() {
		if err := c.await(false); err != nil {
			return 0, err
		}
	}

	if len(c.pending) == 0 && c.failed != nil {
		return 0, c.failed
	}

	k := copy(b, c.pending)
	c.pending = c.pending[k:]
	return k, nil
}

// Write sends b, or keeps it until it can be sent.
func (c *conn) Write(b []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	for sent := 0; ; {
		if c.isClosed() {
			return sent, net.ErrClosed
		}

		if !c.silent() {
			if err := c.releaseLocked(); err != nil {
				return sent, err
			}
			k, err := c.Conn.Write(b)
			return sent + k, err
		}

		// The writer must see what a socket would show: some bytes fit into buffers, and then the write blocks.
		k := min(len(b), maxHeld-len(c.held))
		c.held, b, sent = append(c.held, b[:k]...), b[k:], sent+k
		if len(b) == 0 {
			return sent, nil
		}

		if err := c.await(true); err != nil {
			return sent, err
		}
	}
}

// await waits until the faults have changed, and fails with the deadline or with Close.
func (c *conn) await(writing bool) error {
	f := c.n.faults.Load()
	if !f.silent(c.a, c.b) {
		return nil
	}

	c.limits.Lock()
	limit, moved := c.limits.read, c.limits.moved
	if writing {
		limit = c.limits.write
	}
	c.limits.Unlock()

	var late <-chan time.Time
	if !limit.IsZero() {
		t := time.NewTimer(time.Until(limit))
		defer t.Stop()
		late = t.C
	}

	select {
	case <-f.changed:
		return nil
	case <-moved:
		return nil
	case <-late:
		return os.ErrDeadlineExceeded
	case <-c.closed:
		return net.ErrClosed
	}
}

// release sends what waits.
func (c *conn) release() {
	c.writing.Lock()
	defer c.writing.Unlock()
	if !c.silent() && !c.isClosed() {
		_ = c.releaseLocked() // the owner hears of it when it reads or writes
	}
}

// releaseLocked sends what waits, whatever the deadlines are: to its writer it has been sent. REQUIRES c.writing.
func (c *conn) releaseLocked() error {
	if len(c.held) == 0 {
		return nil
	}

	c.limits.Lock()
	c.limits.releasing = true
	if !c.limits.over {
		_ = c.Conn.SetWriteDeadline(time.Time{})
	}
	c.limits.Unlock()

	_, err := c.Conn.Write(c.held)

	c.held = nil
	c.limits.Lock()
	c.limits.releasing = false
	if !c.limits.over {
		_ = c.Conn.SetWriteDeadline(c.limits.write)
	}
	c.limits.Unlock()

	return err
}

func (c *conn) isClosed() bool {
	select {
	case <-c.closed:
		return true
	default:
		return false
	}
}

// Close ends this end of the connection. The other side learns of it when it can.
func (c *conn) Close() error {
	err := net.ErrClosed
	c.closeOnce.Do(func() {
		close(c.closed)
		// The connection is not cut, so the other side may hear of the end at once.
		if !c.n.remove(c) {
			err = c.Conn.Close()
			return
		}
		// A read or write at the socket returns at once. Nothing of it is sent.
		c.limits.Lock()
		defer c.limits.Unlock()
		c.limits.over = true
		err = c.Conn.SetDeadline(time.Unix(1, 0))
	})
	return err
}

// end closes the socket of a connection that was closed while it was cut, after what its owner has written before.
func (c *conn) end() {
	c.writing.Lock()
	defer c.writing.Unlock()
	if len(c.held) > 0 && !c.abrupt.Load() && c.Conn.SetWriteDeadline(time.Now().Add(lastWords)) == nil {
		_, _ = c.Conn.Write(c.held) // its owner has gone
	}
	_ = c.Conn.Close()
}

// SetLinger is that of a net.TCPConn.
func (c *conn) SetLinger(seconds int) error {
	c.abrupt.Store(seconds == 0)
	if t, ok := c.Conn.(*net.TCPConn); ok {
		return t.SetLinger(seconds)
	}
	return nil
}

// SetDeadline sets both deadlines.
func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline bounds Read.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.limits.Lock()
	defer c.limits.Unlock()
	c.limits.read = t
	c.movedLocked()
	if c.limits.over {
		return net.ErrClosed
	}
	return c.Conn.SetReadDeadline(t)
}

// SetWriteDeadline bounds Write.
func (c *conn) SetWriteDeadline(t time.Time) error {
	c.limits.Lock()
	defer c.limits.Unlock()
	c.limits.write = t
	c.movedLocked()
	switch {
	case c.limits.over:
		return net.ErrClosed
	case c.limits.releasing:
		return nil
	}
	return c.Conn.SetWriteDeadline(t)
}

// movedLocked wakes reads and writes that wait with the old deadlines. REQUIRES c.limits.
func (c *conn) movedLocked() {
	close(c.limits.moved)
	c.limits.moved = make(chan struct{})
}
