package state

import (
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// sweepMax bounds what one OpSweep removes, whatever it asks for.
const sweepMax = 10_000

// clear removes all entries of a map at once and appends one CLEARED event. The instance and its count of events go on.
// Where no entry is visible it changes nothing: entries that have expired wait for their own events.
func (s *State) clear(name []byte) outcome {
	m := s.find(name)
	if m == nil || m.live(s.clock) == 0 {
		return outcome{}
	}
	v := s.nextVersion()
	first := m.earliest()
	m = s.own(m)
	m.entries, m.expiry, m.bytes = newTree(lessKey), nil, 0
	s.reindex(m, first)
	s.emit(m, wire.EventCleared, v, item{}, item{})
	return outcome{flags: wire.ResultFound | wire.ResultApplied, version: v}
}

// destroy ends a map's instance and removes its entries and locks. The CLEARED event is appended if there was any entry, visible or
// still to be removed, so that every entry that listeners heard of comes to an end for them. The next write begins another
// instance.
func (s *State) destroy(name []byte) outcome {
	m, locked := s.find(name), s.destroyLocks(name)
	if m == nil && !locked {
		return outcome{}
	}
	o := outcome{flags: wire.ResultApplied, version: s.nextVersion()}
	if m == nil {
		return o
	}
	if m.live(s.clock) > 0 {
		o.flags |= wire.ResultFound
	}
	if first := m.earliest(); first != 0 {
		s.due.Delete(dueSlot{first, m.ref.name})
	}
	if m.entries.Len() > 0 {
		s.emit(s.own(m), wire.EventCleared, o.version, item{}, item{})
	}
	s.maps.Delete(mapSlot{name: m.ref.name})
	return o
}

// sweep passes on locks whose leases have ended, and removes entries that have expired, each with its event, in the order of
// expiry, map and key; at most limit of both together.
func (s *State) sweep(limit uint32) outcome {
	n := s.sweepLocks(uint64(min(limit, sweepMax)))
	for limit := uint64(min(limit, sweepMax)); n < limit; n++ {
		next, ok := s.due.Min()
		if !ok || next.expires > s.clock {
			break
		}
		slot, _ := s.maps.Get(mapSlot{name: next.name})
		e, _ := slot.m.expiry.Min()
		s.remove(slot.m, e.item, wire.EventExpired)
	}
	return outcome{data: wire.AppendUvarint(nil, n), whole: true}
}
