package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gridiron-io/gridiron/maps"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

const (
	// holdOut is how many bytes of answers may wait for a peer before no more of its requests are read.
	holdOut = 1 << 20
	// holdReads is how many may wait before large answers to reads are left out: the caller is told to ask again.
	holdReads = 8 << 20
	// maxOut is how many may wait before the peer is cut off.
	maxOut = 16 << 20
	// largeAnswer is the body of an answer that counts as large.
	largeAnswer = 4 << 10
	// MaxInFlight is how many calls of one connection may be under way.
	MaxInFlight = 16 << 10
	// writeChunk is how many bytes a peer must take within Config.SlowPeer.
	writeChunk = 256 << 10
	// ReadBuffer is the size of a connection's read buffer to begin with, keptBuffer the largest that it keeps when empty.
	ReadBuffer = 32 << 10
	keptBuffer = 1 << 20
)

// Conn is one connection of the calls plane. Its reader takes all frames that one read of the socket brought, starts them,
// and only then flushes the partitions they were for; its writer sends all answers that have gathered in one write.
//
// What a peer can make wait here is bounded. A peer that does not read its answers is no longer read from; those to calls
// that are under way still gather, up to maxOut, and when it takes nothing for Config.SlowPeer it is cut off.
type Conn struct {
	s     *Server
	nc    net.Conn
	hello wire.Hello
	peer  bool // on the members' port
	limit int  // bytes of a frame

	inFlight atomic.Int32 // calls that were read and whose answers are not queued yet
	tables   atomic.Bool  // subscribed to the table

	out struct {
		sync.Mutex
		buf     []byte
		told    []told // who wants to know what becomes of answers in buf
		writing bool   // the writer has taken a buffer and not yet written it
		closed  bool
		room    chan struct{} // closed when buf is taken; nil if nobody waits for that
		idle    chan struct{} // closed when nothing is under way, waiting or being written; nil if nobody waits for that
	}
	outBytes atomic.Int64  // of out.buf
	wake     chan struct{} // one slot: there is something to write
	done     chan struct{} // closed when the connection has ended

	interests map[string]int // owned by the reader: maps listened to
	closeOnce sync.Once
}

var _ maps.Connection = (*Conn)(nil)

// told is a caller of Deliver that is to hear what becomes of its answer.
type told struct {
	end int // of the answer, in its buffer
	f   func(delivered bool)
}

// tell tells them, when n bytes of their buffer were handed to the network and no more will be.
func tell(list []told, n int) {
	for _, t := range list {
		t.f(t.end <= n)
	}
}

func newConn(s *Server, nc net.Conn, hello wire.Hello, peer bool) *Conn {
	c := &Conn{s: s, nc: nc, hello: hello, peer: peer, limit: wire.MaxFrame, wake: make(chan struct{}, 1), done: make(chan struct{})}
	if peer {
		c.limit = wire.MaxFramePeer
	}

	return c
}

// serve reads requests until the connection ends.
func (c *Conn) serve() {
	c.s.conns.add(c)
	defer c.s.conns.remove(c)
	c.s.wg.Add(1)
	go c.write() // ends when the connection is closed; owns writing to it
	err := c.read()
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
		c.s.log.Debug("a connection ended", "remote", c.nc.RemoteAddr().String(), "client", c.hello.Name, "err", err)
	}

	c.close()

	services := c.s.services.Load()
	if services == nil {
		return // nothing was carried out that could still want the connection
	}

	services.Maps.Gone(c)
	for name, n := range c.interests {
		for range n {
			services.Events.Uninterest(name)
		}
	}
}

func (c *Conn) read() error {
	buf := make([]byte, ReadBuffer)
	start, end := 0, 0
	var touched touched
	for {
		n, ok, err := wire.FrameLength(buf[start:end], c.limit)
		if err != nil {
			return err
		}
		if ok && end-start >= n+4 {
			if err := c.handle(buf[start+4:start+4+n], &touched); err != nil {
				// What was started before must not wait for a read that never comes.
				touched.flush(c.s.services.Load())
				return err
			}
			start += 4 + n
			if c.outBytes.Load() > holdOut {
				// Other connections may wait for what was started here, so it goes out before this peer is waited for.
				touched.flush(c.s.services.Load())
				if !c.awaitRoom() {
					return net.ErrClosed
				}
			}
			continue
		}
		// No whole frame is left of what was read: what was started goes out together.
		touched.flush(c.s.services.Load())
		buf, start, end = makeRoom(buf, start, end)
		k, err := c.nc.Read(buf[end:])
		end += k
		// Bytes that came together with an error are handled first.
		if k == 0 && err != nil {
			return err
		}
	}
}

