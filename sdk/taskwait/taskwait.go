// Package taskwait carries a promise from a member's executors to the client that a task uses: the client says when the task waits
// for other tasks, and the executors say when such a wait can never end.
//
// It is not API. Go's internal folders cannot hide it, since packages sdk and exec/service share it.
package taskwait

import (
	"context"
	"time"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Listener hears when a task waits for the outcome of other tasks. A member's executors put one into the context of each task.
type Listener interface {
	// Await says that the calling goroutine waits for any one of the tasks. The wait lasts until leave is called, and at most until
	// the given time; zero means no limit. stuck is closed if the wait can never end: the tasks need a place in a pool that stays
	// full while this wait goes on.
	Await(tasks []wire.ID, until time.Time) (stuck <-chan struct{}, leave func())
}

type key struct{}

// NewContext returns a context in which l hears of waits for tasks.
func NewContext(ctx context.Context, l Listener) context.Context {
	return context.WithValue(ctx, key{}, l)
}

// Await tells the Listener of ctx that tasks are waited for, until ctx's deadline. Without a Listener nothing is ever stuck.
func Await(ctx context.Context, tasks ...wire.ID) (stuck <-chan struct{}, leave func()) {
	l, ok := ctx.Value(key{}).(Listener)
	if !ok {
		return nil, func() {}
	}
	until, _ := ctx.Deadline()
	return l.Await(tasks, until)
}
