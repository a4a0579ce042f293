package maps

import (
	"sync"

	"github.com/gridiron-io/gridiron/maps/state"
	"github.com/gridiron-io/gridiron/partition"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// folded turns what the state of a partition says of expirations, evictions and events into counts of this member as an owner.
// A state counts from when this process has it, on every replica; what it counted while this process owned the partition is
// the difference between two looks at it. Looks are taken when an owner changes and when counts are asked for, so what a map
// counted between the last look and its end is lost.
type folded struct {
	mu    sync.Mutex // guards the following, the last look; held while the next is taken
	owned bool
	seen  map[string]mapOfState
}

// stateOfMaps is what a look at a partition's state finds.
type stateOfMaps struct {
	*state.State
	maps []mapOfState
}

// mapOfState is one map of a partition as its state counts it.
type mapOfState struct {
	name                     string
	instance                 uint64
	entries, bytes, locks    uint64
	events, expired, evicted uint64
}

// add adds the levels of m to c.
func (m *mapOfState) add(c *wire.MapCounts) {
	c.Entries += m.entries
	c.Bytes += m.bytes
	c.Locks += m.locks
}

// look calls f with what the state of a partition says, if there is one here. The state is read under its lock, f called without.
func (s *Service) look(p int, f func(st *stateOfMaps)) bool {
	var st stateOfMaps
	there := s.cfg.Host.View(p, func(m partition.Machine) {
		st.State = StateOf(m)
		st.maps = mapsOfState(st.State)
	})
	if there {
		f(&st)
	}
	return there
}

// measure is look for a partition that this process owns.
func (s *Service) measure(p int, f func(st *stateOfMaps)) {
	if s.cfg.Host.Serving(p) != 0 {
		s.look(p, f)
	}
}

// OwnerChanged says that a partition may have another owner now.
func (s *Service) OwnerChanged(p int) { s.fold(p) }

func (s *Service) foldAll() {
	for p := range s.cfg.Partitions {
		s.fold(p)
	}
}

// fold takes a look at a partition and counts what happened since the one before, if this process was the owner then.
func (s *Service) fold(p int) {
	part := &s.folded[p]
	part.mu.Lock()
	defer part.mu.Unlock()
	owned := s.cfg.Host.Serving(p) != 0
	if !owned && !part.owned {
		return
	}
	now := make(map[string]mapOfState)
	s.look(p, func(st *stateOfMaps) {
		for _, m := range st.maps {
			now[m.name] = m
		}
	})
	for name, m := range now {
		before := part.seen[name]
		if before.instance != m.instance {
			before = mapOfState{}
		}
		if t := s.tallyOf([]byte(name), true); t != nil && part.owned {
			t.events.Add(since(m.events, before.events))
			t.expired.Add(since(m.expired, before.expired))
			t.evicted.Add(since(m.evicted, before.evicted))
		}
	}
	part.owned, part.seen = owned, now
	if !owned {
		part.seen = nil
	}
}

// since returns by how much a count has grown. One of a state that was read from an image begins again.
func since(now, before uint64) uint64 {
	if now < before {
		return 0
	}
	return now - before
}

// mapsOfState returns the maps of which a state holds anything.
func mapsOfState(st *state.State) []mapOfState {
	held := st.HeldLocks()
	infos := st.Maps()
	list := make([]mapOfState, 0, len(infos)+len(held))
	for _, info := range infos {
		instance, seq := st.Position([]byte(info.Name))
		counts := st.Stats([]byte(info.Name))
		list = append(list, mapOfState{name: info.Name, instance: instance, entries: info.Entries, bytes: info.Bytes,
			locks: held[info.Name], events: seq, expired: counts.Expired, evicted: counts.Evicted})
		delete(held, info.Name)
	}
	for name, n := range held { // locks of keys without a map
		list = append(list, mapOfState{name: name, locks: n})
	}
	return list
}
