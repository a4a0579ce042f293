package service

import (
	"container/list"
	"context"
	"log/slog"
	"time"

	"github.com/gridiron-io/gridiron/exec/internal/tasks"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// job is one accepted task, from its submission until its result is dropped.
type job struct {
	id       wire.ID
	executor string
	task     string
	attempt  int
	timeout  time.Duration // 0: without limit
	run      tasks.Runner
	size     int64         // of argument and key, as counted in Service.mu.argBytes
	done     chan struct{} // closed when the result is known

	// The following are guarded by Service.mu.
	arg     []byte                  // nil once the function has it, or will never have it
	key     any                     // likewise
	place   *list.Element           // in its pool's waiting list
	end     context.CancelCauseFunc // ends the task's ctx; nil unless it runs
	waits   *waiting                // for what its function waits; nil unless it does
	settled bool
	result  wire.TaskResult // constant once done is closed
}

// attrs names the task in logs. Arguments are never logged: they may hold secrets.
func (j *job) attrs() slog.Attr {
	return slog.Group("task", "id", j.id.String(), "name", j.task, "executor", j.executor, "attempt", j.attempt)
}
