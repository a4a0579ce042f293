package sdk

import (
	"errors"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Code says how a member answered a call. Spans, metrics and logs show it by its name. A Code tells more than the error that a
// call returns, for people and statistics. Programs decide by the errors, with errors.Is.
type Code uint16

const (
	CodeOK               Code = 0  // no member has answered, or the member had nothing to object
	CodeMoved            Code = 1  // another member owns the partition; not executed
	CodeNotReady         Code = 2  // the member does not know yet who owns the partition; not executed
	CodeConflict         Code = 3  // ErrConflict
	CodeTimeout          Code = 4  // ErrTimeout
	CodeUnknownOutcome   Code = 5  // ErrUnknownOutcome
	CodeUnavailable      Code = 6  // ErrUnavailable
	CodeOverloaded       Code = 7  // ErrOverloaded
	CodeNotFound         Code = 8  // ErrNotFound
	CodeUnauthenticated  Code = 9  // ErrUnauthenticated
	CodeForbidden        Code = 10 // ErrForbidden
	CodeTooLarge         Code = 11 // ErrTooLarge
	CodeInvalid          Code = 12 // ErrInvalid
	CodeLockNotHeld      Code = 13 // ErrLockNotHeld
	CodeFenced           Code = 14 // ErrFenced
	CodeUnknownTask      Code = 15 // ErrUnknownTask
	CodeUnknownProcessor Code = 16 // ErrUnknownProcessor
	CodeRejected         Code = 17 // ErrRejected
	CodeMemberLeft       Code = 18 // ErrMemberLeft
	CodeCancelled        Code = 19 // ErrCancelled
	CodeEventsLost       Code = 20 // ErrEventsLost
	CodeExpired          Code = 21 // the call's deadline had passed at the owner; this copy of the call was not executed
	CodeStale            Code = 22 // the member no longer remembers whether it executed the call
	CodeTaskFailed       Code = 23 // the task returned an error or panicked
	CodeClosed           Code = 24 // ErrClosed
	CodeInternal         Code = 25 // a bug of the member, whose log says more
)

// String returns the name by which spans, metrics and logs show the code.
func (c Code) String() string { return wire.Code(c).String() }

// CodeOf returns the code of the first error variable of this package that err wraps, and whether there is one.
func CodeOf(err error) (Code, bool) {
	for code, sentinel := range sentinels {
		if sentinel != nil && errors.Is(err, sentinel) {
			return Code(code), true
		}
	}
	return CodeOK, false
}
