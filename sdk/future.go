package sdk

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/gridiron-io/gridiron/sdk/codec"
	"github.com/gridiron-io/gridiron/sdk/internal/rpc"
	"github.com/gridiron-io/gridiron/sdk/taskwait"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

const (
	// waitSlice is how long one call waits for a task's result. Waiting is made of such calls.
	waitSlice = 20 * time.Second
	// lostAfter is how long a member that nobody suspects may be unreachable before its tasks count as lost.
	lostAfter = 3 * time.Second
	// cancelTime bounds a cancellation for which nobody waits.
	cancelTime = 5 * time.Second
)

// Future is a submitted task and, once it is known, its outcome. A goroutine of the client waits for the outcome. If the client
// is closed first, the outcome is ErrClosed. A Future is safe for concurrent use.
type Future[R any] struct{ t *remoteTask }

// Get waits for the task's outcome for as long as ctx lasts; the client's timeout does not apply. It may be called any number of
// times. Each call decodes a value of its own.
//
// Errors: the task's own error, with its text, with Error.Code CodeTaskFailed; it matches an error of this package that the
// task's error wraps. context.DeadlineExceeded if its Timeout ended the task. ErrCancelled. ErrMemberLeft if its member died;
// nobody knows how far the task got. ErrTooLarge for a result above 1 MB. ErrInvalid if argument or result have other types than
// the task's. ErrClosed. ErrTimeout, which also is ctx.Err(), when ctx ends: the task goes on, and Get may be called again.
//
// A task that calls Get with its own context gets ErrDeadlock if Get could never return. See [Executor].
func (f *Future[R]) Get(ctx context.Context) (R, error) {
	value, err := f.t.wait(ctx)
	if err != nil {
		var zero R
		return zero, err
	}
	return decodeResult[R](f.t, value)
}

// Cancel ends the task's context, or drops the task if it has not started, and reports whether it did. The outcome then is
// ErrCancelled, although the function may still run. It is false if the outcome was known before.
func (f *Future[R]) Cancel(ctx context.Context) (bool, error) { return f.t.cancel(ctx) }

// ID returns the task's identity, in the form of a UUID.
func (f *Future[R]) ID() string { return f.t.id.String() }

// Member returns the ID of the member that accepted the task.
func (f *Future[R]) Member() string { return f.t.member.String() }

// Done returns a channel that is closed when the outcome is known. Get then returns at once.
func (f *Future[R]) Done() <-chan struct{} { return f.t.done }

func decodeResult[R any](t *remoteTask, value []byte) (R, error) {
	var out R
	if len(value) == 0 || len(value) == 1 && value[0] == 0xc0 { // nil is the zero value of every type
		return out, nil
	}
	if err := (codec.Msgpack{}).Decode(value, &out); err != nil {
		var zero R
		return zero, t.fail(wire.CodeOK, ErrInvalid, fmt.Sprintf("the result of task %q is not a %T: %v", t.task, out, err))
	}
	return out, nil
}

// remoteTask is a Future that does not know the type of its result.
type remoteTask struct {
	ex     *Executor
	id     wire.ID
	member wire.ID
	task   string
	conn   *rpc.Conn // the connection on which the task was accepted; nil: it may not have been. Only await uses conn

	done  chan struct{} // closed when the following are set
	value []byte
	err   error

	mu       sync.Mutex // guards the following
	onFinish func()     // may be nil
}

// start starts the goroutine that waits for the outcome. It ends with the outcome or with the client.
func (t *remoteTask) start() {
	c := t.ex.c
	c.mu.Lock()
	// The same check as in spawn, but a closed client must give the future an outcome.
	closed := c.mu.closed
	if !closed {
		c.wg.Go(func() { t.finish(t.await()) })
	}
	c.mu.Unlock()
	if closed {
		t.finish(nil, t.fail(wire.CodeOK, ErrClosed, ""))
	}
}

