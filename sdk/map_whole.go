package sdk

import (
	"context"
	"errors"
	"fmt"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Clear deletes all entries, in each partition at once. If it fails, some partitions may already be empty; the error says how
// many.
func (m *Map[K, V]) Clear(ctx context.Context) error {
	return m.whole(ctx, wire.OpClear, func(*call) error { return nil })
}

// Destroy deletes the map with everything that belongs to it, such as its locks. It deletes the entries as Clear does. The name
// can be used again: the map is empty then.
func (m *Map[K, V]) Destroy(ctx context.Context) error {
	return m.whole(ctx, wire.OpDestroy, func(*call) error { return nil })
}

// Size returns the number of entries. Partitions are counted at the same time: during writes, the sum is of no single instant.
func (m *Map[K, V]) Size(ctx context.Context) (int, error) {
	var sum uint64
	err := m.whole(ctx, wire.OpSize, func(cl *call) error {
		r := wire.NewReader(cl.Answer.Body)
		sum += r.Uvarint()
		return r.Done()
	})
	if err != nil {
		return 0, err
	}
	return int(sum), nil
}

// IsEmpty reports whether Size is 0.
func (m *Map[K, V]) IsEmpty(ctx context.Context) (bool, error) {
	n, err := m.Size(ctx)
	return n == 0 && err == nil, err
}

// whole runs op in all partitions at the same time and hands the answers to take, one after the other.
func (m *Map[K, V]) whole(ctx context.Context, op wire.Op, take func(*call) error) (err error) {
	ctx, span := m.c.tracer.start(ctx, op.String(), m.name)
	defer func() { endSpan(span, err) }()

	list := make([]*call, m.c.partitionCount())
	for i := range list {
		list[i] = newCall(op, m.name, uint32(i))
		list[i].body = wire.AppendMapBody(list[i].body[:0], m.name)
	}
	m.c.invokeAll(ctx, list)

	done := 0
	for _, cl := range list {
		e := cl.err
		if e == nil {
			if e = take(cl); e != nil {
				e = unreadable(op, m.name, int(cl.req.Partition), e)
			}
		}
		switch {
		case e == nil:
			done++
		// An unknown outcome matters more than any other error: an attempt may have been executed.
		case err == nil || errors.Is(e, ErrUnknownOutcome) && !errors.Is(err, ErrUnknownOutcome):
			err = e
		}
		cl.release()
	}

	var detail *Error

	// The parts that succeeded stay done, so the caller learns how much that is.
	if op.IsWrite() && errors.As(err, &detail) {
		more := fmt.Sprintf("done in %d of %d partitions", done, len(list))
		if detail.Hint != "" {
			more = detail.Hint + "; " + more
		}
		detail.Hint = more
	}
	return err
}
