package state

import "github.com/gridiron-io/gridiron/sdk/wire"

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

// EventsFrom returns all events after a position, over all maps, in order. lost reports that some between pos and the first
// are gone. The events' slices are immutable.
func (s *State) EventsFrom(pos uint64) (events []MapEvent, lost bool) {
	r := &s.ring
	first := r.first()
	if pos >= r.last {
		return nil, false
	}
	from := max(first, pos+1)
	events = make([]MapEvent, 0, r.last-from+1)
	for p := from; p <= r.last; p++ {
		e := r.at(int(p - first))
		events = append(events, MapEvent{Map: e.ref.name, Event: e.event(p)})
	}
	return events, first > pos+1
}

// Events returns the map's events after a place, which is a seq of an instance, those of later instances included. Instance
// 0 is a map that did not exist: its events begin with the current instance. At most limit events are returned, and maxBytes of
// keys and values but not less than one event; zero or less is no bound. The events' slices are immutable.
//
// more reports that a bound ended the list. lost reports that events between the place and the first one returned, or
// Position where none is returned, are gone, or may be: the instance has ended and has left the ring, or the state has never
// come to the place.
//
// NOTE: who is at instance 0 does not learn of an instance that was created and destroyed meanwhile.
func (s *State) Events(name []byte, instance, after uint64, limit, maxBytes int) (events []wire.Event, lost, more bool) {
	current, seq := s.Position(name)
	if instance == 0 {
		if instance, after = current, 0; current == 0 {
			return nil, false, false
		}
	}
	r := &s.ring
	// An event held shows that all later ones are held too; the present needs none.
	complete, last := false, uint64(0)
	if current == instance {
		complete, last = seq == after, seq
	}
	size := 0
	for i := range r.n {
		e := r.at(i)
		if e.ref.instance < instance || e.ref.name != string(name) {
			continue
		}
		if e.ref.instance == instance {
			complete = complete || e.seq <= after+1
			last = max(last, e.seq)
			if e.seq <= after {
				continue
			}
		}
		size += len(e.key()) + e.values()
		if len(events) > 0 && (limit > 0 && len(events) == limit || maxBytes > 0 && size > maxBytes) {
			more = true
			break
		}
		events = append(events, e.event(r.first()+uint64(i)))
	}
	return events, !complete || after > last, more
}
