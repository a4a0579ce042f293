package raftnet

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

func frameOf(payload []byte) []byte {
	b := append(openFrame(nil), payload...)
	closeFrame(b, 0, nil)
	return b
}

// scriptedReads returns one of its pieces per Read, and then its error.
type scriptedReads struct {
	pieces [][]byte
	err    error
	most   int // largest buffer that was offered
}

func (s *scriptedReads) Read(p []byte) (int, error) {
	s.most = max(s.most, len(p))
	if len(s.pieces) == 0 {
		return 0, s.err
	}
	n := copy(p, s.pieces[0])
	if s.pieces[0] = s.pieces[0][n:]; len(s.pieces[0]) == 0 {
		s.pieces = s.pieces[1:]
	}
	return n, nil
}

// readAll returns copies of all payloads, and what ended the stream.
func readAll(src io.Reader) (payloads [][]byte, err error) {
	r := newFrameReader(src)
	for {
		p, ok, err := r.next()
		if err != nil {
			return payloads, err
		}
		if ok {
			payloads = append(payloads, bytes.Clone(p))
			continue
		}
		if _, err := r.fill(); err != nil {
			return payloads, err
		}
	}
}

// However the bytes of a stream are cut into reads, the same frames come out.
func TestFramesSurviveAnyCut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sizes := rapid.SliceOfN(rapid.OneOf(rapid.IntRange(0, 100), rapid.IntRange(60<<10, 70<<10), rapid.IntRange(250<<10, 600<<10)), 1, 8).Draw(t, "sizes")
		var want [][]byte
		var stream []byte
		for i, n := range sizes {
			p := bytes.Repeat([]byte{byte(i + 1)}, n)
			want = append(want, p)
			stream = append(stream, frameOf(p)...)
		}
		var pieces [][]byte
		for rest := stream; len(rest) > 0; {
			n := min(len(rest), rapid.OneOf(rapid.IntRange(1, 20), rapid.IntRange(1000, 300<<10)).Draw(t, "piece"))
			pieces = append(pieces, rest[:n])
			rest = rest[n:]
		}
		got, err := readAll(&scriptedReads{pieces: pieces, err: io.EOF})
		require.ErrorIs(t, err, io.EOF)
		require.Len(t, got, len(want))
		for i := range want {
			require.True(t, bytes.Equal(want[i], got[i]), "frame %d", i)
		}
	})
}

func TestFrameOneByteAtATime(t *testing.T) {
	stream := append(frameOf([]byte("first")), frameOf([]byte("second"))...)
	got, err := readAll(iotest.OneByteReader(bytes.NewReader(stream)))
	require.Equal(t, io.EOF, err)
	require.Equal(t, [][]byte{[]byte("first"), []byte("second")}, got)
}

func TestFrameErrors(t *testing.T) {
	good := frameOf([]byte("payload"))
	flipped := bytes.Clone(good)
	flipped[len(flipped)-1] ^= 1
	for name, c := range map[string]struct {
		stream []byte
		want   error
	}{
		"4 GiB":           {[]byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}, wire.ErrTooLarge},
		"one above cap":   {binary.BigEndian.AppendUint64(nil, (maxFrame+1)<<32), wire.ErrTooLarge},
		"wrong checksum":  {flipped, ErrChecksum},
		"ends in header":  {good[:5], io.ErrUnexpectedEOF},
		"ends in payload": {good[:len(good)-1], io.ErrUnexpectedEOF},
		"ends between":    {good, io.EOF},
		"HTTP":            {[]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), wire.ErrTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := readAll(bytes.NewReader(c.stream))
			require.ErrorIs(t, err, c.want)
		})
	}
	require.ErrorIs(t, ErrChecksum, wire.ErrMalformed)
}

// A length alone buys little memory: above a usual size the buffer grows with what has come.
func TestClaimedLengthIsNotAllocated(t *testing.T) {
	head := binary.BigEndian.AppendUint64(nil, maxFrame<<32)
	src := &scriptedReads{pieces: [][]byte{head, make([]byte, 10)}, err: io.ErrClosedPipe}
	_, err := readAll(src)
	require.ErrorIs(t, err, io.ErrClosedPipe)
	require.LessOrEqual(t, src.most, readBusy)
}

// A large frame's buffer is given back when it is no longer needed.
func TestReadBufferShrinks(t *testing.T) {
	src := &scriptedReads{err: io.EOF}
	src.pieces = append(src.pieces, frameOf(make([]byte, 3<<20)))
	for range 2 * shrinkAfter {
		src.pieces = append(src.pieces, frameOf([]byte("small")))
	}
	r := newFrameReader(src)
	largest, frames := 0, 0
	for {
		_, ok, err := r.next()
		require.NoError(t, err)
		if ok {
			frames++
			continue
		}
		if _, err := r.fill(); err != nil {
			require.Equal(t, io.EOF, err)
			break
		}
		largest = max(largest, len(r.buf))
	}
	require.Equal(t, 1+2*shrinkAfter, frames)
	require.GreaterOrEqual(t, largest, 3<<20)
	require.LessOrEqual(t, len(r.buf), readBusy)
}

func TestReadWithoutProgressEnds(t *testing.T) {
	_, err := newFrameReader(stuckReader{}).fill()
	require.ErrorIs(t, err, io.ErrNoProgress)
}

type stuckReader struct{}

func (stuckReader) Read([]byte) (int, error) { return 0, nil }

// An error that comes with bytes is not lost, and neither are the bytes.
func TestErrorWithBytes(t *testing.T) {
	boom := errors.New("boom")
	got, err := readAll(iotest.DataErrReader(&scriptedReads{pieces: [][]byte{frameOf([]byte("last words"))}, err: boom}))
	require.Equal(t, [][]byte{[]byte("last words")}, got)
	require.ErrorIs(t, err, boom)
}
