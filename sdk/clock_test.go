package sdk

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// However long requests and answers travel, the estimate is never off by more than half a round trip (and the millisecond
// in which cluster time comes) at the time of the sample it rests on, plus the drift since.
func TestClockEstimateIsBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := newClock()
		offset := rapid.Int64Range(0, 1<<50).Draw(t, "offset")
		now, best, bestAt := int64(time.Hour), int64(-1), int64(0)
		for range rapid.IntRange(1, 30).Draw(t, "answers") {
			now += rapid.Int64Range(0, int64(10*time.Second)).Draw(t, "pause")
			there := rapid.Int64Range(0, int64(200*time.Millisecond)).Draw(t, "there")
			back := rapid.Int64Range(0, int64(200*time.Millisecond)).Draw(t, "back")
			sent := now
			stamped := (now + there + offset) / int64(time.Millisecond)
			now += there + back
			c.sample(stamped, sent, now)
			bound := (there+back)/2 + int64(time.Millisecond)
			if aged := best + (now-bestAt)/1000; best < 0 || bound < aged {
				best, bestAt = bound, now
			}
			off := c.offset.Load() - offset
			if limit := best + (now-bestAt)/1000 + int64(time.Millisecond); off > limit || off < -limit {
				t.Fatalf("off by %v, the bound is %v", time.Duration(off), time.Duration(limit))
			}
		}
	})
}

func TestClockKeepsTheBestSample(t *testing.T) {
	c := newClock()
	ms := int64(time.Millisecond)
	c.sample(1_000_000, 10*ms, 12*ms)
	good := c.offset.Load()
	c.sample(1_000_900, 20*ms, 420*ms) // a long round trip says less than what is known
	if c.offset.Load() != good {
		t.Fatal("a worse sample replaced a better one")
	}
	c.sample(1_000_000, 500*ms, 400*ms)
	c.sample(0, 500*ms, 500*ms)
	if c.offset.Load() != good {
		t.Fatal("nonsense was taken in")
	}
	c.sample(1_000_090, 100*ms, 101*ms)
	if got, want := c.cluster(101*ms), int64(1_000_091); got != want {
		t.Fatalf("cluster time %d, want %d", got, want)
	}
}

// An answer that shows a time far beyond what is known is believed at once: what is known came from a member that had been suspended.
func TestClockBelievesTheLaterTime(t *testing.T) {
	c := newClock()
	ms := int64(time.Millisecond)
	c.sample(1_000_000, 10*ms, 11*ms)
	c.sample(1_060_010, 20*ms, 60*ms)
	if got, want := c.cluster(60*ms), int64(1_060_030); got != want {
		t.Fatalf("cluster time %d, want %d", got, want)
	}
	c.sample(1_000_050, 100*ms, 101*ms)
	if got, want := c.cluster(101*ms), int64(1_060_071); got != want {
		t.Fatalf("an answer of the member that is behind was believed: %d, want %d", got, want)
	}
	after := 101*ms + int64(trustFor)
	c.sample(1_000_000, after-ms, after)
	if got, want := c.cluster(after), int64(1_000_001); got != want {
		t.Fatalf("cluster time %d, want %d, as nobody has borne out the later time", got, want)
	}
}