func (t *remoteTask) finish(value []byte, err error) {
	t.mu.Lock()
	// The connection is dropped, so that a future that is kept does not keep it in memory.
	t.value, t.err, t.conn = value, err, nil
	close(t.done)
	f := t.onFinish
	t.mu.Unlock()

	// Without the lock, since f takes locks of its own.
	if f != nil {
		f()
	}
}

// whenDone has f called once the outcome is known, at once if it is. It is for one f only.
func (t *remoteTask) whenDone(f func()) {
	t.mu.Lock()
	// Under the lock, or finish could come between the check and the assignment, and f would never run.
	done := t.isDone()
	if !done {
		t.onFinish = f
	}
	t.mu.Unlock()
	if done {
		f()
	}
}

// await asks the member for the result until there is one, or never will be.
func (t *remoteTask) await() ([]byte, error) {
	c := t.ex.c
	var lost int64 // when the member became unreachable; 0: it is reachable
	for {
		// Taken before the call, so that a connection that comes during it is not missed.
		changed := c.changed.wait()
		// The wait is made of slices, so that no deadline bounds how long a task may run.
		ctx, cancel := context.WithTimeout(c.life, waitSlice)
		answer, err := c.callMember(ctx, wire.OpTaskWait, t.member, wire.AppendTaskRef(nil, wire.TaskRef{ID: t.id}))
		cancel()

		if c.life.Err() != nil {
			return nil, t.fail(wire.CodeOK, ErrClosed, "")
		}
		switch {
		case err == nil:
			r, err := wire.DecodeTaskResult(answer)
			if err != nil {
				return nil, t.fail(wire.CodeOK, ErrInvalid, "the answer: "+err.Error())
			}
			if r.Done {
				return t.outcome(&r)
			}
			lost = 0
			continue
		case errors.Is(err, ErrTimeout): // not yet
			lost = 0
			continue
		case errors.Is(err, ErrMemberLeft), errors.Is(err, ErrUnavailable):
			// The end of a connection is no death. A member that is reached again still has the task.
			now := c.clock.now()
			if lost == 0 {
				lost = now
			}
			if c.departed(t.member) || now-lost >= int64(lostAfter) {
				return nil, t.fail(wire.CodeMemberLeft, ErrMemberLeft, "its member is gone, and how far it got is not known: "+err.Error())
			}
		case Retryable(err):
			// The member was too busy to take the question. The task is not affected.
		default:
			return nil, named(err, t.ex.name)
		}

		c.refresh(nil)
		if c.pauseTask(c.life, changed) != nil {
			return nil, t.fail(wire.CodeOK, ErrClosed, "")
		}
	}
}

// departed reports whether the others say, or suspect, that a member is gone.
func (c *Client) departed(member wire.ID) bool {
	m := c.table.Load().member(member)
	if m == nil {
		return true
	}
	s := MemberState(m.State)
	return s == MemberLeft || s == MemberDead || s == MemberSuspect
}

// taskError is the error that a task's function returned on its member.
type taskError struct {
	text     string
	sentinel error // nil if it wrapped none
}

func (e *taskError) Error() string { return e.text }
func (e *taskError) Unwrap() error { return e.sentinel }

// outcome turns what the member answered into value or error.
func (t *remoteTask) outcome(r *wire.TaskResult) ([]byte, error) {
	switch r.Code {
	case wire.CodeOK:
		return r.Value, nil
	case wire.CodeTaskFailed:
		return nil, t.fail(r.Code, &taskError{text: r.Message, sentinel: sentinelOf(r.Sentinel)}, "")
	case wire.CodeTimeout: // the task's own timeout: the task has run, so this is not ErrTimeout
		return nil, t.fail(r.Code, context.DeadlineExceeded, r.Message)
	case wire.CodeNotFound:
		// The same connection leads to the process that accepted the task: it has dropped the result. Otherwise the task is lost.
		if t.ex.c.sameConnection(t.member, t.conn) {
			return nil, t.fail(r.Code, ErrNotFound, "the member does not keep the result any more")
		}
		return nil, t.fail(r.Code, ErrMemberLeft, "its member has restarted, or the task did not reach it: "+r.Message)
	}
	sentinel := sentinelOf(r.Code)
	if sentinel == nil {
		sentinel = errInternal
	}
	return nil, t.fail(r.Code, sentinel, r.Message)
}

