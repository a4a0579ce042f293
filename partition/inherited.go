package partition

import (
	"time"

	"github.com/gridiron-io/gridiron/partition/role"
)

// mark is a position of a Positioned machine, plus one; 0 is none.
type mark uint64

func markOf(position uint64) mark { return mark(position) + 1 }

// applied returns the mark that the next entry of this process carries: up to where the process has applied, if nobody else may read that
// has applied less.
//
// An owner that waits for its serve-after time must not say so. Owners before it may read under their leases, and have applied less.
func (q *readQueue) applied() uint64 {
	if q.r.host.leaseMillis() == 0 || q.r.leaseWait() > 0 {
		// Zero promises nothing, so the mark of an earlier entry goes on to count.
		return 0
	}
	return q.position.Load()
}

// tryInherited makes a read before the serve-after time, if it is one of keys that nothing has touched since all owners that may still read
// have applied the same. It reports whether it did.
//
// What makes the read linearizable:
//
//   - An owner before this one acknowledges nothing more: its entries are refused behind the Own of this epoch. It may read under its
//     lease, and has applied the log at least up to the mark in an entry of its own. For keys that were not touched since, it finds what
//     this process finds.
//   - An owner after this one answers nothing yet; see role.Role. So nobody was told of a write that this process lacks.
//   - What this process itself has applied under its epoch has touched its keys.
func (q *readQueue) tryInherited(rd Reader, asOf int64) bool {
	l := q.inherited.Load()
	if l == nil {
		// There is no lease wait in which this process may read.
		return false
	}
	keys, ok := rd.(KeyReader)
	if !ok || !q.inherits(l, q.clock()) {
		// A read that names no keys cannot be shown to be of untouched ones.
		return false
	}

	r := q.r
	at := ReadPoint{Epoch: l.Epoch, Now: asOf, AsOf: asOf}

	r.state.RLock()
	m := r.state.machine
	// Touches are looked for in the critical section of the read: an entry may have been applied since the read began.
	done := r.state.own.Accepts(l.Epoch) && m != nil && r.state.settled != 0 &&
		keys.Untouched(m, uint64(r.state.settled-1), at) && keys.Read(m, at)
	r.state.RUnlock()
	if !done {
		return false
	}

	r.host.readCounts[r.partition].inherited.Add(1)
	rd.Finish()
	return true
}

// inherits reports whether the time for inherited reads holds at a moment. It ends that time if the machine was suspended in it.
func (q *readQueue) inherits(l *role.Lease, now time.Time) bool {
	holds, suspended := l.Holds(now, q.wall(now))
	if suspended && q.inherited.CompareAndSwap(l, nil) {
		// Of all readers that notice the suspension, one counts it.
		q.r.host.counts.suspends.Add(1)
	}
	return holds
}
