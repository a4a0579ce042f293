package sdk

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// The queue is a list that refuses what is above its bounds, but never the only event.
func TestEventQueueAgainstModel(t *testing.T) {
	value := make([]byte, maxQueuedBytes+1)
	rapid.Check(t, func(t *rapid.T) {
		var q eventQueue
		var model []wire.Event
		bytes, seq := 0, uint64(0)
		push := func(size int) {
			seq++
			e := wire.Event{Seq: seq, New: value[:size]}
			fits := len(model) < maxQueued && (len(model) == 0 || bytes+eventSize(&e) <= maxQueuedBytes)
			if got := q.push(3, &e); got != fits {
				t.Fatalf("push of %d bytes to %d events of %d bytes: %v", size, len(model), bytes, got)
			}
			if fits {
				model = append(model, e)
				bytes += eventSize(&e)
			}
		}
		pop := func() {
			e := q.pop()
			if e.Seq != model[0].Seq || e.partition != 3 || len(e.New) != len(model[0].New) {
				t.Fatalf("pop: %d of partition %d; want %d", e.Seq, e.partition, model[0].Seq)
			}
			bytes -= eventSize(&model[0])
			model = model[1:]
		}
		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) {
				push(rapid.SampledFrom([]int{0, 100, 1 << 20, 5 << 20, maxQueuedBytes + 1}).Draw(t, "size"))
			},
			"many": func(t *rapid.T) {
				for range rapid.IntRange(0, 6000).Draw(t, "n") {
					push(10)
				}
			},
			"pop": func(t *rapid.T) {
				for range min(len(model), rapid.IntRange(0, 6000).Draw(t, "n")) {
					pop()
				}
			},
			"": func(t *rapid.T) {
				if q.len() != len(model) || q.bytes != bytes {
					t.Fatalf("%d events, %d bytes; want %d, %d", q.len(), q.bytes, len(model), bytes)
				}
				if q.roomy() != (len(model) <= maxQueued/2 && bytes <= maxQueuedBytes/2) {
					t.Fatalf("roomy with %d events, %d bytes: %v", len(model), bytes, q.roomy())
				}
			},
		})
	})
}
