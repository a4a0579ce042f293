package sdk

import "github.com/gridiron-io/gridiron/sdk/wire"

// Bounds of the events that wait for one listener.
const (
	maxQueued      = 10_000
	maxQueuedBytes = 16 << 20
)

// queuedEvent is an event on its way to a listener.
type queuedEvent struct {
	partition uint32
	wire.Event
}

// eventQueue holds events in the order in which they came, within bounds: it is full when one more event might be too
// many, and always has room for one event where it is empty.
type eventQueue struct {
	list  []queuedEvent
	head  int // list[head:] are queued
	bytes int // Invariant: the sum of the events' sizes
}

func (q *eventQueue) len() int { return len(q.list) - q.head }

// push appends e, unless the queue is full.
func (q *eventQueue) push(partition uint32, e *wire.Event) bool {
	size := eventSize(e)
	// One event always fits, however large, or the stream would stand still.
	if q.len() >= maxQueued || q.len() > 0 && q.bytes+size > maxQueuedBytes {
		return false
	}

	// Room at the front is reclaimed only once it is the larger part, so that each event is moved about once.
	if q.head > 64 && q.head > len(q.list)/2 {
		n := copy(q.list, q.list[q.head:])
		clear(q.list[n:])
		q.list, q.head = q.list[:n], 0
	}

	q.list = append(q.list, queuedEvent{partition, *e})
	q.bytes += size
	return true
}

// pop removes the oldest event. REQUIRES that there is one.
func (q *eventQueue) pop() queuedEvent {
	e := q.list[q.head]

	// The event may keep a whole message in memory.
	q.list[q.head] = queuedEvent{}
	q.head++
	q.bytes -= eventSize(&e.Event)

	// The memory of a burst is given back when the burst is over.
	if q.len() == 0 {
		q.list, q.head = q.list[:0], 0
		if cap(q.list) > 1024 {
			q.list = nil
		}
	}
	return e
}

// roomy reports whether the queue is at most half full.
func (q *eventQueue) roomy() bool { return q.len() <= maxQueued/2 && q.bytes <= maxQueuedBytes/2 }
