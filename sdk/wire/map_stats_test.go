package wire

import (
	"testing"

	"pgregory.net/rapid"
)

func drawMapCounts(t *rapid.T) MapCounts {
	var m MapCounts
	for _, n := range m.numbers() {
		*n = drawU64(t, "number")
	}
	for range rapid.IntRange(0, 4).Draw(t, "ops") {
		o := OpStats{Op: Op(drawU8(t, "op")), Nanos: drawU64(t, "nanos")}
		for range rapid.IntRange(0, LatencyBuckets).Draw(t, "buckets") {
			o.Buckets = append(o.Buckets, drawU64(t, "count"))
		}
		m.Ops = append(m.Ops, o)
	}
	return m
}

var statsFormats = []*format{
	formatOf("MapCounts", pointed(AppendMapCounts), DecodeMapCounts, drawMapCounts,
		golden{"00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00", MapCounts{}},
		golden{"01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 10 02 10 ac02 03 00 00 05 20 01 00", MapCounts{Entries: 1, Bytes: 2, Locks: 3, Hits: 4, Misses: 5, Expired: 6, Evicted: 7,
			Events: 8, Remembered: 9, EventsKept: 10, EventsKeptSize: 11, Published: 12, Repairs: 13, Lost: 14, Listeners: 15, ExpiryLag: 16, Ops: []OpStats{{OpGet, 300, []uint64{0, 0, 5}}, {OpSet, 1, nil}}}}),
}

func TestStatsFormats(t *testing.T) { testFormats(t, statsFormats) }

func FuzzStatsFormats(f *testing.F) { fuzzFormats(f, statsFormats) }

// Every latency is counted in the bucket between whose bounds it lies, and no bucket of more than one microsecond is wider than
// half of where it begins.
func TestLatencyBuckets(t *testing.T) {
	below := uint64(0)
	for i := range LatencyBuckets {
		bound := LatencyBound(i)
		if i == 2 { // 1.5 is no whole number: the bucket is empty
			if bound != below {
				t.Errorf("bucket 2 ends at %d", bound)
			}
			continue
		}
		if bound <= below {
			t.Fatalf("bucket %d ends at %d, the one before at %d", i, bound, below)
		}
		if below > 1 && bound-below > below/2 {
			t.Errorf("bucket %d is from %d to %d", i, below, bound)
		}
		for _, micros := range []uint64{below, bound - 1} {
			if got := LatencyBucket(micros); got != i {
				t.Errorf("%d µs is in bucket %d, want %d", micros, got, i)
			}
		}
		below = bound
	}
	if got := LatencyBucket(1 << 62); got != LatencyBuckets-1 {
		t.Errorf("the longest is in bucket %d", got)
	}
}
