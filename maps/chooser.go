package maps

import (
	"context"
	"sync"
	"time"

	"github.com/gridiron-io/gridiron/partition"
)

// chooser chooses among the entries that OpRemoveAll has read. It is one goroutine: long values and patterns take one processor at most, and no
// reader of a partition waits for them. Each call has its turn for removeTime.
type chooser struct {
	wake chan struct{} // one slot

	mu     sync.Mutex // guards the following
	queue  []*call
	closed bool
}

// add takes a call whose keys were read.
func (h *chooser) add(c *call) {
	h.mu.Lock()
	closed := h.closed
	if !closed {
		h.queue = append(h.queue, c)
	}
	h.mu.Unlock()

	// The answer is given without the lock. Nothing was proposed, so the caller may ask again.
	if closed {
		c.Fail(partition.NotProposed)
		return
	}

	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// take returns the calls that wait.
func (h *chooser) take() []*call {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := h.queue
	h.queue = nil
	return list
}

// run works until ctx ends. Then it tells all calls that wait, and later ones, to ask again.
func (h *chooser) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			// From here on add refuses calls by itself, so that no call enters the queue after the last take.
			h.mu.Lock()
			h.closed = true
			h.mu.Unlock()

			for _, c := range h.take() {
				c.Fail(partition.NotProposed)
			}
			return
		case <-h.wake:
		}
		for _, c := range h.take() {
			// A member that stops must not go through a long queue first.
			if ctx.Err() != nil {
				c.Fail(partition.NotProposed)
				continue
			}

			began := time.Now()
			c.removal.choose(func() bool { return time.Since(began) >= removeTime })
			c.remove()
		}
	}
}
