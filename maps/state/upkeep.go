package state

import (
	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// sweepMax bounds what one OpSweep removes, whatever it asks for.
const sweepMax = wire.MaxKeys

var upkeepOperations = []operation{
	{wire.OpSweep, (*State).applySweep},
	{wire.OpEvictMany, (*State).applyEvictMany},
	{wire.OpTouch, (*State).applyTouch},
	{wire.OpBoundRing, (*State).applyBoundRing},
}

func (s *State) applySweep(op *entry.Op) outcome {
	b, err := wire.DecodeSweepBody(op.Body)
	if err != nil {
		return malformed(err)
	}
	return s.sweep(b.Limit)
}

func (s *State) applyEvictMany(op *entry.Op) outcome {
	b, err := wire.DecodeEvictBody(op.Body)
	if err != nil {
		return malformed(err)
	}
	return s.evictMany(&b)
}

func (s *State) applyTouch(op *entry.Op) outcome {
	b, err := wire.DecodeTouchBody(op.Body)
	if err != nil {
		return malformed(err)
	}
	return s.touch(&b)
}

func (s *State) applyBoundRing(op *entry.Op) outcome {
	b, err := wire.DecodeBoundRingBody(op.Body)
	if err != nil {
		return malformed(err)
	}
	s.ring.bound(b)
	return outcome{whole: true}
}

// sweep passes on locks whose leases have ended, and removes entries that have expired, at most limit of both together. Entries go in the
// order of expiry, map and CompareKeys, each with its event.
func (s *State) sweep(limit uint32) outcome {
	most := uint64(min(limit, sweepMax))

	// Ends of leases come first: others wait for them, while nobody sees an expired entry.
	n := s.sweepLocks(&s.locks, most)
	n += s.sweepLocks(&s.loads, most-n)

	for ; n < most; n++ {
		next, ok := s.due.Min()
		// Maps stand by their earliest expiry, so the first that is not due ends the sweep.
		if !ok || next.expires > s.clock {
			break
		}

		slot, _ := s.maps.Get(mapSlot{name: next.name})
		e, _ := slot.m.expiry.Min()
		s.remove(slot.m, e.item, wire.EventExpired)
	}
	return counted(n)
}

// evictMany removes the chosen entries that still have their versions, each with its event. Other entries stay. The owner did not choose
// what was written since. The holder of a lock may work on a locked key. An expired entry has an event of its own.
func (s *State) evictMany(b *wire.EvictBody) outcome {
	n := uint64(0)
	for i, key := range b.Keys {
		// The choice was made on an earlier state, so each entry is looked at again.
		e := s.lookup(b.Map, key)
		if e.data != nil && e.version() == b.Versions[i] && !s.holdsLock(b.Map, key) {
			s.remove(s.find(b.Map), e, wire.EventEvicted)
			n++
		}
	}

	return counted(n)
}

// touch restarts the max-idle of entries at the time of their use, if that is later than the state knows. It does not change the entry: its
// version stays, and there is no event. An expired entry stays expired.
func (s *State) touch(b *wire.TouchBody) outcome {
	n := uint64(0)
	for i, key := range b.Keys {
		cur := s.lookup(b.Map, key)
		if cur.data == nil {
			continue
		}

		// The owner's clock may be ahead of the log's. A time to come would keep the entry longer than its max-idle.
		next, at := cur.meta(), min(b.At[i], s.clock)
		if next.maxIdle == 0 || at <= next.touched {
			continue
		}

		next.touched = at

		// Entries are never changed: a frozen view or a caller may still read the old one.
		e := newItem(cur, cur.valueBytes(), &next)
		e.inherit(cur)
		m := s.own(s.find(b.Map))
		var p path
		m.entries.Find(cur, &p)
		s.put(m, e, &p)
		n++
	}
	return counted(n)
}

// counted returns the outcome of an operation of the owner that answers with how many entries it concerned.
func counted(n uint64) outcome { return outcome{data: wire.AppendUvarint(nil, n), whole: true} }
