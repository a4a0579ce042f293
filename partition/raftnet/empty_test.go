package raftnet

import (
	"testing"
	"time"

	pb "github.com/lni/dragonboat/v4/raftpb"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// Against a naive list of what passed: an empty Replicate passes if and only if none passed to that replica within the
// interval before it; everything else always passes.
func TestEmptyGate(t *testing.T) {
	const interval = 500 * time.Millisecond
	rapid.Check(t, func(t *rapid.T) {
		type event struct {
			shard, to uint64
			at        time.Time
		}
		var passed []event
		g := newEmptyGate(interval)
		g.passed.sweepAt = 3
		now := time.Unix(1000, 0)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 300).Draw(t, "ms")) * time.Millisecond)
			m := pb.Message{
				Type:    rapid.SampledFrom([]pb.MessageType{pb.Replicate, pb.Replicate, pb.Heartbeat}).Draw(t, "type"),
				ShardID: rapid.Uint64Range(1, 3).Draw(t, "shard"), To: rapid.Uint64Range(1, 3).Draw(t, "to"),
			}
			if rapid.IntRange(0, 4).Draw(t, "entries") == 0 {
				m.Entries = make([]pb.Entry, 1)
			}
			want := true
			if m.Type == pb.Replicate && len(m.Entries) == 0 {
				for _, p := range passed {
					if p.shard == m.ShardID && p.to == m.To && now.Sub(p.at) < interval {
						want = false
					}
				}
				if want {
					passed = append(passed, event{m.ShardID, m.To, now})
				}
			}
			require.Equal(t, want, g.admits(&m, now))
		}
	})
}

// The gate does not remember replicas for ever.
func TestEmptyGateForgets(t *testing.T) {
	g := newEmptyGate(time.Second)
	now := time.Unix(1000, 0)
	for i := range 100 * minSweep {
		now = now.Add(10 * time.Millisecond) // 100 replicas within the interval
		require.True(t, g.admits(&pb.Message{Type: pb.Replicate, ShardID: uint64(i), To: 1}, now))
		require.LessOrEqual(t, len(g.passed.of), minSweep)
	}
}

func TestEmptyGateOpen(t *testing.T) {
	g := newEmptyGate(0)
	for range 3 {
		require.True(t, g.admits(&pb.Message{Type: pb.Replicate, ShardID: 1, To: 1}, time.Unix(0, 0)))
	}
	require.Empty(t, g.passed.of)
}
