package partition

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gridiron-io/gridiron/partition/entry"
)

const (
	// readIndexTimeout is how long one ReadIndex may take. Its answer can be lost, so it is asked again.
	readIndexTimeout = 400 * time.Millisecond
	// readAttempts bounds how often one batch of reads is tried.
	readAttempts = 8
	// readPause is how long a leader that cannot answer yet is left alone.
	readPause = 20 * time.Millisecond
	// readTicks bounds how often one batch of reads moves the clock: once is enough, unless a read is broken.
	readTicks = 2
	// readsAtOnce is how many reads are made before a waiting Update gets the lock, and readsTime is how long they may take. The
	// read that is under way then still ends.
	readsAtOnce = 64
	readsTime   = time.Millisecond
)

// readQueue gathers the reads that reach a partition while others are being served; one check serves them all. That is the lease, if it
// holds, and else a ReadIndex.
type readQueue struct {
	r     *replica
	clock func() time.Time // by which reads are timed

	leaseReads
	majorities atomic.Int64 // ReadIndexes of the group that somebody waits for here

	mu      sync.Mutex // guards the following
	waiting []Reader
	renewal bool // a ReadIndex is to renew the lease
	running bool // a goroutine serves the queue
	stopped bool
}

func (q *readQueue) init(r *replica) { q.r, q.clock, q.wall = r, time.Now, time.Time.UnixNano }

// submit queues a read. If no goroutine serves the queue, submit starts one, which ends when nothing waits any more.
func (q *readQueue) submit(rd Reader) {
	o, start := q.add(rd)
	if o != Applied {
		rd.Fail(o)
		return
	}
	if start {
		go q.serve() // ends when nothing waits; Host.Close waits for it
	}
}

// add queues a read and returns Applied, or why it did not. start reports whether the queue needs a goroutine. That goroutine is
// counted already.
func (q *readQueue) add(rd Reader) (o Outcome, start bool) {
	h := q.r.host
	q.mu.Lock()
	defer q.mu.Unlock()

	switch {
	case q.stopped:
		return NotProposed, false
	case q.r.serving.Load() == 0:
		// The caller need not wait for a round, which would come to the same.
		return Moved, false
	case !h.Hold(held(rd)):
		return Overloaded, false
	}

	h.reading.Add(1)
	q.waiting = append(q.waiting, rd)
	if q.running {
		return Applied, false
	}
	q.startLocked()
	return Applied, true
}

// startLocked counts the goroutine that the caller starts to serve the queue. REQUIRES q.mu.
func (q *readQueue) startLocked() {
	q.running = true
	q.r.host.readers.Add(1) // here, under the lock: Host.Close stops the queue first and then waits
}

// serve serves the queue until it is empty.
func (q *readQueue) serve() {
	defer q.r.host.readers.Done()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()

	for {
		// All that wait share one check, of the lease or by ReadIndex: it begins after they have come.
		q.mu.Lock()
		list, renewal := q.waiting, q.renewal
		q.waiting, q.renewal = nil, false
		// Under the lock of add: a read that comes after this starts the next goroutine.
		q.running = len(list) > 0 || renewal
		q.mu.Unlock()

		if len(list) > 0 {
			// Before the renewal, which is for reads that are still to come.
			q.serveBatch(list, timer)
		}
		switch {
		case renewal:
			q.renewLease(timer)
		case len(list) == 0:
			return
		}
	}
}

// renewLease makes one ReadIndex for the lease alone.
func (q *readQueue) renewLease(timer *time.Timer) {
	defer q.renewing.Store(false)
	epoch, ended := q.r.serves()
	// A write may have renewed the lease meanwhile.
	if epoch == 0 || !q.renewedBy(epoch, q.clock()) {
		return
	}

	// Reads go on asking for as long as the lease lasts. A group that cannot answer is not asked without a pause.
	if q.ask(epoch, ended, timer) == readFailed {
		q.r.host.sleep(readPause, timer)
	}
}

// held is what a read that waits counts for.
func held(rd Reader) int64 { return int64(rd.Size() + readOverhead) }

// served counts off reads that wait no longer.
func (h *Host) served(list []Reader) {
	n := int64(0)
	for _, rd := range list {
		n += held(rd)
	}
	h.reading.Add(-int64(len(list)))
	h.Free(n)
}

// failAll tells reads that they were not made.
func (q *readQueue) failAll(list []Reader, o Outcome) {
	q.r.host.served(list)
	for _, rd := range list {
		rd.Fail(o)
	}
}

