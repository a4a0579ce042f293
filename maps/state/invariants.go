package state

import (
	"fmt"
	"math"
)

// checkInvariants looks at everything and returns the first thing that is not as it must be.
func (s *State) checkInvariants() error {
	if s.clock < 0 {
		return fmt.Errorf("clock %d", s.clock)
	}
	// The parts are looked at one by one, so the error names the one that is wrong.
	if err := s.checkMaps(); err != nil {
		return err
	}
	if err := s.calls.check(); err != nil {
		return err
	}
	if err := s.checkLocks(&s.locks); err != nil {
		return err
	}
	if err := s.checkLoads(); err != nil {
		return err
	}
	if err := s.checkHistory(); err != nil {
		return err
	}
	if err := s.checkEnded(); err != nil {
		return err
	}
	return s.checkRing()
}

func (s *State) checkMaps() (err error) {
	due, prev, bytes, named := 0, "", 0, 0
	s.maps.Scan(func(slot mapSlot) bool {
		m := slot.m
		if err = m.check(s); err != nil {
			err = fmt.Errorf("map %q: %w", slot.name, err)
			return false
		}

		// A map with a later stamp than the state's would some day be changed although a view shows it.
		if slot.name != m.ref.name || slot.name <= prev || m.entries.stamp > s.stamp {
			err = fmt.Errorf("map %q in the place of %q after %q, stamp %d of %d", m.ref.name, slot.name, prev, m.entries.stamp, s.stamp)
			return false
		}

		prev, bytes, named = slot.name, bytes+m.bytes, named+m.cost()
		// Such a map should have ended when its last event left the ring.
		if m.entries.Len() == 0 && m.pos < s.ring.first() {
			err = fmt.Errorf("map %q is empty, and its last event is gone", slot.name)
			return false
		}

		if first := m.earliest(); first != 0 {
			due++
			// A sweep finds entries through s.due alone. A map that is missing there would keep them for ever.
			if _, ok := s.due.Get(dueSlot{first, slot.name}); !ok {
				err = fmt.Errorf("map %q is not due at %d", slot.name, first)
			}
		}
		return err == nil
	})

	// Writes to a map that has ended, or was copied, would be lost.
	if s.last != nil {
		if slot, _ := s.maps.Get(mapSlot{name: s.last.ref.name}); err == nil && slot.m != s.last {
			err = fmt.Errorf("map %q was changed last and is not there", s.last.ref.name)
		}
	}
	// A wrong sum would let the member take too much memory, or refuse writes for none.
	if err == nil && bytes != s.bytes {
		err = fmt.Errorf("%d bytes of maps counted as %d", bytes, s.bytes)
	}
	if err == nil && named != s.named {
		err = fmt.Errorf("%d bytes of names counted as %d", named, s.named)
	}
	if err == nil && due != s.due.Len() {
		err = fmt.Errorf("%d maps are due, %d have entries that expire", s.due.Len(), due)
	}
	return err
}

func (m *mapState) check(s *State) (err error) {
	if m.ref.instance == 0 || m.ref.instance > s.version() || m.seq == 0 {
		return fmt.Errorf("instance %d at event %d, version %d", m.ref.instance, m.seq, s.version())
	}
	if m.pos > s.ring.last {
		return fmt.Errorf("at position %d, the last event is %d", m.pos, s.ring.last)
	}

	// The sums and the order of expiry are worked out from the entries, and compared with what is kept.
	bytes, expiring := 0, 0
	prev := item{}
	m.entries.Scan(func(e item) bool {
		meta := e.meta()
		if prev.data != nil && !lessKey(prev, e) {
			err = fmt.Errorf("key %x after %x", e.keyBytes(), prev.keyBytes())
		}
		// Times of entries come from the clock of the log, so none lies ahead of it.
		if e.key == 0 || e.hash != hashOf(e.keyBytes()) || e.valueLen() == 0 || e.isLong() != meta.long() || meta.version > s.version() || meta.updated > s.clock || meta.touched > s.clock {
			err = fmt.Errorf("entry %x: %+v", e.keyBytes(), meta)
		}
		prev = e
		bytes += e.cost()
		if at := e.expires(); at != 0 {
			expiring++
			// The order of expiry must lead to the entry itself. An equal copy would keep memory that nobody counts.
			if m.expiry == nil {
				err = fmt.Errorf("no entry is to expire, but %x is", e.keyBytes())
			} else if slot, ok := m.expiry.Get(expirySlot{at, e}); !ok || slot.item != e {
				err = fmt.Errorf("entry %x is not to expire at %d", e.keyBytes(), at)
			}
		}
		return err == nil
	})
	if err != nil {
		return err
	}
	indexed := 0
	if m.expiry != nil {
		if indexed = m.expiry.Len(); indexed == 0 {
			return fmt.Errorf("an empty order of expiry")
		}
	}
	if bytes != m.bytes || expiring != indexed {
		return fmt.Errorf("%d bytes counted as %d, %d of %d entries to expire", bytes, m.bytes, indexed, expiring)
	}
	return nil
}

