package exec

import (
	"fmt"
	"iter"

	"github.com/gridiron-io/gridiron/exec/internal/tasks"
	"github.com/gridiron-io/gridiron/sdk"
	"github.com/gridiron-io/gridiron/sdk/codec"
)

// TaskContext tells a task where it runs and for whom. It is valid while the task's function runs.
type TaskContext interface {
	// Member returns the member that runs the task.
	Member() sdk.Member

	// Client returns a client in the member's process. It belongs to the member: do not close it.
	Client() *sdk.Client

	// Key returns the key to whose owner the task was submitted, decoded as into an any. It is nil for other submissions.
	Key() any

	// Attempt counts the runs of the task, from 1.
	Attempt() int

	// Fence returns a number that grows with every attempt of a task that may run again. The task can pass it on, so that other
	// systems refuse older attempts. It is 0 for a plain task, which runs at most once.
	Fence() uint64
}

// Local yields the entries of a map that the task's member owns, without a network hop. On all members together it yields the
// whole map once, as long as no partition changes its owner meanwhile. It is linearizable in each partition, but sees no single
// instant. It ends when the task's context ends.
//
// If a key is not a K or a value is not a V, a zero Entry comes with an error that wraps sdk.ErrInvalid. The iteration goes on. Any other
// error is the last thing that comes. If tc is not the TaskContext that a task was given, the error wraps sdk.ErrInvalid.
func Local[K comparable, V any](tc TaskContext, mapName string) iter.Seq2[sdk.Entry[K, V], error] {
	return func(yield func(sdk.Entry[K, V], error) bool) {
		// TaskContext is an interface that programs may implement for tests. Such a context has no member behind it.
		local, ok := tc.(tasks.LocalReader)
		if !ok {
			yield(sdk.Entry[K, V]{}, fmt.Errorf("local entries of map %q: %w: %T is not the context of a running task", mapName, sdk.ErrInvalid, tc))
			return
		}

		for raw, err := range local.LocalEntries(mapName) {
			// The iteration ends here: it is not known which entries are missing.
			if err != nil {
				yield(sdk.Entry[K, V]{}, fmt.Errorf("local entries of map %q: %w", mapName, err))
				return
			}

			// One entry of other types does not end the iteration, since maps may hold several kinds.
			entry, err := decodeEntry[K, V](raw)
			if err != nil {
				err = fmt.Errorf("local entries of map %q: %w", mapName, err)
			}
			if !yield(entry, err) {
				return
			}
		}
	}
}

func decodeEntry[K comparable, V any](raw tasks.RawEntry) (sdk.Entry[K, V], error) {
	var entry sdk.Entry[K, V]
	if err := (codec.Msgpack{}).Decode(raw.Key, &entry.Key); err != nil {
		return sdk.Entry[K, V]{}, fmt.Errorf("%w: decode a key: %w", sdk.ErrInvalid, err)
	}
	if err := (codec.Msgpack{}).Decode(raw.Value, &entry.Value); err != nil {
		return sdk.Entry[K, V]{}, fmt.Errorf("%w: decode the value of key %v: %w", sdk.ErrInvalid, entry.Key, err)
	}
	return entry, nil
}
