package sdk

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gridiron-io/gridiron/sdk/internal/rpc"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// A call from the pool knows nothing of what became of it when it was another one.
func TestPooledCallStartsAnew(t *testing.T) {
	used := func() *call {
		return &call{Call: &rpc.Call{Answer: wire.Answer{Code: wire.CodeMoved, Body: []byte("x")}, Err: rpc.ErrAbandoned, Sent: true}}
	}
	t.Cleanup(func() { calls = sync.Pool{New: calls.New} })
	fresh := calls.New
	calls = sync.Pool{New: func() any { return used() }}
	taken := newCall(wire.OpGet, "m", 3)
	calls = sync.Pool{New: fresh}
	renewed := used()
	renewed.renew()
	for name, cl := range map[string]*call{"taken": taken, "renewed": renewed} {
		if cl.Answer.Code != wire.CodeOK || cl.Answer.Body != nil || cl.Err != nil || cl.Sent {
			t.Errorf("%s: %+v, %v, sent %v", name, cl.Answer, cl.Err, cl.Sent)
		}
		var e *Error
		if cl.attempts = 1; !errors.As(cl.fail(ErrUnavailable, ""), &e) || e.Code != CodeOK {
			t.Errorf("%s: before any answer the error says %v", name, e.Code)
		}
	}
}

// What was sent and is more than a question may have been executed when its time is up, also where a member and not a
// partition's owner was asked. A question has no outcome but its answer.
func TestOutcomeOfCallsToMembers(t *testing.T) {
	for _, c := range []struct {
		op   wire.Op
		want error
	}{
		{wire.OpTaskSubmit, ErrUnknownOutcome}, {wire.OpTaskCancel, ErrUnknownOutcome}, {wire.OpTaskWait, ErrTimeout}, {wire.OpTaskList, ErrTimeout},
	} {
		t.Run(c.op.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T, cl *taskCluster, c0 *Client) {
				cl.silence(1, c.op, unheard)
				ctx, cancel := context.WithCancel(t.Context())
				cancelled := make(chan error)
				go func() {
					_, err := c0.callMember(ctx, c.op, cl.members[1].info.ID, nil)
					cancelled <- err
				}()
				synctest.Wait()
				cancel()
				err := <-cancelled
				wantErr(t, err, c.want, context.Canceled)
				if Retryable(err) != (c.want == ErrTimeout) {
					t.Errorf("retryable: %v", Retryable(err))
				}
				_, err = c0.callMember(deadlineIn(t, time.Second), c.op, cl.members[1].info.ID, nil)
				wantErr(t, err, c.want, context.DeadlineExceeded)
				_, err = c0.callMember(context.Background(), c.op, cl.members[1].info.ID, nil) // the client's timeout
				wantErr(t, err, c.want)
				if errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("no context ended: %v", err)
				}
				n := len(cl.requests(1, c.op))
				_, err = c0.callMember(ctx, c.op, cl.members[1].info.ID, nil)
				wantErr(t, err, ErrTimeout, context.Canceled)
				if len(cl.requests(1, c.op)) != n {
					t.Error("sent though its context had ended")
				}
			})
		})
	}
}

// A submission is never made twice, however long its caller waits: the second copy could reach another owner, or another
// start of the member, and would run the task again.
func TestSubmissionIsNotRepeated(t *testing.T) {
	bubble(t, func(t *testing.T, cl *taskCluster, c *Client) {
		for i := range cl.members {
			cl.silence(i, wire.OpTaskSubmit, unheard)
		}
		begin := time.Now()
		_, err := SubmitToKeyOwner[string](deadlineIn(t, 5*time.Minute), c.Executor("ex"), "key", "echo", "x")
		wantErr(t, err, ErrUnknownOutcome)
		if d := time.Since(begin); d > 61*time.Second {
			t.Errorf("it took %v to say so", d)
		}
		n := 0
		for i := range cl.members {
			n += len(cl.requests(i, wire.OpTaskSubmit))
		}
		if n != 1 {
			t.Errorf("submitted %d times", n)
		}
	})
}

// The task has run: to submit it again is not to retry the call.
func TestFailureOfATaskIsNotRetryable(t *testing.T) {
	for _, sentinel := range []error{ErrUnavailable, ErrOverloaded, ErrRejected, ErrTimeout, ErrConflict} {
		failed := &Error{Op: "task_wait", Partition: -1, Code: CodeTaskFailed, Err: &taskError{text: "no", sentinel: sentinel}}
		for _, err := range []error{failed, fmt.Errorf("the report: %w", failed), &MultiError{Errs: map[string]error{"m1": failed, "m2": ErrRejected}}} {
			if Retryable(err) {
				t.Errorf("a task's own %v is retryable", err)
			}
			if !errors.Is(err, sentinel) {
				t.Errorf("%v does not match %v any more", err, sentinel)
			}
		}
	}
}
