package state

import (
	"bytes"
	"math"

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
	windows *btree.BTreeG[requestWindow] // by client
	records *btree.BTreeG[record]        // by client and seq
	bytes   int                          // Invariant: the sum of the windows' and records' costs

	// ends orders records by deadline and windows by the time at which they are looked at. Derived from the other two.
	ends *btree.BTreeG[callEnd]
}

// requestWindow is the client request window: which calls of a client may still be repeated, and how many of their results are kept.
type requestWindow struct {
	client  wire.ID
	floor   uint64 // lowest seq that the client may still repeat. Each call drops some of the records below.
	records uint64 // Invariant: how many records the client has
	until   int64  // no copy of a call below floor can be in time after it. Invariant: not before any record's deadline, MaxInt64 excepted.
	look    int64  // place in calls.ends. Invariant: look ≤ until+1.
}

// record is the result of one executed call.
type record struct {
	client wire.ID
	seq    uint64
	result *outcome // immutable
}

// callEnd is when a record (seq > 0) is forgotten, or a window (seq 0) is looked at.
type callEnd struct {
	at     int64
	client wire.ID
	seq    uint64
}

// outcome is the result of executing an operation, in the form in which it is remembered.
type outcome struct {
	deadline int64
	version  uint64
	data     []byte // immutable: the previous value, kept by reference; or the whole body
	code     wire.Code
	flags    uint8
	whole    bool // data is the whole body, not a WriteResult's value
}

func newCalls() calls {
	return calls{
		windows: newTree(func(a, b requestWindow) bool { return bytes.Compare(a.client[:], b.client[:]) < 0 }),
		records: newTree(lessRecord),
		ends: newTree(func(a, b callEnd) bool {
			if a.at != b.at {
				return a.at < b.at
			}
			// Each log entry forgets a bounded number, so replicas must agree on the order within one millisecond.
			if c := bytes.Compare(a.client[:], b.client[:]); c != 0 {
				return c < 0
			}
			return a.seq < b.seq
		}),
	}
}

func lessRecord(a, b record) bool {
	if c := bytes.Compare(a.client[:], b.client[:]); c != 0 {
		return c < 0
	}
	return a.seq < b.seq
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

// admit notes that a call of a client has come, and moves the floor of its request window up to lowest. It returns the window.
func (c *calls) admit(client wire.ID, lowest uint64, deadline, clock int64) requestWindow {
	w, known := c.windows.Get(requestWindow{client: client})
	before := w

	// No record may outlive its window, so the window reaches as far as the deadline of this call.
	until := max(deadline, clock)
	// The sum below must not overflow at the end of time.
	if clock <= math.MaxInt64-windowKeep {
		until = max(until, clock+windowKeep)
	}

	// One below the end of time, so that the place in c.ends can be one later than all deadlines.
	w.client, w.until = client, max(w.until, min(until, math.MaxInt64-1))

	// A known window keeps its place in c.ends. forget moves it on when that place comes up.
	if !known {
		w.look = w.until + 1
		c.ends.Set(callEnd{at: w.look, client: client})
		c.bytes += windowCost
	}

	// A copy that was delayed carries an older floor, and must not open the window again.
	w.floor = max(w.floor, lowest)
	c.dropBelow(&w)
	if w != before {
		c.windows.Set(w)
	}
	return w
}

// dropBelow forgets records below w's floor, the oldest first, at most forgetMax.
func (c *calls) dropBelow(w *requestWindow) {
	// A floor that leaps must not make one entry of the log long: what is left goes with the client's next calls.
	for range forgetMax {
		if w.records == 0 {
			return
		}

		var first record
		// Records stand by client and seq. Without an end to the walk, it would go on into the next client's.
		c.records.Ascend(record{client: w.client}, func(r record) bool {
			first = r
			return false
		})
		if first.seq >= w.floor {
			return
		}

		c.drop(first)
		w.records--
	}
}

// drop removes a record. The caller brings its window up to date.
func (c *calls) drop(r record) {
	c.records.Delete(r)
	c.ends.Delete(callEnd{r.result.deadline, r.client, r.seq})
	c.bytes -= r.result.cost()
}

// get returns the result of a call, or nil.
func (c *calls) get(client wire.ID, seq uint64) *outcome {
	r, _ := c.records.Get(record{client: client, seq: seq})
	return r.result
}

// add remembers the result of a call that has none, in the window of its client.
func (c *calls) add(w requestWindow, seq uint64, o *outcome) {
	c.records.Set(record{w.client, seq, o})
	c.ends.Set(callEnd{o.deadline, w.client, seq})
	c.bytes += o.cost()
	w.records++
	c.windows.Set(w)
}

// forget drops records whose deadline is before clock, and windows that can no longer matter.
func (c *calls) forget(clock int64) {
	// Many calls may end in the same millisecond. What is left is forgotten with the next entries of the log.
	for range forgetMax {
		end, ok := c.ends.Min()
		if !ok || end.at >= clock {
			return
		}

		w, _ := c.windows.Get(requestWindow{client: end.client})

		// A copy that comes from here on is refused by its deadline, so the record has done its service.
		if end.seq != 0 {
			r, _ := c.records.Get(record{client: end.client, seq: end.seq})
			c.drop(r)
			w.records--
			c.windows.Set(w)
			continue
		}

		c.ends.Delete(end)
		if end.at == w.until+1 {
			// No record has a deadline after until: all of them are forgotten already.
			c.windows.Delete(w)
			c.bytes -= windowCost
			continue
		}

		// The client has called since: look again when its window may end now.
		w.look = w.until + 1
		c.windows.Set(w)
		c.ends.Set(callEnd{at: w.look, client: w.client})
	}
}
