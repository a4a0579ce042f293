package benchmarks

import (
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Latencies are recorded from a microsecond up to an hour with three digits. No call takes that long, but operations of an
// open load may wait for a caller.
const (
	lowest  = int64(time.Microsecond)
	highest = int64(time.Hour)
	digits  = 3
)

// recorder gathers what some of the callers saw. There are fewer of them than callers, because a histogram is large.
type recorder struct {
	mu        sync.Mutex // guards the following
	latencies *hdrhistogram.Histogram
	max       time.Duration
	failed    int64
	err       error // the first
	_         [64]byte
}

func newRecorder() *recorder { return &recorder{latencies: hdrhistogram.New(lowest, highest, digits)} }

// add records one operation.
func (r *recorder) add(d time.Duration, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		// The first error is kept: those that follow mostly follow from it.
		if r.failed++; r.err == nil {
			r.err = err
		}
		return
	}

	// The histogram has a highest value. The longest operation is kept beside it as it was.
	r.max = max(r.max, d)
	_ = r.latencies.RecordValue(min(max(int64(d), lowest), highest)) // in its range
}

// merge adds all of from, to which nobody adds any more.
func (r *recorder) merge(from *recorder) {
	r.latencies.Merge(from.latencies)
	r.max = max(r.max, from.max)
	r.failed += from.failed
	if r.err == nil {
		r.err = from.err
	}
}

// quantile returns the latency within which a share of the operations was done, of those that were not refused.
func (r *recorder) quantile(share float64) time.Duration {
	return min(time.Duration(r.latencies.ValueAtQuantile(100*share)), r.max)
}
