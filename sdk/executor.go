package sdk

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gridiron-io/gridiron/sdk/codec"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Executor runs tasks on members. A task is a function that the members' program has registered; a caller names it and passes an
// argument. On each member, all tasks of one executor name share a pool and a queue.
//
// A task runs at most once. It is never run again silently: if its member dies, the outcome is ErrMemberLeft, and nobody knows
// how far the task got.
//
// The context of a submission bounds the submission alone. An accepted task goes on after that context ends, and without its
// caller. Only [Future.Cancel], its [Timeout] and the stop of its member end it. ExecuteOnAllMembers and ExecuteOnKeyOwner wait,
// so the end of their context ends the tasks too.
//
// An Executor is a handle without connection or goroutine, and it is safe for concurrent use. It remembers which tasks members
// have, so keep it if you use it often.
//
// NOTE: a task that waits for other tasks of its own executor and member keeps its place in the pool. Once all places are kept
// like that, no task can go on. A wait with the task's context, or one derived from it, then ends in ErrDeadlock at once: the
// wait with the earliest deadline or, without deadlines, the last one. Waits with another context, on other goroutines, or
// through a task on another member are not noticed and last until their deadlines. Give tasks that other tasks wait for an
// executor of their own.
type Executor struct {
	c     *Client
	name  string
	known taskLists
}

// Executor returns the executor with a name of 1 to 255 bytes without control characters. Calls with another name are
// ErrInvalid. It does no I/O.
func (c *Client) Executor(name string) *Executor { return &Executor{c: c, name: name} }

// Name returns the executor's name.
func (ex *Executor) Name() string { return ex.name }

// Submit runs a task on a ready member, chosen at random. It returns once the member has accepted the task.
//
// Errors: ErrUnknownTask, naming the member, if it has no such task; ErrRejected if its queue is full; ErrTooLarge for an
// argument above 1 MB; ErrInvalid; ErrUnavailable if no member could be reached; ErrUnknownOutcome if ctx ended before the
// answer came. Only after ErrUnknownOutcome may the task have been accepted.
func Submit[R any](ctx context.Context, ex *Executor, task string, arg any, opts ...SubmitOption) (*Future[R], error) {
	body, err := ex.newTask(task, arg, opts)
	if err != nil {
		return nil, err
	}

	t, err := ex.submitAny(ctx, body)
	if err != nil {
		return nil, err
	}
	return &Future[R]{t}, nil
}

// SubmitToKeyOwner runs a task on the member that owns a key, of any map. Until a member has accepted the task, the submission
// follows the key to a new owner; afterwards the task stays. Errors are those of Submit.
func SubmitToKeyOwner[R any](ctx context.Context, ex *Executor, key any, task string, arg any, opts ...SubmitOption) (*Future[R], error) {
	body, err := ex.newTask(task, arg, opts)
	if err != nil {
		return nil, err
	}

	t, err := ex.submitKeyed(ctx, body, key)
	if err != nil {
		return nil, err
	}
	return &Future[R]{t}, nil
}

// SubmitToMember runs a task on one member. Errors are those of Submit, ErrNotFound if the cluster has no such member, and
// ErrMemberLeft if the member has left or died.
func SubmitToMember[R any](ctx context.Context, ex *Executor, member string, task string, arg any, opts ...SubmitOption) (*Future[R], error) {
	body, err := ex.newTask(task, arg, opts)
	if err != nil {
		return nil, err
	}

	m, err := ex.c.findMember(member)
	if err != nil {
		return nil, ex.fail(wire.OpTaskSubmit, wire.ID{}, ErrNotFound, err.Error())
	}

	t, err := ex.submitTo(ctx, m.ID, body)
	if err != nil {
		return nil, err
	}
	return &Future[R]{t}, nil
}

// SubmitToMembers runs a task on each member of SubmitToAllMembers that sel chooses. It is ErrNotFound if sel chooses none.
// Other errors are those of SubmitToAllMembers.
func SubmitToMembers[R any](ctx context.Context, ex *Executor, sel MemberSelector, task string, arg any, opts ...SubmitOption) (*MultiFuture[R], error) {
	if sel == nil {
		return nil, invalidf(wire.OpTaskSubmit.String(), ex.name, "the selector is nil")
	}

	m, err := ex.submitMany(ctx, sel, task, arg, opts)
	if err != nil {
		return nil, err
	}
	return &MultiFuture[R]{m}, nil
}

