package sdk

import (
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Errors of calls. Every error of this package wraps one of them if one fits. Ask with errors.Is. An error that says "not executed"
// guarantees it: the call may be made again.
var (
	ErrConflict         = errors.New("conflict")                // IfVersion did not match, or the key has no entry
	ErrClosed           = errors.New("closed")                  // the client, the subscription or the member was closed
	ErrTimeout          = errors.New("timeout")                 // the time was up; not executed
	ErrUnknownOutcome   = errors.New("unknown outcome")         // a write or submission that may or may not have been executed
	ErrUnavailable      = errors.New("unavailable")             // no member that could execute the call was reachable; not executed
	ErrOverloaded       = errors.New("overloaded")              // a bound was reached; not executed
	ErrNotFound         = errors.New("not found")               // no such member, task or other named thing
	ErrUnauthenticated  = errors.New("unauthenticated")         // the member does not know the caller
	ErrForbidden        = errors.New("forbidden")               // the caller may not do this
	ErrTooLarge         = errors.New("too large")               // a key, value, name or request above its limit
	ErrInvalid          = errors.New("invalid")                 // contradictory arguments, or a value of another type
	ErrLockNotHeld      = errors.New("lock not held")           // the lock was lost, or unlocked before
	ErrFenced           = errors.New("fenced")                  // a later fence was given out for the key
	ErrUnknownTask      = errors.New("unknown task")            // no task with this name is registered at the member
	ErrUnknownProcessor = errors.New("unknown entry processor") // no processor with this name is registered at the member
	ErrRejected         = errors.New("rejected")                // the executor's queue is full; not executed
	ErrMemberLeft       = errors.New("member left")             // the member that was asked has stopped or failed
	ErrCancelled        = errors.New("cancelled")               // the task was cancelled
	ErrEventsLost       = errors.New("events lost")             // events after a resume token are no longer kept
	ErrDeadlock         = errors.New("deadlock")                // a task waits for one that cannot run before it has ended
)

var sentinels = [...]error{
	wire.CodeConflict: ErrConflict, wire.CodeTimeout: ErrTimeout, wire.CodeUnknown: ErrUnknownOutcome, wire.CodeUnavailable: ErrUnavailable,
	wire.CodeOverloaded: ErrOverloaded, wire.CodeNotFound: ErrNotFound, wire.CodeUnauthenticated: ErrUnauthenticated,
	wire.CodeForbidden: ErrForbidden, wire.CodeTooLarge: ErrTooLarge, wire.CodeInvalid: ErrInvalid, wire.CodeLockNotHeld: ErrLockNotHeld,
	wire.CodeFenced: ErrFenced, wire.CodeUnknownTask: ErrUnknownTask, wire.CodeUnknownProcessor: ErrUnknownProcessor,
	wire.CodeRejected: ErrRejected, wire.CodeMemberLeft: ErrMemberLeft, wire.CodeCancelled: ErrCancelled,
	wire.CodeEventsLost: ErrEventsLost, wire.CodeClosed: ErrClosed,
}

// sentinelOf returns the error variable that stands for an answer's code, or nil if there is none.
func sentinelOf(code wire.Code) error {
	if int(code) < len(sentinels) {
		return sentinels[code]
	}
	return nil
}

// Error describes a failed call. Fields that do not apply are empty; Partition is then -1.
type Error struct {
	Op        string // the operation, as spans and metrics name it: get, set, put_if_absent, …
	Name      string // of the map or executor
	Partition int    // of the key
	Member    string // ID of the member that was asked last
	Code      Code   // of the member's last answer; CodeOK if there was none
	Hint      string // details for people
	Err       error  // wraps one of the errors above, and the context's error if the context ended the call
}

// Error names the operation, what it was for, the error and the hint.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Name != "" {
		fmt.Fprintf(&b, " %q", e.Name)
	}
	// What does not apply is left out: below zero there is no partition.
	if e.Partition >= 0 {
		fmt.Fprintf(&b, " partition %d", e.Partition)
	}
	if e.Member != "" {
		b.WriteString(" at member " + e.Member)
	}
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	if hint := e.said(); hint != "" {
		b.WriteString(": " + hint)
	}
	return b.String()
}

