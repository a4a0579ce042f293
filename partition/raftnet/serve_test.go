package raftnet

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"

	pb "github.com/lni/dragonboat/v4/raftpb"
	"github.com/stretchr/testify/require"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// piecewise is a connection of which every Read brings one piece.
type piecewise struct {
	net.Conn
	scriptedReads
}

func (p *piecewise) Read(b []byte) (int, error) { return p.scriptedReads.Read(b) }

func (p *piecewise) Close() error { return nil }

// What one read brought is one batch, whatever number of frames; a frame that is cut goes with the read that completes it.
func TestOneReadIsOneBatch(t *testing.T) {
	f := func(shards ...uint64) (b []byte) {
		for _, s := range shards {
			b = append(b, frames(t, batchOf(heartbeat(s)))...)
		}
		return b
	}
	cut := f(4)
	nc := &piecewise{scriptedReads: scriptedReads{err: io.EOF, pieces: [][]byte{
		append(f(1, 2, 3), cut[:5]...), append(cut[5:], f(5)...), f(6),
	}}}
	r := newReceived()
	tr := startedTransport(t, Config{}, r)
	require.NoError(t, tr.Serve(nc, helloMessages))
	for _, want := range [][]uint64{{1, 2, 3}, {4, 5}, {6}} {
		var got []uint64
		for _, m := range next(t, r.batches).Requests {
			got = append(got, m.ShardID)
		}
		require.Equal(t, want, got)
	}
	require.Empty(t, r.batches)
	require.Equal(t, uint64(3), tr.Stats().Deliveries)
}

// Refused messages are counted and their neighbours delivered; the connection goes on.
func TestRefusedMessagesAreLeftOut(t *testing.T) {
	good1, good2 := heartbeat(1), heartbeat(2)
	stream := frames(t, batchOf(pb.Message{Type: pb.LocalTick, To: 2, From: 1, ShardID: 1}, good1,
		pb.Message{Type: pb.InstallSnapshot, To: 2, From: 1, ShardID: 1, Term: 3}, good2, pb.Message{Type: pb.Heartbeat, To: 2, ShardID: 1, Term: 3}))
	r := newReceived()
	tr := startedTransport(t, Config{}, r)
	require.NoError(t, tr.Serve(&piecewise{scriptedReads: scriptedReads{err: io.EOF, pieces: [][]byte{stream}}}, helloMessages))
	require.Equal(t, []pb.Message{good1, good2}, next(t, r.batches).Requests)
	require.Equal(t, uint64(3), tr.Stats().Refused)
	require.Equal(t, uint64(2), tr.Stats().ReceivedMessages)
}

// Bytes that are not ours end the connection, at the first of them; what came before is delivered.
func TestGarbageEndsTheConnection(t *testing.T) {
	good := frames(t, batchOf(heartbeat(1)))
	flipped := frames(t, batchOf(heartbeat(2)))
	flipped[len(flipped)-1] ^= 0x80
	other := batchOf(heartbeat(2))
	other.DeploymentId++
	older := batchOf(heartbeat(2))
	older.BinVer--
	for name, c := range map[string]struct {
		bytes []byte
		want  error
	}{
		"HTTP":             {[]byte("GET / HTTP/1.1\r\n\r\n"), wire.ErrTooLarge},
		"4 GiB":            {binary.BigEndian.AppendUint64(nil, 0xffffffff<<32), wire.ErrTooLarge},
		"checksum":         {flipped, ErrChecksum},
		"empty frame":      {frameOf(nil), wire.ErrMalformed},
		"nonsense":         {frameOf([]byte{1, 1, 12, 0xff, 0xff, 0xff}), wire.ErrMalformed},
		"other deployment": {frames(t, other), wire.ErrMalformed},
		"older version":    {frames(t, older), wire.ErrMalformed},
		"cut":              {good[:9], io.ErrUnexpectedEOF},
	} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			r := newReceived()
			tr := startedTransport(t, Config{}, r)
			a, b := tcpPair(t)
			done := serving(tr, b, helloMessages)
			_, err := a.Write(append(append([]byte(nil), good...), c.bytes...))
			require.NoError(t, err)
			if errors.Is(c.want, io.ErrUnexpectedEOF) {
				require.NoError(t, a.(*net.TCPConn).CloseWrite())
			}
			require.ErrorIs(t, next(t, done), c.want)
			require.Equal(t, uint64(1), next(t, r.batches).Requests[0].ShardID)
			require.Empty(t, r.batches)
			_, _ = io.Copy(io.Discard, a) // ends, by a close or a reset: the connection is closed
			malformed := uint64(1)
			if errors.Is(c.want, io.ErrUnexpectedEOF) {
				malformed = 0
			}
			require.Equal(t, malformed, tr.Stats().Malformed)
		})
	}
}

// Connections for another plane or stream, and more of them than agreed, are closed.
func TestServeRefusesConnections(t *testing.T) {
	noLeaks(t)
	tr := startedTransport(t, Config{MaxInbound: 1}, newReceived())
	for _, hello := range []wire.Hello{{Plane: wire.PlaneMeta}, {Plane: wire.PlaneCalls}, {Plane: wire.PlaneRaft, Stream: 2}} {
		a, b := tcpPair(t)
		require.ErrorIs(t, tr.Serve(b, hello), wire.ErrMalformed)
		_, err := a.Read(make([]byte, 1))
		require.Error(t, err)
	}
	a, b := net.Pipe()
	first := serving(tr, b, helloMessages)
	_, err := a.Write([]byte{0}) // taken by Serve: it is counted
	require.NoError(t, err)
	_, d := tcpPair(t)
	require.ErrorIs(t, tr.Serve(d, helloMessages), ErrTooManyConnections)
	require.NoError(t, a.Close())
	require.ErrorIs(t, next(t, first), io.ErrUnexpectedEOF)
	e, f := net.Pipe()
	require.NoError(t, e.Close())
	require.NoError(t, tr.Serve(f, helloMessages), "there is room again")
}
