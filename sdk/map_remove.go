package sdk

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// RemoveAll removes all entries that match p and returns how many it removed. Owners do the work, so keys do not travel.
// Listeners get a REMOVED event for each entry.
//
// It is not atomic: it removes some hundred entries of a partition at a time. A matching entry that exists throughout is
// removed. One that is written meanwhile is either removed or left, never changed. If the call fails, removed counts the entries
// that are certainly gone.
//
// Errors: ErrInvalid for p, or if the map has keys to which p cannot apply; ErrUnknownOutcome if a step may have been executed.
func (m *Map[K, V]) RemoveAll(ctx context.Context, p Predicate) (removed int, err error) {
	const op = wire.OpRemoveAll
	where, err := predicateOf(op.String(), m.name, p, reflect.TypeFor[K]())
	if err != nil {
		return 0, err
	}

	ctx, span := m.c.tracer.start(ctx, op.String(), m.name)
	defer func() { endSpan(span, err) }()

	list := make([]*call, m.c.partitionCount())
	for i := range list {
		list[i] = newCall(op, m.name, uint32(i))
		list[i].body = wire.AppendRemoveBody(list[i].body[:0], &wire.RemoveBody{Map: m.wire, Where: where})
	}

	// A round makes one step in each partition that has not come to its end.
	for len(list) > 0 {
		m.c.invokeAll(ctx, list)
		again := list[:0]
		for _, cl := range list {
			next, n, e := m.removedBy(cl)
			removed += n
			// An unknown outcome matters more than any other error: the step may have been executed.
			if e != nil && (err == nil || errors.Is(e, ErrUnknownOutcome) && !errors.Is(err, ErrUnknownOutcome)) {
				err = e
			}

			if e != nil || len(next) == 0 {
				cl.release()
				continue
			}

			// next is part of the answer, which renew drops.
			body := wire.AppendRemoveBody(nil, &wire.RemoveBody{Map: m.wire, After: next, Where: where})
			cl.renew() // each step is a call of its own
			cl.body = append(cl.body[:0], body...)
			again = append(again, cl)
		}

		// The caller gets an error anyhow, so nothing more is removed.
		if list = again; err != nil {
			for _, cl := range list {
				cl.release()
			}
			break
		}
	}

	var detail *Error

	// Some entries may be gone in spite of the error.
	if errors.As(err, &detail) {
		detail.Hint = fmt.Sprintf("%s; %d were removed", detail.Hint, removed)
	}
	return removed, err
}

// predicateOf returns p as members know it, for a call on a map with keys of the given type.
func predicateOf(op, name string, p Predicate, key reflect.Type) (wire.Predicate, error) {
	if p == nil {
		return wire.Predicate{}, invalidf(op, name, "a nil predicate")
	}

	where, err := p.predicate(key)
	if e := (*Error)(nil); errors.As(err, &e) {
		e.Op, e.Name = op, name
	}
	return where, err
}

// removedBy returns what one step came to, and the key after which to go on; none if it was the last.
func (m *Map[K, V]) removedBy(cl *call) (next []byte, n int, err error) {
	if cl.err != nil {
		return nil, 0, cl.err
	}
	r, err := wire.DecodeRemoveResult(cl.Answer.Body)
	if err != nil {
		// The owner has answered, so it has executed the step. How much it removed nobody can tell.
		return nil, 0, cl.fail(ErrUnknownOutcome, "the answer cannot be read: "+err.Error())
	}
	return r.Next, int(r.Removed), nil
}
