package benchmarks

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gridiron-io/gridiron/sdk"
)

// stampSize is the part of a value that differs from write to write.
const stampSize = 8

// errWrongAnswer is the error of a Get that did not find what was written.
var errWrongAnswer = errors.New("a key that was written is not there, or with a value of another length")

// load is a map under work.
type load struct {
	cfg    Config
	m      *sdk.Map[string, []byte]
	keys   []string
	filler []byte        // what values are made of
	stamp  atomic.Uint64 // callers so far, of all rounds
	mix    Mix
	draw   func(*rand.Rand) int // a key's number

	// The operations.
	set func(ctx context.Context, key string, value []byte) error
	get func(ctx context.Context, key string) error
}

func newLoad(cfg Config, client *sdk.Client) (*load, error) {
	m, err := sdk.OpenMap[string, []byte](client, cfg.Map)
	if err != nil {
		return nil, err
	}
	l := newIdleLoad(cfg)
	l.m, l.get = m, l.read
	l.set = func(ctx context.Context, key string, value []byte) error { return m.Set(ctx, key, value) }
	return l, nil
}

// newIdleLoad returns a load without a map and operations.
func newIdleLoad(cfg Config) *load {
	l := &load{cfg: cfg, mix: cfg.mix(), keys: make([]string, cfg.Keys), filler: make([]byte, cfg.ValueSize)}

	l.draw = func(random *rand.Rand) int { return random.IntN(cfg.Keys) }
	if cfg.Zipf > 0 {
		l.draw = newZipf(cfg.Keys, cfg.Zipf).draw
	}

	for i := range l.keys {
		l.keys[i] = keyName(i)
	}

	_, _ = rand.NewChaCha8([32]byte{}).Read(l.filler) // never fails; bytes that nothing can compress
	return l
}

// keyName returns the i-th key.
func keyName(i int) string { return fmt.Sprintf("key-%08d", i) }

// fill writes all keys. The map must be empty.
func (l *load) fill(ctx context.Context) error {
	n, err := l.m.Size(ctx)
	if err != nil {
		return err
	}
	if n > 0 {
		return fmt.Errorf("%w: the map %q has %d entries, which would be overwritten and destroyed", sdk.ErrInvalid, l.cfg.Map, n)
	}

	chunk := max(1, min(1000, (1<<20)/l.cfg.ValueSize))
	entries := make(map[string][]byte, chunk)
	for i, k := range l.keys {
		entries[k] = l.filler
		if len(entries) < chunk && i < len(l.keys)-1 {
			continue
		}

		if err := l.m.SetAll(ctx, entries); err != nil {
			return fmt.Errorf("write the keys: %w", err)
		}
		clear(entries)
	}
	return nil
}

// run lets callers work until their pace or ctx ends them, and returns what they saw when the last has its answer.
func (l *load) run(ctx context.Context, callers int, p *pace) *recorder {
	shared := make([]*recorder, min(callers, 2*runtime.GOMAXPROCS(0))) // few wait for another, and few stay in the cache
	for i := range shared {
		shared[i] = newRecorder()
	}

	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() { l.call(ctx, p, shared[i%len(shared)]) })
	}
	wg.Wait()

	for _, r := range shared[1:] {
		shared[0].merge(r)
	}
	return shared[0]
}

// call is one caller.
func (l *load) call(ctx context.Context, p *pace, r *recorder) {
	caller := l.stamp.Add(1)
	random := rand.New(rand.NewPCG(caller, uint64(len(l.keys))))
	value := append([]byte(nil), l.filler...)
	free := time.Now()
	if p.rate > 0 {
		free = p.start // to become a goroutine is nothing that a caller does
	}

	for n := uint64(0); ; n++ {
		from, ok := p.next(ctx, free)
		if !ok {
			return
		}

		key, write := l.keys[l.draw(random)], l.writes(random)
		var err error
		if write {
			// No two writes store the same value, so no write can be left out.
			binary.BigEndian.PutUint64(value, caller<<40|n)
			err = l.set(ctx, key, value)
		} else {
			err = l.get(ctx, key)
		}

		free = time.Now()
		r.add(free.Sub(from), err)
	}
}

// writes draws whether an operation is a Set.
func (l *load) writes(random *rand.Rand) bool { return random.IntN(l.mix.Gets+l.mix.Sets) < l.mix.Sets }

// read reads a key, which must be there.
func (l *load) read(ctx context.Context, key string) error {
	v, found, err := l.m.Get(ctx, key)
	if err == nil && (!found || len(v) != l.cfg.ValueSize) {
		return errWrongAnswer
	}
	return err
}
