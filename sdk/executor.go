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

// Executor runs tasks on members: functions that the members' program has registered, called by name with an argument. All
// tasks submitted under one executor's name share a pool and a queue on each member.
//
// A task runs once at most. It is never run again silently: when the member that accepted it dies, its outcome is
// ErrMemberLeft, and whether it had done its work is not known.
//
// The context of a submission bounds the submission alone; a task goes on after it has ended, and after its caller is gone.
// What ends a task is [Future.Cancel], its [Timeout], and the stop of its member. The context of ExecuteOnAllMembers and
// ExecuteOnKeyOwner, which wait, ends the tasks too.
//
// A task may submit others and wait for them. If it waits for one of its own executor on its own member, it keeps a place in the pool for
// which that one may be waiting: once all places are kept so, none of them could ever go on. A wait with the task's context, or one made
// of it, ends in ErrDeadlock then, at once, for the task whose deadline is first, and else for the one that came last. It is not noticed where a
// task waits with another context, on another goroutine than its own, or for a task that waits on another member in turn: those
// wait until their deadlines. Give tasks that are waited for by tasks an executor of their own.
//
// An Executor is a handle without connection or goroutine. It remembers which tasks members have, so keep it where it is
// used often. It is safe for concurrent use.
type Executor struct {
	c     *Client
	name  string
	known taskLists
}

// Executor returns the executor with a name of 1 to 255 bytes without control characters; calls by another one are
// ErrInvalid. It does no I/O.
func (c *Client) Executor(name string) *Executor { return &Executor{c: c, name: name} }

// Name returns the executor's name.
func (ex *Executor) Name() string { return ex.name }

// Submit has a task run on any one member that is ready, chosen at random, and returns once the member has accepted it.
//
// Errors: ErrUnknownTask, naming the member, where it has no such task; ErrRejected where its queue is full; ErrTooLarge for
// an argument above 1 MB; ErrInvalid; ErrUnavailable when no member could be reached; ErrUnknownOutcome when ctx ended before
// it was known whether the task was accepted. After every other error it was not.
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

// SubmitToKeyOwner has a task run on the member that owns a key, of whatever map. Until a member has accepted the task, it
// follows the key to a new owner; from then on it does not. Errors are those of Submit.
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

// SubmitToMember has a task run on the member with an ID or a name. Errors are those of Submit, and ErrNotFound where the
// cluster has no such member, ErrMemberLeft where it is gone.
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

// SubmitToMembers has a task run on each member that sel chooses among those of SubmitToAllMembers. ErrNotFound where it
// chooses none; else as SubmitToAllMembers.
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

// SubmitToAllMembers has a task run on each member: on those that are ready or draining, and on a suspect one as long as it
// is connected or owns data. Members that join meanwhile are not among them.
//
// Each member is first asked whether it has the task, unless that is known: with ErrUnknownTask, which names the member that
// has not, the task was submitted nowhere. ErrInvalid and ErrTooLarge are the other such errors. What a member makes of the
// submission, ErrRejected and ErrMemberLeft among it, is that member's result in the MultiFuture; the others' are there.
func SubmitToAllMembers[R any](ctx context.Context, ex *Executor, task string, arg any, opts ...SubmitOption) (*MultiFuture[R], error) {
	m, err := ex.submitMany(ctx, nil, task, arg, opts)
	if err != nil {
		return nil, err
	}
	return &MultiFuture[R]{m}, nil
}

// ExecuteOnAllMembers has a task run on all members, as SubmitToAllMembers does, and waits until it has ended on each of
// them; the client's timeout bounds the submission only. It returns a *MultiError with the members on which it failed.
//
// The end of ctx ends the tasks on the members: its deadline is told to them, a cancellation as soon as it happens. The error
// of a member that had not finished then matches ctx.Err().
func (ex *Executor) ExecuteOnAllMembers(ctx context.Context, task string, arg any) error {
	m, err := ex.submitMany(ctx, nil, task, arg, untilDeadline(ctx))
	if err != nil {
		return err
	}
	return m.join(ctx)
}

// ExecuteOnKeyOwner has a task run on the member that owns a key, as SubmitToKeyOwner does, and waits until it has ended; the
// client's timeout bounds the submission only. The end of ctx ends the task, as with ExecuteOnAllMembers.
func (ex *Executor) ExecuteOnKeyOwner(ctx context.Context, key any, task string, arg any) error {
	body, err := ex.newTask(task, arg, untilDeadline(ctx))
	if err != nil {
		return err
	}
	t, err := ex.submitKeyed(ctx, body, key)
	if err != nil {
		if t != nil {
			t.cancelBehind()
		}
		return err
	}
	_, err = t.wait(ctx)
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
