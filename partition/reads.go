package partition

import (
	"sync"
	"time"

	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

const (
	// readIndexTimeout is how long one ReadIndex may take. Its answer can be lost, so it is asked again.
	readIndexTimeout = 400 * time.Millisecond
	// readAttempts bounds how often it is asked for one batch of reads.
	readAttempts = 8
)

// readQueue gathers the reads that reach a partition while a ReadIndex is under way; the next ReadIndex serves them all.
// This is the place where a lease will let reads pass without one: see serveLease.
type readQueue struct {
	r *replica

	mu      sync.Mutex // guards the following
	waiting []Reader
	running bool // a goroutine serves the queue
	stopped bool
}

func (q *readQueue) init(r *replica) { q.r = r }

// submit queues a read. It is served by the goroutine that submit starts where none runs, which ends with the last read.
func (q *readQueue) submit(rd Reader) {
	if q.r.serving.Load() == 0 {
		rd.Fail(Moved)
		return
	}
	q.mu.Lock()
	if q.stopped {
		q.mu.Unlock()
		rd.Fail(NotProposed)
		return
	}
	q.waiting = append(q.waiting, rd)
	start := !q.running
	q.running = true
	q.mu.Unlock()
	if start {
		go q.serve() // ends when nothing waits; Host.Close waits for it
	}
}

func (q *readQueue) serve() {
	q.r.host.readers.Add(1)
	defer q.r.host.readers.Done()
	for {
		q.mu.Lock()
		list := q.waiting
		q.waiting = nil
		if len(list) == 0 || q.stopped {
			q.running = false
			q.mu.Unlock()
			failAll(list, NotProposed)
			return
		}
		q.mu.Unlock()
		q.serveBatch(list)
	}
}

func failAll(list []Reader, o Outcome) {
	for _, rd := range list {
		rd.Fail(o)
	}
}

// serveBatch serves reads that were submitted before it was called.
func (q *readQueue) serveBatch(list []Reader) {
	r := q.r
	// Reads take place at this moment or later. It stays the same when a read is repeated after a tick, so that a second
	// tick is never needed for the same reads.
	now := r.host.cfg.Now()
	for range readAttempts {
		epoch := r.serving.Load()
		if epoch == 0 {
			failAll(list, Moved)
			return
		}
		asOf := r.host.cfg.Now()
		switch r.host.readIndex(r) {
		case readReady:
		case readAgain:
			continue
		default:
			failAll(list, NotProposed)
			return
		}
		if wait := r.untilClean(); wait > 0 {
			if !r.host.sleep(wait) {
				failAll(list, NotProposed)
				return
			}
			continue
		}
		if list = q.readAll(list, epoch, now, asOf); len(list) == 0 {
			return
		}
		// What is left met entries that are due by cluster time and not yet by the log's clock.
		if !r.tick() {
			failAll(list, Moved)
			return
		}
	}
	failAll(list, NotProposed)
}

// readAll reads under one lock, if the epoch is still the one for which the ReadIndex was made, and returns the reads that
// need a tick first. With another epoch nothing was read and all are returned.
func (q *readQueue) readAll(list []Reader, epoch uint64, now, asOf int64) []Reader {
	r := q.r
	var again []Reader
	done := make([]Reader, 0, len(list))
	r.state.RLock()
	if !r.state.own.accepts(epoch) {
		r.state.RUnlock()
		return list
	}
	at := ReadPoint{Epoch: epoch, Now: now, AsOf: asOf}
	for _, rd := range list {
		if rd.Read(r.state.machine, at) {
			done = append(done, rd)
		} else {
			again = append(again, rd)
		}
	}
	r.state.RUnlock()
	for _, rd := range done {
		rd.Finish()
	}
	return again
}

// untilClean returns how long the replica must not answer yet.
func (r *replica) untilClean() time.Duration {
	r.role.Lock()
	defer r.role.Unlock()
	return time.Until(r.role.cleanAt)
}

func (q *readQueue) stop() {
	q.mu.Lock()
	q.stopped = true
	list := q.waiting
	q.waiting = nil
	q.mu.Unlock()
	failAll(list, NotProposed)
}

// tick commits an operation that only moves the log's clock to cluster time, and reports whether it was applied.
func (r *replica) tick() bool {
	done := make(tickDone, 1)
	r.proposer.submit(&entry.Op{Code: wire.OpSweep, Body: wire.AppendSweepBody(nil, wire.SweepBody{})}, done)
	r.proposer.flush()
	return <-done == Applied
}

type tickDone chan Outcome

// Complete ends the wait of tick.
func (t tickDone) Complete(o Outcome, _ entry.Result) { t <- o }
