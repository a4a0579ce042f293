package sdk

import (
	"sync"
	"sync/atomic"
)

// ticket is one write's place among those that its client waits for in a partition. It is part of the call: waiting
// allocates nothing.
type ticket struct {
	seq        uint64
	prev, next *ticket
}

// outstanding are the writes of one partition that the client waits for, in the order of their seqs. Members keep the results of a
// client's writes from the lowest such seq on, and refuse older ones. So lowest must never exceed the seq of a write that the client
// still waits for, in whatever order writes end.
type outstanding struct {
	mu sync.Mutex // guards the following

	// Invariant: seqs grow from first to last. It holds because a seq is drawn and appended under mu.
	first, last *ticket
}

// begin draws t's seq from next and makes it outstanding.
func (o *outstanding) begin(t *ticket, next *atomic.Uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()

	// Drawn under the lock: otherwise a later seq could be appended first, and lowest would pass over this one.
	t.seq = next.Add(1)
	if t.prev, t.next = o.last, nil; t.prev == nil {
		o.first = t
	} else {
		t.prev.next = t
	}
	o.last = t
}

// lowest returns the lowest outstanding seq, 0 if there is none.
func (o *outstanding) lowest() uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.first == nil {
		return 0
	}
	return o.first.seq
}

// end says that t is no longer waited for.
func (o *outstanding) end(t *ticket) {
	o.mu.Lock()
	defer o.mu.Unlock()

	// Writes end in any order, so t may stand anywhere in the list.
	if t.prev == nil {
		o.first = t.next
	} else {
		t.prev.next = t.next
	}
	if t.next == nil {
		o.last = t.prev
	} else {
		t.next.prev = t.prev
	}

	// The call goes back to the pool, where its ticket must not lead into this list.
	*t = ticket{}
}
