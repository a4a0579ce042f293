package partition

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

const (
	// maxInFlight is how many entries of a partition may be on their way through Raft. Operations that come meanwhile share
	// the next entry: that makes writing cheap under load.
	maxInFlight = 2
	// maxBatchBytes bounds an entry, unless it holds one operation only.
	maxBatchBytes = 1 << 20
	// maxBatchKeys bounds the keys of the operations on several keys in one entry, unless it holds one operation only: an entry is
	// applied as a whole, on every replica, while nobody reads there.
	maxBatchKeys = 2 * wire.MaxKeys
	// stallAfter is how long an entry without news holds back the next.
	stallAfter = 500 * time.Millisecond
	// proposalTimeout is when dragonboat forgets a proposal. What became of it is found out by applying.
	proposalTimeout = 10 * time.Second
	// forgetAfter is when waiters learn that nothing is known of their entry. No call lives longer.
	forgetAfter = 65 * time.Second
	// opOverhead is what an operation counts for beside its body.
	opOverhead = 64
	// maxRecordBytes bounds the results that a partition keeps for calls that may be repeated.
	maxRecordBytes = 16 << 20
	// maxUsual bounds the operations for which a new batch makes room in advance.
	maxUsual = 256
	// maxSpent bounds the tickets of applied batches that dragonboat still holds.
	maxSpent = 64
)

// proposer turns the operations that reach a partition into log entries, and gives each operation its result when its entry
// was applied here. It belongs to one replica. Operations come from any goroutine.
//
//	submit: append to the last gathered batch
//	flush:  while fewer than maxInFlight entries are on their way, propose the first gathered batch
//	take:   (in Update) find the batch by its number; the replica gives out the results and flushes
//
// Batches are found by number and not by position. Entries can be dropped, and a later entry can be applied before an earlier
// one is known to be lost.
//
// Whoever takes a batch out of gathered or flight, under the lock, completes it. So no operation is completed twice, and none
// is forgotten. Nobody is completed, and Raft is not called, under the lock.
type proposer struct {
	r     *replica
	count atomic.Int64 // of batches gathered and in flight, written under mu: an idle proposer is passed over without it

	mu sync.Mutex // guards the following
	// gathered are batches not yet proposed, oldest first. All but the last are full.
	gathered []*batch
	// flight are the batches on their way, oldest first.
	flight []*batch
	// spent are tickets of applied batches. They go back to dragonboat when it has finished with them.
	spent     []ticket
	usual     int  // operations of the last batch
	proposing bool // a goroutine proposes, and looks again before it ends
	all       bool // that goroutine proposes also the batch that is not full
	upkeep    struct {
		busy bool      // one is on its way
		op   *entry.Op // the operation to go on with; nil: the first
	}
	resumed uint64 // the serving term whose resume marker was applied; 0 if there was a stall since
	stopped bool
}

func (p *proposer) init(r *replica) { p.r = r }

// submit gathers an operation, whose body is copied. The caller calls flush after the last of what it has at hand.
func (p *proposer) submit(op *entry.Op, c Completion) {
	p.mu.Lock()
	o, full := p.gatherLocked(op, c)
	p.mu.Unlock()

	if o != Applied {
		c.Complete(o, entry.Result{})
		return
	}

	// A full batch need not wait for the flush: the caller may have many more operations at hand.
	if full {
		p.propose(true)
	}
}

