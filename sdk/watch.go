package sdk

import (
	"context"
	"iter"
)

// Watch iterates over the map's events from the start of the iteration on, with the options, order and bounds of
// [Map.AddEntryListener]. Events of kind LOST are among them. Leaving the loop ends the watch.
//
// An error is the last thing that comes, with a zero event: the context's error when that ends; ErrClosed when the client is
// closed; or what AddEntryListener would return. Without an end of the context the iteration waits for ever.
func (m *Map[K, V]) Watch(ctx context.Context, opts ...ListenerOption) iter.Seq2[Event[K, V], error] {
	const op = "watch"
	return func(yield func(Event[K, V], error) bool) {
		s, err := m.listen(ctx, op, allKinds, opts)
		if err != nil {
			yield(Event[K, V]{}, err)
			return
		}

		// Leaving the loop in any way ends the stream, and with it the interest at the members.
		defer s.close(ErrClosed)
		d := eventDecoder[K, V]{m: m}
		for {
			e, token, err := s.next(ctx)
			if err != nil {
				yield(Event[K, V]{}, s.fail(err, ""))
				return
			}
			if event, ok := d.decode(&e, token); ok && !yield(event, nil) {
				return
			}
		}
	}
}
