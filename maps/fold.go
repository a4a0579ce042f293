package maps

import (
	"cmp"
	"slices"
	"sync"

	"github.com/gridiron-io/gridiron/maps/state"
	"github.com/gridiron-io/gridiron/partition"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// folded turns the counts of a partition's state into counts of this member as an owner: expirations, evictions and events. A state counts
// from the time that this process has it, on every replica. What it counted while this process owned the partition is the difference
// between two looks. The service looks when an owner changes and when counts are asked for. So counts between the last look at a map and
// its end are lost. What happens while an owner changes may be counted by both owners, or by neither.
type folded struct {
	mu    sync.Mutex // guards the following, the last look; held while the next is taken
	owned bool
	seen  []mapOfState
}

// mapOfState is one map of a partition as its state counts it.
type mapOfState struct {
	name                     string
	instance                 uint64
	entries, bytes, locks    uint64
	events, expired, evicted uint64
	lag                      int64
	kept, keptBytes          uint64
}

// add adds the levels of m to c.
func (m *mapOfState) add(c *wire.MapCounts) {
	c.Entries += m.entries
	c.Bytes += m.bytes
	c.Locks += m.locks
	c.EventsKept += m.kept
	c.EventsKeptSize += m.keptBytes
}

// mapsAtOnce is how many maps are looked at under one hold of a partition's lock.
const mapsAtOnce = 512

// eachMap calls f for each map of a partition, in the order of their names, some hundred at a time under the partition's read lock.
func (s *Service) eachMap(p int, f func(name string, instance, seq uint64, stats state.MapStats)) {
	last := ""
	for more := true; more; {
		// Without a replica here Inspect calls nothing, and the walk ends.
		more = false
		s.cfg.Host.Inspect(p, func(m partition.Machine) {
			more = stateOf(m).EachMap(last, mapsAtOnce, func(name string, instance, seq uint64, stats state.MapStats) {
				last = name
				f(name, instance, seq, stats)
			})
		})
	}
}

// look returns the maps in the state of a partition, in the order of their names, and the bytes of remembered results. A partition without a
// replica here has none.
func (s *Service) look(p int) (list []mapOfState, remembered int) {
	var held map[string]uint64
	s.cfg.Host.Inspect(p, func(m partition.Machine) {
		remembered, held = stateOf(m).RecordBytes(), stateOf(m).HeldLocks()
	})

	// The locks are read before the maps. The counts of both may differ by what came between.
	s.eachMap(p, func(name string, instance, seq uint64, stats state.MapStats) {
		list = append(list, mapOfState{name: name, instance: instance, entries: uint64(stats.Entries), bytes: uint64(stats.Bytes),
			locks: held[name], events: seq, expired: stats.Expired, evicted: stats.Evicted,
			lag: stats.ExpiryLag, kept: uint64(stats.Kept), keptBytes: uint64(stats.KeptBytes)})
		// What is left in held afterwards has no map.
		delete(held, name)
	})

	if len(held) > 0 {
		for name, n := range held { // locks of keys without a map
			list = append(list, mapOfState{name: name, locks: n})
		}
		slices.SortFunc(list, func(a, b mapOfState) int { return cmp.Compare(a.name, b.name) })
	}
	return list, remembered
}

// Maps returns the maps that have entries in the partitions owned here.
func (s *Service) Maps() []wire.MapInfo {
	sums := make(map[string]*wire.MapInfo)
	for p := range s.cfg.Partitions {
		// Replicas of partitions that others own are counted by their owners.
		if s.cfg.Host.Serving(p) == 0 {
			continue
		}
		s.eachMap(p, func(name string, _, _ uint64, stats state.MapStats) {
			i := sums[name]
			if i == nil {
				i = &wire.MapInfo{Name: name}
				sums[name] = i
			}
			i.Entries += uint64(stats.Entries)
			i.Bytes += uint64(stats.Bytes)
		})
	}

	out := make([]wire.MapInfo, 0, len(sums))
	for _, i := range sums {
		out = append(out, *i)
	}

	// A Go map has no order, and the answer should not differ from call to call.
	slices.SortFunc(out, func(a, b wire.MapInfo) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// OwnerChanged must be called when a partition may have another owner.
func (s *Service) OwnerChanged(p int) { s.fold(p) }

// fold looks at a partition. If this process owned it at the look before, fold counts what happened since. If this process owns it now, fold
// returns what it saw.
func (s *Service) fold(p int) (now []mapOfState, remembered int) {
	part := &s.folded[p]
	part.mu.Lock()
	defer part.mu.Unlock()

	// Owned now or at the last look: otherwise nothing that happened counts here.
	owned := s.cfg.Host.Serving(p) != 0
	if !owned && !part.owned {
		return nil, 0
	}

	now, remembered = s.look(p)
	if part.owned {
		s.countSince(part.seen, now)
	}

	// The part until the change of owners was counted above. What comes next counts at the next owner.
	if part.owned = owned; !owned {
		part.seen = nil
		return nil, 0
	}
	part.seen = now
	return now, remembered
}

// countSince counts what happened between two looks at a partition.
func (s *Service) countSince(before, now []mapOfState) {
	for i := range now {
		m := &now[i]
		// Both lists stand in the order of names, so one pass over each is enough.
		for len(before) > 0 && before[0].name < m.name {
			before = before[1:]
		}

		var was mapOfState
		// Another instance counts from its own beginning.
		if len(before) > 0 && before[0].name == m.name && before[0].instance == m.instance {
			was = before[0]
		}

		events, expired, evicted := since(m.events, was.events), since(m.expired, was.expired), since(m.evicted, was.evicted)
		if events|expired|evicted == 0 {
			continue
		}

		// A map without statistics counts nowhere, and neither does one beyond the bound of tallies.
		if t := s.tallyOf([]byte(m.name), true); t != nil {
			t.events.Add(events)
			t.expired.Add(expired)
			t.evicted.Add(evicted)
			// Folding is serialised by partition alone: another partition's may have a longer one at the same time.
			for lag := t.lag.Load(); expired > 0 && m.lag > lag && !t.lag.CompareAndSwap(lag, m.lag); lag = t.lag.Load() {
			}
		}
	}
}

// since returns by how much a count has grown. The counts of a state that was read from a state snapshot begin at zero again.
func since(now, before uint64) uint64 {
	if now < before {
		return 0
	}
	return now - before
}