// makeRoom sees to it that there is room after end. It grows the buffer only when it is full of one frame, to twice its
// size: memory follows what has arrived, not what a length claims.
func makeRoom(buf []byte, start, end int) ([]byte, int, int) {
	switch {
	case start == end:
		// One large request must not take up its memory for as long as the connection lives.
		if len(buf) > keptBuffer {
			buf = make([]byte, ReadBuffer)
		}
		return buf, 0, 0
	case start > 0:
		copy(buf, buf[start:end])
		return buf, 0, end - start
	case end == len(buf):
		grown := make([]byte, 2*len(buf))
		copy(grown, buf)
		return grown, 0, end
	}

	return buf, start, end
}

func (c *Conn) handle(frame []byte, touched *touched) error {
	var req wire.Request
	if err := wire.DecodeRequest(frame, &req); err != nil {
		return err
	}

	if c.inFlight.Add(1) > MaxInFlight {
		// The answer takes the call off the count again.
		c.Answer(req.ID, wire.CodeOverloaded, []byte("too many calls under way on one connection"))
		return nil
	}

	c.s.dispatch(c, &req, touched)
	return nil
}

// Hello returns what the other side said of itself.
func (c *Conn) Hello() *wire.Hello { return &c.hello }

// Peer reports whether the connection is on the members' port.
func (c *Conn) Peer() bool { return c.peer }

// RemoteAddr returns the address of the other side.
func (c *Conn) RemoteAddr() net.Addr { return c.nc.RemoteAddr() }

// Subscribe has every new table pushed to the connection from now on.
func (c *Conn) Subscribe() { c.tables.Store(true) }

// Later runs f on a goroutine of the server. f answers a request of the connection; ctx ends when the member stops. It is called by a
// Handler.
func (c *Conn) Later(f func(ctx context.Context)) {
	c.s.wg.Add(1)
	go func() { // ends with f, which is bounded by its call's deadline or the member's context
		defer c.s.wg.Done()
		f(c.s.ctx)
	}()
}

// InFlight returns how many calls are under way.
func (c *Conn) InFlight() int { return int(c.inFlight.Load()) }

// Hold counts n more calls as under way; a negative n takes them off. It is for tests of what happens meanwhile.
func (c *Conn) Hold(n int) { c.inFlight.Add(int32(n)) }

// Answer queues the answer to a request. It copies body. Each request that was dispatched is answered once.
func (c *Conn) Answer(id uint64, code wire.Code, body []byte) { c.Deliver(id, code, body, nil) }

// Deliver is Answer, and tells whether the answer was handed to the network. f may be nil.
func (c *Conn) Deliver(id uint64, code wire.Code, body []byte, f func(delivered bool)) {
	// A frame above the limit would end the connection, and with it all other calls.
	if wire.AnswerHeader+len(body) > c.limit {
		code, body = wire.CodeTooLarge, []byte(fmt.Sprintf("an answer of %d bytes, the limit is %d: ask for less at once", len(body), c.limit-wire.AnswerHeader))
	}

	c.send(&wire.Answer{ID: id, Code: code, Body: body}, true, f)
}

// Ended reports whether the connection has ended.
func (c *Conn) Ended() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// push queues an answer that nobody asked for, unless the peer has enough to read already: it then asks by itself, because
// every answer names the table's version.
func (c *Conn) push(op wire.Op, body []byte) {
	if c.outBytes.Load() <= holdOut {
		c.send(&wire.Answer{ID: uint64(op), Flags: wire.FlagPush, Body: body}, false, nil)
	}
}

