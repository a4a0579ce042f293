package app

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/gridiron-io/gridiron/cmd/grid/internal/argv"
	"github.com/gridiron-io/gridiron/cmd/grid/internal/render"
	"github.com/gridiron-io/gridiron/grid"
	"github.com/gridiron-io/gridiron/sdk"
)

// Exit codes. They are a contract.
const (
	exitOK          = 0
	exitOther       = 1
	exitUsage       = 2
	exitNotFound    = 3
	exitConflict    = 4
	exitUnavailable = 5
	exitTimeout     = 6
	exitForbidden   = 7
	exitInterrupted = 130
)

// errInterrupted is why the context of a command ended that was interrupted.
var errInterrupted = errors.New("interrupted")

// failure is an error with an exit code of its own.
type failure struct {
	code int
	err  error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func failf(code int, format string, args ...any) error {
	return &failure{code, fmt.Errorf(format, args...)}
}

func usagef(format string, args ...any) error { return failf(exitUsage, format, args...) }

// usageError is what cli calls for a command line that it cannot understand.
func usageError(_ *cli.Context, err error, _ bool) error { return &failure{exitUsage, err} }

// codes maps errors to exit codes. The first match counts. An error may match several: the order puts first what says most about what to
// do.
var codes = []struct {
	err  error
	code int
}{
	{errInterrupted, exitInterrupted},
	{sdk.ErrUnauthenticated, exitForbidden},
	{sdk.ErrForbidden, exitForbidden},
	{sdk.ErrUnknownOutcome, exitTimeout},
	{sdk.ErrTimeout, exitTimeout},
	{sdk.ErrConflict, exitConflict},
	{sdk.ErrLockNotHeld, exitConflict},
	{sdk.ErrFenced, exitConflict},
	{sdk.ErrNotFound, exitNotFound},
	{sdk.ErrUnknownTask, exitNotFound},
	{sdk.ErrUnknownProcessor, exitNotFound},
	{sdk.ErrInvalid, exitUsage},
	{sdk.ErrTooLarge, exitUsage},
	{grid.ErrConfig, exitUsage},
	{sdk.ErrUnavailable, exitUnavailable},
	{sdk.ErrOverloaded, exitUnavailable},
	{sdk.ErrRejected, exitUnavailable},
	{sdk.ErrMemberLeft, exitUnavailable},
	{sdk.ErrClosed, exitUnavailable},
	{context.DeadlineExceeded, exitTimeout},
}

// exitCode returns what the process exits with after err.
func exitCode(err error) int {
	if err == nil {
		return exitOK
	}
	// A command that chose an exit code itself knows better than the table.
	if f, ok := errors.AsType[*failure](err); ok {
		return f.code
	}
	if _, ok := errors.AsType[*argv.UsageError](err); ok {
		return exitUsage
	}

	// The first that fits counts: an error may match several.
	for _, c := range codes {
		if errors.Is(err, c.err) {
			return c.code
		}
	}
	return exitOther
}

// oneLine returns the message of err in one line that a terminal shows as it is.
func oneLine(err error) string {
	lines := strings.Split(strings.TrimSpace(err.Error()), "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return render.Escape(strings.Join(lines, "; "))
}