// gatherLocked adds an operation to the last batch. It returns Applied, or why it did not, and whether a batch became full.
// REQUIRES p.mu.
//
// serving is read under the lock. Whoever changes serving calls servingChanged afterwards, which drops what was gathered before.
func (p *proposer) gatherLocked(op *entry.Op, c Completion) (o Outcome, full bool) {
	if p.stopped {
		// The replica applies nothing any more, so no outcome could ever be learned.
		return NotProposed, false
	}

	// In this order: the term of a serving epoch is counted before the epoch is published.
	epoch := p.r.serving.Load()
	servingTerm := p.r.servingTerm.Load()
	if epoch == 0 {
		return Moved, false
	}

	// One call is always admitted. It tells which results the client no longer waits for, and moves the clock on: both free
	// records.
	if !op.Client.IsZero() && p.r.records.Load() > maxRecordBytes && len(p.gathered)+len(p.flight) > 0 {
		return Overloaded, false
	}

	size := int64(len(op.Body) + opOverhead)
	if !p.r.host.admit(size) {
		return Overloaded, false
	}

	var b *batch
	if n := len(p.gathered); n > 0 {
		b = p.gathered[n-1]
	}

	// A batch has one epoch, under which the log takes all of it or nothing.
	if b == nil || b.epoch != epoch || b.full(op) {
		full = b != nil
		b = p.openLocked(epoch, servingTerm)
	}
	b.add(op, size, c)
	return Applied, full
}

// openLocked gathers a new batch. REQUIRES p.mu.
func (p *proposer) openLocked(epoch, servingTerm uint64) *batch {
	b := newBatch(epoch, p.usual)
	p.resumeLocked(b, servingTerm)
	p.gathered = append(p.gathered, b)
	p.countLocked()
	return b
}

// tick has an entry applied, with operations or without: the clock of the log goes on with it. The caller calls flush.
func (p *proposer) tick(c Completion) {
	p.mu.Lock()
	o := p.tickLocked(c)
	p.mu.Unlock()
	if o != Applied {
		c.Complete(o, entry.Result{})
	}
}

// tickLocked has the last gathered batch bring a tick, and returns Applied, or why not. REQUIRES p.mu.
func (p *proposer) tickLocked(c Completion) Outcome {
	if p.stopped {
		return NotProposed
	}

	// The epoch first, as in gatherLocked.
	epoch, servingTerm := p.r.serving.Load(), p.r.servingTerm.Load()
	if epoch == 0 {
		return Moved
	}
	if !p.r.host.admit(opOverhead) {
		// What waits for a tick holds memory, like an operation.
		return Overloaded
	}

	var b *batch
	if n := len(p.gathered); n > 0 {
		b = p.gathered[n-1]
	}

	// A tick takes no room in the entry, so a full batch can bring it.
	if b == nil || b.epoch != epoch {
		b = p.openLocked(epoch, servingTerm)
	}
	b.bytes += opOverhead
	b.ticks = append(b.ticks, c)
	return Applied
}

// resumeLocked has a batch begin with the resume marker. The marker must be executed before anything else that the process proposes in
// a serving term, or after a stall. Any batch may be lost or come late, so each batch begins with the marker until one was applied
// in time. REQUIRES p.mu.
func (p *proposer) resumeLocked(b *batch, servingTerm uint64) {
	if p.resumed != servingTerm || len(p.flight) > 0 && late(p.flight[0]) {
		b.ops.Add(p.r.host.cfg.Machines.Resume())
		b.waiters = append(b.waiters, &resumeDone{p, b, servingTerm})
	}
}

// late reports whether a batch has been in flight for so long that the partition counts as stalled.
func late(b *batch) bool { return time.Since(b.proposed) > stallAfter }

// resumeDone learns what became of the resume marker with which a batch began.
type resumeDone struct {
	p           *proposer
	b           *batch
	servingTerm uint64
}

// Complete notes that the serving term needs no further resume marker.
func (d *resumeDone) Complete(o Outcome, _ entry.Result) {
	// After a late marker the partition counts as stalled, and the next batch resumes it.
	if o == Applied && !late(d.b) {
		d.p.mu.Lock()
		d.p.resumed = max(d.p.resumed, d.servingTerm)
		d.p.mu.Unlock()
	}
}

// countLocked publishes how many batches there are. REQUIRES p.mu.
func (p *proposer) countLocked() { p.count.Store(int64(len(p.gathered) + len(p.flight))) }

// flush proposes what was gathered, as far as few enough entries are in flight. Entries reach Raft in the order in which they
// were gathered: one goroutine proposes at a time, and looks for what has come meanwhile.
func (p *proposer) flush() { p.propose(false) }

