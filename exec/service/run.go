package service

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/gridiron-io/gridiron/exec/internal/tasks"
	"github.com/gridiron-io/gridiron/sdk"
	"github.com/gridiron-io/gridiron/sdk/taskwait"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// errGoexit is the error of a function that called runtime.Goexit.
var errGoexit = errors.New("the task ended its goroutine")

// launchLocked gives j a place in p and runs it. The goroutine that it starts owns the call of the task's function and ends
// with it; the end of the task's ctx asks it to. REQUIRES mu and a free place.
func (s *Service) launchLocked(p *pool, j *job) {
	// The place counts from here on, not from the start of the goroutine: the next task must not take it too.
	p.running++
	s.mu.running++

	// The cause tells a cancelled task from one whose member stops.
	ctx, end := context.WithCancelCause(s.root)
	j.end = end

	tc := &taskContext{ctx: ctx, service: s, key: j.key, attempt: j.attempt}
	arg := j.arg
	// The function has them from here on. Kept here too, they would stay in memory as long as the result.
	j.arg, j.key = nil, nil

	go s.run(tc, j, arg)
}

// run carries j from the start of its function to its outcome, also where the function panics or ends its goroutine by runtime.Goexit.
func (s *Service) run(tc *taskContext, j *job, arg []byte) {
	// The place is given back last, when the outcome is settled.
	defer s.leave(j)

	ctx := tc.ctx
	if j.timeout > 0 {
		// The time of a task begins here, and not in the queue.
		limited, cancel := context.WithTimeoutCause(ctx, j.timeout, errTimeUp)
		defer cancel()
		// The function may ignore the end of its context. The outcome does not wait for the function.
		defer context.AfterFunc(limited, func() {
			if context.Cause(limited) == errTimeUp {
				s.settle(j, timeUp(j))
			}
		})()
		ctx, tc.ctx = limited, limited
	}

	// The client that the task uses says through this context when it waits for other tasks.
	ctx = taskwait.NewContext(ctx, &waits{s: s, j: j, goroutine: goroutineID()})
	tc.ctx = ctx

	returned := false
	defer func() {
		if r := recover(); r != nil {
			text := fmt.Sprint(r)
			s.cfg.Logger.Error("a task panicked", j.attrs(), "panic", text, "stack", string(debug.Stack()))
			s.settle(j, s.outcome(ctx, j, nil, tasks.StageTask, fmt.Errorf("task %q panicked: %s", j.task, text)))
		} else if !returned {
			// The function neither returned nor panicked, so it has ended its goroutine by runtime.Goexit.
			s.settle(j, s.outcome(ctx, j, nil, tasks.StageTask, fmt.Errorf("task %q: %w", j.task, errGoexit)))
		}
	}()

	value, at, err := j.run(ctx, tc, arg)
	result := s.outcome(ctx, j, value, at, err)
	returned = true
	s.settle(j, result)
}

// outcome turns what a function did into the result of its task. What ended its ctx goes before what it returned.
func (s *Service) outcome(ctx context.Context, j *job, value []byte, at tasks.Stage, err error) wire.TaskResult {
	switch cause := context.Cause(ctx); {
	// The caller may have heard already that the time is up: the outcome must not change with what came later.
	case cause == errTimeUp:
		return timeUp(j)
	// A task that has returned without an error has its result, although the member stops.
	case cause == errStopped && err != nil:
		return memberStopped()

	case err == nil && len(value) > wire.MaxValue:
		return wire.TaskResult{Code: wire.CodeTooLarge,
			Message: fmt.Sprintf("the result of task %q has %d bytes, the limit is %d", j.task, len(value), wire.MaxValue)}
	case err == nil:
		return wire.TaskResult{Code: wire.CodeOK, Value: value}

	case at == tasks.StageArg:
		return wire.TaskResult{Code: wire.CodeInvalid, Message: fmt.Sprintf("the argument of task %q: %v", j.task, err)}
	case at == tasks.StageResult:
		return wire.TaskResult{Code: wire.CodeTaskFailed, Message: fmt.Sprintf("the result of task %q: %v", j.task, err)}
	}

	sentinel, _ := sdk.CodeOf(err)
	return wire.TaskResult{Code: wire.CodeTaskFailed, Message: err.Error(), Sentinel: wire.Code(sentinel)}
}

func timeUp(j *job) wire.TaskResult {
	return wire.TaskResult{Code: wire.CodeTimeout, Message: fmt.Sprintf("task %q did not end within its %v", j.task, j.timeout)}
}

func (s *Service) settle(j *job, r wire.TaskResult) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settleLocked(j, r)
}

// leave gives up the place of a task whose function has returned, to the next one of its executor if there is any.
func (s *Service) leave(j *job) {
	s.mu.Lock()
	defer s.mu.Unlock()
	j.end(errReturned)
	j.end = nil

	// The argument counts until now, since the function may have kept it until its end.
	s.releaseLocked(j)
	s.mu.running--

	p := s.mu.pools[j.executor]
	p.running--
	switch {
	case p.waiting.Len() > 0:
		// The place goes over without a gap, so those that wait cannot be overtaken by a new task.
		s.launchLocked(p, p.pop())
	case p.idle():
		delete(s.mu.pools, p.name)
	}

	// Stop waits for the last function.
	if s.mu.phase == phaseStopped && s.mu.running == 0 {
		close(s.idle)
	}
}