// SubmitToAllMembers runs a task on each member that is ready or draining, and on suspect members that are connected or own
// data. Members that join meanwhile are not included.
//
// It first makes sure that all members have the task. If one does not, the error is ErrUnknownTask, which names the member, and
// the task was submitted nowhere. The same holds for ErrInvalid and ErrTooLarge. All other failures, such as ErrRejected and
// ErrMemberLeft, are results of single members in the MultiFuture.
func SubmitToAllMembers[R any](ctx context.Context, ex *Executor, task string, arg any, opts ...SubmitOption) (*MultiFuture[R], error) {
	m, err := ex.submitMany(ctx, nil, task, arg, opts)
	if err != nil {
		return nil, err
	}
	return &MultiFuture[R]{m}, nil
}

// ExecuteOnAllMembers runs a task on the members of SubmitToAllMembers and waits until it has ended on each. The client's
// timeout bounds the submission only. It returns a *MultiError with the members on which the task failed.
//
// When ctx ends, the tasks end too: members know its deadline, and hear of a cancellation at once. The error of a member that
// had not finished then matches ctx.Err().
func (ex *Executor) ExecuteOnAllMembers(ctx context.Context, task string, arg any) error {
	m, err := ex.submitMany(ctx, nil, task, arg, untilDeadline(ctx))
	if err != nil {
		return err
	}
	return m.join(ctx)
}

// ExecuteOnKeyOwner runs a task on the owner of a key, as SubmitToKeyOwner does, and waits until it has ended. The client's
// timeout bounds the submission only. When ctx ends, the task ends too.
func (ex *Executor) ExecuteOnKeyOwner(ctx context.Context, key any, task string, arg any) error {
	body, err := ex.newTask(task, arg, untilDeadline(ctx))
	if err != nil {
		return err
	}

	t, err := ex.submitKeyed(ctx, body, key)
	if err != nil {
		// The outcome of the submission is unknown: the task may run although nobody waits for it.
		if t != nil {
			t.cancelBehind()
		}
		return err
	}

	_, err = t.wait(ctx)
	// ctx has ended the wait, and the contract ends the task with it.
	if err != nil && !t.isDone() {
		t.cancelBehind()
	}
	return err
}

// untilDeadline returns the options by which a task ends with ctx's deadline.
func untilDeadline(ctx context.Context) []SubmitOption {
	if at, ok := ctx.Deadline(); ok {
		return []SubmitOption{Timeout(max(time.Until(at), time.Millisecond))}
	}
	return nil
}

// newTask checks and encodes a task, for one submission. Its ID is its identity, whatever happens to the submission.
func (ex *Executor) newTask(task string, arg any, opts []SubmitOption) (*wire.TaskBody, error) {
	op := wire.OpTaskSubmit.String()
	// Names are checked here, so that a bad one costs no round trip and fails alike on all members.
	if err := checkTaskName(op, ex.name, "executor", ex.name); err != nil {
		return nil, err
	}
	if err := checkTaskName(op, ex.name, "task", task); err != nil {
		return nil, err
	}

	var cfg submitConfig
	for _, o := range opts {
		if o == nil {
			return nil, invalidf(op, ex.name, "a nil option")
		}
		if err := o.applySubmit(&cfg); err != nil {
			return nil, invalidf(op, ex.name, "%v", err)
		}
	}

	// Arguments are always msgpack, since a task does not know of the codecs of maps.
	value, err := codec.Msgpack{}.Encode(nil, arg)
	if err != nil {
		return nil, invalidf(op, ex.name, "the argument of task %q: %v", task, err)
	}
	if len(value) > wire.MaxValue {
		return nil, ex.fail(wire.OpTaskSubmit, wire.ID{}, ErrTooLarge, fmt.Sprintf("the argument of task %q has %d bytes, the limit is %d", task, len(value), wire.MaxValue))
	}

	body := &wire.TaskBody{Executor: ex.name, Task: task, Arg: value, Attempt: 1, Timeout: cfg.timeoutMs}
	_, _ = rand.Read(body.ID[:]) // never fails
	return body, nil
}

func checkTaskName(op, executor, what, name string) error {
	switch {
	case name == "":
		return invalidf(op, executor, "the name of the %s is empty", what)
	case len(name) > wire.MaxTaskName:
		return &Error{Op: op, Name: executor, Partition: -1, Err: ErrTooLarge,
			Hint: fmt.Sprintf("the name of the %s has %d bytes, the limit is %d", what, len(name), wire.MaxTaskName)}
	case !utf8.ValidString(name):
		return invalidf(op, executor, "the name of the %s is not UTF-8", what)
	}

	for _, r := range name {
		if unicode.IsControl(r) {
			return invalidf(op, executor, "the name of the %s contains control characters", what)
		}
	}
	return nil
}

// fail returns an error of this executor. member is zero where it is about none.
func (ex *Executor) fail(op wire.Op, member wire.ID, err error, hint string) error {
	e := &Error{Op: op.String(), Name: ex.name, Partition: -1, Err: err, Hint: hint}
	if !member.IsZero() {
		e.Member = member.String()
	}
	return e
}
