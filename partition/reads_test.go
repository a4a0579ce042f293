package partition

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A batch of reads releases the state's lock when its reads have taken long: a waiting Update has its turn then.
func TestReadsGoInParts(t *testing.T) {
	s := newScripted(t, 1)
	var now time.Time
	s.reads.clock = func() time.Time { return now }
	var list []Reader
	begun := 0
	answered := func(rd Reader) bool { return len(rd.(*pendingRead).ch) > 0 }
	for i, takes := range []time.Duration{readsTime / 2, readsTime / 2, 5 * readsTime, 0} {
		list = append(list, &pendingRead{ch: make(chan Outcome, 1), run: func() {
			require.Equal(t, i, begun)
			begun++
			now = now.Add(takes)
			// The first two fit into one turn, so neither is answered before both were made; the others have turns of their own.
			for j := range i {
				if i == 1 {
					require.False(t, answered(list[j]), "read %d was answered before read %d", j, i)
				} else {
					require.True(t, answered(list[j]), "read %d was not answered before read %d", j, i)
				}
			}
		}})
	}
	s.host.reading.Add(int64(len(list)))
	for _, rd := range list {
		require.True(t, s.host.Hold(held(rd)))
	}
	epoch := s.owned(alice, 0)
	left, _ := s.reads.readAll(list, ReadPoint{Epoch: epoch}, new(atomic.Uint64))
	require.Empty(t, left)
	require.Equal(t, len(list), begun)
	require.Zero(t, s.host.reading.Load())
	require.Zero(t, s.host.waiting.Load())
}

// What waits has one budget in bytes.
func TestWaitingBytes(t *testing.T) {
	h := newScripted(t, 1).host
	require.True(t, h.Hold(waitingBytes))
	require.False(t, h.Hold(1))
	h.Free(1)
	require.True(t, h.Hold(1))
	h.Free(waitingBytes)
	require.Zero(t, h.waiting.Load())
}
