package raftnet

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/lni/dragonboat/v4/config"
	"github.com/lni/dragonboat/v4/raftio"
	pb "github.com/lni/dragonboat/v4/raftpb"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

const (
	testTarget     = "3a9c3ee2-7d4b-4cf0-9f5c-1f1a52b6d001"
	testDeployment = 77
	patience       = 20 * time.Second // for things that happen at once
)

var helloMessages = wire.Hello{Plane: wire.PlaneRaft, Stream: StreamMessages, Name: "peer"}

var helloChunks = wire.Hello{Plane: wire.PlaneRaft, Stream: StreamChunks, Name: "peer"}

// noLeaks fails the test if it leaves a goroutine behind. To be called before anything registers a cleanup.
func noLeaks(t *testing.T) {
	t.Helper()
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
}

// received collects the messages that a transport passes on.
type received struct {
	batches chan pb.MessageBatch
	chunks  chan pb.Chunk
	accept  bool // of chunks
}

func newReceived() *received {
	return &received{batches: make(chan pb.MessageBatch, 1024), chunks: make(chan pb.Chunk, 1024), accept: true}
}

// startedTransport returns a running transport without a NodeHost.
func startedTransport(t *testing.T, cfg Config, r *received) *Transport {
	t.Helper()
	cfg.Plane = wire.PlaneRaft
	if cfg.Dial == nil {
		cfg.Dial = func(context.Context, string, uint8) (net.Conn, error) { return nil, errors.New("no dialing here") }
	}
	tr, err := New(cfg)
	require.NoError(t, err)
	made := tr.Factory().Create(config.NodeHostConfig{DeploymentID: testDeployment}, func(b pb.MessageBatch) {
		kept := b
		kept.Requests = append([]pb.Message(nil), b.Requests...) // the transport reuses the list
		r.batches <- kept
	}, func(c pb.Chunk) bool {
		r.chunks <- c
		return r.accept
	})
	require.Same(t, tr, made)
	require.NoError(t, tr.Start())
	t.Cleanup(func() { require.NoError(t, tr.Close()) })
	return tr
}

// tcpPair returns two ends of a TCP connection.
func tcpPair(t *testing.T) (a, b net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	a, err = net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	b, err = l.Accept()
	require.NoError(t, err)
	t.Cleanup(func() {
		a.Close()
		b.Close()
	})
	return a, b
}

// dialing returns a Dial that gives away the connections, one after the other.
func dialing(conns ...net.Conn) func(context.Context, string, uint8) (net.Conn, error) {
	ch := make(chan net.Conn, len(conns))
	for _, c := range conns {
		ch <- c
	}
	return func(context.Context, string, uint8) (net.Conn, error) {
		select {
		case c := <-ch:
			return c, nil
		default:
			return nil, errors.New("no more connections")
		}
	}
}

// next returns what comes next on ch.
func next[T any](t *testing.T, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		require.FailNow(t, "nothing came")
		panic("unreachable")
	}
}

// serving runs Serve and returns where its result will be.
func serving(tr *Transport, nc net.Conn, hello wire.Hello) <-chan error {
	done := make(chan error, 1)
	go func() { done <- tr.Serve(nc, hello) }()
	return done
}

func heartbeat(shard uint64) pb.Message {
	return pb.Message{Type: pb.Heartbeat, To: 2, From: 1, ShardID: shard, Term: 3, Commit: 9}
}

func batchOf(messages ...pb.Message) pb.MessageBatch {
	return pb.MessageBatch{Requests: messages, BinVer: raftio.TransportBinVersion, DeploymentId: testDeployment, SourceAddress: testTarget}
}

// Messages arrive in the order sent, nothing missing, in batches that a NodeHost accepts.
func TestMessagesArriveInOrder(t *testing.T) {
	noLeaks(t)
	a, b := tcpPair(t)
	from := startedTransport(t, Config{Dial: dialing(a)}, newReceived())
	r := newReceived()
	to := startedTransport(t, Config{}, r)
	done := serving(to, b, helloMessages)
	c, err := from.GetConnection(context.Background(), testTarget)
	require.NoError(t, err)

	const batches, perBatch = 500, 3
	for i := range batches {
		var list []pb.Message
		for j := range perBatch {
			m := heartbeat(1)
			m.Commit = uint64(i*perBatch + j + 1)
			list = append(list, m)
		}
		require.NoError(t, c.SendMessageBatch(batchOf(list...)))
	}
	for want := uint64(1); want <= batches*perBatch; {
		got := next(t, r.batches)
		require.Equal(t, uint64(testDeployment), got.DeploymentId)
		require.Equal(t, raftio.TransportBinVersion, got.BinVer)
		require.Empty(t, got.SourceAddress)
		for _, m := range got.Requests {
			require.Equal(t, want, m.Commit)
			want++
		}
	}
	c.Close()
	require.NoError(t, next(t, done))

	sent, came := from.Stats(), to.Stats()
	require.Equal(t, uint64(batches), sent.SentBatches)
	require.Equal(t, uint64(batches*perBatch), sent.SentMessages)
	require.Equal(t, uint64(batches*perBatch), came.ReceivedMessages)
	require.Equal(t, sent.SentBytes, came.ReceivedBytes)
	require.LessOrEqual(t, sent.Writes, sent.SentBatches)
	require.Zero(t, sent.Outbound)
	require.Zero(t, came.Inbound)
}

