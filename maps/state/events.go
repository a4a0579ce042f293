package state

import (
	"slices"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// MapEvent is an event together with the name of its map.
type MapEvent struct {
	Map string
	wire.Event
}

// LastPos returns the position of the partition's last event.
func (s *State) LastPos() uint64 { return s.ring.last }

// Position returns the map's instance in this partition and the seq of its last event; zeros if there is no such map.
func (s *State) Position(name []byte) (instance, seq uint64) {
	m := s.find(name)
	if m == nil {
		return 0, 0
	}
	return m.ref.instance, m.seq
}

// Standing returns where the map's events stand. The partition and the epoch are the caller's to fill in.
func (s *State) Standing(name []byte) wire.Position {
	p := wire.Position{Pos: s.ring.last, Quiet: s.endedAt(name)}
	if m := s.find(name); m != nil {
		p.Quiet = m.pos
	}
	return p
}

// FirstPos returns the position of the oldest event held, or that of the next event where none is.
func (s *State) FirstPos() uint64 { return s.ring.first() }

// EventsFrom returns the events after a position, over all maps that are wanted, or simply all with nil, in order. lost reports
// that some between pos and the first are gone. The events' slices are immutable.
func (s *State) EventsFrom(pos uint64, wanted func(name string) bool) (events []MapEvent, lost bool) {
	r := &s.ring
	first := r.first()
	if pos >= r.last {
		return nil, false
	}
	var ref *mapRef
	ok := false
	for p := max(first, pos+1); p <= r.last; p++ {
		e := r.at(int(p - first))
		if e.ref != ref { // most neighbours are of one map
			ref, ok = e.ref, wanted == nil || wanted(e.ref.name)
		}
		if ok {
			events = append(events, MapEvent{Map: e.ref.name, Event: s.show(e, p)})
		}
	}
	return events, first > pos+1
}

// OnDropped has f called with events that leave the ring before it is known that their owner has published them, and with
// events whose values are so large that the ring drops those first. f is called within Apply, on every replica; it must be
// quick and must not call the state. The slices are immutable. What f does has no effect on the state.
func (s *State) OnDropped(f func(name string, e wire.Event)) {
	s.ring.dropped, s.ring.silent = f, s.published
}

// show returns e as it stands on the wire, with the value that the ring has dropped where the entry still has it.
func (s *State) show(e *ringEvent, pos uint64) wire.Event {
	out := e.event(pos)
	if e.flags&wire.EventOmitted == 0 || e.kind == wire.EventCleared {
		return out
	}
	m := s.find([]byte(e.ref.name))
	if m == nil || m.ref.instance != e.ref.instance {
		return out
	}
	entry, ok := m.entries.Get(probe(out.Key))
	if !ok || entry.version() != e.version {
		return out
	}
	out.New = entry.valueBytes()
	switch e.kind {
	case wire.EventTTL: // which leaves the value as it is
		out.Old = out.New
	case wire.EventUpdated: // whose old value is nowhere any more
		return out
	}
	out.Flags &^= wire.EventOmitted
	return out
}

// Dropped has events that the ring has dropped, or their values. See OnDropped.
type Dropped interface {
	// Event returns the event at a position, and the name of its map.
	Event(pos uint64) (name string, e wire.Event, ok bool)
}

// Events returns the map's events after a place, of whatever instance and generation, in order, with an EventLost in place of
// those that are gone, or may be: the ring has forgotten some, a generation began without some, or the state has never come to
// the place. At wire.PosNow nothing is returned.
//
// At most limit events are returned, and maxBytes of keys and values but not less than one event; zero or less is no bound.
// more reports that a bound ended the list: who asks again does so from the place of the last event. The events' slices are
// immutable. What the ring lacks is taken from dropped, unless that is nil.
func (s *State) Events(name []byte, from Place, limit, maxBytes int, dropped Dropped) (events []wire.Event, more bool) {
	if from.Pos == wire.PosNow {
		return nil, false
	}
	pos, losses := s.losses(from)
	older, lost := s.older(name, pos, dropped)
	if lost > pos {
		// One sign is enough for all up to there.
		for len(losses) > 0 && losses[0].pos <= lost {
			losses = losses[1:]
		}
		losses = append([]lossMark{{s.generationAt(lost), lost}}, losses...)
	}
	list := eventList{losses: losses, limit: limit, maxBytes: maxBytes}
	for _, e := range older {
		if !list.add(e) {
			return list.events, true
		}
	}
	r := &s.ring
	for p := max(pos+1, r.first()); p <= r.last; p++ {
		e := r.at(int(p - r.first()))
		if e.ref.name != string(name) {
			continue
		}
		shown := s.show(e, p)
		if dropped != nil && shown.Flags&wire.EventOmitted != 0 {
			if _, whole, ok := dropped.Event(p); ok && whole.Version == shown.Version {
				shown = whole
			}
		}
		if !list.add(shown) {
			return list.events, true
		}
	}
	if !list.tell(wire.PosNow) {
		return list.events, true
	}
	return list.events, false
}

// losses returns the position in the state's own history after which events are to be listed for who is at a place, and where
// generations began that make others lost, in order.
func (s *State) losses(from Place) (pos uint64, losses []lossMark) {
	pos = from.Pos
	starts := s.startsAfter(from.Generation)
	switch {
	case from.Generation == 0, from.Generation > s.generation, len(starts) == 0 && pos > s.ring.last:
		// Nobody can have been there: what may be known is that the present is not that.
		return s.ring.last, []lossMark{{s.generation, s.ring.last}}
	case len(starts) > 0 && pos > starts[0].pos:
		// Who has gone beyond the end of its generation goes on where the next began.
		pos = starts[0].pos
		losses = append(losses, lossMark{starts[0].generation, pos})
		starts = starts[1:]
	}
	for _, start := range starts {
		if start.loss {
			losses = append(losses, lossMark{start.generation, start.pos})
		}
	}
	return pos, losses
}

// older returns the events of the map after a position that the ring has no more, from the one on that is not followed by any that
// dropped lacks, and the position of the lacking event; pos where it lacks none. Each event tells where the one before stands.
func (s *State) older(name []byte, pos uint64, dropped Dropped) (events []wire.Event, lost uint64) {
	if pos+1 >= s.ring.first() {
		return nil, pos
	}
	lost = s.beforeRing(name)
	for lost > pos && dropped != nil {
		of, e, ok := dropped.Event(lost)
		if !ok || of != string(name) || wire.Stamp(e.Version).Generation() != s.generationAt(lost-1) || e.Since >= lost {
			break
		}
		events = append(events, e)
		lost = e.Since
	}
	slices.Reverse(events)
	return events, max(lost, pos)
}

// beforeRing returns the position of the map's last event before those that the ring holds, or one before which it must have been.
func (s *State) beforeRing(name []byte) uint64 {
	r := &s.ring
	for i := range r.n {
		if e := r.at(i); e.ref.name == string(name) {
			return e.since
		}
	}
	if m := s.find(name); m != nil {
		return m.pos
	}
	return s.endedAt(name)
}

// eventList gathers events within bounds, with the losses that come before them.
type eventList struct {
	events          []wire.Event
	losses          []lossMark
	size            int
	limit, maxBytes int
}

// add appends e, after the losses before it. It reports false if there is no room.
func (l *eventList) add(e wire.Event) bool { return l.tell(e.Pos) && l.append(e) }

// tell appends the losses before a position.
func (l *eventList) tell(pos uint64) bool {
	for len(l.losses) > 0 && l.losses[0].pos < pos {
		if !l.append(l.losses[0].event()) {
			return false
		}
		l.losses = l.losses[1:]
	}
	return true
}

// append appends e if there is room. A loss right after another says what both say.
func (l *eventList) append(e wire.Event) bool {
	n := len(l.events)
	if n > 0 && e.Kind == wire.EventLost && l.events[n-1].Kind == wire.EventLost {
		l.events[n-1] = e
		return true
	}
	l.size += len(e.Key) + len(e.Old) + len(e.New)
	if n > 0 && (l.limit > 0 && n == l.limit || l.maxBytes > 0 && l.size > l.maxBytes) {
		return false
	}
	l.events = append(l.events, e)
	return true
}
