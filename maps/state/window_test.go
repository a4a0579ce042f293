package state

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// A window has the records that were added and neither popped nor dropped, by seq, in whatever order they came.
func TestWindowRecords(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, want := &requestWindow{look: 1000}, map[uint64]int64{}
		check := func() {
			seqs := slices.Sorted(maps.Keys(want))
			got := make([]uint64, 0, len(seqs))
			earliest := w.look
			for _, r := range w.records() {
				got = append(got, r.seq)
				earliest = min(earliest, want[r.seq])
				if o := w.get(r.seq); o == nil || o.deadline != want[r.seq] {
					t.Fatalf("the record of %d is %+v, want deadline %d", r.seq, o, want[r.seq])
				}
			}
			if !slices.Equal(got, seqs) || w.earliest() != earliest {
				t.Fatalf("records %d, want %d; the earliest ends at %d, want %d", got, seqs, w.earliest(), earliest)
			}
			for i, r := range w.list[:cap(w.list)] {
				if (i < w.head || i >= len(w.list)) && r.seq != 0 {
					t.Fatalf("record %d at %d is gone, and keeps its memory", r.seq, i)
				}
			}
			if len(want) == 0 && cap(w.list) > idleRecords {
				t.Fatalf("room for %d records, and none is there", cap(w.list))
			}
		}

		next := uint64(1)
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				for range rapid.IntRange(1, 40).Draw(t, "records") {
					// Most come in their order.
					seq := next + rapid.Uint64Range(0, 3).Draw(t, "ahead")
					if back := rapid.Uint64Range(0, 30).Draw(t, "behind"); back < 5 && seq > back {
						seq -= back
					}
					next = max(next, seq)
					if _, known := want[seq]; known {
						continue
					}
					deadline := rapid.Int64Range(0, 2000).Draw(t, "deadline")
					w.add(record{seq, outcome{deadline: deadline}})
					want[seq] = deadline
				}
			},
			"pop": func(t *rapid.T) {
				for range rapid.IntRange(1, 60).Draw(t, "records") {
					if len(want) == 0 {
						return
					}
					lowest := slices.Min(slices.Collect(maps.Keys(want)))
					if got := w.lowest(); got != lowest {
						t.Fatalf("lowest %d, want %d", got, lowest)
					}
					if cost := w.pop(); cost != recordCost {
						t.Fatalf("cost %d", cost)
					}
					delete(want, lowest)
				}
			},
			"drop": func(t *rapid.T) {
				stop, cost := rapid.Int64Range(0, 2000).Draw(t, "stop"), 0
				for seq, deadline := range want {
					if deadline < stop {
						delete(want, seq)
						cost += recordCost
					}
				}
				if got := w.drop(callEnd{at: stop}); got != cost {
					t.Fatalf("cost %d, want %d", got, cost)
				}
			},
			"clone": func(t *rapid.T) {
				was := w
				w = was.clone(was.stamp + 1)
				was.keep(nil)
			},
			"": func(*rapid.T) { check() },
		})
	})
}