// propose proposes what was gathered: all of it, or only the batches that are full.
func (p *proposer) propose(full bool) {
	var failed finished
	p.mu.Lock()
	// A goroutine that proposes full batches only is told here to go on with the last one.
	p.all = p.all || !full
	// A goroutine that proposes already finds these batches too, and must not be overtaken.
	if !p.proposing {
		p.proposing = true
		for {
			b := p.nextLocked()
			if b == nil {
				break
			}
			p.proposeLocked(b, &failed)
		}
		p.proposing, p.all = false, false
	}
	p.mu.Unlock()
	failed.complete()
}

// nextLocked moves the next batch to propose into flight, or returns nil. REQUIRES p.mu.
func (p *proposer) nextLocked() *batch {
	// The last batch still takes operations, so it waits for a flush. While enough entries are on their way, all wait and fill up.
	if len(p.gathered) == 0 || !p.all && len(p.gathered) == 1 || p.movingLocked() >= maxInFlight {
		return nil
	}

	b := p.gathered[0]
	p.gathered = slices.Delete(p.gathered, 0, 1)
	p.flight = append(p.flight, b)

	// Before Raft is called: the lease that the batch may prove counts from here, and Update may look for
	// the number at once.
	b.number, b.proposed = p.r.host.batches.Add(1), time.Now()

	// The next batch makes room for as many operations, on the guess that it is like this one.
	p.usual = min(len(b.waiters), maxUsual)
	return b
}

// movingLocked counts the entries that hold back the next. REQUIRES p.mu.
func (p *proposer) movingLocked() (n int) {
	for _, b := range p.flight {
		if !b.stalled {
			n++
		}
	}
	return n
}

// proposeLocked gives a batch in flight to Raft. The lock is released meanwhile, so the batch may be applied or given up before
// Raft has returned. REQUIRES p.mu.
func (p *proposer) proposeLocked(b *batch, failed *finished) {
	h := p.r.host

	// Propose takes locks of the library, whose workers may wait for this lock in take.
	p.mu.Unlock()
	t, err := p.r.raft(b.finish(&entry.Header{Epoch: b.epoch, Now: h.cfg.Now(), Published: h.published(p.r.partition),
		Applied: p.r.reads.applied(), Proposer: h.cfg.Incarnation, Batch: b.number}))
	p.mu.Lock()

	switch {
	case err != nil:
		// The batch may be completed already, with an outcome that stands.
		if p.removeLocked(b) {
			p.r.log.Debug("a batch was not proposed", "err", err)
			failed.add(b, NotProposed)
		}
	case slices.Contains(p.flight, b):
		b.request = t
	default:
		// The batch was applied or given up before Propose returned. Only the ticket is left.
		p.spendLocked(t)
	}
	p.reapLocked()
}

// removeLocked takes a batch out of those in flight, and reports whether it was there. If it was, the caller completes it.
// REQUIRES p.mu.
func (p *proposer) removeLocked(b *batch) bool {
	i := slices.Index(p.flight, b)
	if i < 0 {
		return false
	}
	p.flight = slices.Delete(p.flight, i, i+1)
	p.countLocked()
	p.r.host.release(b.bytes)
	return true
}

// dropLocked takes the gathered batches that are not of the given epoch. REQUIRES p.mu.
func (p *proposer) dropLocked(epoch uint64, o Outcome, done *finished) {
	p.gathered = slices.DeleteFunc(p.gathered, func(b *batch) bool {
		if b.epoch == epoch {
			return false
		}
		p.r.host.release(b.bytes)
		done.add(b, o)
		return true
	})
	p.countLocked()
}

// spendLocked keeps the ticket of a batch whose outcome is known, until dragonboat has finished with it. A ticket that is not
// kept is left to the garbage collector. REQUIRES p.mu.
func (p *proposer) spendLocked(t ticket) {
	if t != nil && !p.stopped && len(p.spent) < maxSpent {
		p.spent = append(p.spent, t)
	}
}

// reapLocked gives back the tickets that dragonboat has finished with. REQUIRES p.mu.
func (p *proposer) reapLocked() {
	p.spent = slices.DeleteFunc(p.spent, func(t ticket) bool { return t.poll() != ticketOpen })
}