func (c *Conn) send(a *wire.Answer, answers bool, f func(delivered bool)) {
	a.Time, a.Table = c.s.cfg.Stamp()
	c.out.Lock()
	// The count changes under the lock: a drain must not find the call neither under way nor queued.
	if answers {
		c.inFlight.Add(-1)
	}

	if c.out.closed {
		c.out.Unlock()
		if f != nil {
			f(false)
		}
		return
	}

	c.out.buf = wire.AppendAnswer(c.out.buf, a)
	n := len(c.out.buf)
	if f != nil {
		c.out.told = append(c.out.told, told{n, f})
	}

	c.outBytes.Store(int64(n))
	c.out.Unlock()
	// Answers to calls under way cannot be held back. So a peer that reads none of them is cut off.
	if n > maxOut {
		c.s.log.Warn("a peer that does not read its answers is cut off", "remote", c.nc.RemoteAddr().String(), "client", c.hello.Name)
		c.close()
		return
	}

	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// write sends what has gathered, until the connection is closed.
func (c *Conn) write() {
	defer c.s.wg.Done()
	var spare []byte
	for {
		select {
		case <-c.wake:
		case <-c.done:
			return
		}
		for buf, list := c.take(spare); buf != nil; buf, list = c.take(spare) {
			// Who granted a lock must know that nobody hears of it. The system would take the answer all the same.
			if len(list) > 0 && hungUp(c.nc) {
				tell(list, 0)
				c.close()
				return
			}

			n, err := c.writeAll(buf)
			tell(list, n)
			if err != nil {
				if errors.Is(err, errSlowPeer) {
					c.s.log.Warn("a peer that does not read its answers is cut off", "remote", c.nc.RemoteAddr().String(), "client", c.hello.Name)
				}
				c.close()
				return
			}
			if spare = buf; cap(spare) > keptBuffer {
				spare = nil
			}
		}
	}
}

// take returns the answers that have gathered, and who is to hear what becomes of them, and puts an empty buffer in their place. It returns
// nil if there are none; then the connection may be idle.
func (c *Conn) take(spare []byte) ([]byte, []told) {
	c.out.Lock()
	defer c.out.Unlock()
	buf := c.out.buf
	if len(buf) == 0 || c.out.closed {
		c.out.writing = false
		// Nothing is queued, being written or under way. Only then is a drain complete.
		if c.out.idle != nil && c.inFlight.Load() == 0 {
			close(c.out.idle)
			c.out.idle = nil
		}
		return nil, nil
	}

	list := c.out.told
	c.out.buf, c.out.told, c.out.writing = spare[:0], nil, true
	c.outBytes.Store(0)
	if c.out.room != nil {
		close(c.out.room)
		c.out.room = nil
	}

	return buf, list
}

var errSlowPeer = errors.New("the peer takes nothing")

// writeAll writes buf, and returns how much of it was taken.
func (c *Conn) writeAll(buf []byte) (written int, err error) {
	for len(buf) > 0 {
		// Each chunk has its own deadline: a slow peer that goes on reading is not cut off.
		_ = c.nc.SetWriteDeadline(time.Now().Add(c.s.cfg.SlowPeer))
		n, err := c.nc.Write(buf[:min(len(buf), writeChunk)])
		written += n
		if err != nil {
			if ne := net.Error(nil); errors.As(err, &ne) && ne.Timeout() {
				err = errSlowPeer
			}
			return written, err
		}
		buf = buf[n:]
	}

	return written, nil
}

// awaitRoom waits until the writer has taken what is queued and reports whether the connection goes on.
func (c *Conn) awaitRoom() bool {
	c.out.Lock()
	if c.out.closed || len(c.out.buf) <= holdOut {
		goesOn := !c.out.closed
		c.out.Unlock()
		return goesOn
	}

	if c.out.room == nil {
		c.out.room = make(chan struct{})
	}

	room := c.out.room
	c.out.Unlock()
	select {
	case <-room:
		return true
	case <-c.done:
		return false
	}
}

// drained returns a channel that is closed when every call has been answered and every answer handed to the socket; nil if
// that is so now.
func (c *Conn) drained() <-chan struct{} {
	c.out.Lock()
	defer c.out.Unlock()
	if c.out.closed || len(c.out.buf) == 0 && !c.out.writing && c.inFlight.Load() == 0 {
		return nil
	}

	if c.out.idle == nil {
		c.out.idle = make(chan struct{})
	}

	return c.out.idle
}

// close ends the connection. It may be called twice and from anywhere.
func (c *Conn) close() {
	c.closeOnce.Do(func() {
		c.out.Lock()
		list := c.out.told
		c.out.closed = true
		c.out.buf, c.out.told = nil, nil
		c.outBytes.Store(0)
		c.out.Unlock()

		// Nothing is locked while others are told.
		close(c.done)
		_ = c.nc.Close()
		tell(list, 0)
	})
}

// readCaller is a Conn as the caller of reads, which may be asked for again: when too much waits for the peer, a large
// answer is not added to it.
type readCaller Conn

var _ maps.Caller = (*readCaller)(nil)

// Answer queues the answer to a read, or tells the caller to ask again.
func (r *readCaller) Answer(id uint64, code wire.Code, body []byte) {
	c := (*Conn)(r)
	if len(body) > largeAnswer && c.outBytes.Load() > holdReads {
		code, body = wire.CodeNotReady, []byte("too many answers wait to be read on this connection")
	}

	c.Answer(id, code, body)
}
