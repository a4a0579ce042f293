package benchmarks

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gridiron-io/gridiron/sdk"
)

// Load is a store under work: its keys, and callers who read and write them.
type Load struct {
	cfg    Config
	store  Store
	adder  Adder // with OpAdd; else nil
	keys   []string
	filler []byte        // what values are made of
	stamp  atomic.Uint64 // callers so far, of all rounds
	mix    Mix
	draw   func(*rand.Rand) int // a key's number
	heard  *listeners           // nil: nobody listens
}

// NewLoad returns a load on a store. Of cfg it heeds what says how callers work: not Servers, Connect and Map.
//
// Errors: sdk.ErrInvalid for an invalid Config.
func NewLoad(store Store, cfg Config) (*Load, error) {
	cfg = cfg.WithDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	l := newIdleLoad(cfg)
	l.store = store
	if cfg.Op == OpAdd {
		adder, ok := store.(Adder)
		if !ok {
			return nil, fmt.Errorf("%w: operation %q on a store that has none", sdk.ErrInvalid, string(cfg.Op))
		}
		l.adder = adder
	}
	return l, nil
}

// newIdleLoad returns a load without a store.
func newIdleLoad(cfg Config) *Load {
	l := &Load{cfg: cfg, mix: cfg.mix(), keys: make([]string, cfg.Keys), filler: make([]byte, cfg.ValueSize)}

	l.draw = func(random *rand.Rand) int { return random.IntN(cfg.Keys) }
	if cfg.Zipf > 0 {
		l.draw = newZipf(cfg.Keys, cfg.Zipf).draw
	}

	// Names are made before any measurement, so that making them costs no operation anything.
	for i := range l.keys {
		l.keys[i] = keyName(i)
	}

	_, _ = rand.NewChaCha8([32]byte{}).Read(l.filler) // never fails; bytes that nothing can compress
	return l
}

// keyName returns the i-th key.
func keyName(i int) string { return fmt.Sprintf("key-%08d", i) }

// Fill writes all keys, one chunk after the other. Numbers are not written: they begin with the first that is added.
func (l *Load) Fill(ctx context.Context) error {
	if l.adder != nil {
		return nil
	}

	// Chunks are bounded, since stores bound the size of one call, and Hazelcast's Go client waits 40 ms for every few of large ones.
	chunk := max(1, min(1000, (128<<10)/l.cfg.ValueSize))
	values := make([][]byte, chunk)
	for i := range values {
		values[i] = l.filler
	}

	for keys := range slices.Chunk(l.keys, chunk) {
		if err := l.store.SetAll(ctx, keys, values[:len(keys)]); err != nil {
			return fmt.Errorf("write the keys: %w", err)
		}
	}
	return nil
}

// run lets callers work until their pace or ctx ends them, and returns what they saw when the last has its answer.
func (l *Load) run(ctx context.Context, callers int, p *pace) *recorder {
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
func (l *Load) call(ctx context.Context, p *pace, r *recorder) {
	w := l.newWorker()
	free := time.Now()
	if p.rate > 0 {
		free = p.start // to become a goroutine is nothing that a caller does
	}

	for {
		from, ok := p.next(ctx, free)
		if !ok {
			return
		}

		err := w.work(ctx)
		free = time.Now()
		r.add(free.Sub(from), err)
	}
}

// writes draws whether an operation is a write.
func (l *Load) writes(random *rand.Rand) bool { return random.IntN(l.mix.Gets+l.mix.Sets) < l.mix.Sets }
