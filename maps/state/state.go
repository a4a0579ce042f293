// Package state is not API: programs use package sdk, and it may change in any version.
//
// It owns the replicated state of one partition: the entries of its maps, their expiries, the results of calls that may be repeated, and
// the last events. It is a pure function of the log: equal entries in equal order give equal states on every replica, today and at any
// later replay. So it knows no clock but the log's, no randomness, no I/O, no goroutines and no locks. Nothing in it depends on the order
// of a Go map, and no bytes make it fail.
//
// It does not know who owns the partition, whether an operation was proposed under the right epoch, or what a call was
// authorised to do. Others decide that before they hand an operation to Apply.
//
// # Operations
//
// Each family of operations has a file that registers how its operations change the state, or read it; see operation and reader. The codes,
// the bodies and what clients and members must know of an operation are in package wire.
//
// # Synchronisation
//
// The package takes no locks; its owner does. Advance, Apply and Freeze REQUIRE that nothing else is called at the same time. All other
// methods of State only read and may run beside each other. A Snapshot and every byte slice that the package hands out are immutable. They
// may be used without any lock for as long as the caller likes.
//
// # Use
//
// Beside each entry stands one word that is not replicated. Reads keep in it what the process has seen of the entry: how often it was
// read, and when last. The word survives when the entry is written over, and begins with zero in a new entry. Apply never looks at it.
//
// # Maps
//
// A map exists from its first entry on. It ends with Destroy, and when it is empty and the ring has forgotten its last event. The next
// write begins another instance. The state keeps the last positions of maps that have ended lately. So a listener that has heard all of
// their events is not told that some are lost.
//
// # Versions
//
// A version is a wire.Stamp of the generation and a counter. The counter grows by one with every change. A change is a write that stores,
// alters or removes an entry, an expiry, a Clear, a Destroy, or a change of a lock's holder. The version at which a lock was granted is
// its fence. A bulk operation counts once for each key that it changes, so a key named twice gets two versions. An operation that changes
// nothing takes no version.
//
// # Expiry
//
// An entry's expiry is the earlier of its TTL's end and its last write plus its max-idle. The entry is gone at once when the clock reaches
// that time: reads and writes do not see it. It is removed, and its EXPIRED event appended, by the next write of its key or by OpSweep,
// whichever comes first. A Destroy, and a Clear of a map that holds visible entries, remove expired entries without an event for each. The
// CLEARED event speaks for them.
package state

