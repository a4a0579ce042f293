package state

import (
	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

var wholeOperations = []operation{
	{wire.OpClear, (*State).applyClear},
	{wire.OpDestroy, (*State).applyDestroy},
}

func (s *State) applyClear(op *entry.Op) outcome {
	name, err := wire.DecodeMapBody(op.Body)
	if err != nil {
		return malformed(err)
	}
	return s.clear(name)
}

func (s *State) applyDestroy(op *entry.Op) outcome {
	name, err := wire.DecodeMapBody(op.Body)
	if err != nil {
		return malformed(err)
	}
	return s.destroy(name)
}

// clear removes all entries of a map at once and appends one CLEARED event. The instance and its count of events go on. Without a visible
// entry it changes nothing: expired entries wait for their own events.
func (s *State) clear(name []byte) outcome {
	// Loads count even if no entry is there: a value that was loaded before the Clear must not come after it.
	s.voidLoads(name)

	m := s.find(name)
	if m == nil || m.live(s.clock) == 0 {
		return outcome{}
	}

	v := s.nextVersion()
	first := m.earliest()

	// A new tree costs the same for any number of entries, and views keep the old tree.
	m = s.own(m)
	s.bytes -= m.bytes
	m.entries.root, m.expiry, m.bytes = nil, nil, 0

	s.reindex(m, first)
	s.emit(m, wire.EventCleared, v, item{}, item{})
	return outcome{flags: wire.ResultFound | wire.ResultApplied, version: v}
}

// destroy ends a map's instance and removes its entries and locks. It appends the CLEARED event if there was any entry, visible or expired:
// every entry that listeners heard of comes to an end for them. The next write begins another instance.
func (s *State) destroy(name []byte) outcome {
	m, locked := s.find(name), s.destroyLocks(name)
	if m == nil && !locked {
		return outcome{}
	}

	// Locks alone make a change too, since those who write under their fences are refused from now on.
	o := outcome{flags: wire.ResultApplied, version: s.nextVersion()}
	if m == nil {
		return o
	}
	if m.live(s.clock) > 0 {
		o.flags |= wire.ResultFound
	}

	// end leaves s.due to its caller.
	if first := m.earliest(); first != 0 {
		s.due.Delete(dueSlot{first, m.ref.name})
	}
	if m.entries.Len() > 0 {
		m = s.own(m)
		s.emit(m, wire.EventCleared, o.version, item{}, item{})
	}

	// This comes after the event, since the position of the map's last event is what is kept.
	s.end(m)
	return o
}