func (c *calls) check() (err error) {
	bytes := 0
	c.windows.Scan(func(slot windowSlot) bool {
		w := slot.w
		bytes += windowCost
		_, placed := c.ends.Get(callEnd{at: w.next, client: w.client})
		if !placed || w.next > w.earliest() || w.look > w.until+1 || w.client != slot.client || w.client.IsZero() || w.stamp > c.stamp {
			err = fmt.Errorf("window %+v of stamp %d", w, c.stamp)
		}

		last := uint64(0)
		for _, r := range w.records() {
			// Only records whose deadline is the end of time may outlive the window: see admit.
			if late := r.deadline > w.until && r.deadline != math.MaxInt64; late || r.seq <= last {
				err = fmt.Errorf("call %d until %d after call %d: window %+v", r.seq, r.deadline, last, w)
			}
			bytes += r.cost()
			last = r.seq
		}
		return err == nil
	})

	if c.last != nil {
		if slot, _ := c.windows.Get(windowSlot{client: c.last.client}); err == nil && slot.w != c.last {
			err = fmt.Errorf("the window of %v was taken last and is not there", c.last.client)
		}
	}

	// Every window has one place in the order of ends. Whatever has none is never forgotten.
	if err == nil && (bytes != c.bytes || c.ends.Len() != c.windows.Len()) {
		err = fmt.Errorf("%d bytes of calls counted as %d, %d ends of %d windows", bytes, c.bytes, c.ends.Len(), c.windows.Len())
	}
	return err
}

func (s *State) checkRing() error {
	r := &s.ring
	if uint64(r.n) > r.last || r.n > r.events() {
		return fmt.Errorf("%d events up to %d", r.n, r.last)
	}
	bytes, large := 0, 0
	seqs, places := map[mapID]uint64{}, map[mapID]uint64{}
	kept, keptBytes := map[*mapRef]int{}, map[*mapRef]int{}
	for i := range r.n {
		e := r.at(i)
		if e.values() != e.old.valueLen()+e.new.valueLen() {
			return fmt.Errorf("event %d of map %q with %d bytes of values", e.seq, e.ref.name, e.values())
		}
		bytes += e.size()
		kept[e.ref]++
		keptBytes[e.ref] += e.size()
		if r.isLarge(e) {
			large++
		}
		// Within an instance the seqs leave out no event.
		if last, ok := seqs[e.ref.mapID]; ok && e.seq != last+1 {
			return fmt.Errorf("event %d of map %q after %d", e.seq, e.ref.name, last)
		}
		seqs[e.ref.mapID] = e.seq
		if m := s.find([]byte(e.ref.name)); m != nil && m.ref.instance == e.ref.instance && e.seq > m.seq {
			return fmt.Errorf("event %d of map %q, which has come to %d", e.seq, e.ref.name, m.seq)
		}
		// Each event names the one before of its map. Where that is in the ring, both must agree.
		at := r.first() + uint64(i)
		if before, ok := places[e.ref.mapID]; e.since >= at || ok && e.since != before {
			return fmt.Errorf("event %d of map %q at position %d, the one before at %d, not %d", e.seq, e.ref.name, at, e.since, before)
		}
		places[e.ref.mapID] = at
	}
	for i := range r.n {
		if ref := r.at(i).ref; kept[ref] != ref.kept || keptBytes[ref] != ref.keptBytes {
			return fmt.Errorf("%d events of map %q of %d bytes counted as %d of %d", kept[ref], ref.name, keptBytes[ref], ref.kept, ref.keptBytes)
		}
	}
	for i := range r.n {
		if e := r.at(i); e.ref.last != places[e.ref.mapID] {
			return fmt.Errorf("the last event of map %q is at %d, not %d", e.ref.name, places[e.ref.mapID], e.ref.last)
		}
	}
	if bytes != r.bytes || large != r.large || r.n > 1 && r.over() {
		return fmt.Errorf("%d bytes of events counted as %d, %d large ones as %d, over the bound: %v", bytes, r.bytes, large, r.large, r.n > 1 && r.over())
	}
	return nil
}
