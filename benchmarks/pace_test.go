package benchmarks

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// slowStore answers each Get after a second.
type slowStore struct {
	Store
	size int // of its values

	start time.Time
	mu    sync.Mutex // guards the following
	begun []time.Duration
}

func (s *slowStore) Get(ctx context.Context, _ string) ([]byte, error) {
	s.mu.Lock()
	s.begun = append(s.begun, time.Since(s.start))
	s.mu.Unlock()
	select {
	case <-time.After(time.Second):
		return make([]byte, s.size), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// slow returns a load whose operations take a second each, and the times, since now, at which they begin.
func slow() (*Load, func() []time.Duration) {
	cfg := Config{Op: OpGet, Keys: 10}.WithDefaults()
	s := &slowStore{size: cfg.ValueSize, start: time.Now()}
	l := newIdleLoad(cfg)
	l.store = s
	return l, func() []time.Duration { return s.begun }
}

func near(d, want time.Duration) bool { return max(d-want, want-d) <= want/500 }

func TestOpenLoadBeginsOnTimeWhateverIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, begun := slow()
		now := time.Now()
		p := &pace{start: now, at: now.Add(2 * time.Second), rate: 10}
		r := l.run(t.Context(), 100, p)
		if len(begun()) != 20 || p.planned() != 20 || p.late.Load() != 0 {
			t.Fatalf("%d of %d began, %d late", len(begun()), p.planned(), p.late.Load())
		}
		for n, at := range begun() {
			if want := time.Duration(n) * 100 * time.Millisecond; at != want {
				t.Errorf("operation %d began at %v, want %v", n, at, want)
			}
		}
		if r.max != time.Second || !near(r.quantile(0.01), time.Second) {
			t.Errorf("latencies from %v to %v, want one second", r.quantile(0.01), r.max)
		}
	})
}

// TestLatencyCountsFromTheIntendedTime is one caller for ten operations a second that take a second: the n-th is due at
// n/10 seconds, begins at n seconds, and is answered at n+1. A closed load would call it one second.
func TestLatencyCountsFromTheIntendedTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, begun := slow()
		p := &pace{start: time.Now(), operations: 11, rate: 10}
		r := l.run(t.Context(), 1, p)
		for n, at := range begun() {
			if want := time.Duration(n) * time.Second; at != want {
				t.Errorf("operation %d began at %v, want %v", n, at, want)
			}
		}
		if n := r.latencies.TotalCount(); n != 11 || p.late.Load() != 10 {
			t.Errorf("%d operations, %d late; want 11, all but the first late", n, p.late.Load())
		}
		if want := 10 * time.Second; r.max != want { // due at 1, answered at 11
			t.Errorf("max %v, want %v", r.max, want)
		}
		if got, want := r.quantile(0.5), 5500*time.Millisecond; !near(got, want) { // the sixth: due at 0.5, answered at 6
			t.Errorf("median %v, want %v", got, want)
		}
	})
}

func TestRoundEndsThoughOperationsAreDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, begun := slow()
		l.cfg.Rate, l.cfg.Duration = 10, 3500*time.Millisecond
		round, err := l.Round(t.Context(), 2)
		if err != nil {
			t.Fatal(err)
		}
		// Two callers begin at 0, 0.1, 1, 1.1, 2, 2.1, 3, 3.1 seconds; of 35 operations the first two are on time.
		if len(begun()) != 8 || round.Operations != 8 || round.NotBegun != 27 || round.Overruns != 33 || round.Elapsed != 4100*time.Millisecond {
			t.Errorf("began at %v; %+v", begun(), round)
		}
	})
}

func TestWaitForAnOperationEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		l, begun := slow()
		start := time.Now()
		r := l.run(ctx, 3, &pace{start: start, operations: 100, rate: 1})
		if d := time.Since(start); d != 100*time.Millisecond || len(begun()) != 1 || r.failed != 1 {
			t.Errorf("it took %v, %d began, %d failed", d, len(begun()), r.failed)
		}
	})
}

func TestPlannedAgreesWithTheTimes(t *testing.T) {
	for _, rate := range []int64{1, 3, 7, 1000, 999_983, maxRate} {
		for _, d := range []time.Duration{0, 1, time.Millisecond, time.Second - 1, time.Second, time.Second + 1, 24*time.Hour + 333} {
			p := &pace{rate: rate}
			p.at = p.start.Add(d)
			n := p.planned()
			if n > 0 && p.offset(n-1) >= d || p.offset(n) < d {
				t.Errorf("rate %d, %v: %d operations, of which the last is at %v and the next at %v", rate, d, n, p.offset(n-1), p.offset(n))
			}
		}
	}
}
