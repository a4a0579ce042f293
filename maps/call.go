package maps

import (
	"sync"
	"time"

	"github.com/gridiron-io/gridiron/maps/state"
	"github.com/gridiron-io/gridiron/partition"
	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// call is one request on its way: the Completion of a write, or the Reader of a read. It comes from a pool when the request arrives, and goes
// back with the answer.
type call struct {
	s         *Service
	caller    Caller
	id        uint64
	op        wire.Op
	partition uint32
	deadline  int64  // cluster time in milliseconds
	locks     bool   // OpLock, OpRenew, OpLoad: the wait queue answers it
	hurry     bool   // of those, a call that is answered at once although it asks to wait: there is no memory to park it
	retry     bool   // a copy may have been executed
	body      []byte // reads, and calls that lock: a copy of the request's body; writes: the body that goes into the log, if not the request's
	code      wire.Code
	found     []wire.GetResult // reads of keys: what was found. Values are the state's own bytes, which never change
	views     []state.Entry    // what found was made of; no Use where there is no entry
	out       []byte           // other reads: the answer's body
	idle      wire.TouchBody   // reads of keys: what was so long idle that its use must be committed first
	flush     bool             // uses of entries are to be committed soon
	started   time.Duration    // when the request arrived, see elapsed
	tally     *tally           // writes: where they are counted; nil: nowhere
	bound     *bound           // writes: of the map, nil if it has none
	bodySize  int              // writes that store: of the body
	keys      int              // writes of several keys: how many
	held      int64            // memory that is held of the host's for what waits
	removal   *removal         // OpRemoveAll; else nil
}

var calls = sync.Pool{New: func() any { return new(call) }}

func newCall(s *Service, req *wire.Request, caller Caller) *call {
	c := calls.Get().(*call)
	c.s, c.caller, c.id, c.op, c.partition, c.deadline = s, caller, req.ID, req.Op, req.Partition, req.Deadline
	c.retry = req.Flags&wire.FlagRetry != 0
	c.started = elapsed()
	return c
}

// pooledBytes is the largest buffer that a call takes back to the pool.
const pooledBytes = 64 << 10

// callBytes is what a call that waits takes beside its body.
const callBytes = 512

// Size returns what a read takes while it waits.
func (c *call) Size() int { return callBytes + len(c.body) }

// hold reserves memory for a call until it is answered. It reports whether there is any.
func (c *call) hold(n int) bool {
	if !c.s.cfg.Host.Hold(int64(n)) {
		return false
	}
	c.held = int64(n)
	return true
}

func (c *call) free() {
	if c.held > 0 {
		c.s.cfg.Host.Free(c.held)
		c.held = 0
	}
	c.s, c.caller, c.tally, c.bound, c.keys, c.locks, c.hurry, c.removal = nil, nil, nil, nil, 0, false, false, nil

	// A large buffer would stay in the pool for as long as calls go on.
	if cap(c.body) > pooledBytes {
		c.body = nil
	}
	if cap(c.out) > pooledBytes {
		c.out = nil
	}

	// These lists lead to values and entries, which must not be kept by a call in the pool.
	clear(c.found)
	clear(c.views)
	c.body, c.found, c.views, c.out = c.body[:0], c.found[:0], c.views[:0], c.out[:0]

	c.idle, c.flush = wire.TouchBody{}, false
	calls.Put(c)
}

// Complete answers a write, or parks it if it waits for a lock that another has.
func (c *call) Complete(o partition.Outcome, r entry.Result) {
	switch {
	// The call may still be applied and bring its caller a lock of which nobody tells it.
	case o == partition.Unknown && c.locks:
		c.s.waitQueue.unknown(c)
		return
	case o != partition.Applied:
		c.s.answerOutcome(o, c.partition, c.id, c.caller)
		c.free()
		return
	}

	// Before the answer: a caller that has it and asks for the counts finds its call counted.
	if c.tally != nil {
		c.tally.done(c.s, c.op, c.partition, elapsed()-c.started)
	}

	if c.locks {
		c.s.waitQueue.applied(c, r)
		return
	}

	c.caller.Answer(c.id, r.Code, r.Body)
	if c.bound != nil && c.bound.wrote(c.partition, c.op, c.bodySize, r) {
		c.s.evictor.wakeUp()
	}
	c.free()
}

// reply answers the call and frees it.
func (c *call) reply(code wire.Code, body []byte) {
	c.caller.Answer(c.id, code, body)
	c.free()
}

// Fail answers a read that could not be made.
func (c *call) Fail(o partition.Outcome) {
	c.s.answerOutcome(o, c.partition, c.id, c.caller)
	c.free()
}

// Finish answers a read. It copies values only now: a batch of reads would hold the copies of all of them at once.
func (c *call) Finish() {
	// Choosing may take long: it must not hold up the reads behind this one.
	if c.removal != nil {
		c.s.chooser.add(c)
		return
	}

	for i := range c.found {
		c.out = wire.AppendGetResult(c.out, &c.found[i])
	}
	c.countRead()
	c.caller.Answer(c.id, c.code, c.out)

	if c.flush {
		c.s.flushTouches(int(c.partition))
	}
	c.free()
}

// countRead counts a read that is about to be answered. It begins no counts for a name that no map has.
func (c *call) countRead() {
	hits, known := 0, false
	for i := range c.found {
		if c.found[i].Flags&wire.ResultFound != 0 {
			hits++
		}
		known = known || c.found[i].Instance != 0
	}

	t := c.s.tallyOf(wire.MapOf(c.body), known)
	if t == nil {
		return
	}

	t.done(c.s, c.op, c.partition, elapsed()-c.started)
	t.read(c.partition, hits, len(c.found)-hits)
}
