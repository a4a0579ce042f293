// Package stats makes of the rounds of a measurement what is shown of them. It is pure.
package stats

import (
	"math"
	"slices"
)

// Summary is what rounds come to: their median, and the least and the greatest of them. It is all zero without rounds.
type Summary struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// Summarize returns the summary of values, which it leaves as they are. The median of an even number of them is the mean of the middle two.
func Summarize(values []float64) Summary {
	if len(values) == 0 {
		return Summary{}
	}
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return Summary{Median: (sorted[(n-1)/2] + sorted[n/2]) / 2, Min: sorted[0], Max: sorted[n-1]}
}

// Ratios returns the summary of a's rounds divided by those of b with the same number. Rounds of the same number were measured one after
// the other, so what else the machine did was nearly the same for both. Pairs are left out where one was not measured, which is NaN, or
// where b is 0. pairs counts the others.
func Ratios(a, b []float64) (s Summary, pairs int) {
	var ratios []float64
	for i := range min(len(a), len(b)) {
		if r := a[i] / b[i]; b[i] != 0 && !math.IsNaN(r) {
			ratios = append(ratios, r)
		}
	}
	return Summarize(ratios), len(ratios)
}
