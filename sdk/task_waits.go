package sdk

import (
	"context"
	"time"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// TaskWaits is told when a task waits for the outcome of others. A member's executors put one into the context of each task; programs
// have no need of it.
type TaskWaits interface {
	// Await says that the calling goroutine waits, from now on until it calls leave, for any one of the tasks, at most until a time that
	// is zero for without end. stuck is closed if that can never come about: the tasks wait for a place that their pool will not have
	// while this wait goes on.
	Await(tasks []wire.ID, until time.Time) (stuck <-chan struct{}, leave func())
}

type taskWaitsKey struct{}

// ContextWithTaskWaits returns a context with which waiting for tasks is told to w.
func ContextWithTaskWaits(ctx context.Context, w TaskWaits) context.Context {
	return context.WithValue(ctx, taskWaitsKey{}, w)
}

// awaiting tells whoever wants to know, by ctx, that tasks are waited for. Nobody may: then nothing is ever stuck.
func awaiting(ctx context.Context, tasks ...wire.ID) (stuck <-chan struct{}, leave func()) {
	w, ok := ctx.Value(taskWaitsKey{}).(TaskWaits)
	if !ok {
		return nil, func() {}
	}
	until, _ := ctx.Deadline()
	return w.Await(tasks, until)
}

// textDeadlock is the hint of waits that can never end.
const textDeadlock = "the task waits for a place in a pool all of whose tasks wait for others like it, this one among them; " +
	"give the tasks that are waited for an executor of their own"
