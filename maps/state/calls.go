package state

import (
	"bytes"
	"cmp"
	"math"
	"slices"

	"github.com/tidwall/btree"

	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

const (
	// windowKeep is how long a client's request window outlives its last call, in milliseconds. It is twice the time that a deadline may
	// lie ahead. So every copy of a call below the floor has expired when the floor is forgotten.
	windowKeep = 2 * 60_000
	// forgetMax bounds how many records and windows one log entry forgets for their age, and how many records one call forgets of its
	// own client.
	forgetMax = 1024

	windowCost = 64  // what a window is counted with
	recordCost = 128 // what a record is counted with beside its result's bytes
)

// calls remembers the results of executed calls: until their deadlines, or until they are below their client's request window.
type calls struct {
	windows *btree.BTreeG[windowSlot] // by client
	bytes   int                       // Invariant: the sum of the windows' and records' costs

	// ends orders the windows by the time up to which nothing of them is to be forgotten. Derived from windows.
	ends *btree.BTreeG[callEnd]

	last *requestWindow // the window that was taken last, where it still exists. Derived from windows.

	// stamp counts frozen views. Invariant: a window with an older stamp may be part of a view and is never changed.
	stamp uint64
}

// windowSlot finds a window by its client.
type windowSlot struct {
	client wire.ID
	w      *requestWindow
}

// callEnd is when a record (seq > 0) is forgotten, or a window (seq 0) is looked at.
type callEnd struct {
	at     int64
	client wire.ID
	seq    uint64
}

// compare orders ends by time. Each log entry forgets a bounded number, so replicas must agree on the order within one millisecond.
func (e callEnd) compare(other callEnd) int {
	if c := cmp.Compare(e.at, other.at); c != 0 {
		return c
	}
	return cmp.Or(bytes.Compare(e.client[:], other.client[:]), cmp.Compare(e.seq, other.seq))
}

// outcome is the result of executing an operation, in the form in which it is remembered.
type outcome struct {
	deadline int64
	version  uint64
	data     []byte // immutable: the previous value, kept by reference; or the whole body
	code     wire.Code
	flags    uint8
	whole    bool // data is the whole body, not a WriteResult's value
	kept     bool // a refusal is remembered whatever its code is. Not part of the record
}

func newCalls() calls {
	return calls{
		windows: newTree(func(a, b windowSlot) bool { return bytes.Compare(a.client[:], b.client[:]) < 0 }),
		ends:    newTree(func(a, b callEnd) bool { return a.compare(b) < 0 }),
	}
}

// body returns the answer's body.
func (o *outcome) body() []byte {
	if o.whole {
		return o.data
	}

	// The body is built for each answer. The record keeps the previous value by reference, and no copy of it.
	w := wire.WriteResult{Flags: o.flags, Version: o.version, Value: o.data}
	return wire.AppendWriteResult(make([]byte, 0, 9+len(o.data)), &w)
}

func (o *outcome) entryResult() entry.Result { return entry.Result{Code: o.code, Body: o.body()} }

func (o *outcome) cost() int { return recordCost + len(o.data) }

// share returns a view of the windows that stays as it is.
func (c *calls) share() *btree.BTreeG[windowSlot] {
	c.stamp++
	return c.windows.Copy()
}

// take returns the window of a client for a change; nil if there is none. If it may be part of a frozen view, it returns a copy in its place.
func (c *calls) take(client wire.ID) *requestWindow {
	w := c.last
	if w == nil || w.client != client {
		slot, _ := c.windows.Get(windowSlot{client: client})
		w = slot.w
	}

	if w != nil && w.stamp != c.stamp {
		w = w.clone(c.stamp)
		c.windows.Set(windowSlot{client, w})
	}
	c.last = w
	return w
}

// admit notes that a call of a client has come, and moves the floor of its request window up to lowest. It returns the window, which is good
// for changes until the next freeze.
func (c *calls) admit(client wire.ID, lowest uint64, deadline, clock int64) *requestWindow {
	// No record may outlive its window, so the window reaches as far as the deadline of this call.
	until := max(deadline, clock)
	// The sum below must not overflow at the end of time.
	if clock <= math.MaxInt64-windowKeep {
		until = max(until, clock+windowKeep)
	}

	// One below the end of time, so that the look can be one later than all deadlines.
	until = min(until, math.MaxInt64-1)

	w := c.take(client)
	if w == nil {
		w = &requestWindow{client: client, look: until + 1, stamp: c.stamp}
		c.insert(w)
	}

	// A known window keeps its look. forget moves it on when that time comes.
	w.until = max(w.until, until)

	// A copy that was delayed carries an older floor, and must not open the window again.
	w.floor = max(w.floor, lowest)

	// A floor that leaps must not make one entry of the log long: what is left goes with the client's next calls.
	for n := 0; n < forgetMax && w.lowest() < w.floor; n++ {
		c.bytes -= w.pop()
	}
	return w
}

// insert adds a window that the calls do not know yet, with its records.
func (c *calls) insert(w *requestWindow) {
	c.windows.Set(windowSlot{w.client, w})
	c.bytes += windowCost
	for i := range w.records() {
		c.bytes += w.records()[i].cost()
	}

	w.next = w.earliest()
	c.ends.Set(callEnd{at: w.next, client: w.client})
}

// add remembers the result of a call that has none, in the window of its client.
func (c *calls) add(w *requestWindow, seq uint64, o *outcome) {
	w.add(record{seq, *o})
	c.bytes += o.cost()
	// Deadlines mostly grow. The window's place is brought up to date when its time comes, and here only for a deadline that comes before.
	if o.deadline < w.next {
		c.move(w, o.deadline)
	}
}

// move gives a window another place in ends.
func (c *calls) move(w *requestWindow, next int64) {
	c.ends.Delete(callEnd{at: w.next, client: w.client})
	w.next = next
	c.ends.Set(callEnd{at: next, client: w.client})
}

// forget drops records whose deadline is before clock, and windows that can no longer matter.
func (c *calls) forget(clock int64) {
	// Most entries of the log find nothing to forget.
	if first, ok := c.ends.Min(); !ok || first.at >= clock {
		return
	}

	// A window's place may be earlier than it need be, and differ between replicas. So what is forgotten follows from the windows themselves.
	var clients []wire.ID
	first := firstEnds{before: callEnd{at: clock}}
	c.ends.Scan(func(end callEnd) bool {
		if end.at >= clock {
			return false
		}
		slot, _ := c.windows.Get(windowSlot{client: end.client})
		slot.w.eachEnd(first.add)
		clients = append(clients, end.client)
		return true
	})
	first.trim()

	for _, client := range clients {
		w := c.take(client)
		// A copy that comes from here on is refused by its deadline, so the records have done their service.
		c.bytes -= w.drop(first.before)
		if w.ended(first.before) {
			c.ends.Delete(callEnd{at: w.next, client: client})
			c.windows.Delete(windowSlot{client: client})
			c.last = nil
			c.bytes -= windowCost
			continue
		}
		c.move(w, w.earliest())
	}
}

// firstEnds are the first forgetMax ends of those that are added before a given one. Many calls may end in the same millisecond. What is left
// is forgotten with the next entries of the log.
type firstEnds struct {
	before callEnd // those from here on are left
	list   []callEnd
}

func (f *firstEnds) add(end callEnd) {
	if end.compare(f.before) >= 0 {
		return
	}

	f.list = append(f.list, end)
	// However many there are, few are sorted.
	if len(f.list) == 4*forgetMax {
		f.trim()
	}
}

// trim leaves out what is behind the first forgetMax.
func (f *firstEnds) trim() {
	if len(f.list) > forgetMax {
		slices.SortFunc(f.list, callEnd.compare)
		f.before, f.list = f.list[forgetMax], f.list[:forgetMax]
	}
}