// serveBatch serves reads that were submitted before it was called.
func (q *readQueue) serveBatch(list []Reader, timer *time.Timer) {
	r := q.r

	// Reads take place at this moment or later. The moment stays the same when a read is repeated after a tick, so the same reads
	// never need a second tick.
	now := r.host.cfg.Now()
	majority := slices.ContainsFunc(list, Reader.Quorum)

	for range readAttempts {
		epoch, ended := r.serves()
		// Another process may own the partition by now. The callers ask the owner.
		if epoch == 0 {
			q.failAll(list, Moved)
			return
		}

		// Before the check, which shows that this process owned the partition then.
		at := ReadPoint{Epoch: epoch, Now: now, AsOf: r.host.cfg.Now()}
		counts := &r.host.readCounts[r.partition].lease
		if majority || !q.leased(epoch) {
			// The reads of a batch share one check. If one insists on a majority, all have it.
			counts = &r.host.readCounts[r.partition].majority
			switch q.ask(epoch, ended, timer) {
			case readReady:
			case readAgain:
				// The next attempt looks first whether this process still serves.
				continue
			default:
				q.failAll(list, NotProposed)
				return
			}
		}

		for range readTicks {
			var whole bool
			if list, whole = q.readAll(list, at, counts); len(list) == 0 {
				return
			}
			if !whole {
				break // another epoch: begin again
			}

			// The reads that are left met entries that are due by cluster time, and not yet by the log's clock. Or they need
			// something else in the log first. Once that was applied, the state is as new as after a ReadIndex: the entry was proposed under this
			// epoch, after the reads had come.
			if o := r.commitFor(list, ended); o != Applied {
				q.failAll(list, readsAfter(o))
				return
			}
		}
	}

	// None of the attempts has answered. The reads had no effect, so the callers may repeat them.
	q.failAll(list, NotProposed)
}

// leased reports whether a lease of the epoch holds now.
func (q *readQueue) leased(epoch uint64) bool {
	l := q.lease.Load()
	return l != nil && l.Epoch == epoch && q.holds(l, q.clock())
}

// ask makes a ReadIndex, which yields the lease for the reads that follow, and waits until the replica may answer. It returns readReady,
// readAgain for another attempt, or readFailed.
func (q *readQueue) ask(epoch uint64, ended <-chan struct{}, timer *time.Timer) readOutcome {
	r := q.r
	began := q.clock()
	switch o := r.readIndex(ended, timer); o {
	case readReady:
		r.step(q.proof(epoch, began))
	case readSoon:
		// The group has no leader that can answer, or the library is busy. A pause gives it time.
		if !r.host.sleep(readPause, timer) {
			return readFailed
		}
		return readAgain
	default:
		// The answer may have been lost, or the epoch has ended: then the read is asked again, which has no effect.
		return o
	}

	// The previous owner may still answer reads under its lease. It does not know what this process has written.
	if wait := r.leaseWait(); wait > 0 && !r.host.sleep(wait, timer) {
		return readFailed
	}
	return readReady
}

// readsAfter turns the outcome of a tick into the outcome of reads. A read is never unknown: it had no effect.
func readsAfter(o Outcome) Outcome {
	if o == Unknown {
		return NotProposed
	}
	return o
}

// readAll reads while the epoch is the one of the read point, and returns the reads that are left. If whole, those need a tick
// first; otherwise the epoch has ended before some of them. counts is where they are counted.
func (q *readQueue) readAll(list []Reader, at ReadPoint, counts *atomic.Uint64) (left []Reader, whole bool) {
	r := q.r
	for len(list) > 0 {
		// Between two portions an Update that waits gets the lock.
		n := 0
		done := make([]Reader, 0, min(len(list), readsAtOnce))
		began := q.clock()

		r.state.RLock()
		// In the critical section of the reads: the epoch may have ended since the ReadIndex, or since the lease was looked at. See
		// tryRead for what a pause between the two may do.
		if !r.state.own.Accepts(at.Epoch) || r.state.machine == nil {
			r.state.RUnlock()
			return append(left, list...), false
		}

		for n < min(len(list), readsAtOnce) && (n == 0 || q.clock().Sub(began) < readsTime) {
			rd := list[n]
			if n++; rd.Read(r.state.machine, at) {
				done = append(done, rd)
			} else {
				left = append(left, rd)
			}
		}
		r.state.RUnlock()

		// The readers are told without the lock, which Update may be waiting for.
		counts.Add(uint64(len(done)))
		r.host.served(done)
		for _, rd := range done {
			rd.Finish()
		}
		list = list[n:]
	}
	return left, true
}

// stop fails the reads that wait, and all that come.
func (q *readQueue) stop() {
	q.mu.Lock()
	q.stopped = true
	list := q.waiting
	q.waiting = nil
	q.mu.Unlock()

	// Without the lock: what a reader does when it is told is not known here.
	q.failAll(list, NotProposed)
}

// commitFor commits what reads need in the log before they can be made, and returns what became of it. It gives up when ended is
// closed: then this process no longer serves.
func (r *replica) commitFor(list []Reader, ended <-chan struct{}) Outcome {
	// There is room for all outcomes, so whoever completes an operation never waits here. This call may have returned by then.
	done := make(tickDone, len(list))
	n := 0
	for _, rd := range list {
		if op := rd.Commit(); op != nil {
			r.proposer.submit(op, done)
			n++
		}
	}

	// No read needs an operation, so the log's clock has to move on.
	if n == 0 {
		r.proposer.tick(done)
		n++
	}
	r.proposer.flush()

	for range n {
		select {
		case o := <-done:
			if o != Applied {
				// The read for which it was proposed cannot be made, and the others are told the same.
				return o
			}
		case <-ended:
			return Moved
		}
	}
	return Applied
}

// tickDone learns what became of operations that reads wait for.
type tickDone chan Outcome

// Complete ends one wait of commitFor.
func (t tickDone) Complete(o Outcome, _ entry.Result) { t <- o }
