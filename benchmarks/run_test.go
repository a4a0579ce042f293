package benchmarks

import (
	"context"
	"errors"
	"slices"
	"strings"
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
