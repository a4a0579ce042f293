package raftnet

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	pb "github.com/lni/dragonboat/v4/raftpb"
)

const (
	writePiece = 4 << 20 // what one write, with its own deadline, sends at most
	keepBuffer = 4 << 20 // a queue's buffer above this is not kept for reuse
)

var (
	errConnClosed = errors.New("raftnet: the connection was closed")
	errSpoke      = errors.New("raftnet: the peer sent something on a stream that is ours alone")
	errPeerClosed = errors.New("raftnet: the peer closed the connection")
)

// messageConn is the stream of messages to one process. SendMessageBatch is called by one goroutine of the NodeHost, Close by
// the same; shut by anyone.
//
// Two goroutines work for it, started by newMessageConn and ended by shut, for which Close waits: write, which owns the
// writing side of nc, and watch, which owns the reading side and notices when the peer goes away.
type messageConn struct {
	t    *Transport
	nc   net.Conn
	gate gates // used by SendMessageBatch alone

	mu struct {
		sync.Mutex
		pending []byte // frames to be written next
		writing int    // bytes that write has taken out and not yet sent
		err     error  // why the connection is broken; never unset
	}
	wake sync.Cond // pending or err has changed
	done sync.WaitGroup
}

func newMessageConn(t *Transport, nc net.Conn) *messageConn {
	c := &messageConn{t: t, nc: nc}
	interval := t.cfg.EmptyInterval
	if t.cfg.KeepEmpty {
		// With an interval of zero both gates let everything pass.
		interval = 0
	}
	c.gate = gates{newEmptyGate(interval), newQuietGate(interval, t.made, t.answers), newPacer(interval, &t.hurried)}
	c.wake.L = &c.mu
	c.done.Go(c.write)
	c.done.Go(func() { watch(c.nc, c.shut) })
	return c
}

// SendMessageBatch encodes b into the connection's queue and returns without waiting for the peer. When the queue has no room
// b is dropped and counted, as Raft allows; a batch that finds the queue empty is always taken. The error, once the
// connection is broken, is what broke it. Nothing of b is kept.
func (c *messageConn) SendMessageBatch(b pb.MessageBatch) error {
	bound := batchBound(&b)
	now := time.Now()
	// A replica that is being removed must not hear of that before the others.
	c.t.limitCommits(&b, now)
	if !c.t.cfg.KeepEmpty {
		// Before the gates, which leave most of that out.
		c.t.acks.said(b.Requests, now)
	}
	counters := &c.t.counters

	c.mu.Lock()
	if err := c.mu.err; err != nil {
		c.mu.Unlock()
		// The NodeHost closes the connection and opens another when it sends next.
		return err
	}

	// Raft repairs what is dropped. An empty queue takes any batch, or one above the bound would never go.
	queued := len(c.mu.pending) + c.mu.writing
	if queued > 0 && queued+bound > c.t.cfg.QueueBytes {
		c.mu.Unlock()
		counters.droppedBatches.Add(1)
		counters.dropped.Add(uint64(len(b.Requests)))
		return nil
	}

	var sums tally
	c.mu.pending, sums = appendBatch(c.mu.pending, &b, &c.gate, now)
	c.mu.Unlock()

	if sums.sent > 0 {
		// A batch of which nothing is sent wakes nobody.
		c.wake.Signal()
		counters.sentBatches.Add(1)
		counters.sentMessages.Add(uint64(sums.sent))
	}
	if sums.suppressed > 0 {
		counters.suppressed.Add(uint64(sums.suppressed))
	}
	if sums.paced > 0 {
		counters.paced.Add(uint64(sums.paced))
	}
	if sums.tooLarge > 0 {
		counters.dropped.Add(uint64(sums.tooLarge))
	}
	return nil
}

// Close breaks the connection; what is still queued is lost. It returns when the connection's goroutines have ended.
func (c *messageConn) Close() {
	c.shut(errConnClosed)
	c.done.Wait()
	c.t.forget(c)
}

func (c *messageConn) shut(cause error) {
	// The library has not noticed yet, and will have the leaders here try again.
	c.t.acks.unsettle()
	c.mu.Lock()
	if c.mu.err == nil {
		// The first cause stays. Whatever fails after it is a consequence.
		c.mu.err = cause
		c.t.counters.discarded.Add(uint64(len(c.mu.pending) + c.mu.writing))
		c.mu.pending = nil
	}
	c.mu.Unlock()
	c.wake.Broadcast()
	_ = c.nc.Close() // the cause is what counts
}

// write sends all that is queued, again and again, until the connection is broken.
func (c *messageConn) write() {
	var spare []byte
	for {
		c.mu.Lock()
		// Counted as queued until now: bytes on their way take memory as well.
		c.mu.writing = 0
		for len(c.mu.pending) == 0 && c.mu.err == nil {
			c.wake.Wait()
		}
		if c.mu.err != nil {
			c.mu.Unlock()
			return
		}

		// All that was queued goes in one write. What comes meanwhile fills the other buffer.
		buf := c.mu.pending
		c.mu.pending = spare[:0]
		c.mu.writing = len(buf)
		c.mu.Unlock()

		// Each piece has a deadline of its own, so a peer that is slow and still reads is not taken for dead.
		for rest := buf; len(rest) > 0; {
			piece := rest[:min(len(rest), writePiece)]
			if err := c.writePiece(piece); err != nil {
				c.shut(fmt.Errorf("write to %s: %w", c.nc.RemoteAddr(), err))
				return
			}
			rest = rest[len(piece):]
		}

		// One burst must not keep its large buffer for the life of the connection.
		spare = nil
		if cap(buf) <= keepBuffer {
			spare = buf
		}
	}
}

func (c *messageConn) writePiece(piece []byte) error {
	if err := c.nc.SetWriteDeadline(time.Now().Add(c.t.cfg.WriteTimeout)); err != nil {
		return err
	}
	n, err := c.nc.Write(piece)
	c.t.counters.writes.Add(1)
	c.t.counters.sentBytes.Add(uint64(n))
	return err
}

// watch waits for the end of a connection on which the peer has nothing to say. It also reads what TLS sends of itself.
func watch(nc net.Conn, shut func(error)) {
	var b [1]byte
	n, err := nc.Read(b[:])
	switch {
	case n > 0:
		// Whatever the peer is, it does not keep to the protocol of this stream.
		shut(errSpoke)
	case err != nil:
		shut(fmt.Errorf("%w: %w", errPeerClosed, err))
	}
}
