package partition

import (
	"sync"
	"time"

	"github.com/gridiron-io/gridiron/partition/entry"
)

// batch is one entry, from the first operation that is gathered for it until its outcome is known. Its proposer's lock guards it.
// Whoever takes it out of the proposer owns it.
type batch struct {
	epoch    uint64
	number   uint64 // with the incarnation, the identity by which Update finds the batch
	bytes    int64  // as admitted
	keys     int    // of operations on several keys
	ops      *entry.Builder
	waiters  []Completion
	ticks    []Completion // of those who wait for an entry to be applied, whatever is in it
	proposed time.Time
	stalled  bool   // it no longer holds back the next
	request  ticket // nil while Propose runs, and once it is closed
}

// builders holds builders that nobody uses: a partition without traffic keeps no memory for its next entry.
var builders = sync.Pool{New: func() any { return new(entry.Builder) }}

// newBatch returns a batch with room for the given number of operations.
func newBatch(epoch uint64, room int) *batch {
	return &batch{epoch: epoch, ops: builders.Get().(*entry.Builder), waiters: make([]Completion, 0, max(1, room))}
}

// full reports whether an operation needs the next batch.
func (b *batch) full(op *entry.Op) bool {
	// One operation always fits, however large it is: no other entry could carry it.
	return b.ops.Count() > 0 && (b.ops.Size(len(op.Body)) > maxBatchBytes || b.ops.Count() >= entry.MaxBatchOps || b.keys+op.Keys > maxBatchKeys)
}

// add adds an operation, which counts for so many bytes.
func (b *batch) add(op *entry.Op, size int64, c Completion) {
	b.ops.Add(op)
	b.bytes += size
	b.keys += op.Keys
	b.waiters = append(b.waiters, c)
}

// finish returns the entry and gives the builder back.
func (b *batch) finish(h *entry.Header) []byte {
	cmd := b.ops.Finish(h)
	// The entry has memory of its own, so the builder can serve another batch at once.
	builders.Put(b.ops)
	b.ops = nil
	return cmd
}

// finishedBatch is a batch whose outcome is known, and the time at which its waiters may learn the outcome.
type finishedBatch struct {
	batch     *batch
	outcome   Outcome
	results   []entry.Result
	notBefore time.Time // zero: at once
}

// complete tells the waiters. No lock is held.
func (f *finishedBatch) complete() {
	for i, w := range f.batch.waiters {
		switch {
		case f.outcome != Applied:
			w.Complete(f.outcome, entry.Result{})
		case i < len(f.results):
			w.Complete(Applied, f.results[i])
		default:
			// The entry ended early, which is a broken log. Whether the operation had an effect is not known.
			w.Complete(Unknown, entry.Result{})
		}
	}

	// Whoever waits for a tick wants to know only that the entry was applied.
	for _, w := range f.batch.ticks {
		w.Complete(f.outcome, entry.Result{})
	}
	f.batch.waiters, f.batch.ticks = nil, nil
}

// finished gathers batches whose outcome is known. Their waiters learn it when no lock is held any more.
type finished []finishedBatch

func (f *finished) add(b *batch, o Outcome) {
	*f = append(*f, finishedBatch{batch: b, outcome: o})
}

func (f finished) complete() {
	for i := range f {
		f[i].complete()
	}
}