// Before the NodeHost has started the transport, and after it has closed it, connections are closed and no message is passed on.
func TestLifecycle(t *testing.T) {
	noLeaks(t)
	refuses := func(tr *Transport) {
		t.Helper()
		a, b := tcpPair(t)
		require.ErrorIs(t, tr.Serve(b, helloMessages), ErrNotRunning)
		_, err := a.Read(make([]byte, 1))
		require.Error(t, err)
		require.False(t, tr.Inject(1, 2, 3, 4))
		_, err = tr.GetConnection(context.Background(), testTarget)
		require.ErrorIs(t, err, ErrNotRunning)
		_, err = tr.GetSnapshotConnection(context.Background(), testTarget)
		require.ErrorIs(t, err, ErrNotRunning)
	}
	tr, err := New(Config{Plane: wire.PlaneRaft, Dial: dialing(), StartTimeout: time.Millisecond})
	require.NoError(t, err)
	refuses(tr)
	require.ErrorIs(t, tr.Start(), ErrNotRunning)
	f := tr.Factory()
	handler := func(pb.MessageBatch) { t.Error("passed on") }
	f.Create(config.NodeHostConfig{}, handler, nil)
	refuses(tr)
	require.Panics(t, func() { f.Create(config.NodeHostConfig{}, handler, nil) }, "one transport, one NodeHost")
	require.NoError(t, tr.Close())
	refuses(tr)
	require.ErrorIs(t, tr.Start(), ErrNotRunning)
	require.NoError(t, tr.Close())
	require.ErrorIs(t, f.Create(config.NodeHostConfig{}, handler, nil).Start(), ErrNotRunning)
}

