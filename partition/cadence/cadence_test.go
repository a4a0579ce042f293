package cadence

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestNext(t *testing.T) {
	const d = 100 * time.Millisecond
	second := time.Unix(1_800_000_000, 0)
	for after, want := range map[time.Duration]time.Duration{
		0:                     d,
		time.Millisecond:      99 * time.Millisecond,
		87 * time.Millisecond: 13 * time.Millisecond,
		88 * time.Millisecond: 112 * time.Millisecond,
		d - time.Nanosecond:   d + time.Nanosecond,
	} {
		require.Equal(t, want, next(second.Add(after), d), "%v after a multiple", after)
	}

	// Whatever the time at which a loop begins, its work is due when that of the others is.
	require.Zero(t, time.Duration(second.Add(33*time.Millisecond).Add(next(second.Add(33*time.Millisecond), d)).UnixNano())%d)
}
