package events

import (
	"fmt"
	"testing"
	"time"
)

// Each map is told of once a second, and never many of them at a time.
func TestWatermarkRound(t *testing.T) {
	for _, maps := range []int{0, 1, 3, 1200} {
		var names []string
		for i := range maps {
			names = append(names, fmt.Sprint("map", i))
		}
		var r watermarkRound
		start := time.Unix(100, 0)
		now := start
		last := make(map[string]time.Time)
		heard, burst, most := 0, 0, 0
		for now.Before(start.Add(10 * watermarkEvery)) {
			name, wait := r.next(now, func() []string { return names })
			if name == "" {
				if wait < watermarkPause || wait > watermarkEvery {
					t.Fatalf("%d maps: a pause of %v", maps, wait)
				}
				now, most, burst = now.Add(wait), max(most, burst), 0
				continue
			}
			heard++
			burst++
			if before, ok := last[name]; ok && now.Sub(before) > watermarkEvery+2*watermarkPause {
				t.Fatalf("%d maps: %s is not told of for %v", maps, name, now.Sub(before))
			}
			last[name] = now
		}
		if len(last) != maps || heard < 9*maps || heard > 10*maps {
			t.Errorf("%d maps: %d of them are told of, %d times", maps, len(last), heard)
		}
		if limit := 2 + maps*int(2*watermarkPause)/int(watermarkEvery); most > limit {
			t.Errorf("%d maps: %d at a time", maps, most)
		}
	}
}
