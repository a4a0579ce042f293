package state

import "github.com/gridiron-io/gridiron/sdk/wire"

// maxTouchLook bounds the work of one look for touches of keys: so many keys are compared with events.
const maxTouchLook = 4096

// Untouched reports whether a read of keys finds what it finds in each state since the event at a position. It does if no later
// event has touched one of the keys, and no entry under them has expired since, by the log's clock or at cluster time now.
//
// It reports false where it cannot tell: for reads of anything but keys, and where the ring has forgotten events after the position. The
// body is what wire.Descriptor.Check has accepted.
func (s *State) Untouched(op wire.Op, body []byte, pos uint64, now int64) bool {
	switch op {
	case wire.OpGet, wire.OpContains:
		name, key, err := wire.DecodeKeyBody(body)
		return err == nil && s.untouched(name, key, pos, now)
	case wire.OpGetMany:
		k, err := wire.DecodeKeysBody(body)
		// The look happens under the partition's lock. A read that costs more waits for the owner's serve-after time.
		if err != nil || pos < s.ring.last && uint64(len(k.Keys))*(s.ring.last-pos) > maxTouchLook {
			return false
		}
		// One key that was touched is enough: the read is answered as a whole.
		for _, key := range k.Keys {
			if !s.untouched(k.Map, key, pos, now) {
				return false
			}
		}
		return true
	}
	return false
}

// untouched is Untouched for one key.
func (s *State) untouched(name, key []byte, pos uint64, now int64) bool {
	r := &s.ring
	first := r.first()
	// A position that is still to come belongs to another history.
	if pos > r.last || pos+1 < first {
		return false
	}

	for p := pos + 1; p <= r.last; p++ {
		e := r.at(int(p - first))
		// A CLEARED event has no key: it is about all keys of its map.
		if e.ref.name == string(name) && (e.kind == wire.EventCleared || string(e.key()) == string(key)) {
			return false
		}
	}

	// An entry that has expired is not visible here, and may be visible where the log's clock was not that far. It has no event before it
	// is removed.
	m := s.find(name)
	if m == nil {
		return true
	}
	e, ok := m.entries.Get(probe(key))
	return !ok || !expired(e, max(s.clock, now))
}
