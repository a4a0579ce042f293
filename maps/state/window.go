package state

import (
	"slices"
	"sort"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// requestWindow is the client request window: which calls of a client may still be repeated, and the results of those that were executed.
type requestWindow struct {
	client wire.ID
	floor  uint64 // lowest seq that the client may still repeat. Each call drops some of the records below.
	until  int64  // no copy of a call below floor can be in time after it. Invariant: not before any record's deadline, MaxInt64 excepted.
	look   int64  // when it is looked at whether the window ends. Invariant: look ≤ until+1.

	// next is the window's place in calls.ends. It is not part of the replicated state. Invariant: not after look, nor after any record's
	// deadline.
	next int64

	// list has the records by seq, from head on. Those before head are gone. Calls come nearly in the order of their seqs, and go in that
	// order, so a list costs less than a tree.
	list  []record
	head  int
	stamp uint64 // calls.stamp when it became this one
}

// record is the result of one executed call.
type record struct {
	seq uint64
	outcome
}

// idleRecords is the room for records that a window without any keeps.
const idleRecords = 32

// clone returns a copy that shares nothing that changes.
func (w *requestWindow) clone(stamp uint64) *requestWindow {
	c := *w
	c.list, c.head, c.stamp = append([]record(nil), w.records()...), 0, stamp
	return &c
}

// records returns the window's records by seq. They are good until the window is changed.
func (w *requestWindow) records() []record { return w.list[w.head:] }

// lowest returns the lowest seq of a record; the largest there is without records.
func (w *requestWindow) lowest() uint64 {
	if w.head == len(w.list) {
		return 1<<64 - 1
	}
	return w.list[w.head].seq
}

// index returns where a record stands, or is to stand, in list.
func (w *requestWindow) index(seq uint64) int {
	n := len(w.list)
	// A call that is executed for the first time mostly has the highest seq so far.
	if n == w.head || w.list[n-1].seq < seq {
		return n
	}
	return w.head + sort.Search(n-w.head, func(i int) bool { return w.list[w.head+i].seq >= seq })
}

// get returns the result of a call, or nil. It is good until the window is changed.
func (w *requestWindow) get(seq uint64) *outcome {
	if i := w.index(seq); i < len(w.list) && w.list[i].seq == seq {
		return &w.list[i].outcome
	}
	return nil
}

// add adds a record whose seq has none.
func (w *requestWindow) add(r record) {
	i := w.index(r.seq)
	// Where half of the list is gone, the rest moves to the front. So a list that moves on takes no new memory.
	if len(w.list) == cap(w.list) && w.head > 0 && w.head >= len(w.list)/2 {
		i -= w.head
		w.keep(w.records())
	}
	w.list = slices.Insert(w.list, i, r)
}

// pop removes the record with the lowest seq and returns its cost.
func (w *requestWindow) pop() int {
	cost := w.list[w.head].cost()
	w.list[w.head] = record{} // its value may go
	if w.head++; w.head == len(w.list) {
		w.keep(nil)
	}
	return cost
}

// keep makes some of the window's records, which may stand in list, the window's records.
func (w *requestWindow) keep(records []record) {
	// A burst must not leave its memory behind.
	if cap(w.list) > max(idleRecords, 4*len(records)) {
		w.list, w.head = append([]record(nil), records...), 0
		return
	}

	n := copy(w.list, records)
	clear(w.list[n:])
	w.list, w.head = w.list[:n], 0
}

// earliest returns when something of the window may be forgotten.
func (w *requestWindow) earliest() int64 {
	at := w.look
	for i := range w.records() {
		at = min(at, w.records()[i].deadline)
	}
	return at
}

// eachEnd calls fn for the ends of the window and of its records.
func (w *requestWindow) eachEnd(fn func(callEnd)) {
	for i := range w.records() {
		fn(w.end(&w.records()[i]))
	}

	fn(callEnd{at: w.look, client: w.client})
	// The client has called since the look was set, so another look follows.
	if w.look <= w.until {
		fn(callEnd{at: w.until + 1, client: w.client})
	}
}

// end returns when a record is forgotten.
func (w *requestWindow) end(r *record) callEnd { return callEnd{r.deadline, w.client, r.seq} }

// drop removes the records whose ends are before stop, and returns what they cost.
func (w *requestWindow) drop(stop callEnd) (cost int) {
	over := func(r record) bool { return w.end(&r).compare(stop) < 0 }
	// Records mostly end in the order of their seqs, so the rest need not be moved.
	for len(w.records()) > 0 && over(w.records()[0]) {
		cost += w.pop()
	}
	if !slices.ContainsFunc(w.records(), over) {
		return cost
	}

	kept := w.records()[:0]
	for _, r := range w.records() {
		if over(r) {
			cost += r.cost()
		} else {
			kept = append(kept, r)
		}
	}
	w.keep(kept)
	return cost
}

// ended looks at the window if that is before stop, and reports whether the window ends.
func (w *requestWindow) ended(stop callEnd) bool {
	for (callEnd{at: w.look, client: w.client}).compare(stop) < 0 {
		// No record has a deadline after until: all of them are forgotten already.
		if w.look == w.until+1 {
			return true
		}

		// The client has called since: look again when its window may end now.
		w.look = w.until + 1
	}
	return false
}
