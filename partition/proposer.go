package partition

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/lni/dragonboat/v4"

	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

const (
	// maxInFlight is how many entries of a partition may be on their way through Raft. Operations that come meanwhile go
	// into the next one: that is what makes writing cheap under load.
	maxInFlight = 2
	// maxBatchBytes bounds an entry, unless it holds one operation only.
	maxBatchBytes = 1 << 20
	// stallAfter is how long an entry without news holds back the next.
	stallAfter = 500 * time.Millisecond
	// proposalTimeout is when dragonboat forgets a proposal. What became of it is found out by applying.
	proposalTimeout = 10 * time.Second
	// forgetAfter is when waiters are told that nothing is known of their entry. No call lives longer.
	forgetAfter = 65 * time.Second
	// sweepLimit is how many entries one sweep removes.
	sweepLimit = 1000
	// maxRecordBytes bounds the results that a partition keeps for calls that may be repeated.
	maxRecordBytes = 16 << 20
)

// proposer turns the operations that reach a partition into log entries and hands each its result when its entry has been
// applied here. It belongs to one replica; operations come from any goroutine.
//
//	submit: append to the open batch
//	flush:  while fewer than maxInFlight entries are on their way, propose the open batch
//	apply:  (in Update) take the batch by its number, hand out the results, flush
//
// Batches are found by number and not by position: entries can be dropped, and a later one applied before an earlier one is
// known to be lost.
type proposer struct {
	r *replica

	mu sync.Mutex // guards the following
	// open is the batch that is being gathered, under openEpoch.
	open      entry.Builder
	openEpoch uint64
	waiters   []Completion
	// flight are the batches on their way, oldest first.
	flight []*batch
	// spent are requests whose batch was applied, to be given back to dragonboat once it has let go of them.
	spent    []*dragonboat.RequestState
	sweeping bool
	stopped  bool

	bytes atomic.Int64 // of operations not yet applied
}

// batch is one entry on its way.
type batch struct {
	number   uint64
	epoch    uint64
	bytes    int64
	waiters  []Completion
	proposed time.Time
	stalled  bool
	request  *dragonboat.RequestState
}

// finishedBatch is a batch whose outcome is known.
type finishedBatch struct {
	batch   *batch
	outcome Outcome
	results []entry.Result
}

func completeBatches(done []finishedBatch) {
	for i := range done {
		done[i].complete()
	}
}

func (f *finishedBatch) complete() {
	for i, w := range f.batch.waiters {
		if f.outcome == Applied {
			if i < len(f.results) {
				w.Complete(Applied, f.results[i])
			} else {
				w.Complete(Unknown, entry.Result{})
			}
			continue
		}
		w.Complete(f.outcome, entry.Result{})
	}
}

func (p *proposer) init(r *replica) { p.r = r }

// submit gathers an operation, whose body is copied. The caller calls flush after the last of what it has at hand.
func (p *proposer) submit(op *entry.Op, c Completion) {
	epoch := p.r.serving.Load()
	if epoch == 0 {
		c.Complete(Moved, entry.Result{})
		return
	}
	size := int64(len(op.Body) + 64)
	if !op.Client.IsZero() && p.r.records.Load() > maxRecordBytes || !p.r.host.admit(size) {
		c.Complete(Overloaded, entry.Result{})
		return
	}
	p.mu.Lock()
	if p.stopped {
		p.mu.Unlock()
		p.r.host.release(size)
		c.Complete(NotProposed, entry.Result{})
		return
	}
	var stale []Completion
	if p.openEpoch != epoch {
		stale = p.dropOpenLocked()
		p.openEpoch = epoch
	}
	if p.open.Count() > 0 && (p.open.Size(len(op.Body)) > maxBatchBytes || p.open.Count() >= entry.MaxBatchOps) {
		p.proposeLocked()
	}
	p.open.Add(op)
	p.waiters = append(p.waiters, c)
	p.bytes.Add(size)
	p.mu.Unlock()
	completeAll(stale, Moved)
}

func completeAll(list []Completion, o Outcome) {
	for _, c := range list {
		c.Complete(o, entry.Result{})
	}
}

// flush proposes what was gathered, if it may.
func (p *proposer) flush() {
	p.mu.Lock()
	for p.open.Count() > 0 && p.movingLocked() < maxInFlight {
		p.proposeLocked()
	}
	p.mu.Unlock()
}

// movingLocked counts the entries that hold back the next. REQUIRES p.mu.
func (p *proposer) movingLocked() int {
	n := 0
	for _, b := range p.flight {
		if !b.stalled {
			n++
		}
	}
	return n
}

// dropOpenLocked empties the open batch and returns its waiters. REQUIRES p.mu.
func (p *proposer) dropOpenLocked() []Completion {
	w := p.waiters
	p.waiters = nil
	p.open = entry.Builder{}
	if n := p.bytes.Load() - p.flightBytesLocked(); n > 0 {
		p.bytes.Add(-n)
		p.r.host.release(n)
	}
	return w
}

func (p *proposer) flightBytesLocked() (n int64) {
	for _, b := range p.flight {
		n += b.bytes
	}
	return n
}

