package sdk

import (
	"context"
	"errors"
	"time"

	"github.com/gridiron-io/gridiron/sdk/internal/rpc"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// invoke carries a call through: to the owner, and to each later owner, until the call has an answer or its time is up. Without an
// error, cl.Answer is the answer. It is valid until cl is released.
func (c *Client) invoke(ctx context.Context, cl *call) error {
	if err := c.begin(ctx, cl, c.scheduleOf(ctx, cl.slice)); err != nil {
		return err
	}
	defer c.finish(ctx, cl)

	cl.Done = ctx.Done()
	for now := cl.since; ; now = c.clock.now() {
		sent, done := c.send(cl, now, true)
		if sent {
			// Wait returns also when the connection fails or keepTime ends the call, so every sent call comes back.
			cl.conn.Wait(cl.Done, cl.Call)
			done = c.settle(ctx, cl)
		}
		if done {
			return cl.err
		}

		one := [1]*call{cl}
		if c.pause(ctx, one[:]); cl.done {
			return cl.err
		}
	}
}

// run is invoke within a span.
func (c *Client) run(ctx context.Context, cl *call) error {
	if c.tracer == nil {
		return c.invoke(ctx, cl)
	}
	ctx, span := c.tracer.start(ctx, cl.req.Op.String(), cl.name)
	err := c.invoke(ctx, cl)
	endSpan(span, err)
	return err
}

// send makes one attempt at the time now: it queues the call for the peer that can execute it now, and writes it if flush is set. With sent,
// Wait and settle must follow. With done, the call has ended in cl.err instead. With neither, nobody can be asked now.
func (c *Client) send(cl *call, now int64, flush bool) (sent, done bool) {
	t := c.table.Load()

	if other := c.replaced.Load(); other != nil {
		// An earlier attempt may have been executed in the cluster that no longer exists. Nobody can tell.
		if cl.unknown && cl.req.Op.IsWrite() {
			return false, cl.end(cl.fail(because(ErrUnknownOutcome, other), ""))
		}
		return false, cl.end(cl.fail(because(ErrInvalid, other), ""))
	}
	if cl.cluster != t.cluster && c.moveCluster(cl, t) {
		return false, true
	}

	if cl.addressed() {
		if cl.peer == nil {
			cl.peer = c.peer(cl.member)
		}
		// A member that the table no longer has is not asked, even where its connection still lives.
		if cl.peer == nil || t.member(cl.member) == nil {
			return false, cl.end(cl.fail(ErrMemberLeft, "no such member"))
		}
	} else {
		// The route is looked up for each attempt: the owner may have changed since the last one.
		cl.route = t.routes[cl.req.Partition]
		cl.peer, cl.req.Epoch = cl.route.owner, cl.route.epoch
	}

	cl.attempts++
	if cl.peer == nil {
		return false, c.again(cl, errNoOwner)
	}
	conn := cl.peer.live()
	if conn == nil {
		return false, c.unconnected(cl)
	}
	cl.conn = conn

	if cl.req.Seq != 0 {
		// A write keeps the deadline of its first attempt, since owners remember its result until then. Lowest tells the owner
		// which results of this client nobody waits for any more.
		cl.req.Lowest = (*c.writes.Load())[cl.req.Partition].lowest()
	} else {
		// Any other call gets a fresh deadline with each attempt. So it may last longer than the furthest deadline that members accept.
		cl.req.Deadline = c.deadline(min(cl.limit, now+int64(maxCall-clockMargin)))
	}
	// Only an attempt that may follow an executed one makes the owner look for a remembered result.
	if cl.req.Flags &^= wire.FlagRetry; cl.unknown {
		cl.req.Flags |= wire.FlagRetry
	}
	cl.req.Body = cl.body
	cl.Repeatable = !cl.addressed() && cl.repeatable()

	// The end of the context wakes the waiting goroutine by itself: the connection needs no timer for that.
	expire := min(cl.limit, now+int64(maxCall-clockMargin))
	if cl.byContext && expire == cl.limit {
		expire = 0
	}

	var err error
	if flush {
		err = conn.Start(&cl.req, cl.Call, now, expire)
	} else {
		err = conn.Queue(&cl.req, cl.Call, now, expire)
	}
	switch {
	case err == nil:
		cl.reached = true
		cl.sent++
		return true, false
	case errors.Is(err, rpc.ErrQueueFull) && !cl.unknown:
		// No attempt was executed, so the call can end at once. After an attempt that may have been executed, only a retry can tell.
		return false, cl.end(cl.fail(ErrOverloaded, err.Error()))
	default:
		return false, c.again(cl, err)
	}
}

var (
	errNoOwner   = errors.New("nobody is known to own the partition")
	errMoving    = errors.New("the partition changes its owner, or a majority of its replicas is away")
	errOwnerless = errors.New("no member owns the partition: it is moving, or a majority of its replicas is away")
	errInternal  = errors.New("the member failed to answer; its log says why")
)

// unconnected deals with a call whose member has no connection.
func (c *Client) unconnected(cl *call) (done bool) {
	err, dialing := cl.peer.failure()
	// A call to one member has nobody else to ask. The first attempt may find an old failure, so it waits for a dial of its own.
	if cl.addressed() && err != nil && !dialing && cl.attempts > 1 {
		return cl.end(cl.fail(ErrMemberLeft, err.Error()))
	}

	// The call does not wait for the dial. Its next attempt finds the connection, or another owner.
	c.dial(cl.peer)
	if err == nil {
		err = errors.New("not connected")
	}
	return c.again(cl, err)
}

// end ends the call with err, nil if it was answered.
func (cl *call) end(err error) bool {
	cl.err, cl.done = err, true
	return true
}

// again notes that the call is to be tried again a little later, and why.
func (c *Client) again(cl *call, why error) (done bool) {
	cl.why, cl.reached = why, false
	cl.notBefore = c.clock.now() + int64(backoff(cl.attempts-1))
	return false
}

// settle judges one attempt after Wait. It reports whether the call has ended, in cl.err.
func (c *Client) settle(ctx context.Context, cl *call) (done bool) {
	if cl.Err != nil {
		return c.unanswered(ctx, cl)
	}
	code, write := cl.Answer.Code, cl.req.Op.IsWrite()
	switch code {
	case wire.CodeOK:
		return cl.end(nil)
	case wire.CodeMoved:
		// The answer names the new owner, unless nobody owns the partition now.
		if !cl.addressed() && !c.moved(int(cl.req.Partition), cl.Answer.Body) {
			return c.again(cl, errOwnerless)
		}
		return c.again(cl, errMoving)
	case wire.CodeClosed:
		if cl.addressed() {
			return cl.end(cl.fail(ErrMemberLeft, "the member is stopping"))
		}
		return c.again(cl, errors.New("the owner is stopping"))
	case wire.CodeNotReady, wire.CodeUnavailable:
		cl.said = cl.text()
		return c.again(cl, cl.said)
	case wire.CodeUnknown:
		// The member cannot tell whether the write was committed. Asked again under the same identity, an owner can.
		cl.unknown = cl.unknown || write
		if !cl.repeatable() {
			return cl.end(cl.fail(ErrUnknownOutcome, cl.hint()))
		}
		return c.again(cl, cl.text())
	case wire.CodeExpired, wire.CodeTimeout:
		if !write && c.clock.now() < cl.limit {
			return c.again(cl, cl.text()) // under a fresh deadline
		}
		// The deadline came from the clock of a member that was behind. No copy was executed or ever will be, so the call may get another
		// deadline.
		if now := c.clock.now(); code == wire.CodeExpired && !cl.unknown && now < cl.limit {
			if at := c.deadline(cl.limit); at > cl.req.Deadline+maxApart.Milliseconds() {
				cl.req.Deadline = at
				return c.again(cl, cl.text())
			}
		}
		return cl.end(c.outcome(cl, c.cause(ctx, cl, cl.limit)))
	case wire.CodeStale:
		// The owner no longer remembers what became of this identity.
		return cl.end(cl.fail(ErrUnknownOutcome, cl.hint()))
	case wire.CodeConflict, wire.CodeLockNotHeld, wire.CodeFenced, wire.CodeTooLarge, wire.CodeInvalid, wire.CodeNotFound,
		wire.CodeUnknownProcessor, wire.CodeTaskFailed: // every copy of the call gets this answer
		return cl.end(cl.fail(sentinelOf(code), cl.hint()))
	case wire.CodeOverloaded, wire.CodeRejected:
		// This attempt was not executed, but an earlier one may have been: only an attempt that gets through can tell.
		if cl.unknown {
			return c.again(cl, cl.text())
		}
	}

	sentinel := sentinelOf(code)
	switch {
	case cl.unknown, write && sentinel == nil:
		// This answer is about the last copy. An earlier one may have been executed.
		return cl.end(cl.fail(ErrUnknownOutcome, cl.text().Error()))
	case sentinel == nil:
		sentinel = errInternal
	}
	return cl.end(cl.fail(sentinel, cl.hint()))
}

// unanswered judges an attempt that ended without an answer.
func (c *Client) unanswered(ctx context.Context, cl *call) (done bool) {
	// Once the bytes are out, the member may have executed the call although the answer is lost.
	if cl.Sent && (cl.req.Op.IsWrite() || !cl.repeatable()) {
		cl.unknown = true
	}

	switch {
	case errors.Is(cl.Err, rpc.ErrAbandoned):
		// The caller's context has ended, so there is nobody left to try again for.
		return cl.end(c.outcome(cl, ctx.Err()))
	case c.life.Err() != nil:
		// Close fails all connections. That must not look like a member that has left.
		return cl.end(c.outcome(cl, ErrClosed))
	case errors.Is(cl.Err, rpc.ErrExpired):
		if cl.repeatable() && c.clock.now() < cl.limit { // a read may last longer than one deadline
			cl.notBefore = 0
			return false
		}
		return cl.end(c.outcome(cl, ctx.Err()))
	case cl.Sent && !cl.repeatable():
		// A second copy could be executed twice, so the caller must decide.
		return cl.end(cl.fail(ErrMemberLeft, cl.Err.Error()))
	}
	// The call never left this process, or a copy does no harm.
	return c.again(cl, cl.Err)
}

// outcome returns the error of a call that ended without an answer: its time was up, its context ended or the client was
// closed. cause is the context's error or ErrClosed, nil where neither was the reason.
func (c *Client) outcome(cl *call, cause error) error {
	sentinel, hint := ErrTimeout, ""

	// The caller learns why the last attempt failed, which says more than that its time was up.
	if cl.why != nil {
		hint = cl.why.Error()
	}

	switch {
	case cl.unknown:
		// This goes first: whatever ended the call, an earlier attempt may have been executed.
		sentinel = ErrUnknownOutcome
	case errors.Is(cause, ErrClosed):
		sentinel, cause = ErrClosed, nil
	case !cl.reached && cl.attempts > 0:
		// The last attempt found nobody who could have executed it.
		sentinel = ErrUnavailable
	}
	return cl.fail(because(sentinel, cause), hint)
}

// cause returns why the call cannot go on at now, for outcome. That its deadline is the context's counts as the context's
// end, which may be noticed a little later.
func (c *Client) cause(ctx context.Context, cl *call, now int64) error {
	switch {
	case c.life.Err() != nil:
		// The end of the client goes first: it ends calls whose context goes on.
		return ErrClosed
	case ctx.Err() != nil:
		return ctx.Err()
	case cl.byContext && now >= cl.limit:
		return context.DeadlineExceeded
	}
	return nil
}

// text returns what the member answered as an error, hint as a text.
func (cl *call) text() error {
	if len(cl.Answer.Body) == 0 {
		return errors.New(cl.Answer.Code.String())
	}
	return errors.New(cl.Answer.Code.String() + ": " + cl.hint())
}

func (cl *call) hint() string { return string(cl.Answer.Body) }

// due reports whether another attempt may be made now: its time has come, or there is somebody else to ask.
func (c *Client) due(cl *call) bool {
	// A new cluster, or the loss of the old one, decides how the call goes on, so the call must not wait longer.
	if cl.attempts == 0 || c.clock.now() >= cl.notBefore || c.replaced.Load() != nil || c.table.Load().cluster != cl.cluster {
		return true
	}
	if cl.addressed() {
		return c.table.Load().member(cl.member) == nil || cl.peer != nil && cl.peer.conn.Load() != cl.conn && cl.peer.live() != nil
	}

	// Another owner, or another connection to the same owner, may answer although the last attempt failed.
	r := c.table.Load().routes[cl.req.Partition]
	if r != cl.route {
		return true
	}
	return r.owner != nil && r.owner.conn.Load() != cl.conn && r.owner.live() != nil
}

// pause waits until one of the calls is due, and has tables asked for meanwhile. Calls whose time is up it ends.
func (c *Client) pause(ctx context.Context, list []*call) {
	var timer *time.Timer
	for {
		// Taken before the calls are looked at, so that a change between the look and the wait is not missed.
		changed := c.changed.wait()
		now := c.clock.now()
		next := int64(1<<63 - 1)
		due := false

		for _, cl := range list {
			if cl.done {
				continue
			}
			// The end of one call is news for the caller of pause, so it counts as due.
			if ctx.Err() != nil || now >= cl.limit || c.life.Err() != nil {
				cl.end(c.outcome(cl, c.cause(ctx, cl, now)))
				due = true
				continue
			}
			if c.due(cl) {
				due = true
			}
			next = min(next, cl.notBefore, cl.limit)
		}
		if due {
			break
		}

		// An old table may be the reason why nobody could be asked.
		for _, cl := range list {
			c.refresh(cl.peer)
		}

		d := time.Duration(next - now)
		if timer == nil {
			timer = time.NewTimer(d)
		} else {
			timer.Reset(d)
		}
		// life is not watched here: Close signals changed.
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
		}
	}

	if timer != nil {
		timer.Stop()
	}
}
