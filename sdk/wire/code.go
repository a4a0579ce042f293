package wire

import (
	"errors"
	"strconv"
)

// Code tells how a call ended. Codes are part of the protocol: a number is never given a second meaning.
type Code uint16

const (
	CodeOK               Code = 0
	CodeMoved            Code = 1  // another member owns the partition; body: Moved. Nothing was executed.
	CodeNotReady         Code = 2  // this member does not know yet who owns the partition. Nothing was executed.
	CodeConflict         Code = 3  // IfVersion did not match, or no such key
	CodeTimeout          Code = 4  // surely not executed
	CodeUnknown          Code = 5  // may or may not have been executed
	CodeUnavailable      Code = 6  // no quorum, or not reachable; surely not executed
	CodeOverloaded       Code = 7  // a bound was reached; surely not executed
	CodeNotFound         Code = 8  // a named thing does not exist
	CodeUnauthenticated  Code = 9  //
	CodeForbidden        Code = 10 //
	CodeTooLarge         Code = 11 // key, value, name or request above its limit
	CodeInvalid          Code = 12 // the request contradicts itself or cannot be understood
	CodeLockNotHeld      Code = 13 //
	CodeFenced           Code = 14 //
	CodeUnknownTask      Code = 15 //
	CodeUnknownProcessor Code = 16 //
	CodeRejected         Code = 17 // a queue is full
	CodeMemberLeft       Code = 18 //
	CodeCancelled        Code = 19 //
	CodeEventsLost       Code = 20 //
	CodeExpired          Code = 21 // the call's deadline had passed on the log's clock; this copy was not executed
	CodeStale            Code = 22 // the call's seq is below its client's request window; not executed
	CodeTaskFailed       Code = 23 // the task's own error; body: its text
	CodeClosed           Code = 24 // the member is stopping; nothing was executed
	CodeInternal         Code = 25 // a bug; see the member's log
)

var codeNames = [...]string{
	"OK", "MOVED", "NOT_READY", "CONFLICT", "TIMEOUT", "UNKNOWN_OUTCOME", "UNAVAILABLE", "OVERLOADED", "NOT_FOUND",
	"UNAUTHENTICATED", "FORBIDDEN", "TOO_LARGE", "INVALID", "LOCK_NOT_HELD", "FENCED", "UNKNOWN_TASK", "UNKNOWN_PROCESSOR",
	"REJECTED", "MEMBER_LEFT", "CANCELLED", "EVENTS_LOST", "EXPIRED", "STALE", "TASK_FAILED", "CLOSED", "INTERNAL",
}

// String returns the code's name as it appears in spans, metrics and logs.
func (c Code) String() string {
	if int(c) < len(codeNames) {
		return codeNames[c]
	}
	return "code " + strconv.Itoa(int(c))
}

// ErrMalformed is wrapped by the errors of every decoder of this package.
var ErrMalformed = errors.New("malformed")

// ErrTooLarge is reported for a frame or field above its cap.
var ErrTooLarge = errors.New("too large")
