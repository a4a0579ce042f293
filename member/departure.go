package member

import "sync/atomic"

// departure is how a member comes to leave its cluster, or to be removed.
type departure struct {
	going   atomic.Bool           // this member is about to leave: others take over what it has
	removed atomic.Pointer[error] // why this member has stopped by itself; nil if it has not
}