import (
	"github.com/tidwall/btree"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// State is the replicated state of one partition. See the package comment for what may be called at the same time.
type State struct {
	lim        Limits
	generation uint64
	counter    uint64
	clock      int64 // milliseconds of cluster time. Invariant: never negative, never falls.
	published  uint64
	starts     []generationStart // by generation; never changed in place. Invariant: those of generations after the first
	loss       bool              // see MarkLoss
	ended      uint64            // position of the last event of all maps that have ended and are forgotten. Invariant: at most ring.last
	recent     endedMaps         // maps that have ended and are not forgotten

	maps    *btree.BTreeG[mapSlot] // by name
	changes uint64                 // maps that have begun here or ended. Not replicated: see MapChanges.
	last    *mapState              // the map that was changed last, where it still exists. Derived from maps.
	bytes   int                    // Invariant: the sum of the maps' bytes
	named   int                    // Invariant: the sum of the maps' costs without entries
	calls   calls
	ring    ring
	locks   locks
	loads   locks // the loads of keys that have no entry, see load.go. Invariant: all are held.

	// due holds, for each map with entries that expire, the earliest of their expiries. Derived from maps.
	due *btree.BTreeG[dueSlot]

	// stamp counts frozen views. Invariant: a mapState with an older stamp may be part of a view and is never changed.
	stamp uint64
}

// mapSlot finds a map by its name.
type mapSlot struct {
	name string
	m    *mapState
}

// dueSlot is one element of State.due.
type dueSlot struct {
	expires int64
	name    string
}

// New returns the empty state of a partition's generation.
func New(generation uint64, lim Limits) *State {
	lim = lim.WithDefaults()
	s := &State{
		lim:        lim,
		generation: generation,
		maps:       newTree(func(a, b mapSlot) bool { return a.name < b.name }),
		calls:      newCalls(),
		ring:       ring{lim: lim},
		locks:      newLocks(lim.FreeLockBytes),
		loads:      newLocks(0),
		due: newTree(func(a, b dueSlot) bool {
			if a.expires != b.expires {
				return a.expires < b.expires
			}
			return a.name < b.name
		}),
	}

	s.recent.least = lim.EndedBytes
	// The ring tells when the last event of an instance leaves. An empty map ends then.
	s.ring.left = s.forgotten
	if generation > 1 { // a later generation that begins empty has lost what the generation before had
		s.begin(generationStart{generation, 0, true})
	}
	return s
}

// newTree returns an empty tree without locks.
func newTree[T any](less func(a, b T) bool) *btree.BTreeG[T] {
	return btree.NewBTreeGOptions(less, btree.Options{NoLocks: true})
}

// Advance begins a log entry. The entry was stamped with the given cluster time in milliseconds, and with the position up to which its
// owner had published events. The clock and the position never fall. Advance forgets results of calls whose deadline has passed, a bounded
// number per entry.
func (s *State) Advance(now int64, published uint64) {
	s.clock = max(s.clock, now)
	s.published = max(s.published, published)

	// Listeners have had the events up to there, so the ring may drop them without telling anybody.
	s.ring.silent = s.published

	// Forgetting follows the clock of the log, so replicas forget the same with the same entry.
	s.calls.forget(s.clock)
	s.trimEnded()
	s.verify()
}

// Clock returns the log's clock in milliseconds of cluster time.
func (s *State) Clock() int64 { return s.clock }

// Generation returns the generation that the state was made for.
func (s *State) Generation() uint64 { return s.generation }

// Counter returns how many changes were made, over all generations.
func (s *State) Counter() uint64 { return s.counter }

// Published returns the position up to which owners have published events, as the log knows.
func (s *State) Published() uint64 { return s.published }

// RecordBytes returns the memory that remembered results are counted with. The count is equal on all replicas.
func (s *State) RecordBytes() int { return s.calls.bytes }

// Bytes returns the memory that the state is counted with: maps and their entries, remembered results, locks and events.
func (s *State) Bytes() int {
	return s.bytes + s.named + s.recent.bytes + s.calls.bytes + s.LockBytes() + s.ring.bytes
}

// LockBytes returns the memory that locks and loads are counted with, released locks that are remembered among them.
func (s *State) LockBytes() int { return s.locks.bytes + s.locks.freed + s.loads.bytes }

// MapChanges returns another number once the state has other maps.
func (s *State) MapChanges() uint64 { return s.changes }

// Maps returns how many maps the state keeps.
func (s *State) Maps() int { return s.maps.Len() }

// version returns the version of the last change.
func (s *State) version() uint64 { return uint64(wire.StampOf(s.generation, s.counter)) }

// nextVersion counts a change and returns its version.
func (s *State) nextVersion() uint64 {
	s.counter++
	return s.version()
}

// find returns the map with the given name, or nil. The caller must not change it.
func (s *State) find(name []byte) *mapState {
	// Most operations concern the same map as the one before.
	if m := s.last; m != nil && m.ref.name == string(name) {
		return m
	}

	slot, _ := s.maps.Get(mapSlot{name: asString(name)})
	return slot.m
}

// create adds an empty map whose instance is the version of the write that creates it.
func (s *State) create(name []byte, instance uint64) *mapState {
	m := newMapState(string(name), instance, s.stamp)
	// The map's first event names the last one of earlier instances. A listener sees by that whether it has missed any.
	m.pos = s.endedAt(name)
	s.named += m.cost()
	s.maps.Set(mapSlot{name: m.ref.name, m: m})
	s.changes++
	return m
}

// own returns m for a change: m itself, or a copy in its place if m may be part of a frozen view. A path in the tree stays good.
func (s *State) own(m *mapState) *mapState {
	if m.entries.stamp == s.stamp {
		s.last = m
		return m
	}

	// The copy of the tree shares its nodes: they are copied before they are changed.
	c := *m
	c.entries.stamp = s.stamp
	s.maps.Set(mapSlot{name: c.ref.name, m: &c})
	s.last = &c
	return &c
}

// put stores e in m, which the caller owns, at the path that was found for its key.
func (s *State) put(m *mapState, e item, p *path) {
	// s.due has one element for each map, so only a change of the earliest expiry concerns it.
	before := m.earliest()
	s.bytes -= m.bytes
	m.put(e, p)
	s.bytes += m.bytes
	s.reindex(m, before)
}

// drop removes e from m, which the caller owns.
func (s *State) drop(m *mapState, e item) {
	before := m.earliest()
	m.drop(e)
	s.bytes -= e.cost()
	s.reindex(m, before)
}

// reindex brings s.due up to date after a change of m, whose earliest expiry was before; 0 is none.
func (s *State) reindex(m *mapState, before int64) {
	after := m.earliest()
	// Most changes do not concern the entry that expires first.
	if before == after {
		return
	}
	if before != 0 {
		s.due.Delete(dueSlot{before, m.ref.name})
	}
	if after != 0 {
		s.due.Set(dueSlot{after, m.ref.name})
	}
}

// emit appends an event of m, which the caller owns. The event has the key of after, or the key of before if no entry is left.
func (s *State) emit(m *mapState, kind wire.EventKind, version uint64, before, after item) {
	m.seq++
	e := ringEvent{ref: m.ref, seq: m.seq, since: m.pos, version: version, time: s.clock, old: before, new: after, kind: kind}
	if after.data != nil {
		e.expires = after.expires()
	}

	// This comes before append, which may drop older events. None of those may pass for the last of the instance.
	m.ref.last = s.ring.last + 1
	m.pos = m.ref.last
	s.ring.append(e)
}
