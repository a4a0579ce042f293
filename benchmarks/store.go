package benchmarks

import (
	"context"
	"errors"

	"github.com/gridiron-io/gridiron/sdk"
)

// errWrongAnswer is the error of a read that did not find what was written.
var errWrongAnswer = errors.New("a key that was written is not there, or with a value of another length")

// Store is a store of bytes under keys, on which the callers of a Load work: a map of this grid, or another system beside it. Its
// methods are called by many goroutines at once. They may use keys and values until they return, and no longer.
type Store interface {
	// Set stores a value.
	Set(ctx context.Context, key string, value []byte) error
	// Get returns the value of a key, or nil if there is none.
	Get(ctx context.Context, key string) ([]byte, error)
	// SetAll stores the value of each key, which differ. The slices are equally long.
	SetAll(ctx context.Context, keys []string, values [][]byte) error
	// GetAll calls each with every value that is found, from one goroutine at a time.
	GetAll(ctx context.Context, keys []string, each func(value []byte)) error
}

// Adder is a Store whose values are numbers. OpAdd needs one.
type Adder interface {
	Store
	// Add adds 1 to a key's number, where none counts as 0.
	Add(ctx context.Context, key string) error
}

// addedSize is what a number is counted with, in bytes.
const addedSize = 8

// counters are a map of this grid whose values are numbers.
type counters struct {
	Store
	m *sdk.Map[string, int64]
}

// Add adds 1 to a number.
func (c counters) Add(ctx context.Context, key string) error {
	_, err := sdk.Add(ctx, c.m, key, 1)
	return err
}

// mapStore is a map of this grid.
type mapStore struct{ m *sdk.Map[string, []byte] }

// NewMapStore returns a map as a Store.
func NewMapStore(m *sdk.Map[string, []byte]) Store { return mapStore{m} }

// Set stores a value.
func (s mapStore) Set(ctx context.Context, key string, value []byte) error {
	return s.m.Set(ctx, key, value)
}

// Get returns the value of a key.
func (s mapStore) Get(ctx context.Context, key string) ([]byte, error) {
	v, _, err := s.m.Get(ctx, key)
	return v, err
}

// SetAll stores the values of keys.
func (s mapStore) SetAll(ctx context.Context, keys []string, values [][]byte) error {
	entries := make(map[string][]byte, len(keys))
	for i, k := range keys {
		entries[k] = values[i]
	}
	return s.m.SetAll(ctx, entries)
}

// GetAll reads the values of keys.
func (s mapStore) GetAll(ctx context.Context, keys []string, each func(value []byte)) error {
	entries, err := s.m.GetAll(ctx, keys...)
	for _, v := range entries {
		each(v)
	}
	return err
}
