package benchmarks

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/grid"
	"github.com/gridiron-io/gridiron/sdk"
)

// member returns a running member of one, and a client of it.
func member(t *testing.T) (*grid.Member, *sdk.Client) {
	t.Helper()
	m, err := grid.Start(t.Context(), grid.Config{Partitions: 5, NoHTTP: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Kill)
	return m, m.Client()
}

func size(t *testing.T, c *sdk.Client, name string) int {
	t.Helper()
	m, err := sdk.OpenMap[string, []byte](c, name)
	if err != nil {
		t.Fatal(err)
	}
	n, err := m.Size(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestRunCountsEachOperation(t *testing.T) {
	m, client := member(t)
	for op, mix := range mixes {
		t.Run(string(op), func(t *testing.T) {
			var begun, ended, before, during atomic.Int64
			written := func() int64 { // versions of all keys; each Set makes a new one
				mp, err := sdk.OpenMap[string, []byte](client, "load")
				if err != nil {
					t.Fatal(err)
				}
				var sum int64
				for k := range 50 {
					v, found, err := mp.EntryView(t.Context(), keyName(k))
					if err != nil || !found {
						t.Fatalf("%s: %v, %v", keyName(k), found, err)
					}
					if len(v.Value) != 33 {
						t.Errorf("a value of %d bytes, want 33", len(v.Value))
					}
					sum += int64(v.Version)
				}
				return sum
			}
			result, err := Run(t.Context(), Config{Servers: []string{m.Addr()}, Op: op, Callers: []int{1, 7}, Keys: 50, ValueSize: 33,
				Operations: 400, Map: "load", Measuring: func(begin bool) {
					if begin {
						begun.Add(1)
						before.Store(written())
					} else {
						ended.Add(1)
						during.Store(written() - before.Load())
					}
				}})
			if err != nil {
				t.Fatal(err)
			}
			if begun.Load() != 2 || ended.Load() != 2 {
				t.Errorf("measuring began %d times and ended %d times, want 2", begun.Load(), ended.Load())
			}
			if (during.Load() > 0) != (mix.Sets > 0) {
				t.Errorf("%d percent of Sets, and versions grew by %d", mix.Sets, during.Load())
			}
			if result.Op != op || result.Members != 1 || result.Partitions != 5 || result.Keys != 50 || result.ValueSize != 33 {
				t.Errorf("%+v", result)
			}
			for i, callers := range []int{1, 7} {
				r := result.Rounds[i]
				if r.Callers != callers || r.Operations != 400 || r.Errors != 0 || r.FirstError != "" || r.Bytes != 400*(12+33) {
					t.Errorf("%+v", r)
				}
				if !slices.IsSorted([]time.Duration{1, r.P50, r.P90, r.P99, r.P999, r.Max, r.Elapsed}) {
					t.Errorf("latencies %v %v %v %v %v within %v", r.P50, r.P90, r.P99, r.P999, r.Max, r.Elapsed)
				}
				if want := 400 / r.Elapsed.Seconds(); r.PerSecond != want {
					t.Errorf("%f operations per second, want %f", r.PerSecond, want)
				}
				if r.CPU.Members != nil || r.CPU.Total != nil {
					t.Errorf("the CPU time of members is known without their processes: %+v", r.CPU)
				}
			}
			if n := size(t, client, "load"); n != 0 {
				t.Errorf("%d entries left", n)
			}
		})
	}
}

// Listeners hear of each write of a round, and of no other.
func TestRunWithListeners(t *testing.T) {
	m, _ := member(t)
	for _, batch := range []int{0, 7} {
		result, err := Run(t.Context(), Config{Servers: []string{m.Addr()}, Callers: []int{1, 3}, Keys: 50, Batch: batch, Operations: 40,
			Map: "load", WarmUp: time.Millisecond, Listeners: 2})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range result.Rounds {
			if r.Events != 2*40*int64(max(1, batch)) || r.EventsLost != 0 || r.EventsPerSecond == 0 {
				t.Errorf("%+v", r)
			}
			if !slices.IsSorted([]time.Duration{1, r.EventP50, r.EventP99, r.EventMax}) {
				t.Errorf("latencies %v %v %v", r.EventP50, r.EventP99, r.EventMax)
			}
		}
	}
}

// With NearCache, and only then, the operations are answered by the near cache that the client has.
func TestRunThroughANearCache(t *testing.T) {
	m, _ := member(t)
	for _, cached := range []bool{false, true} {
		var near *sdk.Map[string, []byte] // the same near cache
		var before, after uint64
		_, err := Run(t.Context(), Config{Servers: []string{m.Addr()}, Op: OpGet, Callers: []int{3}, Keys: 1, Operations: 100, Map: "load", NearCache: cached,
			Connect: func(ctx context.Context, servers []string) (c *sdk.Client, err error) {
				if c, err = sdk.Connect(ctx, servers); err == nil {
					near, err = sdk.OpenMap[string, []byte](c, "load", sdk.WithNearCache(sdk.NearCacheConfig{MaxEntries: 2}))
				}
				return c, err
			},
			Measuring: func(begin bool) {
				for begin && near.NearCacheStats().Hits == 0 {
					if _, _, err := near.Get(t.Context(), keyName(0)); err != nil {
						t.Fatal(err)
					}
				}
				before, after = after, near.NearCacheStats().Hits
			}})
		if err != nil {
			t.Fatal(err)
		}
		if (after > before) != cached {
			t.Errorf("cached: %v, and %d hits", cached, after-before)
		}
	}
}

func TestRunInBatches(t *testing.T) {
	m, client := member(t)
	for _, op := range []Op{OpSet, OpGet} {
		result, err := Run(t.Context(), Config{Servers: []string{m.Addr()}, Op: op, Callers: []int{3}, Keys: 50, ValueSize: 33, Batch: 7,
			Operations: 40, Map: "load"})
		if err != nil {
			t.Fatal(err)
		}
		if r := result.Rounds[0]; result.Batch != 7 || r.Operations != 40 || r.Errors != 0 || r.Bytes != 40*7*(12+33) {
			t.Errorf("%s: %+v", op, result)
		}
		if n := size(t, client, "load"); n != 0 {
			t.Errorf("%d entries left", n)
		}
	}
}

// batchStore keeps what was written in batches, and forgets a key when it is told to.
type batchStore struct {
	Store
	mu      sync.Mutex // guards the following
	entries map[string]string
	written map[string]bool // values, but for those of Fill
	batches int
}

func (s *batchStore) SetAll(_ context.Context, keys []string, values [][]byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, k := range keys {
		s.entries[k] = string(values[i])
		s.written[string(values[i])] = true
	}
	s.batches++
	return nil
}

func (s *batchStore) GetAll(_ context.Context, keys []string, each func([]byte)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range keys {
		if v, ok := s.entries[k]; ok {
			each([]byte(v))
		}
	}
	return nil
}

func TestBatches(t *testing.T) {
	s := &batchStore{entries: make(map[string]string), written: make(map[string]bool)}
	l, err := NewLoad(s, Config{Op: OpSet, Keys: 10, Batch: 10, ValueSize: 20, Operations: 12})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Round(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	// Each batch has all ten keys, wherever it begins, and no value is written twice.
	if len(s.entries) != 10 || s.batches != 12 || len(s.written) != 120 {
		t.Errorf("%d keys, %d batches, %d values", len(s.entries), s.batches, len(s.written))
	}

	l, err = NewLoad(s, Config{Op: OpGet, Keys: 10, Batch: 4, ValueSize: 20, Operations: 50})
	if err != nil {
		t.Fatal(err)
	}
	if r, err := l.Round(t.Context(), 1); err != nil || r.Errors != 0 {
		t.Errorf("%+v, %v", r, err)
	}
	delete(s.entries, keyName(3))
	if r, err := l.Round(t.Context(), 1); err != nil || r.Errors == 0 || r.FirstError != errWrongAnswer.Error() {
		t.Errorf("without a key: %+v, %v", r, err)
	}
	if _, err := NewLoad(s, Config{Keys: 3, Batch: 4}); !errors.Is(err, sdk.ErrInvalid) {
		t.Errorf("a batch of more keys than there are: %v", err)
	}
}

func TestRunForATime(t *testing.T) {
	m, _ := member(t)
	const d = 30 * time.Millisecond
	result, err := Run(t.Context(), Config{Servers: []string{m.Addr()}, Callers: []int{4}, Keys: 10, Duration: d, WarmUp: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if r := result.Rounds[0]; r.Elapsed < d || r.Operations == 0 || r.Errors != 0 {
		t.Errorf("%+v", r)
	}
}

func TestRunLeavesEntriesOfOthersAlone(t *testing.T) {
	m, client := member(t)
	mp, err := sdk.OpenMap[string, string](client, "mine")
	if err != nil {
		t.Fatal(err)
	}
	if err := mp.Set(t.Context(), "k", "v"); err != nil {
		t.Fatal(err)
	}
	_, err = Run(t.Context(), Config{Servers: []string{m.Addr()}, Map: "mine", Operations: 1})
	if !errors.Is(err, sdk.ErrInvalid) || !strings.Contains(err.Error(), `"mine" has 1 entries`) {
		t.Errorf("Run: %v", err)
	}
	if v, _, err := mp.Get(t.Context(), "k"); v != "v" || err != nil {
		t.Errorf("Get = %q, %v", v, err)
	}
}

func TestRunCountsErrors(t *testing.T) {
	m, client := member(t)
	var clear bool
	cfg := Config{Servers: []string{m.Addr()}, Op: OpGet, Callers: []int{3}, Keys: 10, Operations: 60, Map: "gone", Measuring: func(begin bool) {
		if !begin {
			return
		}
		mp, err := sdk.OpenMap[string, []byte](client, "gone")
		if err == nil && clear {
			err = mp.Clear(t.Context())
		} else if err == nil {
			_, err = mp.Delete(t.Context(), keyName(0))
		}
		if err != nil {
			t.Error(err)
		}
	}}
	result, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	r := result.Rounds[0]
	if r.Errors == 0 || r.Operations+r.Errors != 60 || r.FirstError != errWrongAnswer.Error() {
		t.Errorf("one of ten keys is missing: %+v", r)
	}
	clear = true
	if _, err = Run(t.Context(), cfg); !errors.Is(err, errWrongAnswer) {
		t.Errorf("all keys are missing: %v", err)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	m, client := member(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("enough")
	_, err := Run(ctx, Config{Servers: []string{m.Addr()}, Callers: []int{3}, Keys: 10, Duration: time.Hour, Map: "left",
		Measuring: func(bool) { cancel(cause) }})
	if !errors.Is(err, cause) {
		t.Errorf("Run: %v, want %v", err, cause)
	}
	if n := size(t, client, "left"); n != 0 {
		t.Errorf("%d entries left", n)
	}
}

func TestRunFails(t *testing.T) {
	if _, err := Run(t.Context(), Config{Keys: -1}); !errors.Is(err, sdk.ErrInvalid) {
		t.Errorf("a Config that cannot be: %v", err)
	}
	cause := errors.New("not today")
	connect := func(_ context.Context, servers []string) (*sdk.Client, error) {
		if !slices.Equal(servers, []string{"a", "b"}) {
			t.Errorf("connect to %v", servers)
		}
		return nil, cause
	}
	if _, err := Run(t.Context(), Config{Servers: []string{"a", "b"}, Connect: connect}); !errors.Is(err, cause) {
		t.Errorf("no connection: %v", err)
	}
	m, _ := member(t)
	if _, err := Run(t.Context(), Config{Servers: []string{m.Addr()}, Operations: 1, PIDs: []int{1<<22 + 1}}); err == nil {
		t.Error("the CPU time of no process is known")
	}
}

func TestFillWritesLargeValuesInParts(t *testing.T) {
	m, client := member(t)
	var filled int
	_, err := Run(t.Context(), Config{Servers: []string{m.Addr()}, Op: OpGet, Callers: []int{2}, Keys: 7, ValueSize: 900_000, Operations: 20,
		Map: "large", Measuring: func(begin bool) {
			if begin {
				filled = size(t, client, "large")
			}
		}})
	if err != nil || filled != 7 {
		t.Errorf("%d of 7 keys: %v", filled, err)
	}
}

func TestRunAtARate(t *testing.T) {
	m, _ := member(t)
	result, err := Run(t.Context(), Config{Servers: []string{m.Addr()}, Mix: Mix{Gets: 1, Sets: 1}, Rate: 2000, Zipf: 0.99, Callers: []int{4}, Keys: 10,
		Operations: 200})
	if err != nil {
		t.Fatal(err)
	}
	if result.Op != opMix || result.Mix != (Mix{1, 1}) || result.Rate != 2000 || result.Zipf != 0.99 {
		t.Errorf("%+v", result)
	}
	if r := result.Rounds[0]; r.Operations != 200 || r.Errors != 0 || r.NotBegun != 0 || r.Overruns > 199 || r.Elapsed < 199*time.Second/2000 {
		t.Errorf("%+v", r)
	}
}
