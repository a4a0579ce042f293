package member

import (
	"sync/atomic"
	"time"
)

// departure is how a member comes to leave its cluster, or to be removed, or to recover it alone.
type departure struct {
	going        atomic.Bool           // this member is about to leave: others take over what it has
	metaReleased atomic.Bool           // of that, the metadata group can do without it
	doubting     atomic.Bool           // a goroutine asks whether the cluster still counts this process among its members
	removed      atomic.Pointer[error] // why this member has stopped by itself; nil if it has not
	recovery     recovery
}

// recovery is what a member knows of the metadata group's being without a leader, while an operator asks for it to be recovered.
type recovery struct {
	slot        chan struct{} // one: a question is being answered
	since, last time.Time     // REQUIRES slot: when nobody was found to lead first, and last
}
