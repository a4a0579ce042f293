package codec

import (
	"encoding/binary"
	"fmt"
)

// Partitioned is implemented by key types that choose their partition themselves: keys whose PartitionKey encodes alike
// live in one partition. K itself must have the method, not only *K.
type Partitioned interface {
	// PartitionKey returns the value to route by, itself a valid key. It must depend on the key alone.
	PartitionKey() any
}

// Placed is implemented by key types that are told where they were found when a client iterates over keys or entries. It is for
// programs that copy entries without the type that chose their partition. *K has the method.
type Placed interface {
	// PlacedIn tells a key, once it is decoded, that it lies in the partition of that number among so many.
	PlacedIn(partition, of int)
}

// RouteKey returns the value whose encoding decides on the key's partition, and whether it is another than key.
func RouteKey(key any) (routing any, custom bool) {
	if p, ok := key.(Partitioned); ok {
		return p.PartitionKey(), true
	}
	return key, false
}

// EncodeKey appends the encoding of a key to dst: the form of Msgpack, whatever codec a map has for its values. Nil and
// NaN, also within the key, are ErrUnsupported. With an error it returns dst as it was.
func EncodeKey(dst []byte, key any) ([]byte, error) {
	if out, ok := appendScalarKey(dst, key); ok {
		return out, nil
	}
	return encodeKey(dst, key, asKey)
}

// AppendMapKey is AppendKey for a key of a grid's map. Keys that Go finds equal encode alike: -0.0, also within the key, is written
// as 0.0. Keys that a type encodes itself are what it makes of them.
func AppendMapKey[K any](dst []byte, key K) ([]byte, error) {
	switch k := any(key).(type) {
	case float64:
		if k == 0 {
			return appendFloat(dst, 0), nil
		}
	case float32:
		if k == 0 {
			return appendFloat(dst, 0), nil
		}
	}

	// The common types of keys take no encoder and no reflection.
	if out, ok := appendScalarKey(dst, key); ok {
		return out, nil
	}
	return encodeKey(dst, key, asMapKey)
}

// AppendKey is EncodeKey for a key whose type is known. It allocates nothing for predeclared scalar types.
func AppendKey[K any](dst []byte, key K) ([]byte, error) {
	if out, ok := appendScalarKey(dst, key); ok {
		return out, nil
	}
	return encodeKey(dst, key, asKey)
}

// DecodeKey reads the encoding b of a key into the value that key points to, under the rules of Msgpack.Decode.
func DecodeKey(b []byte, key any) error { return Msgpack{}.Decode(b, key) }

// appendScalarKey is appendScalar but for what is not a key.
func appendScalarKey(dst []byte, key any) ([]byte, bool) {
	switch k := key.(type) {
	case nil:
		// nil, and what equals nothing, cannot name an entry. encodeKey says so with its reasons.
		return dst, false
	case float64:
		if k != k {
			return dst, false
		}
	case float32:
		if k != k {
			return dst, false
		}
	case []byte:
		if k == nil {
			return dst, false
		}
	}
	return appendScalar(dst, key)
}

func encodeKey(dst []byte, key any, as use) ([]byte, error) {
	out, err := encode(dst, key, as)
	if err != nil {
		return dst, err
	}
	if out[len(dst)] == codeNil {
		return dst, fmt.Errorf("%w: nil as a key", ErrUnsupported)
	}
	return out, nil
}

// KeyText returns the text that an encoded key is; false if it is no text. The text aliases b.
func KeyText(b []byte) (text []byte, ok bool) {
	head, size := 0, 0
	// The forms of a msgpack string, by the size of its length.
	switch {
	case len(b) == 0:
		return nil, false
	case b[0]&0xe0 == 0xa0:
		head, size = 1, int(b[0]&0x1f)
	case b[0] == 0xd9 && len(b) >= 2:
		head, size = 2, int(b[1])
	case b[0] == 0xda && len(b) >= 3:
		head, size = 3, int(binary.BigEndian.Uint16(b[1:]))
	case b[0] == 0xdb && len(b) >= 5:
		head, size = 5, int(binary.BigEndian.Uint32(b[1:]))
	default:
		return nil, false
	}

	// Bytes follow, or are missing: this is no encoded key.
	if len(b) != head+size {
		return nil, false
	}
	return b[head:], true
}
