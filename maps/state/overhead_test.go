//go:build !invariants

package state

import (
	"runtime"
	"testing"
)

// TestOverhead bounds what an entry takes beside its key and value.
func TestOverhead(t *testing.T) {
	const n, size = 20_000, 100
	for ttl, limit := range map[uint64]float64{0: 90, 3_600_000: 170} {
		before := heap()
		s := fill(n, size, ttl)
		over := float64(heap()-before)/n - float64(size+len(benchKey(0)))
		runtime.KeepAlive(s)
		if over > limit {
			t.Errorf("%.0f bytes beside key and value with TTL %d, the limit is %.0f", over, ttl, limit)
		}
	}
}
