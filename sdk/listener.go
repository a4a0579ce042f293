package sdk

import (
	"context"

	"github.com/gridiron-io/gridiron/sdk/codec"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Subscription is a running listener. It ends with Close, or with its client.
type Subscription struct{ stream *eventStream }

// Close ends the subscription. No callback begins after Close has returned. A running callback is not waited for, so callbacks
// may call Close. Further calls do nothing. The error is always nil.
func (s *Subscription) Close() error {
	s.stream.close(ErrClosed)
	return nil
}

// AddEntryListener calls l's functions for the map's events until the Subscription is closed. It returns once it covers all
// events from now on: it reports every change made by a call that begins after AddEntryListener has returned. ctx, or the
// client's timeout if ctx has no deadline, bounds this call alone.
//
// Each event comes once. The events of one key come in the order of its changes, also if members die, partitions move or the
// network fails. Events of different partitions come in no particular order. If events are no longer kept, because too many
// newer ones came before the listener caught up, Lost is called in their place. If partitions were recovered from too few
// replicas, Lost is called once for each partition whose changes may be missing.
//
// The functions run one after the other, on a goroutine of the subscription. While one runs, up to 10,000 events or 16 MB wait
// in this process. Beyond that only the members' short memory of the latest events helps.
//
// Old and New are zero if there is no such value. They are also zero, with Omitted set, if the value was too large to keep for
// this listener; Old also where the two take more than 5 MB. Members keep up to 32 MB of such values for 10 seconds, and take New
// from the entry while the entry still has the event's version. Events whose key is not a K or whose value is not a V are skipped; the client's logger reports the first.
//
// Errors: ErrInvalid for contradictory options, a key that is not a K, and a token that does not fit; ErrTooLarge;
// ErrUnavailable, ErrTimeout and ErrClosed as for calls.
func (m *Map[K, V]) AddEntryListener(ctx context.Context, l EntryListener[K, V], opts ...ListenerOption) (sub *Subscription, err error) {
	const op = "add_entry_listener"
	calls := [...]func(Event[K, V]){wire.EventAdded: l.Added, wire.EventUpdated: l.Updated, wire.EventRemoved: l.Removed,
		wire.EventExpired: l.Expired, wire.EventEvicted: l.Evicted, wire.EventLoaded: l.Loaded, wire.EventCleared: l.Cleared,
		wire.EventLost: l.Lost, wire.EventTTL: l.Updated}

	// Changes of expiry come only if an option asks for them.
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
			if e.Kind == wire.EventLost {
				s.toldLost(&e)
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
	// The hub must not be made for a client that is closed.
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
	told bool // the logger has been told of an event that is not of a K and V
}

// decode returns e for the listener. It reports false for one that is not of a K and V.
func (d *eventDecoder[K, V]) decode(e *queuedEvent, token ResumeToken) (Event[K, V], bool) {
	out := Event[K, V]{Kind: eventKinds[e.Kind], Version: e.Version, Time: instant(e.Time), Token: token,
		Omitted: e.Flags&wire.EventOmitted != 0}
	if e.Kind == wire.EventLost {
		out.Version = 0 // the stored version only names the generation
	}

	err := error(nil)
	// A CLEARED or LOST concerns no single key.
	if e.Key != nil {
		err = codec.DecodeKey(e.Key, &out.Key)
	}
	if err == nil && e.Old != nil {
		err = d.value(e.Old, &out.Old)
	}
	if err == nil && e.New != nil {
		err = d.value(e.New, &out.New)
	}

	// A map of other types would fill the log with one line per event.
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