// wait waits for the outcome or the end of ctx.
func (t *remoteTask) wait(ctx context.Context) ([]byte, error) {
	select {
	case <-t.done:
		return t.value, t.err
	default:
	}

	// If the caller is a task itself, its member's executors notice a wait that can never end.
	stuck, leave := taskwait.Await(ctx, t.id)
	defer leave()
	select {
	case <-t.done:
		return t.value, t.err
	case <-ctx.Done():
		return nil, t.fail(wire.CodeOK, because(ErrTimeout, ctx.Err()), "the task goes on")
	case <-stuck:
	}

	// The outcome may have come at the same moment.
	if t.isDone() {
		return t.value, t.err
	}
	return nil, t.fail(wire.CodeOK, ErrDeadlock, textDeadlock)
}

// cancel is Future.Cancel. A cancellation whose connection broke is repeated; whether it was the first copy or a later one
// that had the effect shows in the outcome.
func (t *remoteTask) cancel(ctx context.Context) (bool, error) {
	c := t.ex.c
	ctx, stop := c.submitTimeout(ctx)
	defer stop()
	for copies := 0; ; copies++ {
		select {
		case <-t.done:
			return copies > 0 && errors.Is(t.err, ErrCancelled), nil
		default:
		}

		changed := c.changed.wait()
		answer, err := c.callMember(ctx, wire.OpTaskCancel, t.member, wire.AppendTaskRef(nil, wire.TaskRef{ID: t.id}))
		switch {
		case err == nil && len(answer) != 1:
			return false, t.fail(wire.CodeOK, ErrInvalid, "the member does not say whether the task was cancelled")
		case err == nil && answer[0] == 1:
			return true, nil
		case err == nil && copies == 0:
			// The only copy that was sent had no effect: the task was over.
			return false, nil
		case err == nil:
			// An earlier copy may have cancelled the task. Only the outcome tells.
			if _, err := t.wait(ctx); ctx.Err() != nil && !t.isDone() {
				return false, err
			}
			return errors.Is(t.err, ErrCancelled), nil
		// Only a lost connection leaves open whether the member was told. Another copy does no harm.
		case !errors.Is(err, ErrMemberLeft) || c.pauseTask(ctx, changed) != nil:
			return false, named(err, t.ex.name)
		}
	}
}

func (t *remoteTask) isDone() bool {
	select {
	case <-t.done:
		return true
	default:
		return false
	}
}

// cancelBehind cancels the task without keeping its caller, in a goroutine that ends after cancelTime at the latest.
func (t *remoteTask) cancelBehind() {
	c := t.ex.c
	c.spawn(func() {
		ctx, stop := context.WithTimeout(c.life, cancelTime)
		defer stop()
		if _, err := t.cancel(ctx); err != nil && c.life.Err() == nil {
			c.cfg.logger.Debug("gridiron: a task could not be cancelled", "task", t.id, "member", t.member, "error", err)
		}
	})
}

func (t *remoteTask) fail(code wire.Code, err error, hint string) error {
	return &Error{Op: wire.OpTaskWait.String(), Name: t.ex.name, Partition: -1, Member: t.member.String(), Code: Code(code), Err: err, Hint: hint}
}

// textDeadlock is the hint of waits that can never end.
const textDeadlock = "the task waits for a place in a pool all of whose tasks wait for others like it, this one among them; " +
	"give the tasks that are waited for an executor of their own"
