package state

import (
	"fmt"
)

const (
	// mapCost is what a map is counted with beside its name and its entries.
	mapCost = 320
	// endedCost is what a map that has ended is counted with beside its name.
	endedCost = 96
	// endedKeep is how long an ended map is kept, in milliseconds, though all of them take more than Limits.EndedBytes. It is not kept when
	// they take endedMost times as much. A listener hears each second how far the partition has come.
	endedKeep = 10_000
	endedMost = 16
)

// endedMaps are the maps that have ended lately, with the positions of their last events. By its position a listener knows that it has missed
// nothing. For all maps that are forgotten, one position is known.
//
// A map ends with Destroy, and when it is empty and the ring has forgotten its last event.
type endedMaps struct {
	least  int        // bytes that they may take at any time, see endedKeep
	list   []endedMap // oldest first. A name may be in it more than once
	bytes  int        // Invariant: the sum of the costs
	shared bool       // list may be part of a frozen view and is never changed

	last map[string]uint64 // by name: the position of the newest in list. Derived from list.
}

// endedMap is a map that has ended.
type endedMap struct {
	name string
	pos  uint64 // of its last event
	at   int64  // clock when it was forgotten
}

func (e *endedMap) cost() int { return endedCost + len(e.name) }

// share returns a view of the list that stays as it is.
func (k *endedMaps) share() []endedMap {
	k.shared = true
	return k.list
}

// add adds a map that has ended. No map of its name has ended later.
func (k *endedMaps) add(e endedMap) {
	if k.last == nil {
		k.last = make(map[string]uint64)
	}
	// A frozen view reads the old list, and an append could write into its memory.
	if k.shared {
		k.list, k.shared = append(make([]endedMap, 0, len(k.list)+1), k.list...), false
	}

	k.list = append(k.list, e)
	k.last[e.name] = e.pos
	k.bytes += e.cost()
}

// pop forgets the oldest map, and reports whether no other of its name is in the list.
func (k *endedMaps) pop() (e endedMap, newest bool) {
	e = k.list[0]
	// The name must not stay in memory behind the list's beginning. In a shared list it belongs to a view.
	if !k.shared {
		k.list[0] = endedMap{}
	}

	k.list = k.list[1:]
	k.bytes -= e.cost()

	// An instance of the same name may have ended later: then its position stays.
	if newest = k.last[e.name] == e.pos; newest {
		delete(k.last, e.name)
	}
	return e, newest
}

// end removes a map and so ends its instance. REQUIRES the expiries of its entries to be out of s.due.
func (s *State) end(m *mapState) {
	s.bytes -= m.bytes
	s.named -= m.cost()
	s.maps.Delete(mapSlot{name: m.ref.name})
	s.changes++
	s.last = nil

	// The position outlives the map: a listener that has heard all events of the map must not be told of a loss.
	s.recent.add(endedMap{m.ref.name, m.pos, s.clock})
	s.trimEnded()
}

// trimEnded brings the ended maps within their bounds. It forgets at most forgetMax of them at once.
func (s *State) trimEnded() {
	k := &s.recent
	for range forgetMax {
		// Beyond the lasting bound only young ones stay, and only while they take at most endedMost times as much.
		if k.bytes <= k.least || k.bytes <= endedMost*k.least && k.list[0].at > s.clock-endedKeep {
			return
		}

		// The common position is for names of which nothing else is known. A living map, and one that ended later, have their own
		// positions.
		if e, newest := s.recent.pop(); newest && s.find([]byte(e.name)) == nil {
			s.ended = max(s.ended, e.pos)
		}
	}
}

// endedAt returns the position of the last event of a map that does not exist, or a later position.
func (s *State) endedAt(name []byte) uint64 {
	if pos, ok := s.recent.last[string(name)]; ok {
		return pos
	}

	// For a forgotten map only an upper bound is known. The bound costs a listener a question at most, but hides no loss.
	return s.ended
}

// forgotten ends an empty map when the ring has forgotten the last event of its instance.
func (s *State) forgotten(ref *mapRef) {
	// The name may have another instance by now, whose events are still in the ring.
	if m := s.find([]byte(ref.name)); m != nil && m.ref == ref && m.entries.Len() == 0 {
		s.end(m)
	}
}

// checkEnded looks at the maps that have ended.
func (s *State) checkEnded() error {
	k, bytes := &s.recent, 0
	last := map[string]uint64{}
	for i := range k.list {
		e := &k.list[i]
		// A name may stand in the list more than once, with growing positions.
		if e.pos > s.ring.last || e.pos < last[e.name] || e.at > s.clock {
			return fmt.Errorf("map %q ended at %d, after %d, the last event is %d", e.name, e.pos, last[e.name], s.ring.last)
		}
		bytes += e.cost()
		last[e.name] = e.pos
	}
	if bytes != k.bytes || bytes > endedMost*k.least || len(last) != len(k.last) {
		return fmt.Errorf("ended maps of %d bytes counted as %d, %d names as %d", bytes, k.bytes, len(last), len(k.last))
	}

	// The names lead to the newest of each, by which a listener is answered.
	for _, e := range k.list {
		if k.last[e.name] != last[e.name] {
			return fmt.Errorf("map %q ended at %d, not %d", e.name, last[e.name], k.last[e.name])
		}
	}
	return nil
}

// encodeEnded writes the maps that have ended.
func (i *Snapshot) encodeEnded(w *blockWriter) {
	w.uvarint(uint64(len(i.recent)))
	for _, e := range i.recent {
		w.bytes([]byte(e.name))
		w.uvarint(e.pos)
		w.u64(uint64(e.at))
	}
}

// endedMaps reads what encodeEnded wrote.
func (d *decoder) endedMaps(s *State) {
	for n := d.uvarint(); n > 0 && d.err == nil; n-- {
		e := endedMap{d.name(), d.uvarint(), d.i64()}
		d.must(e.pos >= s.recent.last[e.name] && 0 <= e.at && e.at <= s.clock, "map %q ended at %d and before, or to come", e.name, e.pos)
		if d.err == nil {
			s.recent.add(e)
		}
	}
}

// checkEnds reports what is wrong with a map that has no entries, or with one that has ended, once the ring was read.
func (d *decoder) checkEnds(s *State) {
	for _, e := range s.recent.list {
		d.must(e.pos <= s.ring.last, "map %q ended at position %d", e.name, e.pos)
	}

	// An empty map lives only for its last event in the ring. Without such an event it would never end.
	for _, slot := range s.maps.Items() {
		d.must(slot.m.entries.Len() > 0 || slot.m.pos >= s.ring.first(), "map %q is empty, and has ended at %d", slot.name, slot.m.pos)
	}
}
