package benchmarks

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/gridiron-io/gridiron/sdk"
)

// shares returns the exact chance of each place.
func shares(n int, theta float64) []float64 {
	var sum float64
	list := make([]float64, n)
	for i := range list {
		list[i] = 1 / math.Pow(float64(i+1), theta)
		sum += list[i]
	}
	for i := range list {
		list[i] /= sum
	}
	return list
}

// TestZipfFollowsTheFormula goes through [0, 1) in even steps, so that there is no chance in it.
func TestZipfFollowsTheFormula(t *testing.T) {
	const steps = 200_000
	for _, n := range []int{1, 2, 3, 10, 1000, 10_000} {
		for _, theta := range []float64{0.1, 0.5, 0.99, maxTheta} {
			z, want, got := newZipf(n, theta), shares(n, theta), make([]float64, n)
			last := 0
			for i := range steps {
				place := z.place((float64(i) + 0.5) / steps)
				if place < last || place >= n {
					t.Fatalf("n %d, theta %v: place %d after %d", n, theta, place, last)
				}
				last = place
				got[place] += 1.0 / steps
			}
			var wantSum, gotSum float64
			for i := range n {
				if i < 2 && math.Abs(got[i]-want[i]) > 2.0/steps { // exact but for the steps
					t.Errorf("n %d, theta %v: the place %d has %v, want %v", n, theta, i, got[i], want[i])
				}
				wantSum, gotSum = wantSum+want[i], gotSum+got[i]
				if math.Abs(gotSum-wantSum) > 0.05 {
					t.Fatalf("n %d, theta %v: the first %d places have %v, want %v", n, theta, i+1, gotSum, wantSum)
				}
			}
		}
	}
}

func TestZipfDrawsFewKeysOften(t *testing.T) {
	const n, draws = 1000, 100_000
	z, want := newZipf(n, defaultTheta), shares(n, defaultTheta)
	random := rand.New(rand.NewPCG(1, 2)) // the same draws in each run
	counts := make([]float64, n)
	for range draws {
		counts[z.draw(random)]++
	}
	for place := range 2 {
		share := counts[z.scatter(place)] / draws
		if deviation := math.Sqrt(want[place] / draws); math.Abs(share-want[place]) > 6*deviation {
			t.Errorf("the key at place %d has %v, want %v", place, share, want[place])
		}
	}
	if hottest := slices.Max(counts); hottest != counts[z.scatter(0)] {
		t.Errorf("a key has %v draws, and that at the first place %v", hottest, counts[z.scatter(0)])
	}
}

func TestScatterIsAPermutation(t *testing.T) {
	for _, n := range []int{1, 2, 3, 4, 5, 64, 1000, 10_007, 1 << 16} {
		z, seen := newZipf(n, defaultTheta), make([]bool, n)
		for place := range n {
			k := z.scatter(place)
			if k < 0 || k >= n || seen[k] {
				t.Fatalf("n %d: place %d is at %d", n, place, k)
			}
			seen[k] = true
		}
	}
}

func TestHotKeysAreNoNeighbours(t *testing.T) {
	const n, hot = 10_000, 50
	z := newZipf(n, defaultTheta)
	var tenths [10]int
	for place := range hot {
		tenths[z.scatter(place)*10/n]++
	}
	if slices.Min(tenths[:]) == 0 || slices.Max(tenths[:]) > 3*hot/10 {
		t.Errorf("the hottest %d keys are in the tenths of all keys as %v", hot, tenths)
	}
}

func TestParseKeys(t *testing.T) {
	for text, want := range map[string]struct {
		keys  int
		theta float64
	}{
		"10000": {10_000, 0}, "uniform": {0, 0}, "zipf": {0, 0.99}, "zipf:0.5": {0, 0.5}, "7,zipf": {7, 0.99}, "zipf:0.9,7": {7, 0.9},
		"7,uniform": {7, 0},
	} {
		if keys, theta, err := ParseKeys(text); keys != want.keys || theta != want.theta || err != nil {
			t.Errorf("%q: %d, %v, %v; want %+v", text, keys, theta, err, want)
		}
	}
	for text, wrong := range map[string]int{
		"": 1, "0": 1, "-1": 1, "100000001": 1, "zip": 1, "zipf:": 1, "zipf:0": 1, "zipf:1": 1, "zipf:NaN": 1, "zipf:-1": 1, "uniform:1": 1,
		"1,2": 1, "zipf,uniform": 1, "0,zipf:2": 2, "a,b,c": 3, "1,": 1,
	} {
		_, _, err := ParseKeys(text)
		if !errors.Is(err, sdk.ErrInvalid) || strings.Count(err.Error(), "\n")+1 != wrong {
			t.Errorf("%q: %v, want %d mistakes", text, err, wrong)
		}
	}
}
