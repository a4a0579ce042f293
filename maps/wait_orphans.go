package maps

import (
	"time"

	"github.com/gridiron-io/gridiron/maps/state"
	"github.com/gridiron-io/gridiron/partition"
	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// A caller may have a lock, or a place in the queue of a lock, and not know of it: its connection has ended before the answer was out. Its
// claim is an orphan then. The owner gives the claim up through the log, unless the caller comes back in time.

// grant is an answer on its way that grants a lock. A later answer for the same claim takes its place.
type grant struct{ _ byte }

// orphan is a claim whose caller cannot be answered, until the caller asks again or its time is over.
type orphan struct {
	epoch   uint64 // under which the partition was owned here
	after   time.Duration
	timer   *time.Timer
	leaving bool // the time is over: an operation that gives up the claim is on its way through the log
}

// unknown answers a call of OpLock, OpRenew or OpLoad with an unknown outcome: it may still be applied.
func (q *waitQueue) unknown(c *call) {
	// The call may bring its caller a lock, or a place, of which the caller hears nothing.
	if c.op != wire.OpRenew && ended(c.caller) {
		b, _ := wire.DecodeLockBody(c.body)
		mine, epoch := claimOf(c, &b), q.host.Serving(int(c.partition))
		q.mu.Lock()
		before := q.orphans[mine]
		q.orphanLocked(mine, epoch, orphanTime)
		o := q.orphans[mine]
		q.mu.Unlock()

		// What a copy got on another connection must not be given up. If that copy was applied before, the state shows its claim. If it
		// is applied later, its result shows that the caller has returned.
		if o != before && q.shows(mine) {
			q.keep(mine, o)
		}
	}

	c.s.answerOutcome(partition.Unknown, c.partition, c.id, c.caller)
	c.free()
}

// keep cancels the giving up of a claim, unless it is on its way through the log.
func (q *waitQueue) keep(c claim, o *orphan) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.orphans[c] == o && !o.leaving {
		o.timer.Stop()
		delete(q.orphans, c)
	}
}

// grant answers a call that it has its lock. If the connection ends before the network has taken the answer, the claim becomes an orphan: its
// caller may not know of the lock.
func (q *waitQueue) grant(mine claim, c *call, body []byte) {
	conn, ok := c.caller.(Connection)
	// Only the answer over a connection can be lost.
	if !ok {
		q.returned(mine)
		c.reply(wire.CodeOK, body)
		return
	}

	// The grant is noted before the answer goes out: told may run at once, on another goroutine.
	epoch, g := q.host.Serving(mine.part), new(grant)
	q.mu.Lock()
	q.returnedLocked(mine)
	q.grants[mine] = g
	q.mu.Unlock()

	conn.Deliver(c.id, wire.CodeOK, body, func(delivered bool) { q.told(mine, g, epoch, delivered) })
	c.free()
}

// told notes whether an answer that grants a lock was delivered.
func (q *waitQueue) told(mine claim, g *grant, epoch uint64, delivered bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.grants[mine] != g { // the caller has asked again since
		return
	}

	delete(q.grants, mine)
	// The caller may hold a lock of which it has never heard.
	if !delivered {
		q.orphanLocked(mine, epoch, orphanTime)
	}
}

// returned notes that a caller has asked again, and so keeps its claim. It reports false if the caller is too late. The claim is being
// given up then. Only the log decides whether that comes before the result that the caller would hear now.
func (q *waitQueue) returned(mine claim) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.returnedLocked(mine)
}

// returnedLocked is returned. REQUIRES q.mu.
func (q *waitQueue) returnedLocked(mine claim) bool {
	// An earlier answer on its way does not matter any more: the caller hears a later one.
	delete(q.grants, mine)

	o := q.orphans[mine]
	switch {
	case o == nil:
		return true
	// The operation is in the log or on its way there, and cannot be taken back.
	case o.leaving:
		return false
	}

	o.timer.Stop()
	delete(q.orphans, mine)
	return true
}

// orphanLocked makes the owner of an epoch give up a claim after some time, unless its caller asks again. REQUIRES q.mu.
func (q *waitQueue) orphanLocked(c claim, epoch uint64, after time.Duration) {
	before := q.orphans[c]
	if q.closed || before != nil && (before.leaving || before.epoch == epoch) {
		return
	}
	// What began under another epoch would give up nothing under this one.
	if before != nil {
		before.timer.Stop()
	}

	o := &orphan{epoch: epoch, after: after}
	o.timer = time.AfterFunc(after, func() { q.abandon(c, o) })
	q.orphans[c] = o
}

