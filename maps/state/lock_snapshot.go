package state

import (
	"fmt"

	"github.com/tidwall/btree"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

func encodeLocks(w *blockWriter, list *btree.BTreeG[lockSlot]) {
	w.uvarint(uint64(list.Len()))
	list.Scan(func(slot lockSlot) bool {
		l := slot.l
		w.bytes([]byte(l.ref.name))
		w.bytes([]byte(l.ref.key))

		w.u64(l.fence)
		w.u64(l.freed)

		// A released lock has neither holder nor waiters: its fence is all that is left.
		if l.freed != 0 {
			return w.err == nil
		}

		w.write(l.holder[:])
		w.uvarint(l.lease)
		w.u64(uint64(l.ends))

		// The order of the waiters is the order in which they get the lock.
		w.uvarint(uint64(len(l.waiters)))
		for i := range l.waiters {
			c := &l.waiters[i]
			w.write(c.id[:])
			w.uvarint(c.lease)
			w.u64(uint64(c.until))
		}

		return w.err == nil
	})
}

// locks reads the clock of the last sweep, and what encodeLocks wrote.
func (d *decoder) locks(k *locks) {
	k.swept = d.i64()
	d.must(0 <= k.swept && k.swept <= d.s.clock, "locks swept at %d", k.swept)

	prev := lockRef{}
	for n := d.uvarint(); n > 0 && d.err == nil; n-- {
		l := &lock{ref: &lockRef{name: d.name(), key: string(d.bytes(wire.MaxKey))}, stamp: k.stamp}

		// Equal states have equal snapshots, so the order is fixed. A key that came twice would be counted twice.
		d.must(l.ref.key != "" && (prev.name < l.ref.name || prev.name == l.ref.name && prev.key < l.ref.key), "a lock out of order")
		prev = *l.ref

		l.fence, l.freed = d.version(), d.version()
		d.must(l.fence != 0 && (l.freed == 0 || l.freed > l.fence), "a lock granted at %d and freed at %d", l.fence, l.freed)
		if l.freed == 0 {
			d.holder(l)
		} else if _, twice := k.free.Get(lockFree{version: l.freed}); twice {
			// Released locks are ordered by this version alone. A second one would push the first out of the order.
			d.must(false, "two locks freed at %d", l.freed)
		}
		if d.err != nil {
			return
		}

		k.byKey.Load(lockSlot{l.ref.name, l.ref.key, l})
		k.put(l)
	}
}

// holder reads who holds a lock and who waits for it.
func (d *decoder) holder(l *lock) {
	l.holder, l.lease, l.ends = d.id(), d.uvarint(), d.i64()

	// Nobody stands twice: the holder of a lock does not wait for it, and a waiter has one place.
	seen := map[wire.ID]bool{{}: true, l.holder: true}
	d.must(!l.holder.IsZero() && l.lease > 0 && l.ends >= 0, "a lock held by %v for %d until %d", l.holder, l.lease, l.ends)

	for n := d.uvarint(); n > 0 && d.err == nil; n-- {
		w := waiter{d.id(), d.uvarint(), d.i64()}
		d.must(!seen[w.id] && w.lease > 0 && w.until >= 0, "a waiter %v for %d until %d", w.id, w.lease, w.until)
		seen[w.id] = true
		l.waiters = append(l.waiters, w)
	}
}

func (s *State) checkLocks(k *locks) (err error) {
	bytes, freed, held, free := 0, 0, 0, 0
	prev := lockRef{}
	k.byKey.Scan(func(slot lockSlot) bool {
		l := slot.l
		// Locks stand by map and key. One with a later stamp than the counter's would some day be changed although a view shows it.
		if slot.name != l.ref.name || slot.key != l.ref.key || l.ref.key == "" || *l.ref == prev ||
			prev.name > l.ref.name || prev.name == l.ref.name && prev.key > l.ref.key || l.stamp > k.stamp {
			err = fmt.Errorf("lock %v in the place of %q %q after %v, stamp %d of %d", l.ref, slot.name, slot.key, prev, l.stamp, k.stamp)
			return false
		}

		prev = *l.ref
		if err = l.check(s, k); err != nil {
			err = fmt.Errorf("lock %v: %w", l.ref, err)
			return false
		}

		if l.freed == 0 {
			bytes += l.cost()
			held++
		} else {
			freed += l.cost()
			free++
		}
		return true
	})

	// A sweep in the future would end leases that still run.
	if k.swept < 0 || k.swept > s.clock {
		return fmt.Errorf("locks swept at %d", k.swept)
	}
	if err == nil && (bytes != k.bytes || freed != k.freed || held != k.ends.Len() || free != k.free.Len()) {
		err = fmt.Errorf("locks of %d and %d bytes counted as %d and %d; %d of %d are held, %d of %d free", bytes, freed, k.bytes, k.freed,
			k.ends.Len(), held, k.free.Len(), free)
	}
	return err
}

func (l *lock) check(s *State, k *locks) error {
	if l.fence == 0 || l.fence > s.version() || l.freed != 0 && (l.freed <= l.fence || l.freed > s.version()) {
		return fmt.Errorf("granted at %d, freed at %d, version %d", l.fence, l.freed, s.version())
	}

	if l.freed != 0 {
		// Nothing is left of a released lock but its fence and its place in the order of releases.
		if f, ok := k.free.Get(lockFree{version: l.freed}); !ok || *f.ref != *l.ref || !l.holder.IsZero() || len(l.waiters) > 0 || l.ends|int64(l.lease) != 0 {
			return fmt.Errorf("free at %d, but held by %v until %d, with %d waiters", l.freed, l.holder, l.ends, len(l.waiters))
		}
		return nil
	}

	// A lock that is missing in the order of ends would never be swept.
	if _, ok := k.ends.Get(lockEnd{l.ends, l.ref}); !ok || l.holder.IsZero() || l.lease == 0 || l.ends < 0 {
		return fmt.Errorf("held by %v for %d until %d", l.holder, l.lease, l.ends)
	}

	// Nobody waits twice, nor for a lock that it holds.
	seen := map[wire.ID]bool{{}: true, l.holder: true}
	for _, w := range l.waiters {
		if seen[w.id] || w.lease == 0 || w.until < 0 {
			return fmt.Errorf("waiter %v for %d until %d", w.id, w.lease, w.until)
		}
		seen[w.id] = true
	}
	return nil
}
