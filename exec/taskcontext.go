package exec

import (
	"context"
	"fmt"
	"iter"

	"github.com/gridiron-io/gridiron/sdk"
	"github.com/gridiron-io/gridiron/sdk/codec"
)

// TaskContext tells a task where and on what behalf it runs. It is valid while the task's function runs.
type TaskContext interface {
	// Member returns the member that runs the task.
	Member() sdk.Member

	// Client returns a client in the member's process. It belongs to the member: do not close it.
	Client() *sdk.Client

	// Key returns the key whose owner the task was submitted to, decoded as into an any; nil if it was not.
	Key() any

	// Attempt counts the runs of the task, from 1.
	Attempt() int

	// Fence returns a number that grows with every attempt of a task that may be run again, with which the task can fence
	// its effects elsewhere. It is 0 for a plain task, which runs once at most.
	Fence() uint64
}

// RawEntry is one entry of a map as it is stored.
type RawEntry struct {
	Key   []byte // msgpack
	Value []byte // msgpack
}

// taskContext is the TaskContext that every task gets.
//
// NOTE: it keeps the task's ctx because Local takes none: it must end with the task.
type taskContext struct {
	ctx     context.Context
	service *Service
	key     any
	attempt int
}

func (tc *taskContext) Member() sdk.Member  { return tc.service.cfg.Member() }
func (tc *taskContext) Client() *sdk.Client { return tc.service.cfg.Client() }
func (tc *taskContext) Key() any            { return tc.key }
func (tc *taskContext) Attempt() int        { return tc.attempt }
func (tc *taskContext) Fence() uint64       { return 0 }

func (tc *taskContext) localEntries(mapName string) iter.Seq2[RawEntry, error] {
	return tc.service.cfg.LocalEntries(tc.ctx, mapName)
}

// localReader is how Local reaches the entries; the TaskContext that a member makes implements it.
type localReader interface {
	localEntries(mapName string) iter.Seq2[RawEntry, error]
}

var _ localReader = (*taskContext)(nil)

// Local yields the entries of a map whose partitions the member that runs the task owns, without a network hop. Run on all
// members it covers the map once, as far as no partition changes its owner meanwhile. Each partition's part is
// linearizable, the whole is not one instant. It ends when the task's ctx does.
//
// An entry whose key or value is not a K or V is yielded as a zero Entry with an error wrapping sdk.ErrInvalid, and the
// iteration goes on; any other error is the last thing it yields. With a tc that is not the one which the task was given it
// yields sdk.ErrInvalid.
func Local[K comparable, V any](tc TaskContext, mapName string) iter.Seq2[sdk.Entry[K, V], error] {
	return func(yield func(sdk.Entry[K, V], error) bool) {
		local, ok := tc.(localReader)
		if !ok {
			yield(sdk.Entry[K, V]{}, fmt.Errorf("local entries of map %q: %w: %T is not the context of a running task", mapName, sdk.ErrInvalid, tc))
			return
		}
		for raw, err := range local.localEntries(mapName) {
			if err != nil {
				yield(sdk.Entry[K, V]{}, fmt.Errorf("local entries of map %q: %w", mapName, err))
				return
			}
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

func decodeEntry[K comparable, V any](raw RawEntry) (sdk.Entry[K, V], error) {
	var entry sdk.Entry[K, V]
	if err := (codec.Msgpack{}).Decode(raw.Key, &entry.Key); err != nil {
		return sdk.Entry[K, V]{}, fmt.Errorf("%w: decode a key: %w", sdk.ErrInvalid, err)
	}
	if err := (codec.Msgpack{}).Decode(raw.Value, &entry.Value); err != nil {
		return sdk.Entry[K, V]{}, fmt.Errorf("%w: decode the value of key %v: %w", sdk.ErrInvalid, entry.Key, err)
	}
	return entry, nil
}