// takeOver notes the places that a new owner finds in the queues of a partition. The owner before may just have been about to give one up, and
// told nobody. So a place whose caller does not ask the new owner within returnTime is given up, or the lock if it was granted meanwhile.
func (q *waitQueue) takeOver(part int, epoch uint64) {
	var places []claim
	q.host.Inspect(part, func(m partition.Machine) {
		stateOf(m).EachWaiter(func(name, key string, load bool, id wire.ID) {
			places = append(places, claim{part, lockKey{name, key, load}, id})
		})
	})

	noted := make(map[claim]*orphan, len(places))
	q.mu.Lock()
	// Only places count: a holder was told of its lock, or its lease ends it.
	for _, c := range places {
		// A caller may have asked before the queues were looked at.
		if q.parked[part][c.key][c.id] == nil {
			q.orphanLocked(c, epoch, returnTime)
			if o := q.orphans[c]; o != nil {
				noted[c] = o
			}
		}
	}
	q.mu.Unlock()

	// A caller may have got its lock, and the answer, between the two steps above. Then it must keep the lock.
	q.host.Inspect(part, func(m partition.Machine) {
		for c := range noted {
			if waitsFor(stateOf(m), c) {
				delete(noted, c)
			}
		}
	})
	for c, o := range noted {
		q.keep(c, o)
	}
}

// waitsFor reports whether a claim is a place in a queue.
func waitsFor(st *state.State, c claim) bool {
	if c.key.load {
		return st.WaitsForLoad([]byte(c.key.name), []byte(c.key.key), c.id)
	}
	return st.WaitsForLock([]byte(c.key.name), []byte(c.key.key), c.id)
}

// abandon proposes to give up the claim of a caller that has not come back.
func (q *waitQueue) abandon(c claim, o *orphan) {
	// Under a later owner the caller may have come back there. That owner has orphans of its own.
	current := o.epoch != 0 && q.host.Serving(c.part) == o.epoch
	stalled := current && q.stalled(c.part)

	q.mu.Lock()
	mine := q.orphans[c] == o
	switch {
	case mine && stalled:
		// The call with which the caller has come back may be among those that wait for the group.
		o.timer.Reset(o.after)
	case mine && current:
		o.leaving = true // from here on, a caller that comes back is answered only when the log has decided
	case mine:
		delete(q.orphans, c)
	}
	q.mu.Unlock()
	if !mine || !current || stalled {
		return
	}

	// A load is given up like a lock, by an operation of its own.
	op := &entry.Op{Code: wire.OpUnlock, Body: wire.AppendUnlockBody(nil, &wire.UnlockBody{Map: []byte(c.key.name), Key: []byte(c.key.key), ID: c.id})}
	if c.key.load {
		op = &entry.Op{Code: wire.OpLoaded, Body: wire.AppendLoadedBody(nil, &wire.LoadedBody{Map: []byte(c.key.name), Key: []byte(c.key.key), ID: c.id})}
	}

	q.host.Submit(c.part, op, &abandoned{q, c, o})
	q.host.Flush(c.part)
}

// stalled reports whether operations of a partition wait for its group, and none was applied for a while.
func (q *waitQueue) stalled(part int) (stalled bool) {
	if q.host.Unapplied(part) == 0 {
		return false
	}
	q.host.Inspect(part, func(m partition.Machine) { stalled = stateOf(m).Clock()+orphanTime.Milliseconds() < q.now() })
	return stalled
}

// abandoned is the Completion of the operation that gives up a claim.
type abandoned struct {
	q *waitQueue
	c claim
	o *orphan
}

// Complete makes the queue look at the partition for callers that came back meanwhile. An operation that could not be proposed is tried again.
func (a *abandoned) Complete(o partition.Outcome, _ entry.Result) {
	q := a.q
	epoch := q.host.Serving(a.c.part)

	q.mu.Lock()
	if q.orphans[a.c] == a.o {
		delete(q.orphans, a.c)
		// With an unknown outcome the operation may still be applied: a caller that has come back must not hear that it has the lock.
		waits := q.parked[a.c.part][a.c.key][a.c.id] != nil
		if o != partition.Applied && o != partition.Moved && !waits && epoch == a.o.epoch {
			q.orphanLocked(a.c, epoch, orphanTime)
		}
	}

	// Calls of callers that came back were left out of earlier looks. Now the log has decided.
	q.dirty[a.c.part] = true
	q.mu.Unlock()
	q.wakeUp()
}

// gone is called when a connection has ended. A caller that waited there for a lock has orphanTime to ask again. Then the owner gives up its
// place, or the lock if it was granted meanwhile: else nobody could use the lock for a whole lease.
func (q *waitQueue) gone(caller Caller) {
	var all []*parked
	q.mu.Lock()
	// Looked at under the lock: a call may just be parked that has not seen the connection end.
	if q.total.Load() == 0 {
		q.mu.Unlock()
		return
	}

	for part, byKey := range q.parked {
		for _, calls := range byKey {
			for _, w := range calls {
				if origin(w.c.caller) != caller {
					continue
				}

				q.removeLocked(part, w)
				// A caller that waits for the loss of its lock knows of the lock, so nothing is given up for it.
				if !w.holds {
					q.orphanLocked(w.claim(), q.host.Serving(part), orphanTime)
				}
				all = append(all, w)
			}
		}
	}
	q.mu.Unlock()

	// The answers reach nobody, and free what the calls hold.
	for _, w := range all {
		w.fail(partition.NotProposed)
	}
}
