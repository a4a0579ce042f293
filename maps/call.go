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
	deadline  int64           // cluster time in milliseconds
	locks     bool            // OpLock, OpRenew, OpLoad: the wait queue answers it
	hurry     bool            // of those, a call that is answered at once although it asks to wait: there is no memory to park it
	retry     bool            // a copy may have been executed
	body      []byte          // reads, and calls that lock: a copy of the request's body; writes: the body that goes into the log, if not the request's
	reading   state.Reading   // reads
	point     state.ReadPoint // reads: when and where
	quorum    bool            // reads: a lease does not do
	out       []byte          // reads: the body of the answer
	started   time.Duration   // when the request had arrived, see elapsed
	tally     *tally          // writes: where they are counted; nil: nowhere
	bound     *bound          // writes: of the map, nil if it has none
	bodySize  int             // writes that store: of the body
	keys      int             // writes of several keys: how many
	held      int64           // memory that is held of the host's for what waits
	removal   *removal        // OpRemoveAll; else nil
}

var calls = sync.Pool{New: func() any { return new(call) }}

func newCall(s *Service, req *wire.Request, caller Caller, at Moment) *call {
	c := calls.Get().(*call)
	c.s, c.caller, c.id, c.op, c.partition, c.deadline = s, caller, req.ID, req.Op, req.Partition, req.Deadline
	c.retry = req.Flags&wire.FlagRetry != 0
	c.started = at.Local.Sub(began)
	return c
}

// pooledBytes is the largest buffer that a call takes back to the pool.
const pooledBytes = 64 << 10

// callBytes is what a call that waits takes beside its body.
const callBytes = 512

// Size returns what a read takes while it waits.
func (c *call) Size() int { return callBytes + len(c.body) }

// Quorum reports whether a read insists on asking a majority.
func (c *call) Quorum() bool { return c.quorum }

// Untouched reports whether a read of keys finds what it would have found in each state since a position.
func (c *call) Untouched(m partition.Machine, since uint64, at partition.ReadPoint) bool {
	return c.removal == nil && stateOf(m).Untouched(c.op, c.body, since, at.Now)
}

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
	// A pooled call must not keep a connection or a map's counts alive.
	c.s, c.caller, c.tally, c.bound, c.keys, c.locks, c.hurry, c.quorum, c.removal = nil, nil, nil, nil, 0, false, false, false, nil

	// A large buffer would stay in the pool for as long as calls go on.
	if cap(c.body) > pooledBytes {
		c.body = nil
	}
	if cap(c.out) > pooledBytes {
		c.out = nil
	}

	c.reading.Forget()
	c.body, c.out = c.body[:0], c.out[:0]
	calls.Put(c)
}

// Complete answers a write, or parks it if it waits for a lock that another has.
func (c *call) Complete(o partition.Outcome, r entry.Result) {
	switch {
	// The call may still be applied and bring its caller a lock of which nobody tells it.
	case o == partition.Unknown && c.locks:
		c.s.waitQueue.unknown(c)
		return
	// The call was not executed or nobody knows: it is counted nowhere.
	case o != partition.Applied:
		c.s.answerOutcome(o, c.partition, c.id, c.caller)
		c.free()
		return
	}

	// Before the answer: a caller that has it and asks for the counts finds its call counted.
	if c.tally != nil {
		c.tally.done(c.s, c.op, c.partition, elapsed()-c.started)
	}

	// What the log says may be that the call waits, so the wait queue decides on the answer.
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

	flush := c.s.noteUses(c.partition, &c.reading)
	c.out = c.reading.Append(c.out[:0])
	c.s.countRead(c.partition, &c.reading, elapsed()-c.started)
	c.caller.Answer(c.id, c.reading.Code, c.out)

	// This comes after the answer, for the caller need not wait until the uses are in the log.
	if flush {
		c.s.flushTouches(int(c.partition))
	}
	c.free()
}
