package sdk

import (
	"context"
	"iter"
)

// Watch iterates over what happens to the map's entries from the beginning of the iteration on, as [Map.AddEntryListener]
// hears it: the same options, order and bounds, with events of kind LOST among the others. Breaking off the iteration ends
// the watch. An error is the last thing that comes, with a zero event: the context's when that ends, without which the
// iteration waits for ever; ErrClosed when the client is closed; or what AddEntryListener would return.
func (m *Map[K, V]) Watch(ctx context.Context, opts ...ListenerOption) iter.Seq2[Event[K, V], error] {
	const op = "watch"
	return func(yield func(Event[K, V], error) bool) {
		s, err := m.listen(ctx, op, allKinds, opts)
		if err != nil {
			yield(Event[K, V]{}, err)
			return
		}
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
