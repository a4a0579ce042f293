//go:build !invariants

package state

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// TestOverhead bounds what an entry takes beside its key and value.
func TestOverhead(t *testing.T) {
	const n, size = 20_000, 100
	for ttl, limit := range map[uint64]float64{0: 70, 3_600_000: 115} {
		before := heap()
		s := fill(n, size, ttl)
		over := float64(heap()-before)/n - float64(size+len(benchKey(0)))
		runtime.KeepAlive(s)
		if over > limit {
			t.Errorf("%.0f bytes beside key and value with TTL %d, the limit is %.0f", over, ttl, limit)
		}
	}
}

// TestBytesAgreeWithHeap compares what entries are counted with and what they take, where they come in the order of their keys
// and where they do not.
func TestBytesAgreeWithHeap(t *testing.T) {
	sorted := func(i int) []byte { return fmt.Appendf(nil, "\xabuser:%06d", i) }
	for _, c := range []struct {
		n, size int
		ttl     uint64
		key     func(int) []byte
	}{
		{40_000, 1, 0, benchKey}, {40_000, 1, 0, sorted}, {40_000, 100, 0, benchKey}, {40_000, 100, 0, sorted},
		{40_000, 100, 3_600_000, benchKey}, {40_000, 100, 3_600_000, sorted}, {10_000, 1000, 0, benchKey}, {2_000, 10_000, 0, benchKey},
	} {
		before := heap()
		s := fillKeys(c.n, c.size, c.ttl, c.key)
		took, counted := int(heap()-before), s.Stats([]byte("users")).Bytes
		runtime.KeepAlive(s)
		if off := float64(counted)/float64(took) - 1; off < -0.2 || off > 0.2 {
			t.Errorf("%d entries of %d bytes with TTL %d are counted with %d bytes and take %d: %+.0f %%", c.n, c.size, c.ttl, counted, took, 100*off)
		} else {
			t.Logf("%d entries of %d bytes with TTL %d: %+.1f %%", c.n, c.size, c.ttl, 100*off)
		}
	}
}

// Likewise for many maps of one small entry.
func TestBytesOfMapsAgreeWithHeap(t *testing.T) {
	const n = 20_000
	before := heap()
	s := New(1, Limits{})
	for i := range n {
		s.Apply(writeOp(wire.OpSet, fmt.Sprintf("session:%06d", i), "k", "v"))
	}
	took, counted := int(heap()-before), s.Bytes()
	runtime.KeepAlive(s)
	if off := float64(counted)/float64(took) - 1; off < -0.2 || off > 0.2 {
		t.Errorf("%d maps are counted with %d bytes and take %d: %+.0f %%", n, counted, took, 100*off)
	} else {
		t.Logf("%d maps: %+.1f %%, %d bytes each", n, 100*off, took/n)
	}
}