// take removes the batch of a number and returns it; nil if nobody waits for the batch any more. The caller applies the batch's
// entry.
func (p *proposer) take(number uint64) *batch {
	p.mu.Lock()
	defer p.mu.Unlock()

	for _, b := range p.flight {
		if b.number == number {
			// The partition has stalled: the next batch resumes it.
			if late(b) {
				p.resumed = 0
			}

			p.removeLocked(b)
			p.spendLocked(b.request)
			return b
		}
	}
	return nil
}

// servingChanged drops what was gathered under another serving epoch than the present one. What is in flight may still be
// applied.
func (p *proposer) servingChanged() {
	var done finished
	p.mu.Lock()
	// Read under the lock, as in gatherLocked: no batch of an older epoch is gathered after this.
	p.dropLocked(p.r.serving.Load(), Moved, &done)
	p.mu.Unlock()
	done.complete()
}

// superseded takes note of the epoch that the log accepts now; 0: none. Entries of other epochs can never take effect any more. The
// caller holds the replica's state lock, and completes what is done without it.
func (p *proposer) superseded(epoch uint64, done *finished) {
	p.mu.Lock()
	defer p.mu.Unlock()
	// A copy, since removeLocked changes the list.
	for _, b := range slices.Clone(p.flight) {
		if b.epoch != epoch && p.removeLocked(b) {
			p.spendLocked(b.request)
			done.add(b, Moved)
		}
	}
}

// failInFlight fails all operations in flight as unknown, so that their callers ask again where the answer may be known sooner. The
// reason is that another replica was elected, or that a state snapshot was installed. The snapshot may hold the effect of entries,
// which are then never applied here. The caller completes what is done, without a lock.
func (p *proposer) failInFlight(done *finished) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.flight) > 0 {
		b := p.flight[0]
		p.removeLocked(b)
		p.spendLocked(b.request)
		done.add(b, Unknown)
	}
}

// reconcile looks for entries that were dropped, that hold others back for too long, or of which nothing will be heard.
func (p *proposer) reconcile(now time.Time) {
	if p.count.Load() == 0 {
		// Every partition is looked at ten times a second, and an idle one takes no lock for that.
		return
	}

	var done finished
	p.mu.Lock()
	for _, b := range slices.Clone(p.flight) {
		state := ticketOpen
		if b.request != nil {
			// A ticket is not looked at after it has closed.
			if state = b.request.poll(); state != ticketOpen {
				b.request = nil
			}
		}

		age := now.Sub(b.proposed)
		switch {
		case state == ticketDropped:
			// Raft has not taken the entry, so it can never be applied.
			p.removeLocked(b)
			done.add(b, NotProposed)
		case age > forgetAfter:
			// The entry may still be applied, but no call waits for so long.
			p.removeLocked(b)
			p.spendLocked(b.request)
			done.add(b, Unknown)
		default:
			if state == ticketStrange {
				p.r.log.Error("a proposal was answered as none can be", "batch", b.number)
			}

			// The entry no longer holds back the next one. Its waiters stay, because it may still be applied.
			b.stalled = b.stalled || age > stallAfter
		}

		// Leases may end unrenewed meanwhile, so the next batch resumes the partition.
		if age > stallAfter {
			p.resumed = 0
		}
	}
	p.reapLocked()
	p.mu.Unlock()
	done.complete()

	// Entries that have ended or stalled make room for others.
	p.flush()
}

// stop ends the proposer: nothing more is applied here.
func (p *proposer) stop() {
	var done finished

	p.mu.Lock()
	p.stopped = true
	// What was only gathered has never reached Raft.
	p.dropLocked(0, NotProposed, &done)

	// What is in flight may still be committed by the others.
	for len(p.flight) > 0 {
		b := p.flight[0]
		p.removeLocked(b)
		done.add(b, Unknown)
	}

	// Nobody looks at the tickets any more. They are left to the garbage collector.
	p.spent = nil
	p.mu.Unlock()
	done.complete()
}
