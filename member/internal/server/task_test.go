package server

import (
	"math"
	"testing"
	"time"
)

func TestTaskWait(t *testing.T) {
	for _, tt := range []struct {
		deadline, now int64
		want          time.Duration
	}{
		{deadline: 0, now: 5000, want: 0},
		{deadline: 5000, now: 5000, want: 0},
		{deadline: math.MinInt64, now: 5000, want: 0},
		{deadline: 5100, now: 5000, want: 50 * time.Millisecond},
		{deadline: 6000, now: 5000, want: 900 * time.Millisecond},
		{deadline: 90_000, now: 5000, want: maxTaskWait},
		{deadline: math.MaxInt64, now: 5000, want: maxTaskWait},
	} {
		if got := taskWait(tt.deadline, tt.now); got != tt.want {
			t.Errorf("taskWait(%d, %d) = %v, want %v", tt.deadline, tt.now, got, tt.want)
		}
	}
}
