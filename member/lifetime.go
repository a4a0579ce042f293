package member

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// lifetime is how far a member is between Start and its end, and what ends with it.
type lifetime struct {
	ctx     context.Context // ends when the member stops; parent of everything that it runs
	cancel  context.CancelFunc
	leaving context.Context // ends when a Close that is under way must not wait for anything any more
	hurry   context.CancelFunc
	abort   context.CancelCauseFunc // ends Start
	wg      sync.WaitGroup          // goroutines that end with ctx or with their connection

	phase   atomic.Int32
	started atomic.Bool            // Start has returned: from here on the metadata have this incarnation, unless it was removed
	waiting atomic.Pointer[string] // see wait

	watch struct {
		sync.Mutex
		ch chan struct{} // closed and replaced when the view changes
	}
	closeOnce sync.Once
	ended     chan struct{} // closed when everything of the member has ended
}

// Phases of a member's life.
const (
	phaseStarting int32 = iota
	phaseReady
	phaseClosing
)

// lookAgain is how often await asks without having been told of a change: whether a member is silent depends on time alone.
const lookAgain = 20 * time.Millisecond

func (l *lifetime) isReady() bool   { return l.phase.Load() == phaseReady }
func (l *lifetime) isClosing() bool { return l.phase.Load() == phaseClosing }

func (l *lifetime) viewChanged() {
	// To close a channel wakes all who wait. The next ones wait on a new channel.
	l.watch.Lock()
	close(l.watch.ch)
	l.watch.ch = make(chan struct{})
	l.watch.Unlock()
}

// wait says for what Start waits.
func (l *lifetime) wait(what string) { l.waiting.Store(&what) }

// awaited returns for what Start waits.
func (l *lifetime) awaited() string {
	if what := l.waiting.Load(); what != nil {
		return *what
	}
	return "its start"
}
