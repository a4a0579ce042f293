package benchmarks

import (
	"errors"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestRecorderAgreesWithASortedList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := rapid.SliceOfN(rapid.Int64Range(0, 2*highest), 1, 300).Draw(t, "latencies")
		parts := []*recorder{newRecorder(), newRecorder(), newRecorder()}
		for i, d := range all {
			parts[i%len(parts)].add(time.Duration(d), nil)
		}
		for _, p := range parts[1:] {
			parts[0].merge(p)
		}
		slices.Sort(all)
		if got, want := parts[0].max, time.Duration(all[len(all)-1]); got != want {
			t.Fatalf("max %v, want %v", got, want)
		}
		for _, share := range []float64{0.5, 0.9, 0.99, 0.999} {
			got := int64(parts[0].quantile(share))
			rank := max(0, int(share*float64(len(all))+0.5)-1) // the histogram rounds to the nearest rank
			want := min(max(all[rank], lowest), highest)
			if diff := got - min(want, all[len(all)-1]); max(diff, -diff) > want/1000+lowest {
				t.Fatalf("quantile %v of %v is %v, want %v", share, all, time.Duration(got), time.Duration(want))
			}
		}
	})
}

func TestRecorderKeepsTheFirstError(t *testing.T) {
	first, second := errors.New("first"), errors.New("second")
	a, b := newRecorder(), newRecorder()
	a.add(time.Second, first)
	a.add(time.Second, second)
	b.add(time.Second, second)
	b.add(time.Millisecond, nil)
	a.merge(b)
	if a.failed != 3 || a.err != first || a.latencies.TotalCount() != 1 || a.max != time.Millisecond {
		t.Errorf("failed %d, err %v, %d latencies up to %v", a.failed, a.err, a.latencies.TotalCount(), a.max)
	}
	c := newRecorder()
	c.merge(b)
	if c.failed != 1 || c.err != second {
		t.Errorf("failed %d, err %v", c.failed, c.err)
	}
}
