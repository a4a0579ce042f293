package member

import (
	"errors"
	"fmt"
)

// ErrRemoved is what Err returns after the others have removed this member. An operator has declared it dead, its name was taken over while
// it was silent, or a later start of the same directory has taken its place.
var ErrRemoved = errors.New("this member was removed from the cluster")

// Done returns a channel that is closed when everything of the member has ended: after Close, Kill, or by itself, which Err tells.
func (m *Member) Done() <-chan struct{} { return m.ended }

// Err returns why the member has stopped, or stops, by itself: an error that wraps ErrRemoved. It is nil otherwise.
func (m *Member) Err() error {
	if err := m.removed.Load(); err != nil {
		return *err
	}
	return nil
}

// stopRemoved stops this member as a crash would. Others own and hold by now what it had, so it may answer no caller any more.
func (m *Member) stopRemoved(reason string) {
	err := fmt.Errorf("%w: %s", ErrRemoved, reason)
	// The first reason counts. A member that leaves by itself is expected to be removed.
	if m.isClosing() || !m.removed.CompareAndSwap(nil, &err) {
		return
	}

	m.log.Error("member removed from the cluster; shutting down (restart it to rejoin, without data)", "reason", reason,
		"event", "MEMBER_REMOVED", "incarnation", m.incarnation.String())
	if !m.started.Load() {
		// Start undoes what it has done, and returns this error.
		m.abort(err)
		return
	}
	// Kill waits for the goroutine that calls this.
	go m.Kill() // ends when everything of the member has
}
