package app

import (
	"bytes"
	"errors"
	"fmt"
	"sync"

	"github.com/gridiron-io/gridiron/sdk"
	"github.com/gridiron-io/gridiron/sdk/codec"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// storedMap hands keys and values through as members hold them, whatever types programs give them.
type storedMap = sdk.Map[storedKey, storedValue]

func openStored(c *sdk.Client, name string) (*storedMap, error) {
	return sdk.OpenMap[storedKey, storedValue](c, name, sdk.WithCodec(storedCodec{}))
}

// storedKey is a key as its encoding, with its partition where its own type chose one.
type storedKey struct {
	encoded       string
	partition, of int // of 0: the partition is what the encoding leads to
}

// keyOf returns the key of an encoding. It returns the codec's errors for bytes that are no key.
func keyOf(encoded []byte) (storedKey, error) {
	b, err := codec.EncodeKey(nil, rawKey(encoded))
	if err == nil && !bytes.Equal(b, encoded) {
		err = fmt.Errorf("%w: another form of %x", codec.ErrMalformed, b)
	}
	return storedKey{encoded: string(b)}, err
}

// MarshalMsgpack returns the encoding.
func (k storedKey) MarshalMsgpack() ([]byte, error) { return []byte(k.encoded), nil }

// UnmarshalMsgpack takes an encoding.
func (k *storedKey) UnmarshalMsgpack(b []byte) error {
	k.encoded = string(b)
	return nil
}

// PlacedIn tells where the key was found. The key keeps the place only if its encoding does not lead there.
func (k *storedKey) PlacedIn(partition, of int) {
	if wire.PartitionOf([]byte(k.encoded), of) != partition {
		k.partition, k.of = partition, of
	}
}

// PartitionKey returns a key that leads to the partition.
func (k storedKey) PartitionKey() any {
	if k.of == 0 {
		return rawKey(k.encoded)
	}
	return routesTo(k.of)[k.partition]
}

// rawKey encodes as itself.
type rawKey string

func (k rawKey) MarshalMsgpack() ([]byte, error) { return []byte(k), nil }

// routes has for each number of partitions that was asked for a list of keys, one for each partition.
var routes sync.Map

// routesTo returns integers of which the n-th is a key in the n-th of so many partitions.
func routesTo(of int) []int64 {
	if list, ok := routes.Load(of); ok {
		return list.([]int64)
	}

	// Integers are tried from zero on, until each partition has one. Two programs find the same ones.
	list, found := make([]int64, of), make([]bool, of)
	var b []byte
	for key, left := int64(0), of; left > 0; key++ {
		b, _ = codec.EncodeKey(b[:0], key)
		if p := wire.PartitionOf(b, of); !found[p] {
			list[p], found[p] = key, true
			left--
		}
	}

	routes.Store(of, list)
	return list
}

// storedValue is a value as its encoding, by whatever codec.
type storedValue []byte

// storedCodec is the codec of storedValue.
type storedCodec struct{}

var errNoStoredValue = errors.New("no encoded value")

// Name returns "stored".
func (storedCodec) Name() string { return "stored" }

// Encode appends the encoding that v is.
func (storedCodec) Encode(dst []byte, v any) ([]byte, error) {
	value, ok := v.(storedValue)
	if !ok || len(value) == 0 {
		return dst, errNoStoredValue
	}
	return append(dst, value...), nil
}

// Decode copies b.
func (storedCodec) Decode(b []byte, v any) error {
	value, ok := v.(*storedValue)
	if !ok {
		return errNoStoredValue
	}
	*value = bytes.Clone(b)
	return nil
}
