package server

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"

	"github.com/gridiron-io/gridiron/maps"
	"github.com/gridiron-io/gridiron/sdk/wire"
	"github.com/gridiron-io/gridiron/sdk/wire/socket"
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
	// maxAtOnce is how many requests are started before their answers are written although more requests are there.
	maxAtOnce = 128
)

// Conn is one connection of the calls plane. Its reader takes all frames that one read of the socket brought, and starts them. Then it flushes
// the partitions they were for, and writes the answers that are there already, in one write. The other answers, and what the network does not
// take at once, are its writer's.
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

	out      outbox
	outBytes atomic.Int64   // of out.buf
	wake     chan struct{}  // one slot: the writer goroutine is the one who writes now
	raw      *socket.Writer // nil: only the writer goroutine writes
	more     *socket.Reader // nil: whether more requests are there cannot be seen
	rest     []byte         // REQUIRES out.writing set by the caller: what the writer goroutine begins with
	done     chan struct{}  // closed when the connection has ended

	interests map[string]int // owned by the reader: maps listened to
	req       wire.Request   // likewise: what is being started, one request after the other
	corked    bool           // likewise: answers wait for flush
	fresh     bool           // likewise: the socket was read since cork
	started   int            // likewise: requests since flush
	at        maps.Moment    // likewise: when what is being started had come; zero: not looked yet
	closeOnce sync.Once
}

var _ maps.Connection = (*Conn)(nil)

func newConn(s *Server, nc net.Conn, hello wire.Hello, peer bool) *Conn {
	c := &Conn{s: s, nc: nc, hello: hello, peer: peer, limit: wire.MaxFrame, raw: socket.NewWriter(nc), more: socket.NewReader(nc), wake: make(chan struct{}, 1), done: make(chan struct{})}
	c.out.parts = -1
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

	// The connection is closed before Gone: a call that is parked later sees that it has ended.
	c.close()

	services := c.s.services.Load()
	if services == nil {
		return // nothing was carried out that could still want the connection
	}

	services.Maps.Gone(c)

	// The listeners of a client that has vanished must not have events published for ever.
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
	defer c.flush(&touched) // what was started must not wait for a read that never comes

	for {
		n, ok, err := wire.FrameLength(buf[start:end], c.limit)
		if err != nil {
			return err
		}
		if ok && end-start >= n+4 {
			if err := c.handle(buf[start+4:start+4+n], &touched); err != nil {
				return err
			}
			start += 4 + n
			continue
		}

		buf, start, end = makeRoom(buf, start, end)
		// A peer with many requests has mostly sent more while these were started. They are answered in the same write.
		if c.started > 1 && c.started < maxAtOnce && c.more != nil {
			if k := c.more.TryRead(buf[end:]); k > 0 {
				end += k
				c.fresh = true
				continue
			}
		}

		// No whole frame is left of what was read: what was started goes out together.
		c.flush(&touched)
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
		// The rest is the beginning of one frame, which has to stand in one piece.
		copy(buf, buf[start:end])
		return buf, 0, end - start
	case end == len(buf):
		grown := make([]byte, 2*len(buf))
		copy(grown, buf)
		return grown, 0, end
	}

	return buf, start, end
}

// flush has everything go out that was started: the answers that are there already, and what is to be proposed.
func (c *Conn) flush(touched *touched) {
	c.started = 0
	if c.corked {
		c.corked = false
		c.uncork()
	}
	touched.flush(c.s.services.Load())
}

// handle starts what a frame asks for. An error ends the connection.
func (c *Conn) handle(frame []byte, touched *touched) error {
	req := &c.req
	// Without a request that can be read there is no ID to answer to.
	if err := wire.DecodeRequest(frame, req); err != nil {
		return err
	}
	if req.Flags&wire.FlagParts == 0 {
		return c.start(req, touched)
	}

	parts := wire.NewReader(req.Body)
	for parts.Len() > 0 {
		if err := wire.DecodePart(&parts, req); err != nil {
			return err
		}
		if err := c.start(req, touched); err != nil {
			return err
		}
	}
	return nil
}

// start starts a request, which may be a part of a frame, and waits while too many answers wait for the peer.
func (c *Conn) start(req *wire.Request, touched *touched) error {
	// The answers to all requests of one read go out in one write, and carry one time, at which the requests had come.
	if !c.corked || c.fresh {
		c.corked, c.fresh = true, false
		c.cork()
	}
	c.started++

	if c.inFlight.Add(1) > MaxInFlight {
		// The answer takes the call off the count again.
		c.Answer(req.ID, wire.CodeOverloaded, []byte("too many calls under way on one connection"))
	} else {
		c.s.dispatch(c, req, touched)
	}

	if c.outBytes.Load() > holdOut {
		// Other connections may wait for what was started here, so it goes out before this peer is waited for.
		if c.flush(touched); !c.awaitRoom() {
			return net.ErrClosed
		}
	}
	return nil
}

// moment returns a moment at which what is being started had come: one for all that one read of the socket brought.
func (c *Conn) moment(services *Services) maps.Moment {
	if c.at.Local.IsZero() {
		c.at = services.Maps.Moment()
	}
	return c.at
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

// close ends the connection. It may be called twice and from anywhere.
func (c *Conn) close() {
	c.closeOnce.Do(func() {
		c.out.Lock()
		list := c.out.told
		// From here on send tells its callers at once, so nobody is left in the list that was taken.
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
