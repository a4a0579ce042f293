package raftnet

import (
	"context"
	"testing"
	"time"

	pb "github.com/lni/dragonboat/v4/raftpb"
	"github.com/stretchr/testify/require"
)

// A replica with a limit is told of no commits beyond it. Other replicas and other messages are as they were, and so is all when it ends.
func TestLimitCommit(t *testing.T) {
	noLeaks(t)
	a, b := tcpPair(t)
	from, r := startedTransport(t, Config{Dial: dialing(a)}, newReceived()), newReceived()
	serving(startedTransport(t, Config{}, r), b, helloMessages)
	c, err := from.GetConnection(context.Background(), testTarget)
	require.NoError(t, err)
	defer c.Close()
	commits := func() (list []uint64) {
		t.Helper()
		require.NoError(t, c.SendMessageBatch(batchOf(
			pb.Message{Type: pb.Heartbeat, To: 2, From: 1, ShardID: 7, Term: 3, Commit: 9},
			pb.Message{Type: pb.Replicate, To: 2, From: 1, ShardID: 7, Term: 3, LogIndex: 9, LogTerm: 3, Commit: 9, Entries: []pb.Entry{{Index: 10, Term: 3}}},
			pb.Message{Type: pb.Heartbeat, To: 2, From: 1, ShardID: 7, Term: 3, Commit: 4},
			pb.Message{Type: pb.Heartbeat, To: 3, From: 1, ShardID: 7, Term: 3, Commit: 9},
			pb.Message{Type: pb.Heartbeat, To: 2, From: 1, ShardID: 8, Term: 3, Commit: 9},
			pb.Message{Type: pb.ReplicateResp, To: 2, From: 1, ShardID: 7, Term: 3, Commit: 9})))
		for _, m := range next(t, r.batches).Requests {
			list = append(list, m.Commit)
		}
		return list
	}
	all := []uint64{9, 9, 4, 9, 9, 9}
	require.Equal(t, all, commits())
	from.LimitCommit(7, 2, 5, time.Now().Add(time.Hour))
	require.Equal(t, []uint64{5, 5, 4, 9, 9, 9}, commits())
	from.LimitCommit(7, 2, 0, time.Time{})
	require.Equal(t, all, commits())
	require.Nil(t, from.limits.Load())
}
