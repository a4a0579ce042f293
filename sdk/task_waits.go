package sdk

import (
	"context"
	"time"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// TaskWaits hears when a task waits for the outcome of other tasks. A member's executors put one into the context of each task.
// It is for members and not API.
type TaskWaits interface {
	// Await says that the calling goroutine waits for any one of the tasks. The wait lasts until leave is called, and at most until
	// the given time; zero means no limit. stuck is closed if the wait can never end: the tasks need a place in a pool that stays
	// full while this wait goes on.
	Await(tasks []wire.ID, until time.Time) (stuck <-chan struct{}, leave func())
}

type taskWaitsKey struct{}

// ContextWithTaskWaits returns a context in which w hears of waits for tasks. It is for members and not API.
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
