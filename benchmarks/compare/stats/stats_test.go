package stats

import (
	"math"
	"testing"
)

func TestSummarize(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   Summary
	}{
		{nil, Summary{}},
		{[]float64{7}, Summary{7, 7, 7}},
		{[]float64{9, 1, 5}, Summary{5, 1, 9}},
		{[]float64{4, 1, 2, 100}, Summary{3, 1, 100}},
	} {
		before := append([]float64(nil), c.values...)
		if got := Summarize(c.values); got != c.want {
			t.Errorf("%v: %+v, want %+v", c.values, got, c.want)
		}
		for i := range before {
			if before[i] != c.values[i] {
				t.Errorf("%v was changed to %v", before, c.values)
			}
		}
	}
}

func TestRatiosArePaired(t *testing.T) {
	nan := math.NaN()
	// The machine was twice as fast in the second round for both: the ratio is the same in each.
	if s, n := Ratios([]float64{100, 200, 90}, []float64{50, 100, 45}); n != 3 || s != (Summary{2, 2, 2}) {
		t.Errorf("%+v of %d pairs", s, n)
	}
	if s, n := Ratios([]float64{10, nan, 30, 40}, []float64{10, 10, 0, 20, 5}); n != 2 || s != (Summary{1.5, 1, 2}) {
		t.Errorf("%+v of %d pairs", s, n)
	}
	if s, n := Ratios(nil, []float64{1}); n != 0 || s != (Summary{}) {
		t.Errorf("%+v of %d pairs", s, n)
	}
}
