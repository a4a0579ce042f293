package control

import (
	"testing"
	"time"
)

func TestAwaited(t *testing.T) {
	for _, tt := range []struct {
		wanted int
		waited time.Duration
		want   int
	}{{1, 0, 1}, {3, giveUpAfter, 3}, {3, giveUpAfter + 1, 2}, {4, time.Hour, 3}, {5, time.Hour, 3}, {1, time.Hour, 1}} {
		if got := awaited(tt.wanted, tt.waited); got != tt.want {
			t.Errorf("awaited(%d, %v) = %d, want %d", tt.wanted, tt.waited, got, tt.want)
		}
	}
}
