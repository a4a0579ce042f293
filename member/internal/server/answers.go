package server

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/gridiron-io/gridiron/maps"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// outbox holds the answers of a connection that wait to be written.
type outbox struct {
	sync.Mutex
	buf   []byte
	spare []byte // the other buffer
	parts int    // where in buf the frame begins that takes further parts; -1: none
	told  []told // who wants to know what becomes of answers in buf

	// Somebody writes: the reader, or the writer goroutine. Whoever has set it is the only one to write, and looks for further answers before
	// clearing it.
	writing bool
	// The reader starts requests of one read of the socket. It writes what has gathered when it is done.
	corked bool
	time   int64  // while corked: what all answers carry
	table  uint64 // likewise
	closed bool
	room   chan struct{} // closed when buf is taken; nil if nobody waits for that
	idle   chan struct{} // closed when nothing is under way, waiting or being written; nil if nobody waits for that
}

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

// Answer queues the answer to a request. It copies body. Each request that was dispatched is answered once.
func (c *Conn) Answer(id uint64, code wire.Code, body []byte) { c.Deliver(id, code, body, nil) }

// Deliver is Answer, and tells whether the answer was handed to the network. f may be nil.
func (c *Conn) Deliver(id uint64, code wire.Code, body []byte, f func(delivered bool)) {
	c.answer(id, code, body, whole, f)
}

func (c *Conn) answer(id uint64, code wire.Code, body []byte, as form, f func(delivered bool)) {
	// A frame above the limit would end the connection, and with it all other calls.
	if wire.AnswerHeader+len(body) > c.limit {
		code, body = wire.CodeTooLarge, []byte(fmt.Sprintf("an answer of %d bytes, the limit is %d: ask for less at once", len(body), c.limit-wire.AnswerHeader))
	}

	c.send(&wire.Answer{ID: id, Code: code, Body: body}, as, f)
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
		c.send(&wire.Answer{ID: uint64(op), Flags: wire.FlagPush, Body: body}, pushed, nil)
	}
}

// form is how an answer is sent.
type form uint8

const (
	whole  form = iota // in a frame of its own
	part               // together with the answers to other parts
	pushed             // likewise alone, and nobody has asked
)

func (c *Conn) send(a *wire.Answer, as form, f func(delivered bool)) {
	c.out.Lock()
	// Requests that are answered while the reader starts others had come before, so one time for all is true of each.
	if c.out.corked {
		a.Time, a.Table = c.out.time, c.out.table
	} else {
		a.Time, a.Table = c.s.cfg.Stamp()
	}
	// The count changes under the lock: a drain must not find the call neither under way nor queued.
	if as != pushed {
		c.inFlight.Add(-1)
	}

	// Nobody reads the answer any more. Who wants to hear of that is told without the lock.
	if c.out.closed {
		c.out.Unlock()
		if f != nil {
			f(false)
		}
		return
	}

	if as == part {
		c.out.buf, c.out.parts = wire.AppendAnswerPart(c.out.buf, c.out.parts, a)
	} else {
		c.out.buf, c.out.parts = wire.AppendAnswer(c.out.buf, a), -1
	}
	n := len(c.out.buf)
	if f != nil {
		c.out.told = append(c.out.told, told{n, f})
	}

	c.outBytes.Store(int64(n))

	// One who writes takes these bytes too. While the reader is at work, it writes them itself when it is done.
	wake := !c.out.writing && !c.out.corked
	if wake {
		c.out.writing = true
	}
	c.out.Unlock()

	// Answers to calls under way cannot be held back. So a peer that reads none of them is cut off.
	if n > maxOut {
		c.s.log.Warn("a peer that does not read its answers is cut off", "remote", c.nc.RemoteAddr().String(), "client", c.hello.Name)
		c.close()
		return
	}

	if wake {
		c.wake <- struct{}{} // there is room: only who has set writing sends it
	}
}

// cork has answers wait until uncork. It is called by the reader, before it starts what one read of the socket brought. It may be called again
// for a further read.
func (c *Conn) cork() {
	c.at = maps.Moment{}
	now, table := c.s.cfg.Stamp()
	c.out.Lock()
	// Answers that share a frame carry one time, so those to later requests do not join a frame.
	c.out.corked, c.out.time, c.out.table, c.out.parts = true, now, table, -1
	c.out.Unlock()
}

// uncork has the answers written that have gathered since cork, on the reader's own goroutine as far as the network takes them at once.
func (c *Conn) uncork() {
	c.out.Lock()
	c.out.corked = false
	if c.out.writing || c.out.closed || len(c.out.buf) == 0 {
		c.out.Unlock()
		return
	}

	c.out.writing = true
	// Whether somebody still hears an answer is for the writer goroutine to find out.
	if c.raw == nil || len(c.out.told) > 0 {
		c.out.Unlock()
		c.wake <- struct{}{}
		return
	}
	buf, _ := c.takeLocked()
	c.out.Unlock()

	// This takes no other goroutine for the common case: the network has room for all of it.
	n, err := c.raw.TryWrite(buf)
	switch {
	case err != nil:
		c.close()
	case n < len(buf):
		// The reader must go on reading, so the writer goroutine waits for the network.
		c.rest = buf[n:]
		c.wake <- struct{}{}
	// More answers have come while this one was written. They are left to the writer, since requests may wait too.
	case c.wrote(buf):
		c.wake <- struct{}{}
	}
}

// wrote keeps the buffer, all of which was written, for later answers. It reports whether there are more by now. If not, the caller is no
// longer the one who writes.
func (c *Conn) wrote(buf []byte) (more bool) {
	c.out.Lock()
	defer c.out.Unlock()
	c.keepLocked(buf)
	if len(c.out.buf) > 0 && !c.out.closed {
		return true
	}
	c.restLocked()
	return false
}

