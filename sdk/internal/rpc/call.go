package rpc

import (
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Call is one request with its results. The zero Call is ready. A Call serves any number of requests, one after the other, on any
// connections. It keeps its buffer between them.
//
// A Call handed to Conn.Queue or Conn.Start belongs to the connection until Conn.Wait has returned, or Finished was sent its Tag. Afterwards,
// until its next use, the results are the caller's to read.
type Call struct {
	// Answer is the member's, if Err is nil. Its Body belongs to the Call: valid until the Call's next use.
	Answer wire.Answer
	// Err is nil, ErrAbandoned, ErrExpired, ErrMoved, or what ended the connection.
	Err error
	// Sent is false where the request surely never left this process.
	Sent bool
	// Repeatable is set by whoever can make the request again elsewhere: Conn.Release may end it.
	Repeatable bool
	// Done may be set to what Wait will be given. If many calls have the same, the connection watches it for them.
	Done <-chan struct{}
	// Finished, unless it is nil, is sent Tag when the results are set, in place of Wait. It must never be full.
	Finished chan<- int
	Tag      int

	done     chan struct{} // lent by the connection; one signal, sent when the results are set
	body     []byte
	id       uint64 // of the request under way; guarded by the connection's mutex
	offset   uint64 // how many bytes the connection had queued before the request
	sentAt   int64  // nanoseconds on the connection's clock
	expireAt int64  // likewise; 0: only Wait's context ends it

	partition uint32 // of the request under way
	watched   bool   // Done is watched by the connection; guarded by its mutex until the results are set
	woken     bool   // the batcher expects the caller; set with the results
}

// maxKeptBody bounds the answer buffer that a Call keeps, so that one large value does not stay for ever.
const maxKeptBody = 64 << 10

// Shrink drops a large buffer. The Answer's Body is gone afterwards.
func (c *Call) Shrink() {
	c.Answer.Body = nil
	if cap(c.body) > maxKeptBody {
		c.body = nil
	}
}

// finish sets the results and wakes the caller. The caller has taken the call out of the connection's table and is the only one to do so.
func (c *Call) finish(a *wire.Answer, err error, sent bool) {
	if c.Err, c.Sent = err, sent; err == nil {
		// The answer aliases the connection's read buffer, which the next read overwrites.
		c.body = append(c.body[:0], a.Body...)
		c.Answer = *a
		c.Answer.Body = c.body
	}
	// There is room for either signal: a call is finished once.
	if c.Finished != nil {
		c.Finished <- c.Tag
		return
	}
	c.done <- struct{}{}
}
