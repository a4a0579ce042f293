package state

import "github.com/gridiron-io/gridiron/maps/internal/use"

// Entry is one entry as a read finds it. Times are milliseconds of cluster time.
type Entry struct {
	Value   []byte // immutable
	Version uint64
	Created int64
	Updated int64
	Touched int64 // from when the max-idle runs; 0 without one
	Expires int64 // 0: never
	End     int64 // when the TTL ends, at which the max-idle does not look; 0: never
	TTL     uint64
	MaxIdle uint64
	Cost    int // bytes that the entry is counted with
	// Use is a word beside the entry for those who read it; see the package comment. It is looked at only while the state may be read.
	Use *use.Word
}

func entryOf(e item) Entry {
	m := e.meta()
	return Entry{Value: e.valueBytes(), Version: m.version, Created: m.created, Updated: m.updated, Touched: m.touched,
		Expires: m.expires(), End: m.end, TTL: m.ttl, MaxIdle: m.maxIdle, Cost: e.cost(), Use: e.use()}
}

// lookup returns the entry under key that is visible by the clock, or no entry.
func (s *State) lookup(name, key []byte) item {
	return s.visible(s.find(name), key)
}

// visible is lookup in a map that was found; nil has no entries.
func (s *State) visible(m *mapState, key []byte) item {
	if m == nil {
		return item{}
	}

	e, ok := m.entries.Get(probe(key))
	// An entry that waits to be removed is gone for every reader.
	if !ok || expired(e, s.clock) {
		return item{}
	}
	return e
}

// Get returns the entry under key if its time has not come by the clock. It allocates nothing.
func (s *State) Get(name, key []byte) (Entry, bool) {
	e := s.lookup(name, key)
	if e.data == nil {
		return Entry{}, false
	}
	return entryOf(e), true
}

// Due reports whether the entry under key is visible by the clock although it has expired at now, which is cluster time. Then the log must
// advance the clock before a read may answer.
func (s *State) Due(name, key []byte, now int64) bool {
	e := s.lookup(name, key)
	return e.data != nil && expired(e, now)
}

// Size returns how many entries of the map are visible by the clock. It takes logarithmic time.
func (s *State) Size(name []byte) int {
	m := s.find(name)
	if m == nil {
		return 0
	}
	return m.live(s.clock)
}

// MinExpires returns when the next visible entry of the map expires, if any does. A read of many entries may answer as long as that is after
// cluster time.
func (s *State) MinExpires(name []byte) (int64, bool) {
	m := s.find(name)
	if m == nil {
		return 0, false
	}
	at := m.nextExpiry(s.clock)
	return at, at != 0
}

// NextDue returns the earliest expiry or end of a lease in the partition, if there is any. Expired entries that wait for OpSweep count.
func (s *State) NextDue() (int64, bool) {
	slot, ok := s.due.Min()
	at := slot.expires

	// One sweep passes on locks and removes entries, so the earlier of both times counts.
	for _, k := range [...]*locks{&s.locks, &s.loads} {
		if end, held := k.ends.Min(); held && (!ok || end.at < at) {
			at, ok = end.at, true
		}
	}

	return at, ok
}

// scanLook bounds the entries that one Scan looks at. Expired entries that are still to be removed count.
const scanLook = 4096

// Scan calls fn for the map's visible entries after the given key, in the order of CompareKeys. With an empty key it begins at the
// first entry. It ends after limit entries, or after maxBytes of keys and values but not before one entry. It also ends when fn returns
// false, and when it has looked at some thousand entries. Zero or less is no bound. next is the key after which to go on; nil if there are
// no more. The slices are immutable.
func (s *State) Scan(name, after []byte, limit, maxBytes int, fn func(key []byte, v Entry) bool) (next []byte) {
	m := s.find(name)
	if m == nil {
		return nil
	}

	entries, size, looked := 0, 0, 0
	last, more := after, false
	m.entries.Ascend(probe(after), func(e item) bool {
		key := e.keyBytes()
		// The given key ended the page before. It may be gone by now, so it is passed over only where it is met.
		if len(key) == len(after) && string(key) == string(after) {
			return true
		}

		// Thousands of expired entries in a row must not hold the caller's lock for long.
		if looked == scanLook {
			more = true
			return false
		}
		looked++

		if expired(e, s.clock) {
			// The next Scan goes on behind expired entries that were looked at, or it would never get past them.
			last = key
			return true
		}

		size += len(key) + e.valueLen()
		if limit > 0 && entries == limit || maxBytes > 0 && entries > 0 && size > maxBytes {
			more = true
			return false
		}

		entries++
		last = key
		// The entry is taken even if fn wants no more: the next page begins behind it.
		more = !fn(key, entryOf(e))
		return !more
	})

	if !more {
		return nil
	}
	return last
}

// Candidate returns the entry of a map at place i in the order of Scan, if the entry may be evicted. It must be visible, and its key must
// not be locked. Places go from 0 to MapStats.Held. The slices are immutable. Looking at an entry is no use of it.
func (s *State) Candidate(name []byte, i int) (key []byte, v Entry, ok bool) {
	m := s.find(name)
	if m == nil {
		return nil, Entry{}, false
	}

	e, ok := m.entries.GetAt(i)
	// A holder of the key's lock counts on the entry, and an expired entry has a removal of its own.
	if !ok || expired(e, s.clock) || s.holdsLock(name, e.keyBytes()) {
		return nil, Entry{}, false
	}
	return e.keyBytes(), entryOf(e), true
}

// MapStats is what the state knows of one map in the partition.
type MapStats struct {
	Entries int // visible by the clock
	Held    int // in memory: also those that have expired and wait to be removed
	Bytes   int // that the entries in memory are counted with
	// Expired and Evicted count entries that ended so since this process has the map: evictions by Evict are among them. They
	// are the same on replicas that have applied the same log from the start, and begin at 0 where a snapshot was installed.
	Expired, Evicted uint64
	// ExpiryLag is the most milliseconds that an expired entry has waited to be removed. It is counted as Expired is.
	ExpiryLag int64
	// Kept and KeptBytes are the map's events in the ring.
	Kept, KeptBytes int
}

// Stats returns what is known of the map with the given name; zeros if there is none.
func (s *State) Stats(name []byte) MapStats {
	m := s.find(name)
	if m == nil {
		return MapStats{}
	}
	return s.statsOf(m)
}

func (s *State) statsOf(m *mapState) MapStats {
	return MapStats{Entries: m.live(s.clock), Held: m.entries.Len(), Bytes: m.bytes, Expired: m.expired, Evicted: m.evicted, ExpiryLag: m.lag,
		Kept: m.ref.kept, KeptBytes: m.ref.keptBytes}
}

// EachMap calls fn for the partition's maps after the given name, in the order of their names. With an empty name it begins at the first
// map. Maps that were emptied are included. fn gets the map's instance, the seq of its last event, and what Stats knows of it. It ends
// after limit maps, and reports whether there are more.
func (s *State) EachMap(after string, limit int, fn func(name string, instance, seq uint64, stats MapStats)) (more bool) {
	s.maps.Ascend(mapSlot{name: after}, func(slot mapSlot) bool {
		// The walk begins at the given name, which the caller has had.
		if slot.name == after {
			return true
		}

		if more = limit == 0; more {
			return false
		}

		limit--
		fn(slot.name, slot.m.ref.instance, slot.m.seq, s.statsOf(slot.m))
		return true
	})
	return more
}
