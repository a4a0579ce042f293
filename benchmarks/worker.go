package benchmarks

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
)

// stampSize is the part of a value that differs from write to write.
const stampSize = 8

// worker is what one caller has for itself.
type worker struct {
	l      *Load
	random *rand.Rand
	caller uint64
	stamps uint64 // values so far
	keys   []string
	values [][]byte
	found  int          // values of the last GetAll with the right length
	count  func([]byte) // for GetAll
}

func (l *Load) newWorker() *worker {
	w := &worker{l: l, caller: l.stamp.Add(1)}
	// The seed is the caller's number, so that runs draw the same keys.
	w.random = rand.New(rand.NewPCG(w.caller, uint64(len(l.keys))))
	w.keys, w.values = make([]string, max(1, l.cfg.Batch)), make([][]byte, max(1, l.cfg.Batch))
	if l.mix.Sets > 0 {
		for i := range w.values {
			// A copy for each caller, since each write puts a stamp into its value.
			w.values[i] = append([]byte(nil), l.filler...)
		}
	}

	// Made once: a function made for each operation would allocate.
	w.count = func(v []byte) {
		if len(v) == l.cfg.ValueSize {
			w.found++
		}
	}
	return w
}

// work does one operation.
func (w *worker) work(ctx context.Context) error {
	first := w.l.draw(w.random)
	for i := range w.keys {
		w.keys[i] = w.l.keys[(first+i)%len(w.l.keys)]
	}

	if w.l.adder != nil {
		return w.l.adder.Add(ctx, w.keys[0])
	}
	if w.l.writes(w.random) {
		return w.write(ctx)
	}
	return w.read(ctx)
}

func (w *worker) write(ctx context.Context) error {
	// No two writes store the same value, so no write can be left out.
	for _, v := range w.values {
		binary.BigEndian.PutUint64(v, w.caller<<40|w.stamps)
		w.stamps++
	}
	err := w.send(ctx)
	if h := w.l.heard; h != nil && err == nil {
		h.written.Add(int64(len(w.keys)))
	}
	return err
}

// send writes the values, which are ready.
func (w *worker) send(ctx context.Context) error {
	if h := w.l.heard; h != nil {
		for _, v := range w.values {
			h.stamp(v)
		}
	}
	if w.l.cfg.Batch > 0 {
		return w.l.store.SetAll(ctx, w.keys, w.values)
	}
	return w.l.store.Set(ctx, w.keys[0], w.values[0])
}

// read reads keys, which must be there.
func (w *worker) read(ctx context.Context) error {
	if w.l.cfg.Batch == 0 {
		v, err := w.l.store.Get(ctx, w.keys[0])
		if err == nil && len(v) != w.l.cfg.ValueSize {
			return errWrongAnswer
		}
		return err
	}

	w.found = 0
	err := w.l.store.GetAll(ctx, w.keys, w.count)
	if err == nil && w.found != len(w.keys) {
		return errWrongAnswer
	}
	return err
}
