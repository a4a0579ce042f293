package maps

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/gridiron-io/gridiron/maps/state"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Bounds of what DroppedEvents keeps.
const (
	maxDroppedBytes = 32 << 20
	droppedFor      = 10 * time.Second
	droppedCost     = 256
)

// DroppedEvents keeps some of what the rings of partitions drop, for some seconds: events that this process may not have published yet,
// and events whose values were dropped. A burst of writes overruns the ring faster than anybody can publish. It keeps only events of maps
// that have listeners, the newest within a bound in bytes. It is no part of the replicated state. Events that it does not have are lost to
// listeners, or come without values, and listeners are told so.
//
// A nil *DroppedEvents keeps nothing.
type DroppedEvents struct {
	wanted func(name string) bool
	now    func() time.Time

	mu      sync.Mutex // guards the following. Nothing is called while it is held; partitions are locked while it is taken.
	byPlace map[droppedAt]*droppedEvent
	queue   []*droppedEvent // in the order in which they came; queue[:head] are gone
	head    int
	bytes   int // Invariant: the sum of the costs of queue[head:]
}

// droppedAt is where an event stood in its partition.
type droppedAt struct {
	partition int
	pos       uint64
}

type droppedEvent struct {
	at     droppedAt
	name   string
	event  wire.Event
	since  time.Time
	latest bool // byPlace leads here
}

func (d *droppedEvent) cost() int {
	return droppedCost + len(d.event.Key) + len(d.event.Old) + len(d.event.New)
}

// NewDroppedEvents returns an empty store. wanted reports whether somebody listens to a map; it is called within Apply and
// must be quick.
func NewDroppedEvents(wanted func(name string) bool) *DroppedEvents {
	return &DroppedEvents{wanted: wanted, now: time.Now, byPlace: make(map[droppedAt]*droppedEvent)}
}

// watch makes s report what its ring drops.
func (d *DroppedEvents) watch(s *state.State, partition int) {
	if d != nil {
		s.OnDropped(func(name string, e wire.Event) { d.add(partition, name, e) })
	}
}

func (d *DroppedEvents) add(partition int, name string, e wire.Event) {
	// Events of maps without listeners would only push out those that somebody needs.
	if !d.wanted(name) {
		return
	}

	n := &droppedEvent{at: droppedAt{partition, e.Pos}, name: name, event: e, since: d.now(), latest: true}

	d.mu.Lock()
	defer d.mu.Unlock()
	if old := d.byPlace[n.at]; old != nil { // of a generation that has ended
		old.latest = false
	}

	d.byPlace[n.at] = n
	d.queue = append(d.queue, n)
	d.bytes += n.cost()

	// The newest event stays whatever its size, as it does in the ring.
	for d.bytes > maxDroppedBytes && d.head < len(d.queue)-1 {
		d.popLocked()
	}
}

// popLocked forgets the oldest event. REQUIRES d.mu, and that there is one.
func (d *DroppedEvents) popLocked() {
	n := d.queue[d.head]
	d.queue[d.head] = nil
	d.head++
	d.bytes -= n.cost()
	// Without latest, the place leads to a newer event, which stays.
	if n.latest {
		delete(d.byPlace, n.at)
	}

	if d.head == len(d.queue) {
		d.queue, d.head = nil, 0
	} else if d.head > 64 && d.head > len(d.queue)/2 {
		// More than half of the list is gone: what is left moves to the front, so the list does not grow for ever.
		k := copy(d.queue, d.queue[d.head:])
		clear(d.queue[k:])
		d.queue, d.head = d.queue[:k], 0
	}
}

// Expire removes what was kept for long enough.
func (d *DroppedEvents) Expire() {
	until := d.now().Add(-droppedFor)
	d.mu.Lock()
	defer d.mu.Unlock()
	for d.head < len(d.queue) && d.queue[d.head].since.Before(until) {
		d.popLocked()
	}
}

// Bytes returns what is kept.
func (d *DroppedEvents) Bytes() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.bytes
}

// Complete returns the partition's events after pos. list has the events that its ring holds, from first on. Complete adds the kept events
// before first, and the kept values.
func (d *DroppedEvents) Complete(partition int, pos, first uint64, list []state.MapEvent) []state.MapEvent {
	for i := range list {
		// Another generation may have given the position to another event, so the versions are compared.
		if list[i].Flags&wire.EventOmitted != 0 {
			if _, whole, ok := d.of(partition).Event(list[i].Pos); ok && whole.Version == list[i].Version {
				list[i].Event = whole
			}
		}
	}

	// The ring goes back to the position, so nothing is missing before its first event.
	if pos+1 >= first {
		return list
	}

	d.mu.Lock()
	defer d.mu.Unlock()

	// Nothing is kept, so no position need be looked up.
	if d.head == len(d.queue) {
		return list
	}

	var before []state.MapEvent
	take := func(n *droppedEvent) {
		before = append(before, state.MapEvent{Map: n.name, Event: n.event})
	}

	// Few positions are looked up one by one. For many it is cheaper to walk over what is kept.
	if kept := uint64(len(d.queue) - d.head); first-pos <= kept {
		for p := pos + 1; p < first; p++ {
			if n := d.byPlace[droppedAt{partition, p}]; n != nil {
				take(n)
			}
		}
	} else {
		for _, n := range d.queue[d.head:] {
			if n.latest && n.at.partition == partition && pos < n.at.pos && n.at.pos < first {
				take(n)
			}
		}
		slices.SortFunc(before, func(a, b state.MapEvent) int { return cmp.Compare(a.Pos, b.Pos) })
	}

	return append(before, list...)
}

// of returns what is kept of a partition.
func (d *DroppedEvents) of(partition int) state.Dropped {
	if d == nil {
		return nil
	}
	return droppedOf{d, partition}
}

// droppedOf is what is kept of one partition.
type droppedOf struct {
	d         *DroppedEvents
	partition int
}

// Event returns the event at a position.
func (o droppedOf) Event(pos uint64) (name string, e wire.Event, ok bool) {
	o.d.mu.Lock()
	defer o.d.mu.Unlock()
	n := o.d.byPlace[droppedAt{o.partition, pos}]
	if n == nil {
		return "", wire.Event{}, false
	}
	return n.name, n.event, true
}
