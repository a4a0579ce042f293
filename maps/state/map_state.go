package state

import (
	"sort"

	"github.com/tidwall/btree"
)

// mapID names one instance of a map.
type mapID struct {
	name     string
	instance uint64 // version of the write that created the map in this partition
}

// mapRef is what the events of one instance share. Its ID is immutable.
type mapRef struct {
	mapID
	// The following are derived from the ring, never read through a view.
	last      uint64 // position of the instance's last event that the ring holds
	kept      int    // events of the instance that the ring holds
	keptBytes int    // that these are counted with
}

// mapState is one map's part of the partition.
type mapState struct {
	ref     *mapRef
	seq     uint64   // of the instance's last event
	pos     uint64   // of the same; before the first, of the last event of an earlier instance, or one after that
	entries itemTree // its stamp is State.stamp when the mapState became this one
	bytes   int      // Invariant: the sum of the entries' costs

	// How many entries ended so since the process has the map. Not replicated: a restored map begins at 0.
	expired, evicted uint64
	lag              int64 // the most milliseconds that one of them has waited by the log's clock after its expiry

	// expiry orders the entries that expire; nil while there are none. Derived from entries, never read through a view, and
	// handed on when the mapState is copied.
	expiry *btree.BTreeG[expirySlot]
}

// expirySlot is one entry in the order of expiry.
type expirySlot struct {
	expires int64
	item    item
}

func lessExpiry(a, b expirySlot) bool {
	if a.expires != b.expires {
		return a.expires < b.expires
	}
	return lessKey(a.item, b.item)
}

func newMapState(name string, instance, stamp uint64) *mapState {
	return &mapState{ref: &mapRef{mapID: mapID{name, instance}}, entries: itemTree{stamp: stamp}}
}

// cost returns the bytes that the map is counted with beside its entries.
func (m *mapState) cost() int { return mapCost + len(m.ref.name) }

// earliest returns the first expiry of the map's entries; 0 if none expires.
func (m *mapState) earliest() int64 {
	if m.expiry == nil {
		return 0
	}
	slot, _ := m.expiry.Min()
	return slot.expires
}

// put stores e at the path that Find has left for its key.
func (m *mapState) put(e item, p *path) {
	old, replaced := m.entries.Put(e, p)
	m.bytes += e.cost()

	expires := e.expires()
	if replaced {
		m.bytes -= old.cost()

		// At the same expiry, index replaces the old element itself.
		if was := old.expires(); was != expires {
			m.unindex(was, old)
		}
	}

	m.index(expires, e)
}

func (m *mapState) drop(e item) {
	m.entries.Delete(e)
	m.bytes -= e.cost()
	m.unindex(e.expires(), e)
}

// index adds e to the order of expiry. An element with the same time and key is replaced: its memory may go.
func (m *mapState) index(expires int64, e item) {
	if expires == 0 {
		return
	}
	if m.expiry == nil {
		m.expiry = newTree(lessExpiry)
	}
	m.expiry.Set(expirySlot{expires, e})
}

func (m *mapState) unindex(expires int64, e item) {
	if expires == 0 {
		return
	}
	m.expiry.Delete(expirySlot{expires, e})
	// Most maps have nothing that expires, and a map that had it once need not keep a tree.
	if m.expiry.Len() == 0 {
		m.expiry = nil
	}
}

// live returns how many entries have not expired at clock.
func (m *mapState) live(clock int64) int { return m.entries.Len() - m.overdue(clock) }

// overdue returns how many entries have expired at clock and are still to be removed.
func (m *mapState) overdue(clock int64) int {
	// Most reads find nothing overdue, and need no search.
	if first := m.earliest(); first == 0 || first > clock {
		return 0
	}

	return sort.Search(m.expiry.Len(), func(i int) bool {
		slot, _ := m.expiry.GetAt(i)
		return slot.expires > clock
	})
}

// nextExpiry returns the first expiry after clock; 0 if there is none.
func (m *mapState) nextExpiry(clock int64) int64 {
	first := m.earliest()
	if first > clock || first == 0 {
		return first
	}

	// If all of them are overdue, the place is behind the last one, and the zero slot says that nothing follows.
	slot, _ := m.expiry.GetAt(m.overdue(clock))
	return slot.expires
}
