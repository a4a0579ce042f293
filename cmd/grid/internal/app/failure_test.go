package app

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gridiron-io/gridiron/cmd/grid/internal/argv"
	"github.com/gridiron-io/gridiron/grid"
	"github.com/gridiron-io/gridiron/sdk"
)

func TestExitCode(t *testing.T) {
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{errors.New("anything"), 1},
		{sdk.ErrCancelled, 1},
		{sdk.ErrEventsLost, 1},
		{grid.ErrPortInUse, 1},
		{&argv.UsageError{Message: "x"}, 2},
		{usagef("x"), 2},
		{sdk.ErrInvalid, 2},
		{sdk.ErrTooLarge, 2},
		{grid.ErrConfig, 2},
		{sdk.ErrNotFound, 3},
		{sdk.ErrUnknownTask, 3},
		{sdk.ErrUnknownProcessor, 3},
		{sdk.ErrConflict, 4},
		{sdk.ErrLockNotHeld, 4},
		{sdk.ErrFenced, 4},
		{sdk.ErrUnavailable, 5},
		{sdk.ErrOverloaded, 5},
		{sdk.ErrRejected, 5},
		{sdk.ErrMemberLeft, 5},
		{sdk.ErrClosed, 5},
		{sdk.ErrTimeout, 6},
		{sdk.ErrUnknownOutcome, 6},
		{context.DeadlineExceeded, 6},
		{sdk.ErrUnauthenticated, 7},
		{sdk.ErrForbidden, 7},
		{errInterrupted, 130},

		// An error that is several: what says most.
		{errors.Join(sdk.ErrUnavailable, context.DeadlineExceeded), 5},
		{errors.Join(sdk.ErrUnknownOutcome, sdk.ErrClosed), 6},
		{fmt.Errorf("set: %w", &sdk.Error{Op: "set", Err: sdk.ErrConflict}), 4},
		{&sdk.BulkError{Errs: map[any]error{"a": sdk.ErrTooLarge}}, 2},
		{&sdk.MultiError{Errs: map[string]error{"m": sdk.ErrRejected}}, 5},
		{failf(exitConflict, "it is %w", sdk.ErrNotFound), 4},
		{errors.Join(usagef("x"), errors.New("and the client did not close")), 2},
	} {
		require.Equal(t, c.want, exitCode(c.err), "%v", c.err)
	}
}

func TestOneLine(t *testing.T) {
	err := errors.Join(errors.New("first"), fmt.Errorf("second\n  third \x1b[2J"))
	require.Equal(t, `first; second; third \u001b[2J`, oneLine(err))
}

func TestJudge(t *testing.T) {
	boom := &sdk.Error{Code: sdk.CodeTaskFailed, Err: errors.New("boom")}
	busy := &sdk.Error{Op: "task_submit", Partition: -1, Err: sdk.ErrRejected}
	for name, c := range map[string]struct {
		outcomes []outcome
		message  string
		code     int
		answered bool
	}{
		"no member":     {nil, "", 0, false},
		"all well":      {[]outcome{{member: "a"}, {member: "b"}}, "", 0, true},
		"task failed":   {[]outcome{{member: "id", name: "m1", err: boom}}, `task "t" failed on m1: boom`, 1, true},
		"not taken":     {[]outcome{{member: "id", err: busy}}, `task "t" failed on id: task_submit: rejected`, 5, false},
		"one not taken": {[]outcome{{name: "m1"}, {name: "m2", err: busy}}, `task "t" failed on m2: task_submit: rejected`, 5, true},
		"two of three":  {[]outcome{{name: "m1"}, {name: "m2", err: boom}, {name: "m3", err: busy}}, `task "t" failed on 2 of 3 members, on m2: boom`, 1, true},
	} {
		failed, answered := judge("t", c.outcomes)
		require.Equal(t, c.answered, answered, name)
		require.Equal(t, c.code, exitCode(failed), name)
		if c.code != 0 {
			require.EqualError(t, failed, c.message, name)
		}
	}
}
