package sdk

import (
	"bytes"
	"context"
	"math"
	"reflect"

	"github.com/gridiron-io/gridiron/sdk/codec"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Number is any integer or float of Go.
type Number interface {
	~int | ~int8 | ~int16 | ~int32 | ~int64 | ~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64 | ~uintptr | ~float32 | ~float64
}

// Add adds delta to the value of key where it stands, and returns the sum. An entry that does not exist counts as 0. Any number of callers may
// add to one key at the same time, and no addition is lost or made twice. Without options about its life the entry keeps its TTL and max-idle.
//
// Errors: ErrInvalid if the sum is beyond the range of V, or if the stored value is no V; then nothing has changed. ErrInvalid too if the map
// has a codec of its own. ErrConflict with IfVersion.
func Add[K comparable, V Number](ctx context.Context, m *Map[K, V], key K, delta V, opts ...WriteOption) (V, error) {
	var zero V
	cl, u, err := prepareUpdate(m, wire.ProcessIncrement, key, opts)
	if err != nil {
		return zero, err
	}
	defer cl.release()

	if cl.value, err = appendAddition(cl.value[:0], delta); err != nil {
		return zero, invalidf(wire.OpUpdate.String(), m.name, "%v", err)
	}
	// A type that writes itself in another way has values which are no numbers.
	if own, err := m.encodeValue(wire.OpUpdate, nil, delta); m.codec != nil || err != nil || !bytes.HasPrefix(cl.value[1:], own) {
		return zero, invalidf(wire.OpUpdate.String(), m.name, "Add needs values that are encoded as numbers of MessagePack")
	}

	r, err := runUpdate(ctx, m, cl, &u)
	if err != nil {
		return zero, err
	}
	return m.decodeValue(cl, r.Value)
}

// appendAddition appends the argument of ProcessIncrement: a list of delta and the bounds of its type.
func appendAddition[V Number](dst []byte, delta V) ([]byte, error) {
	v := reflect.ValueOf(delta)
	list := []any{nil, nil, nil}
	switch bits := v.Type().Bits(); {
	case v.CanInt():
		list[0], list[1], list[2] = v.Int(), int64(math.MinInt64)>>(64-bits), int64(math.MaxInt64)>>(64-bits)
	case v.CanUint():
		list[0], list[1], list[2] = v.Uint(), uint64(0), uint64(math.MaxUint64)>>(64-bits)
	case bits == 32:
		// The sum is rounded as Go rounds it.
		list[0], list[1], list[2] = v.Float(), -math.MaxFloat32, math.MaxFloat32
		list = append(list, int64(32))
	default:
		list[0], list[1], list[2] = v.Float(), -math.MaxFloat64, math.MaxFloat64
	}

	dst = codec.AppendHead(dst, codec.KindArray, len(list))
	var err error
	for _, n := range list {
		if dst, err = codec.EncodeKey(dst, n); err != nil {
			return dst, err
		}
	}
	return dst, nil
}

// Append appends b to the bytes of key where they stand, and returns their new length. An entry that does not exist counts as empty. Without
// options about its life the entry keeps its TTL and max-idle.
//
// Each call writes the whole value at every replica, so its cost grows with the value.
//
// Errors: ErrTooLarge if the value would be; ErrInvalid if the stored value is not bytes; then nothing has changed. ErrInvalid too if the map
// has a codec of its own. ErrConflict with IfVersion.
func Append[K comparable](ctx context.Context, m *Map[K, []byte], key K, b []byte, opts ...WriteOption) (length int, err error) {
	cl, u, err := prepareUpdate(m, wire.ProcessAppend, key, opts)
	if err != nil {
		return 0, err
	}
	defer cl.release()

	if m.codec != nil {
		return 0, invalidf(wire.OpUpdate.String(), m.name, "Append needs values that are encoded as bytes of MessagePack")
	}
	// No bytes are still bytes, and not nil.
	cl.value = append(codec.AppendHead(cl.value[:0], codec.KindBytes, len(b)), b...)

	r, err := runUpdate(ctx, m, cl, &u)
	if err != nil {
		return 0, err
	}
	if err := (codec.Msgpack{}).Decode(r.Value, &length); err != nil {
		return 0, cl.fail(ErrUnknownOutcome, "the answer cannot be read: "+err.Error())
	}
	return length, nil
}

// MergeJSON changes attributes of the value of key where it stands, by RFC 7396, and returns the new value. The patch is a map or a struct: its
// attributes replace those of the value, maps within it are merged in the same way, and nil removes an attribute. An entry that does not exist
// counts as empty. A patch that is neither a map nor a struct replaces the value. Without options about its life the entry keeps its TTL and
// max-idle.
//
// NOTE: a struct names all of its fields, so one that is to change only some of them leaves out the others with omitempty, or is a map.
//
// It works on values of MessagePack, and where the map's codec writes JSON on texts of JSON.
//
// Errors: ErrInvalid if value or patch are neither; ErrTooLarge if the value would be; then nothing has changed. ErrConflict with IfVersion.
func MergeJSON[K comparable, V any](ctx context.Context, m *Map[K, V], key K, patch any, opts ...WriteOption) (V, error) {
	var zero V
	cl, u, err := prepareUpdate(m, wire.ProcessMerge, key, opts)
	if err != nil {
		return zero, err
	}
	defer cl.release()

	cd := m.codec
	if cd == nil {
		cd = codec.Msgpack{}
	}
	if cl.value, err = cd.Encode(cl.value[:0], patch); err != nil {
		return zero, &Error{Op: wire.OpUpdate.String(), Name: m.name, Partition: -1, Err: because(ErrInvalid, err), Hint: "patch"}
	}
	if len(cl.value) == 0 {
		return zero, invalidf(wire.OpUpdate.String(), m.name, "the codec encodes the patch as nothing")
	}

	r, err := runUpdate(ctx, m, cl, &u)
	if err != nil {
		return zero, err
	}
	return m.decodeValue(cl, r.Value)
}

// prepareUpdate returns a call for a built-in processor on key, and its body but for the argument. After an error there is no call.
func prepareUpdate[K comparable, V any](m *Map[K, V], p wire.Processor, key K, opts []WriteOption) (*call, wire.UpdateBody, error) {
	cl, w, err := m.prepare(wire.OpUpdate, key, opts)
	// What is changed where it stands goes on to live as it did.
	if w.Flags&(wire.WriteTTL|wire.WriteMaxIdle) == 0 {
		w.Flags |= wire.WriteKeepTTL
	}
	return cl, wire.UpdateBody{WriteOptions: w.WriteOptions, Processor: p}, err
}

// runUpdate runs a built-in processor on the key in cl.key with the argument in cl.value.
func runUpdate[K comparable, V any](ctx context.Context, m *Map[K, V], cl *call, u *wire.UpdateBody) (wire.WriteResult, error) {
	u.Map, u.Key, u.Arg = m.wire, cl.key, cl.value
	cl.body = wire.AppendUpdateBody(cl.body[:0], u)
	return m.answered(ctx, cl)
}
