package sdk

import (
	"errors"
	"fmt"
	"reflect"

	"github.com/gridiron-io/gridiron/sdk/codec"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// ListenerOption chooses the events of a listener. See [OnKey], [Matching], [WithoutValues], [WithExpiryChanges] and [From].
type ListenerOption interface{ applyListener(*listenerConfig) error }

type listenerOption func(*listenerConfig) error

func (o listenerOption) applyListener(c *listenerConfig) error { return o(c) }

// listenerConfig is what the options say.
type listenerConfig struct {
	keyed     bool
	key       any
	where     Predicate // nil: every entry
	noValues  bool
	expiry    bool
	from      ResumeToken
	resumable bool // from is given
}

// OnKey limits a listener to the events of one key, which must encode like a K. The listener also gets the CLEARED events of the
// key's partition, since the key may have been among the entries.
func OnKey(key any) ListenerOption {
	return listenerOption(func(c *listenerConfig) error {
		if c.keyed {
			return errors.New("OnKey is given twice")
		}
		c.keyed, c.key = true, key
		return nil
	})
}

// WithoutValues leaves Old and New zero in all events. Listening then costs less, and large values are not fetched.
func WithoutValues() ListenerOption {
	return listenerOption(func(c *listenerConfig) error { c.noValues = true; return nil })
}

// WithExpiryChanges makes SetTTL an UPDATED event, whose Old and New are the same value.
func WithExpiryChanges() ListenerOption {
	return listenerOption(func(c *listenerConfig) error { c.expiry = true; return nil })
}

// From makes a listener continue right after the event that the token came with. The events since then come first, or a LOST
// event in the place of those that are no longer kept. The token may come from another client or process. It must be of the same
// map, and of a listener that covered at least the same partitions.
func From(token ResumeToken) ListenerOption {
	return listenerOption(func(c *listenerConfig) error {
		if token == "" {
			return errors.New("From: the token is empty")
		}
		c.from, c.resumable = token, true
		return nil
	})
}

// allKinds are the kinds of events that listeners hear of, but for SetTTL's.
const allKinds uint16 = 1<<wire.EventAdded | 1<<wire.EventUpdated | 1<<wire.EventRemoved | 1<<wire.EventExpired | 1<<wire.EventEvicted |
	1<<wire.EventLoaded | 1<<wire.EventCleared | 1<<wire.EventLost

// streamConfig returns what a stream for a listener to the given kinds is to bring.
func (m *Map[K, V]) streamConfig(op string, kinds uint16, opts []ListenerOption) (streamConfig, error) {
	var cfg listenerConfig
	for _, o := range opts {
		if o == nil {
			return streamConfig{}, invalidf(op, m.name, "a nil option")
		}
		if err := o.applyListener(&cfg); err != nil {
			return streamConfig{}, invalidf(op, m.name, "%v", err)
		}
	}

	// LOST is always wanted: without it a listener would take an incomplete history for a complete one.
	out := streamConfig{kinds: kinds | 1<<wire.EventLost, values: !cfg.noValues, partition: -1,
		sparse: cfg.keyed || cfg.noValues || kinds&allKinds != allKinds}

	// A TTL event is delivered as an update, so it is of use only to a listener to updates.
	if cfg.expiry && kinds&(1<<wire.EventUpdated) != 0 {
		out.kinds |= 1 << wire.EventTTL
	}

	if cfg.keyed {
		key, partition, err := m.listenedKey(cfg.key)
		if err != nil {
			sentinel := ErrInvalid
			if errors.Is(err, ErrTooLarge) {
				sentinel = ErrTooLarge
			}
			return streamConfig{}, &Error{Op: op, Name: m.name, Partition: -1, Err: sentinel, Hint: "OnKey: " + err.Error()}
		}
		out.key, out.partition = key, partition
	}

	if cfg.where != nil {
		v, err := viewOf(op, m.name, cfg.where, reflect.TypeFor[K]())
		if err != nil {
			return streamConfig{}, err
		}
		out.view, out.sparse = v, true
	}

	// The token is checked against the map and the cluster now, since positions mean nothing elsewhere.
	if cfg.resumable {
		places, err := parseToken(cfg.from, tokenMap(m.c.table.Load().cluster, m.name), m.c.partitionCount())
		if err == nil {
			err = covers(places, out.partition, m.c.partitionCount())
		}
		if err != nil {
			return streamConfig{}, invalidf(op, m.name, "From: %v", err)
		}
		out.from = places
	}
	return out, nil
}

// listenedKey returns the encoding of a key that may be of another type than K, and its partition.
func (m *Map[K, V]) listenedKey(key any) ([]byte, int, error) {
	// The type of a map's keys may differ from program to program. Types that encode alike will do.
	k, ok := key.(K)
	if !ok {
		b, err := codec.EncodeKey(nil, key)
		if err != nil {
			return nil, 0, err
		}
		if err := codec.DecodeKey(b, &k); err != nil {
			return nil, 0, fmt.Errorf("the key is no %T: %w", k, err)
		}
	}

	// The call is never sent. It lends its buffers to the encoding.
	cl := newCall(wire.OpEvents, m.name, 0)
	defer cl.release()
	partition, err := m.encodeKey(cl, k)
	return append([]byte(nil), cl.key...), partition, err
}

// covers returns an error unless the places of a token tell where to begin in a partition, or in all where it is -1.
func covers(places map[int]place, partition, partitions int) error {
	if _, ok := places[partition]; partition >= 0 && !ok || partition < 0 && len(places) < partitions {
		return fmt.Errorf("%w: it is of a listener to another key", errToken)
	}
	return nil
}
