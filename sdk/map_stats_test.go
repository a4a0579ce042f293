package sdk

import (
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// operationStats returns what is counted of operations that took so long.
func operationStats(took []time.Duration) OperationStats {
	o := wire.OpStats{Op: wire.OpGet, Buckets: make([]uint64, wire.LatencyBuckets)}
	for _, d := range took {
		o.Nanos += uint64(d)
		o.Buckets[wire.LatencyBucket(uint64(d/time.Microsecond))]++
	}
	c := mapCountsOf(&wire.MapCounts{Ops: []wire.OpStats{o}})
	return c.Operations["get"]
}

// Quantiles are those of what was counted, as well as buckets tell.
func TestOperationStats(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var took []time.Duration
		for range rapid.IntRange(1, 200).Draw(t, "operations") {
			took = append(took, time.Duration(math.Pow(10, rapid.Float64Range(3.5, 10).Draw(t, "log of nanoseconds"))))
		}
		o := operationStats(took)
		slices.Sort(took)
		var sum time.Duration
		for _, d := range took {
			sum += d
		}
		if o.Count != uint64(len(took)) || o.Time != sum || o.Mean() != sum/time.Duration(len(took)) {
			t.Fatalf("%d of %v, mean %v", o.Count, o.Time, o.Mean())
		}
		for _, q := range []float64{0.5, 0.9, 0.99, 1} {
			exact := took[max(0, int(math.Ceil(q*float64(len(took))))-1)]
			if got := o.Quantile(q); got < exact*2/3-time.Microsecond || got > exact*3/2+time.Microsecond {
				t.Fatalf("%v of %v: %v, exactly %v", q, took, got, exact)
			}
		}
	})
	if (OperationStats{}).Quantile(0.99) != 0 || (OperationStats{}).Mean() != 0 {
		t.Error("nothing takes time")
	}
}

func TestMapCountsAdd(t *testing.T) {
	a := MapCounts{Entries: 1, Bytes: 2, Locks: 3, Hits: 4, Misses: 5, Expirations: 6, Evictions: 7, Events: 8, Remembered: 9,
		Operations: map[string]OperationStats{"get": operationStats([]time.Duration{time.Millisecond})}}
	var sum MapCounts
	sum.add(&a)
	sum.add(&a)
	if get := sum.Operations["get"]; get.Count != 2 || get.Time != 2*time.Millisecond || get.Quantile(1) < 500*time.Microsecond {
		t.Errorf("%+v", get)
	}
	if sum.Entries != 2 || sum.Bytes != 4 || sum.Locks != 6 || sum.Hits != 8 || sum.Misses != 10 || sum.Expirations != 12 || sum.Evictions != 14 ||
		sum.Events != 16 || sum.Remembered != 18 {
		t.Errorf("%+v", sum)
	}
	if a.Operations["get"].Count != 1 {
		t.Error("what was added has changed")
	}
}
