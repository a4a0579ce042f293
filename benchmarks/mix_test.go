package benchmarks

import (
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/gridiron-io/gridiron/sdk"
)

func TestParseMix(t *testing.T) {
	for text, want := range map[string]Mix{"get=80,set=20": {80, 20}, "set=1,get=3": {3, 1}, "set=5": {0, 5}, "get=1000000": {1_000_000, 0}} {
		m, err := ParseMix(text)
		if m != want || err != nil {
			t.Errorf("%q: %+v, %v; want %+v", text, m, err, want)
		}
		if again, err := ParseMix(m.String()); again != m || err != nil {
			t.Errorf("%q: %+v, %v", m, again, err)
		}
	}
	for text, wrong := range map[string]int{
		"": 1, "get": 1, "get=": 1, "get=0": 1, "get=-1": 1, "get=1000001": 1, "get=x": 1, "put=1": 1, "get=1,get=2": 1, "get=1,": 1,
		"put=1,get=0,set=x": 3,
	} {
		_, err := ParseMix(text)
		if !errors.Is(err, sdk.ErrInvalid) || strings.Count(err.Error(), "\n")+1 != wrong {
			t.Errorf("%q: %v, want %d mistakes", text, err, wrong)
		}
	}
}

func TestOperationsAreDrawnByWeight(t *testing.T) {
	const draws = 100_000
	for _, m := range []Mix{{80, 20}, {1, 3}, {0, 7}, {7, 0}, {999_999, 1_000_000}} {
		l := newIdleLoad(Config{Mix: m}.WithDefaults())
		random := rand.New(rand.NewPCG(3, 4)) // the same draws in each run
		sets := 0
		for range draws {
			if l.writes(random) {
				sets++
			}
		}
		want := draws * float64(m.Sets) / float64(m.Gets+m.Sets)
		if deviation := math.Sqrt(want * (1 - want/draws)); math.Abs(float64(sets)-want) > 6*deviation {
			t.Errorf("%v: %d of %d are sets, want %.0f", m, sets, draws, want)
		}
	}
}
