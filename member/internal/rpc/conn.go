package rpc

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Conn is a connection of the calls plane to another member, or to the client port of one when joining. Calls are few and
// small; what is sent often goes over raftnet.
type Conn struct {
	nc     net.Conn
	answer wire.HelloAnswer
	ended  chan struct{} // closed when the reader has ended

	mu      sync.Mutex // guards the following
	next    uint64
	waiting map[uint64]chan wire.Answer
	err     error // why the connection ended
	done    chan struct{}

	writing chan struct{} // one slot: held while a frame is written
}

// ErrClosed is what the error of a call wraps whose connection has ended.
var ErrClosed = errors.New("the connection has ended")

// New takes over a connection whose hellos have been exchanged. Its reader ends with the connection; Close waits for it.
func New(nc net.Conn, a wire.HelloAnswer) *Conn {
	c := &Conn{nc: nc, answer: a, ended: make(chan struct{}), waiting: make(map[uint64]chan wire.Answer), done: make(chan struct{}),
		writing: make(chan struct{}, 1)}
	go c.read() // ends with the connection
	return c
}

// Done returns a channel that is closed when the connection has ended.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Hello returns what the other side answered to this one's hello.
func (c *Conn) Hello() wire.HelloAnswer { return c.answer }

func (c *Conn) read() {
	defer close(c.ended)
	r := bufio.NewReader(c.nc)
	for {
		a, err := readAnswer(r)
		if err != nil {
			c.end(err)
			return
		}
		// The question for the table subscribes to later tables. Callers here want the answer alone.
		if a.Flags&wire.FlagPush != 0 {
			continue
		}
		c.mu.Lock()
		ch := c.waiting[a.ID]
		delete(c.waiting, a.ID)
		c.mu.Unlock()
		// The channel has room for the answer, so a caller that has given up holds nobody up.
		if ch != nil {
			ch <- a
		}
	}
}

func readAnswer(r io.Reader) (wire.Answer, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return wire.Answer{}, err
	}

	n := binary.BigEndian.Uint32(head[:])
	// A length is checked before memory is taken for it.
	if n > wire.MaxFramePeer {
		return wire.Answer{}, fmt.Errorf("%w: an answer of %d bytes", wire.ErrTooLarge, n)
	}

	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return wire.Answer{}, err
	}

	var a wire.Answer
	return a, wire.DecodeAnswer(b, &a)
}

func (c *Conn) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	// The first reason counts. What follows from it, such as a failed read, says less.
	if c.err != nil {
		return
	}

	c.err = fmt.Errorf("%w: %w", ErrClosed, err)
	close(c.done)
	_ = c.nc.Close()
}

// Close ends the connection and waits for its reader; calls that wait fail.
func (c *Conn) Close() {
	c.end(net.ErrClosed)
	<-c.ended
}

// Failed returns why the connection has ended, nil while it goes on.
func (c *Conn) Failed() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Call sends a request and waits for its answer, the connection's end, or ctx.
func (c *Conn) Call(ctx context.Context, op wire.Op, body []byte) (wire.Answer, error) {
	ch := make(chan wire.Answer, 1)
	c.mu.Lock()
	// The check and the entry in waiting are one step. Otherwise the end of the connection could come between them.
	if c.err != nil {
		defer c.mu.Unlock()
		return wire.Answer{}, c.err
	}

	c.next++
	id := c.next
	c.waiting[id] = ch
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		// Nobody waits any more, whatever has ended the call. A late answer finds no channel and is dropped.
		delete(c.waiting, id)
		c.mu.Unlock()
	}()

	// The slot is not a mutex: a caller whose time is up stops waiting for the writes of others.
	select {
	case c.writing <- struct{}{}:
	case <-ctx.Done():
		return wire.Answer{}, ctx.Err()
	}

	// A peer that takes nothing would hold the slot, and with it all other callers.
	until, _ := ctx.Deadline()
	if until.IsZero() {
		until = time.Now().Add(callTimeout)
	}

	_ = c.nc.SetWriteDeadline(until)
	n, err := c.nc.Write(wire.AppendRequest(nil, &wire.Request{ID: id, Op: op, Partition: wire.NoPartition, Body: body}))
	<-c.writing

	switch {
	case err == nil:
	case n == 0 && errors.Is(err, os.ErrDeadlineExceeded):
		// The caller's time is up, which says nothing of the connection: others use it too.
		return wire.Answer{}, fmt.Errorf("send a request: %w", context.DeadlineExceeded)
	default:
		// A part of the frame may have been sent, so nothing can follow it.
		c.end(err)
	}

	select {
	case a := <-ch:
		return a, nil
	case <-c.done:
		return wire.Answer{}, c.Failed()
	case <-ctx.Done():
		return wire.Answer{}, ctx.Err()
	}
}

// callTimeout bounds writing a request whose context has no deadline.
const callTimeout = 5 * time.Second
