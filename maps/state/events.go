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

// Standing returns where the map's events stand. The caller fills in the partition and the epoch.
func (s *State) Standing(name []byte) wire.Position {
	p := wire.Position{Pos: s.ring.last, Quiet: s.endedAt(name)}
	// A living map knows its last event. For an ended map an upper bound may be all that is left.
	if m := s.find(name); m != nil {
		p.Quiet = m.pos
	}
	return p
}

// RingBounds returns the bounds of the ring that the log has set last.
func (s *State) RingBounds() wire.BoundRingBody { return s.ring.set }

// FirstPos returns the position of the oldest event in the ring, or the position of the next event if the ring is empty.
func (s *State) FirstPos() uint64 { return s.ring.first() }

// EventsFrom returns the events after a position in order. It returns events of the maps for which wanted holds, or of all maps if wanted
// is nil. lost reports that the ring has forgotten events after pos. The events' slices are immutable.
func (s *State) EventsFrom(pos uint64, wanted func(name string) bool) (events []MapEvent, lost bool) {
	r := &s.ring
	first := r.first()
	if pos >= r.last {
		return nil, false
	}

	var ref *mapRef
	ok := false
	// Where the ring has forgotten events, the rest is still worth publishing: listeners see the gap and ask.
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

// OnDropped sets f to be called with events that leave the ring before their owner has published them, as far as the log knows. f is also
// called with events whose large values leave the ring. Apply calls f, on every replica: f must be quick and must not call the state. The
// slices are immutable. What f does has no effect on the state.
func (s *State) OnDropped(f func(name string, e wire.Event)) {
	s.ring.dropped, s.ring.silent = f, s.published
}

// show returns e as it stands on the wire. A value that the ring has dropped comes from the entry, if the entry still has it.
func (s *State) show(e *ringEvent, pos uint64) wire.Event {
	out := e.event(pos)
	if e.flags&wire.EventOmitted == 0 || e.kind == wire.EventCleared {
		return out
	}

	// An entry of another instance of the map has nothing to do with the event.
	m := s.find([]byte(e.ref.name))
	if m == nil || m.ref.instance != e.ref.instance {
		return out
	}
	// Only the version of the event has the value of the event: a later write has put another one in its place.
	entry, ok := m.entries.Get(probe(out.Key))
	if !ok || entry.version() != e.version {
		return out
	}

	out.New = entry.valueBytes()
	switch e.kind {
	case wire.EventTTL: // the value did not change
		out.Old = out.New
	case wire.EventUpdated: // nothing has the old value any more
		return out
	}
	out.Flags &^= wire.EventOmitted
	return out
}

// Dropped keeps events that the ring has dropped, or their values. See OnDropped.
type Dropped interface {
	// Event returns the event at a position, and the name of its map.
	Event(pos uint64) (name string, e wire.Event, ok bool)
}

var eventReads = []reader{
	{wire.OpEvents, (*State).readEvents},
}

func (s *State) readEvents(r *Reading, at *ReadPoint) bool {
	b, _ := wire.DecodeEventsBody(r.Body)
	limit := pageEntries
	// A caller may ask for less than a page, and never for more.
	if b.Limit > 0 {
		limit = min(limit, int(b.Limit))
	}

	res := wire.EventsResult{AsOf: at.AsOf, Last: s.Standing(b.Map)}
	// The state knows neither its partition's number nor its owner.
	res.Last.Partition, res.Last.Epoch = at.Partition, at.Epoch

	from := Place{Generation: b.Generation, Pos: b.Pos}
	res.Events, res.More = s.Events(b.Map, from, limit, pageBytes, at.Dropped)
	for i := range res.Events {
		// Only the first event can be as large as that, and then is the only one.
		if e := &res.Events[i]; len(e.Key)+len(e.Old)+len(e.New) > maxEventAnswer {
			e.Old, e.Flags = nil, e.Flags|wire.EventOmitted
		}
	}
	r.Repair = from.Pos != wire.PosNow
	for i := range res.Events {
		if res.Events[i].Kind == wire.EventLost {
			r.Lost++
		}
	}
	r.text = wire.AppendEventsResult(r.text, &res)
	return true
}

// Events returns the map's events after a place in order, of every instance and generation. An EventLost stands for events that are lost or
// may be: the ring has forgotten them, a generation began without them, or the state has never come to the place. At wire.PosNow there are
// no events.
//
// It returns at most limit events with at most maxBytes of keys and values, but at least one event. Zero or less is no bound. more reports
// that a bound ended the list. The caller then asks again from the place of the last event. The events' slices are immutable. Events that
// the ring lacks come from dropped, unless dropped is nil.
func (s *State) Events(name []byte, from Place, limit, maxBytes int, dropped Dropped) (events []wire.Event, more bool) {
	// A listener that begins now counts from where the map stands, and needs no events.
	if from.Pos == wire.PosNow {
		return nil, false
	}

	pos, losses := s.losses(from)
	older, lost := s.older(name, pos, dropped)
	if lost > pos {
		// One EventLost says it for all positions up to there.
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

		// The store of dropped events may have kept the values. Another generation may have used the position for another event,
		// so the versions are compared.
		if dropped != nil && shown.Flags&wire.EventOmitted != 0 {
			if _, whole, ok := dropped.Event(p); ok && whole.Version == shown.Version {
				shown = whole
			}
		}

		if !list.add(shown) {
			return list.events, true
		}
	}

	// A generation may have begun after the last event of the map. The listener must hear of its losses too.
	if !list.tell(wire.PosNow) {
		return list.events, true
	}
	return list.events, false
}

// losses returns what a listener at a place has missed. pos is the position in the state's own history after which its events are to be
// listed. losses is, in order, where generations began that lost events.
func (s *State) losses(from Place) (pos uint64, losses []lossMark) {
	pos = from.Pos

	starts := s.startsAfter(from.Generation)
	switch {
	case from.Generation == 0, from.Generation > s.generation, len(starts) == 0 && pos > s.ring.last:
		// This history never had the place. Nothing is known of the events since, but where the partition stands now.
		return s.ring.last, []lossMark{{s.generation, s.ring.last}}
	case len(starts) > 0 && pos > starts[0].pos:
		// The listener has come further than its generation counts: it goes on where the next generation began.
		pos = starts[0].pos
		losses = append(losses, lossMark{starts[0].generation, pos})
		starts = starts[1:]
	}

	// A generation that took everything over is no loss for a listener that was not ahead of it.
	for _, start := range starts {
		if start.loss {
			losses = append(losses, lossMark{start.generation, start.pos})
		}
	}
	return pos, losses
}

// older returns the events of the map after a position that the ring has forgotten and dropped still has. It goes backwards from the ring
// and ends at the first gap. lost is the position of the last event that is lost; pos if none is. Each event tells the position of the
// event before.
func (s *State) older(name []byte, pos uint64, dropped Dropped) (events []wire.Event, lost uint64) {
	// The ring goes back to the position and has all that the listener may miss.
	if pos+1 >= s.ring.first() {
		return nil, pos
	}

	// From here each event names the one before, so the walk goes backwards and stops at the first gap.
	lost = s.beforeRing(name)
	for lost > pos && dropped != nil {
		of, e, ok := dropped.Event(lost)
		// Another generation may have given the same position to another event, which is no part of this history.
		if !ok || of != string(name) || wire.Stamp(e.Version).Generation() != s.generationAt(lost-1) || e.Since >= lost {
			break
		}
		events = append(events, e)
		lost = e.Since
	}

	slices.Reverse(events)
	return events, max(lost, pos)
}

// beforeRing returns the position of the map's last event before the events in the ring. It may be a later position that has no event of
// the map.
func (s *State) beforeRing(name []byte) uint64 {
	r := &s.ring
	for i := range r.n {
		if e := r.at(i); e.ref.name == string(name) {
			return e.since
		}
	}

	// The ring has no event of the map. So the map's last event is the one looked for.
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

// append appends e if there is room. A loss right after another loss takes its place: it says what both say.
func (l *eventList) append(e wire.Event) bool {
	n := len(l.events)
	if n > 0 && e.Kind == wire.EventLost && l.events[n-1].Kind == wire.EventLost {
		l.events[n-1] = e
		return true
	}

	l.size += len(e.Key) + len(e.Old) + len(e.New)
	// The first event is taken whatever its size: else a listener could never get past a large event.
	if n > 0 && (l.limit > 0 && n == l.limit || l.maxBytes > 0 && l.size > l.maxBytes) {
		return false
	}

	l.events = append(l.events, e)
	return true
}
