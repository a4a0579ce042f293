package sdk

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/gridiron-io/gridiron/sdk/internal/nearcache"
	"github.com/gridiron-io/gridiron/sdk/internal/rpc"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

const (
	// maxCall is how long one identity may be used: members refuse deadlines further ahead than 60 seconds.
	maxCall = 60 * time.Second
	// clockMargin keeps a deadline acceptable to a member whose clock runs behind this client's idea of it.
	clockMargin = 500 * time.Millisecond
	// maxKeptBuffer bounds the buffers that a pooled call keeps.
	maxKeptBuffer = 64 << 10
	// maxBody is what fits into a request's frame beside its header and trace context.
	maxBody = wire.MaxFrame - wire.RequestHeader - len(wire.Trace{})
)

// call is one operation on its way: to the owner of a partition, or to one member. Its request, buffers and answer are
// kept in a pool and used again.
type call struct {
	*rpc.Call
	req    wire.Request // its ID is the connection's to set
	name   string       // of the map or executor, for errors
	ticket ticket       // writes: the call's place among those outstanding in the partition

	key, value []byte // for encoding into body
	body       []byte // req.Body

	cluster wire.ID // the cluster in which the call was begun, or to which it is bound
	bound   error   // if not nil: the call must not be made in another cluster, and ends with this error there

	member wire.ID // calls to one member: its ID
	peer   *peer   // the member that was asked last
	conn   *rpc.Conn
	route  route // the route of the last attempt
	bulkPart

	schedule
	attempts int
	sent     int   // attempts that were given to a connection
	begun    bool  // the ticket is among those outstanding
	queued   bool  // under way in a group
	unknown  bool  // an attempt may have been executed
	reached  bool  // the last attempt went to the member that should execute it, and was not turned away
	why      error // why another attempt is needed
	said     error // the reason that a member last gave for not being able to execute the call now
	done     bool  // the call has ended; err is its outcome
	err      error
}

// bulkPart is the part of a bulk call that a call carries.
type bulkPart struct {
	place int               // of the part
	loads []*nearcache.Load // reads for a near cache: of the part's keys
}

// schedule is how long a call may take, and when it is attempted next.
type schedule struct {
	slice     time.Duration // how long the call may take; 0: as long as the client's timeout
	since     int64         // local time at which the call began
	limit     int64         // local time at which the caller stops waiting
	byContext bool          // limit is the context's deadline, whose Done channel ends the wait
	notBefore int64         // local time of the next attempt, unless something changes before
}

var calls = sync.Pool{New: func() any { return &call{Call: new(rpc.Call)} }}

// newCall returns a call for op. Its body is empty; release gives it back.
func newCall(op wire.Op, name string, partition uint32) *call {
	cl := calls.Get().(*call)
	cl.forget()
	cl.req = wire.Request{Op: op, Partition: partition}
	cl.name = name
	return cl
}

// release gives the call and all its buffers back, the answer's among them.
func (cl *call) release() {
	cl.Shrink()
	shrink := func(b []byte) []byte {
		// One large value must not stay in the pool for ever.
		if cap(b) > maxKeptBuffer {
			return nil
		}
		return b[:0]
	}
	*cl = call{Call: cl.Call, key: shrink(cl.key), value: shrink(cl.value), body: shrink(cl.body)}
	calls.Put(cl)
}

// renew makes the call ready for another request of the same kind to the same partition.
func (cl *call) renew() {
	*cl = call{
		Call: cl.Call, name: cl.name, key: cl.key, value: cl.value, body: cl.body, cluster: cl.cluster, bound: cl.bound,
		req: wire.Request{Op: cl.req.Op, Partition: cl.req.Partition},
	}
	cl.forget()
}

// forget drops what became of the request before. The buffers stay.
func (cl *call) forget() {
	cl.Answer, cl.Err, cl.Sent, cl.Repeatable, cl.Done, cl.Finished = wire.Answer{}, nil, false, false, nil, nil
}

// addressed reports whether the call is for a member rather than for a partition's owner.
func (cl *call) addressed() bool { return cl.req.Partition == wire.NoPartition }

// repeatable reports whether the call may be made again although it may have been executed. Reads change nothing. Members
// recognise a write by its identity. The other operations listed here only ask, or begin something that goes on by itself.
func (cl *call) repeatable() bool { return cl.req.Op.Repeatable() }