// proposeLocked makes an entry of the open batch and gives it to Raft. REQUIRES p.mu.
//
// The batch is entered among those in flight before Propose is called: it may be applied before Propose returns.
func (p *proposer) proposeLocked() {
	h := p.r.host
	b := &batch{number: h.batches.Add(1), epoch: p.openEpoch, waiters: p.waiters, proposed: time.Now()}
	b.bytes = p.bytes.Load() - p.flightBytesLocked()
	p.waiters = make([]Completion, 0, min(cap(p.waiters), 256))
	cmd := p.open.Finish(&entry.Header{Epoch: b.epoch, Now: h.cfg.Now(), Published: h.published(p.r.partition),
		Proposer: h.cfg.Incarnation, Batch: b.number})
	p.flight = append(p.flight, b)
	rs, err := h.propose(p.r, cmd)
	if err != nil {
		p.removeLocked(b)
		// The waiters are told on another goroutine: the lock is held here, and a waiter may submit again.
		go completeAll(b.waiters, NotProposed)
		return
	}
	b.request = rs
	p.reapLocked()
}

// reapLocked gives back the requests that dragonboat has finished with. REQUIRES p.mu.
func (p *proposer) reapLocked() {
	keep := p.spent[:0]
	for _, rs := range p.spent {
		select {
		case <-rs.ResultC():
			rs.Release()
		default:
			keep = append(keep, rs)
		}
	}
	clear(p.spent[len(keep):])
	p.spent = keep
	if len(p.spent) > 64 { // dragonboat answers each within its timeout; these are left to the garbage collector
		clear(p.spent)
		p.spent = p.spent[:0]
	}
}

// removeLocked takes a batch out of those in flight. REQUIRES p.mu.
func (p *proposer) removeLocked(b *batch) {
	for i, f := range p.flight {
		if f == b {
			p.flight = append(p.flight[:i], p.flight[i+1:]...)
			p.bytes.Add(-b.bytes)
			p.r.host.release(b.bytes)
			return
		}
	}
}

// take returns the batch of a number and removes it, or nil if nobody waits for it. It is called while its entry is being
// applied.
func (p *proposer) take(number uint64) *batch {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, b := range p.flight {
		if b.number == number {
			p.removeLocked(b)
			if b.request != nil {
				p.spent = append(p.spent, b.request)
			}
			return b
		}
	}
	return nil
}

// ownershipChanged is called after an Own or Release was applied: entries of other epochs can never take effect any more.
func (p *proposer) ownershipChanged(epoch uint64) {
	p.mu.Lock()
	var moved []Completion
	for i := 0; i < len(p.flight); {
		if b := p.flight[i]; b.epoch != epoch {
			p.removeLocked(b)
			moved = append(moved, b.waiters...)
			continue
		}
		i++
	}
	if p.openEpoch != epoch {
		moved = append(moved, p.dropOpenLocked()...)
	}
	p.mu.Unlock()
	completeAll(moved, Moved)
}

// stopServing is called when another replica was elected. What was not yet proposed will not be; what is in flight may
// still be applied.
func (p *proposer) stopServing() {
	p.mu.Lock()
	w := p.dropOpenLocked()
	p.mu.Unlock()
	completeAll(w, Moved)
}

// tend looks for entries that were dropped, that hold others back for too long, or of which nothing will be heard.
func (p *proposer) tend(now time.Time) {
	p.mu.Lock()
	var lost, unknown []Completion
	for i := 0; i < len(p.flight); {
		b := p.flight[i]
		if b.request != nil {
			select {
			case res := <-b.request.ResultC():
				b.request.Release()
				b.request = nil
				if res.Dropped() {
					p.removeLocked(b)
					lost = append(lost, b.waiters...)
					continue
				}
			default:
			}
		}
		age := now.Sub(b.proposed)
		if age > forgetAfter {
			p.removeLocked(b)
			unknown = append(unknown, b.waiters...)
			continue
		}
		b.stalled = b.stalled || age > stallAfter
		i++
	}
	for p.open.Count() > 0 && p.movingLocked() < maxInFlight {
		p.proposeLocked()
	}
	p.reapLocked()
	p.mu.Unlock()
	completeAll(lost, NotProposed)
	completeAll(unknown, Unknown)
}

// stop ends the proposer: nothing more is applied here.
func (p *proposer) stop() {
	p.mu.Lock()
	p.stopped = true
	open := p.dropOpenLocked()
	var unknown []Completion
	for len(p.flight) > 0 {
		unknown = append(unknown, p.flight[0].waiters...)
		p.removeLocked(p.flight[0])
	}
	p.mu.Unlock()
	completeAll(open, NotProposed)
	completeAll(unknown, Unknown)
}

// idle reports whether nothing is gathered or in flight.
func (p *proposer) idle() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.open.Count() == 0 && len(p.flight) == 0
}

// sweep proposes the removal of entries whose time has come, unless one is under way.
func (p *proposer) sweep() {
	p.mu.Lock()
	busy := p.sweeping
	p.sweeping = true
	p.mu.Unlock()
	if busy {
		return
	}
	p.submit(&entry.Op{Code: wire.OpSweep, Body: wire.AppendSweepBody(nil, wire.SweepBody{Limit: sweepLimit})}, (*sweepDone)(p))
	p.flush()
}

// sweepDone is told the end of a sweep.
type sweepDone proposer

// Complete lets the next sweep begin; the host's loop starts it at once if entries are left.
func (s *sweepDone) Complete(o Outcome, _ entry.Result) {
	p := (*proposer)(s)
	p.mu.Lock()
	p.sweeping = false
	p.mu.Unlock()
	if o == Applied {
		p.r.host.kick(p.r)
	}
}
