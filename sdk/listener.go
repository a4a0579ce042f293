package sdk

import (
	"context"

	"github.com/gridiron-io/gridiron/sdk/codec"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Subscription is a listener at work. It ends with Close, or with the client.
type Subscription struct{ stream *eventStream }

// Close ends the subscription. No callback begins after it returned; one that runs is not waited for, so Close may be called
// from callbacks. It may be called more than once. The error is always nil.
func (s *Subscription) Close() error {
	s.stream.close(ErrClosed)
	return nil
}

// AddEntryListener calls l's functions for what happens to the map's entries, until the Subscription is closed. It returns
// once events from now on are covered: every change made by a call that begins after that will be heard of. ctx, or the
// client's timeout where it has no deadline, bounds this call alone.
//
// Each event comes once and, for each key, in the order in which the changes happened; also when members die, partitions
// move or the network fails meanwhile. Where events cannot be had any more, because too many others came after them before
// this listener could be reached or had kept up, Lost is called in their place. Events of different partitions come in no
// particular order.
//
// The functions are called one after the other, on a goroutine of the subscription. While one runs, up to 10,000 events or
// 16 MB wait in this process; then the members' memory of the last events must do, which is short.
//
// Old and New are zero where there is no such value, and, with Omitted set, where it was so large that it was not kept for this
// listener. Members keep what their memory of the last events has no room for until it was published, up to 32 MB in all and for
// 10 seconds, and take New from the entry while that has the event's version. An event whose key is no K or whose value is no V is
// skipped; the client's logger is told of the first.
//
// Where partitions had to be recovered from too few replicas, Lost is called once for each partition of which changes may be missing.
//
// Errors: ErrInvalid for contradictory options, a key that is no K and a token that is of no use here; ErrTooLarge; and
// ErrUnavailable, ErrTimeout and ErrClosed as for calls.
func (m *Map[K, V]) AddEntryListener(ctx context.Context, l EntryListener[K, V], opts ...ListenerOption) (_ *Subscription, err error) {
	const op = "add_entry_listener"
	calls := [...]func(Event[K, V]){wire.EventAdded: l.Added, wire.EventUpdated: l.Updated, wire.EventRemoved: l.Removed,
		wire.EventExpired: l.Expired, wire.EventEvicted: l.Evicted, wire.EventLoaded: l.Loaded, wire.EventCleared: l.Cleared,
		wire.EventLost: l.Lost, wire.EventTTL: l.Updated}
	var kinds uint16
	for kind, f := range calls {
		if f != nil && kind != int(wire.EventTTL) {
			kinds |= 1 << kind
		}
	}
	ctx, span := m.c.tracer.start(ctx, op, m.name)
	defer func() { endSpan(span, err) }()
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, m.c.cfg.timeout)
		defer cancel()
	}
	s, err := m.listen(ctx, op, kinds, opts)
	if err != nil {
		return nil, err
	}
	// The goroutine of the callbacks ends with the stream, as soon as the callback that runs lets it. The client's Close does
	// not wait for it: it may be called from there.
	go func() {
		d := eventDecoder[K, V]{m: m}
		for {
			e, token, err := s.next(context.Background())
			if err != nil {
				return
			}
			if f := calls[e.Kind]; f != nil {
				if event, ok := d.decode(&e, token); ok && s.open() {
					f(event)
				}
			}
		}
	}()
	return &Subscription{s}, nil
}

// listen returns a stream that flows.
func (m *Map[K, V]) listen(ctx context.Context, op string, kinds uint16, opts []ListenerOption) (*eventStream, error) {
	cfg, err := m.streamConfig(op, kinds, opts)
	if err != nil {
		return nil, err
	}
	if m.c.life.Err() != nil {
		return nil, &Error{Op: op, Name: m.name, Partition: -1, Err: ErrClosed}
	}
	s := m.c.newEventStream(op, m.name, cfg)
	if err := s.start(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

var eventKinds = [...]EventKind{wire.EventAdded: EventAdded, wire.EventUpdated: EventUpdated, wire.EventRemoved: EventRemoved,
	wire.EventExpired: EventExpired, wire.EventEvicted: EventEvicted, wire.EventLoaded: EventLoaded, wire.EventCleared: EventCleared,
	wire.EventLost: EventLost, wire.EventTTL: EventUpdated}

// eventDecoder makes events of what was queued.
type eventDecoder[K comparable, V any] struct {
	m    *Map[K, V]
	told bool // of an event that is none of a K and V
}

// decode returns e for the listener. It reports false for one that is not of a K and V.
func (d *eventDecoder[K, V]) decode(e *queuedEvent, token ResumeToken) (Event[K, V], bool) {
	out := Event[K, V]{Kind: eventKinds[e.Kind], Version: e.Version, Time: instant(e.Time), Token: token,
		Omitted: e.Flags&wire.EventOmitted != 0}
	if e.Kind == wire.EventLost {
		out.Version = 0 // which is none of an entry
	}
	err := error(nil)
	if e.Key != nil {
		err = codec.DecodeKey(e.Key, &out.Key)
	}
	if err == nil && e.Old != nil {
		err = d.value(e.Old, &out.Old)
	}
	if err == nil && e.New != nil {
		err = d.value(e.New, &out.New)
	}
	if err != nil && !d.told {
		d.told = true
		d.m.c.cfg.logger.Warn("gridiron: an event is skipped, and so will be others like it: the entry is of other types", "map", d.m.name,
			"partition", e.partition, "error", err)
	}
	return out, err == nil
}

func (d *eventDecoder[K, V]) value(b []byte, v *V) error {
	if d.m.codec == nil {
		return codec.Msgpack{}.Decode(b, v)
	}
	return d.m.codec.Decode(b, v)
}
