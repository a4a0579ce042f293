package sdk

import (
	"sync"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"
)

// Whatever the order in which writes end, lowest is the least seq of those that have not.
func TestOutstandingAgainstSet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var (
			o    outstanding
			next atomic.Uint64
			open []*ticket
		)
		steps := rapid.SliceOfN(rapid.IntRange(-3, 20), 1, 200).Draw(t, "steps")
		for _, s := range steps {
			switch {
			case s < 0 || len(open) == 0:
				k := new(ticket)
				o.begin(k, &next)
				open = append(open, k)
			default:
				i := s % len(open)
				o.end(open[i])
				open = append(open[:i], open[i+1:]...)
			}
			want := uint64(0)
			for _, k := range open {
				if want == 0 || k.seq < want {
					want = k.seq
				}
			}
			if got := o.lowest(); got != want {
				t.Fatalf("lowest %d, want %d of %d outstanding", got, want, len(open))
			}
		}
	})
}

// A seq drawn at the same time in several goroutines is never above what another of them reports as lowest and below its
// own: lowest never passes over a write that has a seq already.
func TestOutstandingConcurrently(t *testing.T) {
	var (
		o    outstanding
		next atomic.Uint64
		wg   sync.WaitGroup
	)
	for range 8 {
		wg.Go(func() {
			var last uint64
			for range 2000 {
				var k ticket
				o.begin(&k, &next)
				if k.seq <= last {
					t.Errorf("seq %d after %d", k.seq, last)
				}
				last = k.seq
				if low := o.lowest(); low == 0 || low > k.seq {
					t.Errorf("lowest %d while %d is outstanding", low, k.seq)
				}
				o.end(&k)
			}
		})
	}
	wg.Wait()
	if o.first != nil || o.last != nil {
		t.Fatal("the list is not empty")
	}
}