// refused reports whether the answer to the last attempt says that the attempt was not executed and never will be.
func (cl *call) refused() bool {
	if cl.Err != nil {
		return false
	}

	// CodeMoved is not among these codes: an owner that gives up its partition answers so to a call that stands in the log.
	switch cl.Answer.Code {
	case wire.CodeOverloaded, wire.CodeInvalid, wire.CodeTooLarge, wire.CodeForbidden, wire.CodeUnauthenticated, wire.CodeLockNotHeld,
		wire.CodeExpired, wire.CodeStale:
		return true
	}
	return false
}

// fail returns the call's error for its caller.
func (cl *call) fail(sentinel error, hint string) error {
	e := &Error{Op: cl.req.Op.String(), Name: cl.name, Partition: -1, Err: sentinel, Hint: hint}
	if !cl.addressed() {
		e.Partition = int(cl.req.Partition)
	}
	if cl.peer != nil {
		e.Member = cl.peer.id.String()
	}
	// Without an answer to the last attempt, the code would be that of an earlier one.
	if cl.attempts > 0 && cl.Err == nil {
		e.Code = Code(cl.Answer.Code)
	}
	return e
}

// scheduleOf returns the schedule of a call that begins now.
func (c *Client) scheduleOf(ctx context.Context, slice time.Duration) schedule {
	now := c.clock.now()
	s := schedule{slice: slice, since: now, limit: later(now, c.cfg.timeout)}
	// A slice is part of a longer wait, which the client's timeout does not bound.
	if slice > 0 {
		s.limit = later(now, slice)
	}
	if at, ok := ctx.Deadline(); ok {
		if end := later(now, time.Until(at)); slice == 0 || end < s.limit {
			s.limit, s.byContext = end, true
		}
	}
	return s
}

// begin fixes the call's end and, for a write, its identity. s was made for the call's slice. After an error the call has ended.
func (c *Client) begin(ctx context.Context, cl *call, s schedule) error {
	// Until the ticket is drawn below, nothing is registered that a failed call would have to take back.
	if c.life.Err() != nil {
		return cl.fail(ErrClosed, "")
	}
	if err := ctx.Err(); err != nil {
		return cl.fail(because(ErrTimeout, err), "not sent")
	}
	// A frame above its limit would end the connection, and with it the calls of others.
	if len(cl.body) > maxBody {
		return cl.fail(ErrTooLarge, fmt.Sprintf("a request of %d bytes, the limit is %d", len(cl.body), maxBody))
	}
	if other := c.replaced.Load(); other != nil {
		return cl.fail(because(ErrInvalid, other), "")
	}

	// A bound call names its cluster already. Any other call belongs to the cluster in which it begins.
	if cl.cluster.IsZero() {
		cl.cluster = c.table.Load().cluster
	}

	cl.schedule = s
	cl.req.Client = c.id
	if cl.req.Op.IsWrite() {
		// Owners remember a result until the deadline of its identity, so they refuse deadlines that are too far ahead.
		if most := s.since + int64(maxCall-clockMargin); cl.limit > most {
			cl.limit, cl.byContext = most, false
		}
		cl.req.Deadline = c.deadline(cl.limit)
		(*c.writes.Load())[cl.req.Partition].begin(&cl.ticket, &c.seq)
		cl.begun = true
		cl.req.Seq = cl.ticket.seq
	}

	c.tracer.carry(ctx, &cl.req)
	return nil
}

// deadline returns the cluster time of a local time, rounded up to milliseconds.
func (c *Client) deadline(limit int64) int64 { return c.clock.cluster(limit) + 1 }

// finish says that the call is no longer waited for.
func (c *Client) finish(ctx context.Context, cl *call) {
	if c.meter != nil {
		c.meter.record(ctx, cl, time.Duration(c.clock.now()-cl.since))
	}

	// From here on lowest may pass over this seq, so members may drop its result.
	if cl.begun {
		// Before the caller is told: what reads after the write sees it.
		if all := c.nears.Load(); all != nil {
			all.wrote(cl)
		}
		cl.begun = false
		(*c.writes.Load())[cl.req.Partition].end(&cl.ticket)
	}
}
