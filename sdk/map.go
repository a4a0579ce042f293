package sdk

import (
	"context"
	"errors"
	"fmt"

	"github.com/gridiron-io/gridiron/sdk/codec"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Map is a distributed map from K to V. It is only a name and a codec: opening one does no I/O, any number may be open under one
// name, and none needs closing. It is safe for concurrent use.
//
// Two keys are the same key if they encode alike. An integer is the same key whatever its Go type, and so is a string: int(7),
// int32(7) and uint8(7) are one key, also in a Map[any, V]. The float 7.0 is another key. 0.0 and -0.0 are one key, as in Go.
// NaN is ErrInvalid, also within a key. docs/KEYS.md has all rules.
//
// Operations on one key are linearizable. Operations on several keys or on the whole map are linearizable in each partition, but
// see no single instant.
//
// If a stored value is not a V, operations that return it fail with ErrInvalid. If that value is the previous value of a write,
// the write has taken effect all the same.
type Map[K comparable, V any] struct {
	c      *Client
	name   string
	wire   []byte      // name
	codec  codec.Codec // nil: codec.Msgpack, called directly
	routed bool        // K may choose its partition itself
	placed bool        // K wants to know where it was found
	view   nearView
}

type mapConfig struct {
	codec codec.Codec
	reads ReadMode
	near  *NearCacheConfig // nil: WithNearCache was not given
}

// WithCodec encodes the map's values with another codec than codec.Msgpack. Keys are always MessagePack.
func WithCodec(cd codec.Codec) MapOption {
	return mapOption(func(c *mapConfig) error {
		if cd == nil {
			return errors.New("WithCodec: the codec is nil")
		}
		c.codec = cd
		return nil
	})
}

// WithReads sets how fresh the map's reads are. The default is Linearizable.
func WithReads(mode ReadMode) MapOption {
	return mapOption(func(c *mapConfig) error {
		if mode != Linearizable {
			return fmt.Errorf("WithReads: unknown mode %d", mode.mode)
		}
		c.reads = mode
		return nil
	})
}

// OpenMap returns the map with a name of 1 to 255 bytes of UTF-8 without control characters. It does no I/O: a map exists as
// soon as it has an entry, also after Destroy.
//
// Errors: ErrInvalid for the name or contradictory options; ErrTooLarge for a name that is too long; ErrClosed.
func OpenMap[K comparable, V any](c *Client, name string, opts ...MapOption) (*Map[K, V], error) {
	if err := wire.CheckMapName(name); err != nil {
		return nil, wireError("open_map", "", err)
	}
	var cfg mapConfig
	for _, o := range opts {
		if o == nil {
			return nil, invalidf("open_map", name, "a nil option")
		}
		if err := o.applyMap(&cfg); err != nil {
			return nil, invalidf("open_map", name, "%v", err)
		}
	}
	if c.life.Err() != nil {
		return nil, &Error{Op: "open_map", Name: name, Partition: -1, Err: ErrClosed}
	}
	// msgpack without options is what a nil codec means, and nil takes the fast paths of encodeValue.
	if _, ok := cfg.codec.(codec.Msgpack); ok {
		cfg.codec = nil
	}
	m := &Map[K, V]{c: c, name: name, wire: []byte(name), codec: cfg.codec, routed: mayRoute[K](), placed: wantsPlace[K]()}
	m.view.own, m.view.codec = cfg.near != nil, codecIdentity(cfg.codec)
	if err := m.openNear(cfg.near); err != nil {
		return nil, err
	}
	return m, nil
}

// wantsPlace reports whether a K is told where it was found.
func wantsPlace[K comparable]() bool {
	_, ok := any(new(K)).(codec.Placed)
	return ok
}

// mayRoute reports whether a K may have the method PartitionKey: if its type has it, or is an interface.
func mayRoute[K comparable]() bool {
	var zero K
	if any(zero) == nil {
		return true
	}
	_, ok := any(zero).(codec.Partitioned)
	return ok
}

// Name returns the map's name.
func (m *Map[K, V]) Name() string { return m.name }

// keyed returns a call of op for a key, encoded in cl.key. After an error there is no call.
func (m *Map[K, V]) keyed(op wire.Op, key K) (*call, error) {
	cl := newCall(op, m.name, 0)
	p, err := m.encodeKey(cl, key)
	if err != nil {
		cl.release()
		return nil, m.keyError(op, err)
	}
	cl.req.Partition = uint32(p)
	return cl, nil
}

// encodeKey encodes key into cl.key and returns its partition.
func (m *Map[K, V]) encodeKey(cl *call, key K) (partition int, err error) {
	cl.key, err = codec.AppendMapKey(cl.key[:0], key)
	if err != nil {
		return 0, err
	}
	// Members would refuse the key too, after it had travelled.
	if len(cl.key) > wire.MaxKey {
		return 0, fmt.Errorf("%w: a key of %d bytes, the limit is %d", ErrTooLarge, len(cl.key), wire.MaxKey)
	}

	// A key that names its own partition still is stored under its whole encoding.
	if m.routed {
		if routing, custom := codec.RouteKey(key); custom {
			if cl.value, err = codec.AppendMapKey(cl.value[:0], routing); err != nil {
				return 0, fmt.Errorf("PartitionKey: %w", err)
			}
			return m.c.partitionOf(cl.value), nil
		}
	}
	return m.c.partitionOf(cl.key), nil
}

// keyError returns the error for a key that encodeKey refused.
func (m *Map[K, V]) keyError(op wire.Op, err error) error {
	sentinel := ErrInvalid
	if errors.Is(err, ErrTooLarge) {
		sentinel = ErrTooLarge
	}
	return &Error{Op: op.String(), Name: m.name, Partition: -1, Err: sentinel, Hint: "key: " + err.Error()}
}

// encodeValue appends the encoding of value to dst.
func (m *Map[K, V]) encodeValue(op wire.Op, dst []byte, value V) ([]byte, error) {
	before := len(dst)
	var err error
	if m.codec != nil {
		dst, err = m.codec.Encode(dst, value)
	} else {
		switch any(value).(type) {
		case string, bool, int, int64, int32, uint64, uint32: // the same as keys and as values, but AppendKey does not allocate
			dst, err = codec.AppendKey(dst, value)
		default:
			dst, err = codec.Msgpack{}.Encode(dst, value)
		}
	}

	// A codec of the program may append nothing or return a shorter slice. Both would be stored as no value.
	n := len(dst) - before
	switch {
	case err != nil:
		return dst, &Error{Op: op.String(), Name: m.name, Partition: -1, Err: because(ErrInvalid, err), Hint: "value"}
	case n <= 0:
		return dst, invalidf(op.String(), m.name, "the codec encodes the value as nothing")
	case n > m.c.cfg.maxValue:
		return dst, &Error{Op: op.String(), Name: m.name, Partition: -1, Err: ErrTooLarge,
			Hint: fmt.Sprintf("a value of %d bytes, the limit of this client is %d: raise it by WithMaxValue, and limits.max_value of the members",
				n, m.c.cfg.maxValue)}
	}
	return dst, nil
}

// decodeValue reads a value that a member sent.
func (m *Map[K, V]) decodeValue(cl *call, b []byte) (v V, err error) {
	if m.codec == nil {
		err = codec.Msgpack{}.Decode(b, &v)
	} else {
		err = m.codec.Decode(b, &v)
	}
	if err != nil {
		var zero V
		return zero, cl.fail(because(ErrInvalid, err), fmt.Sprintf("the stored value is no %T", zero))
	}
	return v, nil
}

// decodeKey reads a key that a member sent.
func (m *Map[K, V]) decodeKey(cl *call, b []byte) (k K, err error) {
	if err = codec.DecodeKey(b, &k); err != nil {
		var zero K
		return zero, cl.fail(because(ErrInvalid, err), fmt.Sprintf("a stored key is no %T", zero))
	}

	// A program that copies entries needs to know where the key was found, which the key alone may not say.
	if m.placed {
		any(&k).(codec.Placed).PlacedIn(int(cl.req.Partition), m.c.partitionCount())
	}
	return k, nil
}

// run invokes cl within a span.
func (m *Map[K, V]) run(ctx context.Context, cl *call) error { return m.c.run(ctx, cl) }
