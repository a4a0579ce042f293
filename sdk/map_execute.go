package sdk

import (
	"context"

	"github.com/gridiron-io/gridiron/sdk/codec"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// ExecuteOnKey lets the owner of key carry out an entry processor on the key's entry, and returns the processor's result. The processor reads
// and changes the entry in one step, exactly once per call, whatever fails and is repeated. The entry keeps its TTL and max-idle.
//
// Every member has these processors:
//
//   - increment adds a number and returns the sum: see [Add]. A list of a number and two bounds keeps the sum within the bounds.
//   - append appends bytes to bytes, or a string to a string, and returns the new length in bytes: see [Append].
//   - json-merge, also called json-set, merges attributes and returns the new value: see [MergeJSON].
//   - list-push appends an element to a list, and returns the new length.
//   - set-add does so if no element of the list is the same, and returns whether it did. A set has 10,000 elements at most.
//   - compare-and-set takes a list of a version and a value. It stores the value if the entry has the version, where 0 stands for no entry, and
//     returns whether it did.
//
// Errors: ErrUnknownProcessor; ErrInvalid if the processor cannot work on the argument or on the value, and ErrTooLarge if the new value would
// be; then nothing has changed.
func ExecuteOnKey[R any, K comparable, V any](ctx context.Context, m *Map[K, V], key K, processor string, arg any) (R, error) {
	const op = wire.OpExecute
	var result R
	if len(processor) == 0 || len(processor) > wire.MaxTaskName {
		return result, invalidf(op.String(), m.name, "a processor's name has from 1 to %d bytes", wire.MaxTaskName)
	}

	cl, err := m.keyed(op, key)
	if err != nil {
		return result, err
	}
	defer cl.release()

	if cl.value, err = (codec.Msgpack{}).Encode(cl.value[:0], arg); err != nil {
		return result, &Error{Op: op.String(), Name: m.name, Partition: -1, Err: because(ErrInvalid, err), Hint: "argument"}
	}
	cl.body = wire.AppendExecuteBody(cl.body[:0], &wire.ExecuteBody{Map: m.wire, Key: cl.key, Name: processor, Arg: cl.value})

	r, err := m.answered(ctx, cl)
	if err != nil {
		return result, err
	}
	if err := (codec.Msgpack{}).Decode(r.Value, &result); err != nil {
		var zero R
		return zero, cl.fail(because(ErrInvalid, err), "the processor was carried out, and its result is of another type")
	}
	return result, nil
}