// keepLocked keeps a buffer for later answers. REQUIRES c.out.
func (c *Conn) keepLocked(buf []byte) {
	// Two buffers are enough: one is filled while the other is written. A large one is not kept.
	if c.out.spare == nil && !c.out.closed && cap(buf) <= keptBuffer {
		c.out.spare = buf[:0]
	}
}

// restLocked says that nobody writes any more. REQUIRES c.out.
func (c *Conn) restLocked() {
	c.out.writing = false
	// Nothing is queued, being written or under way. Only then is a drain complete.
	if c.out.idle != nil && c.inFlight.Load() == 0 {
		close(c.out.idle)
		c.out.idle = nil
	}
}

// write is the writer goroutine. It writes what others may not wait for, until the connection is closed.
func (c *Conn) write() {
	defer c.s.wg.Done()
	for {
		select {
		case <-c.wake:
		case <-c.done:
			return
		}

		// What the reader has begun to write comes first: the rest of a frame cannot wait behind another.
		buf, list := c.rest, []told(nil)
		if c.rest = nil; buf == nil {
			buf, list = c.take()
		}
		for ; buf != nil; buf, list = c.take() {
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

			// The buffer is free now. What has gathered in the other one is next.
			c.out.Lock()
			c.keepLocked(buf)
			c.out.Unlock()
		}
	}
}

// take returns the answers that have gathered, and who is to hear what becomes of them, and puts an empty buffer in their place. It returns
// nil if there are none: then the caller is no longer the one who writes. REQUIRES that the caller has set c.out.writing.
func (c *Conn) take() ([]byte, []told) {
	c.out.Lock()
	defer c.out.Unlock()
	if len(c.out.buf) == 0 || c.out.closed {
		c.restLocked()
		return nil, nil
	}
	return c.takeLocked()
}

// takeLocked is take where there is something to take. REQUIRES c.out.
func (c *Conn) takeLocked() ([]byte, []told) {
	buf, list := c.out.buf, c.out.told
	c.out.buf, c.out.spare, c.out.told, c.out.parts = c.out.spare, nil, nil, -1
	c.outBytes.Store(0)
	// The queue is empty now, so the reader may go on with the peer's requests.
	if c.out.room != nil {
		close(c.out.room)
		c.out.room = nil
	}

	return buf, list
}

var errSlowPeer = errors.New("the peer takes nothing")

// writeAll writes buf, and returns how much of it was taken.
func (c *Conn) writeAll(buf []byte) (written int, err error) {
	// Mostly the network takes everything at once, and no deadline is needed.
	if c.raw != nil {
		written, err = c.raw.TryWrite(buf)
		if err != nil || written == len(buf) {
			return written, err
		}
		buf = buf[written:]
	}

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

	// A deadline that has passed would fail the next TryWrite.
	_ = c.nc.SetWriteDeadline(time.Time{})
	return written, nil
}

// awaitRoom waits until the writer has taken what is queued and reports whether the connection goes on.
func (c *Conn) awaitRoom() bool {
	c.out.Lock()
	// The writer may have taken everything since the reader looked.
	if c.out.closed || len(c.out.buf) <= holdOut {
		goesOn := !c.out.closed
		c.out.Unlock()
		return goesOn
	}

	if c.out.room == nil {
		c.out.room = make(chan struct{})
	}

	// The channel is taken under the lock: takeLocked replaces it when it closes it.
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
	// A closed connection delivers nothing more, so nobody need wait for it.
	if c.out.closed || len(c.out.buf) == 0 && !c.out.writing && c.inFlight.Load() == 0 {
		return nil
	}

	if c.out.idle == nil {
		c.out.idle = make(chan struct{})
	}

	return c.out.idle
}

// What is asked for decides how the answer is sent. So a Conn is several callers of the services.
type (
	readCaller     Conn // of reads
	partCaller     Conn // of writes that are parts
	partReadCaller Conn // of reads that are parts
)

var _, _, _ maps.Caller = (*readCaller)(nil), (*partCaller)(nil), (*partReadCaller)(nil)

// Answer queues the answer to a read, or tells the caller to ask again.
func (r *readCaller) Answer(id uint64, code wire.Code, body []byte) {
	(*Conn)(r).answerRead(id, code, body, whole)
}

// Answer queues the answer to a write.
func (p *partCaller) Answer(id uint64, code wire.Code, body []byte) {
	(*Conn)(p).answer(id, code, body, part, nil)
}

// Answer queues the answer to a read, or tells the caller to ask again.
func (p *partReadCaller) Answer(id uint64, code wire.Code, body []byte) {
	(*Conn)(p).answerRead(id, code, body, part)
}

func (c *Conn) answerRead(id uint64, code wire.Code, body []byte, as form) {
	// A read changes nothing, so the client may repeat it. The answer to a write is never left out.
	if len(body) > largeAnswer && c.outBytes.Load() > holdReads {
		code, body = wire.CodeNotReady, []byte("too many answers wait to be read on this connection")
	}

	c.answer(id, code, body, as, nil)
}

// caller returns to whom a read or write of a partition is answered.
func (c *Conn) caller(req *wire.Request) maps.Caller {
	switch read, parts := req.Op.IsRead(), req.Flags&wire.FlagParts != 0; {
	case read && parts:
		return (*partReadCaller)(c)
	case read:
		return (*readCaller)(c)
	case parts:
		return (*partCaller)(c)
	}
	return c
}