// Close ends everything that is under way, waits for it, and may be called by several at once.
func TestCloseEndsEverything(t *testing.T) {
	noLeaks(t)
	a, b := tcpPair(t)
	x, y := net.Pipe()
	defer y.Close()
	v, w := net.Pipe()
	defer w.Close()
	tr := startedTransport(t, Config{Dial: dialing(x, v)}, newReceived())
	done := serving(tr, b, helloMessages)
	c, err := tr.GetConnection(context.Background(), testTarget)
	require.NoError(t, err)
	require.NoError(t, c.SendMessageBatch(batchOf(heartbeat(1)))) // its writer is stuck: nobody reads y
	sc, err := tr.GetSnapshotConnection(context.Background(), testTarget)
	require.NoError(t, err)
	sent := make(chan error, 1)
	go func() { sent <- sc.SendChunk(testChunk(0)) }()
	_, err = io.ReadFull(w, make([]byte, 1)) // SendChunk is under way
	require.NoError(t, err)
	_, err = a.Write(frames(t, batchOf(heartbeat(1)))) // Serve as well
	require.NoError(t, err)

	var closers sync.WaitGroup
	for range 3 {
		closers.Go(func() {
			if err := tr.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	closers.Wait()
	require.ErrorIs(t, next(t, done), ErrNotRunning)
	require.Error(t, next(t, sent))
	require.ErrorIs(t, c.SendMessageBatch(batchOf(heartbeat(1))), ErrNotRunning)
	c.Close() // its owner closes it too
	sc.Close()
	s := tr.Stats()
	require.Zero(t, s.Inbound)
	require.Zero(t, s.Outbound)
}

// A connection that was being dialed while the transport closed is not kept.
func TestDialDuringClose(t *testing.T) {
	noLeaks(t)
	x, y := net.Pipe()
	defer y.Close()
	dialed, proceed := make(chan struct{}), make(chan struct{})
	tr := startedTransport(t, Config{Dial: func(context.Context, string, uint8) (net.Conn, error) {
		close(dialed)
		<-proceed
		return x, nil
	}}, newReceived())
	got := make(chan error, 1)
	go func() {
		_, err := tr.GetConnection(context.Background(), testTarget)
		got <- err
	}()
	next(t, dialed)
	require.NoError(t, tr.Close())
	close(proceed)
	require.ErrorIs(t, next(t, got), ErrNotRunning)
	_, err := y.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
}

func TestDialErrorAndTimeout(t *testing.T) {
	boom := errors.New("boom")
	tr := startedTransport(t, Config{Dial: func(_ context.Context, target string, stream uint8) (net.Conn, error) {
		if target != testTarget || stream != StreamMessages {
			t.Errorf("dialed %s, stream %d", target, stream)
		}
		return nil, boom
	}}, newReceived())
	_, err := tr.GetConnection(context.Background(), testTarget)
	require.ErrorIs(t, err, boom)

	tr = startedTransport(t, Config{DialTimeout: time.Millisecond, Dial: func(ctx context.Context, _ string, stream uint8) (net.Conn, error) {
		if stream != StreamChunks {
			t.Errorf("dialed stream %d", stream)
		}
		<-ctx.Done()
		return nil, ctx.Err()
	}}, newReceived())
	c, err := tr.GetSnapshotConnection(context.Background(), testTarget)
	require.NoError(t, err, "messages may reach it all the same")
	require.NoError(t, c.SendChunk(testChunk(0)))
	c.Close()
}

func TestInjectDeliversTimeoutNow(t *testing.T) {
	r := newReceived()
	tr := startedTransport(t, Config{}, r)
	require.True(t, tr.Inject(10, 2, 1, 5))
	require.Equal(t, pb.MessageBatch{DeploymentId: testDeployment, BinVer: raftio.TransportBinVersion, Requests: []pb.Message{
		{Type: pb.TimeoutNow, ShardID: 10, To: 2, From: 1, Term: 5},
	}}, next(t, r.batches))
	require.False(t, tr.Inject(0, 2, 1, 5))
	require.False(t, tr.Inject(10, 0, 1, 5), "dragonboat panics on a message to nobody")
	require.Equal(t, uint64(1), tr.Stats().Injected)
}

func TestRetryAnswersForALearner(t *testing.T) {
	r := newReceived()
	tr := startedTransport(t, Config{}, r)
	require.True(t, tr.Retry(10, 2, 7, 5))
	require.Equal(t, pb.MessageBatch{DeploymentId: testDeployment, BinVer: raftio.TransportBinVersion, Requests: []pb.Message{
		{Type: pb.HeartbeatResp, ShardID: 10, To: 2, From: 7, Term: 5},
	}}, next(t, r.batches))
	require.False(t, tr.Retry(0, 2, 7, 5))
	require.False(t, tr.Retry(10, 0, 7, 5))
	require.False(t, tr.Retry(10, 2, 0, 5))
	require.False(t, tr.Retry(10, 2, 7, 0), "it would be obeyed in any term")
}

func TestFactoryValidatesAddresses(t *testing.T) {
	tr, err := New(Config{Plane: wire.PlaneMeta, Dial: dialing()})
	require.NoError(t, err)
	for address, want := range map[string]bool{
		"127.0.0.1:5702": true, "member-1.example:5702": true, "[::1]:1": true, "host:65535": true,
		"": false, "host": false, ":5702": false, "host:": false, "host:0": false, "host:65536": false, "host:http": false,
		"::1:5702": false,
	} {
		require.Equal(t, want, tr.Factory().Validate(address), address)
	}
}

// A connection that comes before the NodeHost has started the transport is served as soon as it has.
func TestEarlyConnection(t *testing.T) {
	noLeaks(t)
	tr, err := New(Config{Plane: wire.PlaneRaft, Dial: dialing(), StartTimeout: patience})
	require.NoError(t, err)
	a, b := tcpPair(t)
	done := serving(tr, b, helloMessages)
	came := make(chan struct{}, 1)
	tr.Factory().Create(config.NodeHostConfig{DeploymentID: testDeployment}, func(pb.MessageBatch) { came <- struct{}{} }, nil)
	from := startedTransport(t, Config{Dial: dialing(a)}, newReceived())
	c, err := from.GetConnection(context.Background(), testTarget)
	require.NoError(t, err)
	require.NoError(t, c.SendMessageBatch(batchOf(heartbeat(1))))
	require.NoError(t, tr.Start())
	next(t, came)
	require.NoError(t, tr.Close())
	require.ErrorIs(t, next(t, done), ErrNotRunning)
	c.Close()
}

// All that is wrong is said at once.
func TestConfig(t *testing.T) {
	_, err := New(Config{QueueBytes: 1, EmptyInterval: time.Hour, DialTimeout: time.Nanosecond, WriteTimeout: -1, StartTimeout: -1, MaxInbound: -1})
	require.Error(t, err)
	for _, part := range []string{"plane 0", "no Dial", "QueueBytes 1", "EmptyInterval 1h", "DialTimeout 1ns", "WriteTimeout -1ns", "StartTimeout -1ns", "MaxInbound -1"} {
		require.ErrorContains(t, err, part)
	}
	c := Config{Plane: wire.PlaneRaft, Dial: dialing()}.WithDefaults()
	require.NoError(t, c.Validate())
	require.Equal(t, DefaultQueueBytes, c.QueueBytes)
	require.Equal(t, DefaultEmptyInterval, c.EmptyInterval)
	require.Equal(t, DefaultDialTimeout, c.DialTimeout)
	require.Equal(t, DefaultWriteTimeout, c.WriteTimeout)
	require.Equal(t, DefaultStartTimeout, c.StartTimeout)
	require.Equal(t, DefaultMaxInbound, c.MaxInbound)
}
