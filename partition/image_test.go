package partition

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Bytes go at the rate in the long run; after a while without, the burst goes at once, and no more than that.
func TestPace(t *testing.T) {
	var p pace
	start := time.Unix(1000, 0)
	require.LessOrEqual(t, p.reserve(imageBurst, start), time.Duration(0))
	sent, now := 0, start
	for sent < 3*imageRate {
		if wait := p.reserve(64<<10, now); wait > 0 {
			now = now.Add(wait)
		}
		sent += 64 << 10
	}
	require.InDelta(t, 3, now.Sub(start).Seconds(), 0.01)
	now = now.Add(time.Hour)
	require.LessOrEqual(t, p.reserve(imageBurst, now), time.Duration(0))
	require.InDelta(t, 1, p.reserve(imageRate, now).Seconds(), 0.01, "what was not used in an hour is gone")
}

// An image waits for its turn, and does not wait for a host that is closed.
func TestImagesWaitForTheirTurn(t *testing.T) {
	s := newScripted(t, 1)
	for range imagesAtOnce {
		s.host.images.slots <- struct{}{}
	}
	s.host.end()
	out, err := (*carried)(s.host).Outgoing(s.shard, s.id)
	require.NoError(t, err)
	_, err = out.WriteTo(nil)
	require.ErrorIs(t, err, errClosed)
}
