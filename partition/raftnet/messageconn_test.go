package raftnet

import (
	"context"
	"net"
	"os"
	"testing"
	"time"

	"github.com/lni/dragonboat/v4/raftio"
	pb "github.com/lni/dragonboat/v4/raftpb"
	"github.com/stretchr/testify/require"
)

// A peer that does not read costs a bounded queue: batches beyond it are dropped whole, and once the peer reads again it
// gets the others in order. SendMessageBatch never waits.
func TestFullQueueDropsBatches(t *testing.T) {
	noLeaks(t)
	a, b := net.Pipe() // without a buffer: nothing is sent until somebody reads
	t.Cleanup(func() { b.Close() })
	from := startedTransport(t, Config{Dial: dialing(a), QueueBytes: minQueueBytes, WriteTimeout: time.Minute}, newReceived())
	c, err := from.GetConnection(context.Background(), testTarget)
	require.NoError(t, err)
	const batches = 40
	for i := range batches {
		require.NoError(t, c.SendMessageBatch(batchOf(pb.Message{Type: pb.Replicate, To: 2, From: 1, ShardID: 1, Term: 3,
			LogIndex: 9, LogTerm: 3, Entries: []pb.Entry{{Index: 10, Term: 3, Key: uint64(i + 1), ClientID: 1, Cmd: make([]byte, 100<<10)}}})))
	}
	s := from.Stats()
	require.Equal(t, uint64(batches), s.SentBatches+s.DroppedBatches)
	require.Equal(t, s.DroppedBatches, s.Dropped)
	require.Equal(t, uint64(10), s.SentBatches, "1 MB is room for ten")

	r := newReceived()
	to := startedTransport(t, Config{}, r)
	done := serving(to, b, helloMessages)
	var keys []uint64
	for len(keys) < int(s.SentBatches) {
		for _, m := range next(t, r.batches).Requests {
			keys = append(keys, m.Entries[0].Key)
		}
	}
	require.Equal(t, []uint64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, keys)
	c.Close()
	require.NoError(t, next(t, done))
}

// A batch larger than the queue is sent if nothing else waits: it would never go otherwise.
func TestLargeBatchFindsEmptyQueue(t *testing.T) {
	noLeaks(t)
	a, b := tcpPair(t)
	from := startedTransport(t, Config{Dial: dialing(a), QueueBytes: minQueueBytes}, newReceived())
	r := newReceived()
	to := startedTransport(t, Config{}, r)
	serving(to, b, helloMessages)
	c, err := from.GetConnection(context.Background(), testTarget)
	require.NoError(t, err)
	defer c.Close()
	m := pb.Message{Type: pb.Replicate, To: 2, From: 1, ShardID: 1, Term: 3}
	for i := range 30 {
		m.Entries = append(m.Entries, pb.Entry{Index: uint64(i + 1), Term: 3, ClientID: 1, Cmd: make([]byte, 1<<20)})
	}
	require.NoError(t, c.SendMessageBatch(batchOf(m)))
	var got []pb.Entry
	for len(got) < len(m.Entries) {
		for _, m := range next(t, r.batches).Requests {
			got = append(got, m.Entries...)
		}
	}
	require.Equal(t, m.Entries, got)
}

// A stalled peer is given up after the write timeout; a closed one at once, also when nothing is being sent. From then on
// every send says so, which is how dragonboat learns that a peer is unreachable.
func TestBrokenConnection(t *testing.T) {
	check := func(t *testing.T, from *Transport, c raftio.IConnection, want error) {
		t.Helper()
		broken := make(chan error)
		go func() {
			for {
				if err := c.SendMessageBatch(batchOf(heartbeat(1))); err != nil {
					broken <- err
					return
				}
				// The connection's state changes without a signal to its sender: only sending tells.
			}
		}()
		err := next(t, broken)
		require.ErrorIs(t, err, want)
		require.Equal(t, err, c.SendMessageBatch(batchOf(heartbeat(1))), "broken for good")
		c.Close()
		require.Zero(t, from.Stats().Outbound)
	}
	t.Run("stalled", func(t *testing.T) {
		noLeaks(t)
		a, b := net.Pipe()
		defer b.Close()
		from := startedTransport(t, Config{Dial: dialing(a), WriteTimeout: 50 * time.Millisecond, QueueBytes: minQueueBytes}, newReceived())
		c, err := from.GetConnection(context.Background(), testTarget)
		require.NoError(t, err)
		check(t, from, c, os.ErrDeadlineExceeded)
		require.NotZero(t, from.Stats().Discarded)
	})
	t.Run("closed", func(t *testing.T) {
		noLeaks(t)
		a, b := tcpPair(t)
		from := startedTransport(t, Config{Dial: dialing(a)}, newReceived())
		c, err := from.GetConnection(context.Background(), testTarget)
		require.NoError(t, err)
		require.NoError(t, b.Close())
		mc := c.(*messageConn)
		mc.done.Wait() // its goroutines end by themselves: nobody has to send
		require.ErrorIs(t, c.SendMessageBatch(batchOf(heartbeat(1))), errPeerClosed)
		c.Close()
	})
	t.Run("answers", func(t *testing.T) {
		noLeaks(t)
		a, b := tcpPair(t)
		from := startedTransport(t, Config{Dial: dialing(a)}, newReceived())
		c, err := from.GetConnection(context.Background(), testTarget)
		require.NoError(t, err)
		_, err = b.Write([]byte{1})
		require.NoError(t, err)
		c.(*messageConn).done.Wait()
		require.ErrorIs(t, c.SendMessageBatch(batchOf(heartbeat(1))), errSpoke)
		c.Close()
	})
}

// Of empty Replicates the first passes; a batch of nothing else is not sent at all. KeepEmpty sends them all.
func TestEmptyReplicatesAreLeftOut(t *testing.T) {
	for name, keep := range map[string]bool{"data": false, "metadata": true} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			a, b := tcpPair(t)
			from := startedTransport(t, Config{Dial: dialing(a), KeepEmpty: keep, EmptyInterval: time.Minute}, newReceived())
			r := newReceived()
			to := startedTransport(t, Config{}, r)
			serving(to, b, helloMessages)
			c, err := from.GetConnection(context.Background(), testTarget)
			require.NoError(t, err)
			defer c.Close()
			empty := pb.Message{Type: pb.Replicate, To: 2, From: 1, ShardID: 1, Term: 3, LogIndex: 9, LogTerm: 3, Commit: 9}
			require.NoError(t, c.SendMessageBatch(batchOf(empty, heartbeat(1))))
			require.NoError(t, c.SendMessageBatch(batchOf(empty)))
			require.NoError(t, c.SendMessageBatch(batchOf(empty, heartbeat(2))))
			want, suppressed, batches := []pb.Message{empty, heartbeat(1), heartbeat(2)}, uint64(2), uint64(2)
			if keep {
				want, suppressed, batches = []pb.Message{empty, heartbeat(1), empty, empty, heartbeat(2)}, 0, 3
			}
			var got []pb.Message
			for len(got) < len(want) {
				got = append(got, next(t, r.batches).Requests...)
			}
			require.Equal(t, want, got)
			require.Equal(t, suppressed, from.Stats().Suppressed)
			require.Equal(t, batches, from.Stats().SentBatches)
		})
	}
}