// said returns the hint without what the sentinel says already: a hint is often the text of an error that wraps the same one.
func (e *Error) said() string {
	if e.Err == nil || e.Hint == "" {
		return e.Hint
	}

	parts := strings.Split(e.Hint, ": ")
	for _, sentinel := range sentinels {
		if sentinel == nil || !errors.Is(e.Err, sentinel) {
			continue
		}
		// A member's code, such as UNAVAILABLE, is the sentinel's text but for the case.
		again := func(part string) bool { return strings.EqualFold(part, sentinel.Error()) || part == e.Err.Error() }
		if last := len(parts) - 1; last > 0 {
			// The last part is what the others lead to, and stays.
			parts = append(slices.DeleteFunc(parts[:last:last], again), parts[last])
		} else if again(parts[0]) {
			return ""
		}
	}
	return strings.Join(parts, ": ")
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// caused is a sentinel together with what brought it about; both are found by errors.Is.
type caused struct{ sentinel, cause error }

func (c *caused) Error() string   { return c.sentinel.Error() + " (" + c.cause.Error() + ")" }
func (c *caused) Unwrap() []error { return []error{c.sentinel, c.cause} }

// because returns sentinel, wrapping cause as well unless that is nil.
func because(sentinel, cause error) error {
	if cause == nil {
		return sentinel
	}
	return &caused{sentinel, cause}
}

// Retryable reports whether the failed call was certainly not executed and may succeed if it is made again. That is so for
// ErrUnavailable, ErrOverloaded, ErrRejected and ErrTimeout.
//
// It is false for nil, for ErrUnknownOutcome, for errors that stay, and for a task's own error, since the task has run. An error
// that stands for several, such as a [*BulkError], is retryable if all of them are.
func Retryable(err error) bool {
	if err == nil || errors.Is(err, ErrUnknownOutcome) {
		return false
	}

	// An error that stands for several also matches the sentinels of its parts, so it is looked at part by part, before the loop
	// below.
	var bulk *BulkError
	if errors.As(err, &bulk) {
		return allRetryable(bulk.Unwrap())
	}

	var multi *MultiError
	if errors.As(err, &multi) {
		return allRetryable(multi.Unwrap())
	}

	// The error of a task may wrap one of these sentinels, but the task has run.
	var e *Error
	if errors.As(err, &e) && e.Code == CodeTaskFailed {
		return false
	}

	for _, s := range [...]error{ErrUnavailable, ErrOverloaded, ErrRejected, ErrTimeout} {
		if errors.Is(err, s) {
			return true
		}
	}
	return false
}

func allRetryable(errs []error) bool {
	for _, err := range errs {
		if !Retryable(err) {
			return false
		}
	}
	return len(errs) > 0
}

// BulkError holds the keys of a bulk call that failed, each with its error. Keys that are not in it are done.
type BulkError struct {
	Errs map[any]error // by key, as the caller gave it
}

// Error names up to three keys.
func (e *BulkError) Error() string {
	lines := make([]string, 0, len(e.Errs))
	for k, err := range e.Errs {
		lines = append(lines, fmt.Sprintf("%v: %v", k, err))
	}
	return several(lines, "keys")
}

// Unwrap returns the keys' errors in no particular order.
func (e *BulkError) Unwrap() []error {
	out := make([]error, 0, len(e.Errs))
	for _, err := range e.Errs {
		out = append(out, err)
	}
	return out
}

// MultiError holds the members on which a call failed, each with its error.
type MultiError struct {
	Errs map[string]error // by member ID
}

// Error names up to three members.
func (e *MultiError) Error() string {
	lines := make([]string, 0, len(e.Errs))
	for k, err := range e.Errs {
		lines = append(lines, fmt.Sprintf("member %s: %v", k, err))
	}
	return several(lines, "members")
}

// Unwrap returns the members' errors in no particular order.
func (e *MultiError) Unwrap() []error {
	out := make([]error, 0, len(e.Errs))
	for _, err := range e.Errs {
		out = append(out, err)
	}
	return out
}

func several(lines []string, what string) string {
	sort.Strings(lines)
	if len(lines) <= 3 {
		return strings.Join(lines, "; ")
	}
	return fmt.Sprintf("%s; and %d more %s", strings.Join(lines[:3], "; "), len(lines)-3, what)
}

// invalidf returns an error wrapping ErrInvalid for an operation that was refused before it was sent.
func invalidf(op, name, format string, args ...any) error {
	return &Error{Op: op, Name: name, Partition: -1, Err: ErrInvalid, Hint: fmt.Sprintf(format, args...)}
}

// wireWords are the sentinels of package wire as they stand in the texts of its errors.
var wireWords = strings.NewReplacer(wire.ErrMalformed.Error()+": ", "", wire.ErrTooLarge.Error()+": ", "")

// wireError turns what a check of package wire reports into an error of this package. The sentinel here says what the check's own
// one does, so the hint leaves that out.
func wireError(op, name string, err error) error {
	sentinel := ErrInvalid
	if errors.Is(err, wire.ErrTooLarge) {
		sentinel = ErrTooLarge
	}
	return &Error{Op: op, Name: name, Partition: -1, Err: sentinel, Hint: wireWords.Replace(err.Error())}
}
