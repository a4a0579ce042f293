package service

import (
	"context"
	"iter"

	"github.com/gridiron-io/gridiron/exec"
	"github.com/gridiron-io/gridiron/exec/internal/tasks"
	"github.com/gridiron-io/gridiron/sdk"
)

// taskContext is the exec.TaskContext that every task gets.
//
// NOTE: it keeps the task's ctx because exec.Local takes none: it must end with the task.
type taskContext struct {
	ctx     context.Context
	service *Service
	key     any
	attempt int
}

var (
	_ exec.TaskContext  = (*taskContext)(nil)
	_ tasks.LocalReader = (*taskContext)(nil)
)

func (tc *taskContext) Member() sdk.Member  { return tc.service.cfg.Member() }
func (tc *taskContext) Client() *sdk.Client { return tc.service.cfg.Client() }
func (tc *taskContext) Key() any            { return tc.key }
func (tc *taskContext) Attempt() int        { return tc.attempt }
func (tc *taskContext) Fence() uint64       { return 0 }

// LocalEntries implements tasks.LocalReader.
func (tc *taskContext) LocalEntries(mapName string) iter.Seq2[RawEntry, error] {
	return tc.service.cfg.LocalEntries(tc.ctx, mapName)
}
