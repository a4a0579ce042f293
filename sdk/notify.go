package sdk

import (
	"slices"
	"sync"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// broadcast wakes all who wait, as often as it is signalled. The zero value is ready.
type broadcast struct {
	mu sync.Mutex
	ch chan struct{} // nil: nobody waits
}

// wait returns a channel that the next signal closes.
func (b *broadcast) wait() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch == nil {
		b.ch = make(chan struct{})
	}
	return b.ch
}

func (b *broadcast) signal() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch != nil {
		close(b.ch)
		b.ch = nil
	}
}

// hooks are functions to call when something happens, in the order in which they were added.
type hooks[F any] struct {
	next    uint64
	entries []hook[F]
}

type hook[F any] struct {
	id uint64
	f  F
}

func (h *hooks[F]) add(f F) uint64 {
	h.next++
	h.entries = append(h.entries, hook[F]{h.next, f})
	return h.next
}

func (h *hooks[F]) remove(id uint64) {
	h.entries = slices.DeleteFunc(h.entries, func(e hook[F]) bool { return e.id == id })
}

// list returns the functions as they are now.
func (h *hooks[F]) list() []F {
	if len(h.entries) == 0 {
		return nil
	}
	out := make([]F, len(h.entries))
	for i, e := range h.entries {
		out[i] = e.f
	}
	return out
}

// onTableChange makes f be called after each change of the table, until stop is called. f runs on goroutines of the
// client's connections: it must not block, and must not make calls. A call of f that has begun may still be running when
// stop returns.
func (c *Client) onTableChange(f func()) (stop func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	id := c.mu.onTable.add(f)
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.mu.onTable.remove(id)
	}
}

// onConnection makes f be called with a member's ID after each new connection to it, under the rules of onTableChange.
// What a member remembers by connection, such as interest in a map's events, is to be asked for again then.
func (c *Client) onConnection(f func(member wire.ID)) (stop func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	id := c.mu.onConnect.add(f)
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.mu.onConnect.remove(id)
	}
}
