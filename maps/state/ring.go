package state

import (
	"cmp"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// eventCost is what an event is counted with beside its key and values.
const eventCost = 32

// ringEvent is an event as the ring holds it: key and values are those of the entries before and after the change.
type ringEvent struct {
	ref           *mapRef
	seq           uint64
	since         uint64 // position of the map's event before. Before the first event no earlier instance has an event after it
	version       uint64
	time, expires int64
	old, new      item // may be no entry; an event without values has its key in new
	kind          wire.EventKind
	flags         uint8
	held          uint32 // bytes of both values together. Derived from old and new by push: the ring looks at many events to find large ones.
}

func (e *ringEvent) key() []byte {
	if e.new.data != nil {
		return e.new.keyBytes()
	}
	return e.old.keyBytes()
}

// values returns the bytes of both values together.
func (e *ringEvent) values() int { return int(e.held) }

// size returns the bytes that the event is counted with.
func (e *ringEvent) size() int { return eventCost + len(e.key()) + e.values() }

// event returns e as it stands on the wire. Slices are immutable.
func (e *ringEvent) event(pos uint64) wire.Event {
	return wire.Event{Pos: pos, Since: e.since, Instance: e.ref.instance, Seq: e.seq, Version: e.version, Time: e.time, Expires: e.expires,
		Kind: e.kind, Flags: e.flags, Key: e.key(), Old: e.old.valueBytes(), New: e.new.valueBytes()}
}

// ring holds the partition's last events. It is bounded by their number and by their bytes. The newest event counts without large values:
// it stays whole, whatever its size, and does not cost the others their place.
type ring struct {
	lim    Limits
	set    wire.BoundRingBody // what the log has set; 0 stands for lim
	buf    []ringEvent        // circular
	head   int                // index in buf of the oldest event
	n      int                // events held
	last   uint64             // position of the newest event ever. Invariant: last ≥ n; the ring holds last-n+1 … last.
	bytes  int                // Invariant: the sum of the events' sizes
	large  int                // Invariant: how many events have more than lim.EventValues bytes of values
	shared bool               // buf may be part of a frozen view and is never changed
	// dropped is told of events that are dropped, or their values; it may be nil. It is no part of the replicated state.
	dropped func(name string, e wire.Event)
	silent  uint64 // up to here dropped is not told of whole events
	// left is told when the last event of an instance has left the ring.
	left func(*mapRef)
}

// at returns the i-th oldest event.
func (r *ring) at(i int) *ringEvent {
	// A division would take longer than the rest.
	if i += r.head; i >= len(r.buf) {
		i -= len(r.buf)
	}
	return &r.buf[i]
}

// first returns the position of the oldest event held; last+1 if there is none.
func (r *ring) first() uint64 { return r.last - uint64(r.n) + 1 }

func (r *ring) isLarge(e *ringEvent) bool { return e.values() > r.lim.EventValues }

// share returns a view of the ring that stays as it is.
func (r *ring) share() ring {
	r.shared = true
	view := *r
	view.dropped, view.left = nil, nil // they would keep the state in memory
	return view
}

// events and most return how many events, and bytes of them, the ring may hold.
func (r *ring) events() int { return cmp.Or(int(r.set.Entries), r.lim.RingEvents) }
func (r *ring) most() int   { return cmp.Or(int(r.set.Bytes), r.lim.RingBytes) }

// bound gives the ring other bounds. What is too much leaves it at once.
func (r *ring) bound(set wire.BoundRingBody) {
	r.set = set
	// Events leave a buffer of the ring's own.
	if r.shared {
		r.move(len(r.buf))
	}
	r.trim()

	// A buffer for many events would stay for good.
	if 4*r.n < len(r.buf) {
		r.move(max(8, 2*r.n))
	}
}

// append adds e, whose position is the next one.
func (r *ring) append(e ringEvent) {
	r.last++
	r.push(e)
	// The event counts before anything is dropped: the newest event itself always stays.
	r.trim()
}

// push adds e as the newest event without a look at the bounds.
func (r *ring) push(e ringEvent) {
	// A frozen view keeps the old buffer, so a shared buffer is copied even where it has room.
	if r.shared || r.n == len(r.buf) {
		size := len(r.buf)
		// A buffer that is copied only because it is shared keeps its size.
		if r.n == size {
			size = max(8, 2*size)
		}

		r.move(size)
	}

	e.held = uint32(e.old.valueLen() + e.new.valueLen())
	r.n++
	*r.at(r.n - 1) = e

	r.bytes += e.size()
	e.ref.kept++
	e.ref.keptBytes += e.size()
	if r.isLarge(&e) {
		r.large++
	}
}

// move moves the events to a new buffer.
func (r *ring) move(size int) {
	buf := make([]ringEvent, size)
	for i := range r.n {
		buf[i] = *r.at(i)
	}
	r.buf, r.head, r.shared = buf, 0, false
}

// trim brings the ring within its bounds. It drops large values first, oldest first, and then whole events.
func (r *ring) trim() {
	for r.n > r.events() {
		r.pop()
	}

	for r.n > 1 && r.over() {
		// Large values go before whole events: a listener that is behind then misses a value, but no event.
		if !r.strip() {
			r.pop()
		}
	}
}

// over reports whether the ring holds too many bytes.
func (r *ring) over() bool {
	bytes := r.bytes
	// A large newest event must not cost the others their place: its values are left out here.
	if newest := r.at(r.n - 1); r.isLarge(newest) {
		bytes -= newest.values()
	}

	return bytes > r.most()
}

// pop removes the oldest event.
func (r *ring) pop() {
	e, first := r.at(0), r.first()
	// The owner has not published this event yet, as far as the log knows. An event without values was told by strip already.
	if first > r.silent && e.flags&wire.EventOmitted == 0 {
		r.tell(e, first)
	}

	ref := e.ref
	r.bytes -= e.size()
	ref.kept--
	ref.keptBytes -= e.size()
	if r.isLarge(e) {
		r.large--
	}

	// The free slot must not keep keys and values in memory.
	*e = ringEvent{}
	r.head = (r.head + 1) % len(r.buf)
	r.n--

	// No event of the instance is left. If the map is empty, nothing keeps it any more.
	if ref.last == first {
		r.left(ref)
	}
}

// tell reports an event that is about to be dropped, or whose values are.
func (r *ring) tell(e *ringEvent, pos uint64) {
	if r.dropped != nil {
		r.dropped(e.ref.name, e.event(pos))
	}
}

// strip drops the values of the oldest event with large values, except the newest event. It reports whether there was one.
func (r *ring) strip() bool {
	others := r.large
	if r.isLarge(r.at(r.n - 1)) {
		others--
	}

	for i := 0; others > 0; i++ {
		e := r.at(i)
		if !r.isLarge(e) {
			continue
		}

		// Listeners that are behind must still get the values, so they are told before they are dropped.
		r.tell(e, r.first()+uint64(i))

		r.bytes -= e.values()
		e.ref.keptBytes -= e.values()
		r.large--

		// The event of a removal has no entry afterwards, so its key comes from the entry before.
		from := e.new
		if from.data == nil {
			from = e.old
		}

		e.old, e.new, e.held, e.flags = item{}, from.keyOnly(), 0, e.flags|wire.EventOmitted
		return true
	}
	return false
}
