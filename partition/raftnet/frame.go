package raftnet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

const (
	frameHeader = 8                 // length, CRC-32C
	maxFrame    = wire.MaxFramePeer // payload of one frame
	frameTarget = 1 << 20           // a sender closes a frame of several messages before it grows beyond this
	readBase    = 64 << 10          // read buffer of a quiet connection
	readBusy    = 256 << 10         // read buffer of a connection whose reads fill it
	readDirect  = 4 << 20           // a frame up to this size gets its buffer at once; larger ones as their bytes arrive
	shrinkAfter = 64                // reads without need for a grown buffer after which it is given back
	maxEmpty    = 100               // reads in a row that bring neither bytes nor an error
)

var (
	// ErrChecksum ends a connection on which a frame's checksum was wrong.
	ErrChecksum = fmt.Errorf("%w: a Raft frame with a wrong checksum", wire.ErrMalformed)

	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// openFrame appends room for a frame's header.
func openFrame(dst []byte) []byte { return append(dst, 0, 0, 0, 0, 0, 0, 0, 0) }

// closeFrame fills in the header of the frame that starts at index start and ends with dst. tail is what the payload
// consists of besides, when it is written separately.
func closeFrame(dst []byte, start int, tail []byte) {
	payload := dst[start+frameHeader:]
	sum := crc32.Update(crc32.Checksum(payload, castagnoli), castagnoli, tail)
	binary.BigEndian.PutUint32(dst[start:], uint32(len(payload)+len(tail)))
	binary.BigEndian.PutUint32(dst[start+4:], sum)
}

// frameReader cuts frames out of a stream with as few reads as it can.
//
// Invariant: buf[r:w] is what was read and not yet returned.
type frameReader struct {
	src   io.Reader
	buf   []byte
	r, w  int
	need  int  // size of the frame that starts at r, header included; 0 if not yet known
	full  bool // the last read filled the buffer
	quiet int  // reads in a row for which a buffer of readBusy bytes would have been enough
}

func newFrameReader(src io.Reader) *frameReader {
	return &frameReader{src: src, buf: make([]byte, readBase)}
}

// next returns the payload of the next frame if it has been read completely; it is valid until fill. A frame above the
// cap is wire.ErrTooLarge, one with a wrong checksum ErrChecksum: the stream cannot go on.
func (f *frameReader) next() (payload []byte, ok bool, err error) {
	f.need = 0
	b := f.buf[f.r:f.w]
	if len(b) < frameHeader {
		return nil, false, nil
	}

	n, _, err := wire.FrameLength(b, maxFrame)
	if err != nil {
		// A length above the cap cannot be skipped: nobody knows where the next frame begins.
		return nil, false, err
	}
	if len(b)-frameHeader < n {
		f.need = frameHeader + n // makeRoom sees to the room
		return nil, false, nil
	}

	payload = b[frameHeader : frameHeader+n]
	if crc32.Checksum(payload, castagnoli) != binary.BigEndian.Uint32(b[4:]) {
		// The length may be wrong as well, so no later frame can be found.
		return nil, false, ErrChecksum
	}
	f.r += frameHeader + n
	return payload, true, nil
}

// fill reads once from the stream and returns how many bytes came. At the stream's end it returns io.EOF, within a frame
// io.ErrUnexpectedEOF. REQUIRES: next has returned ok == false.
func (f *frameReader) fill() (int, error) {
	f.makeRoom()
	for range maxEmpty {
		n, err := f.src.Read(f.buf[f.w:])
		f.w += n
		// A read that fills the buffer suggests that more is waiting, and that a larger buffer pays.
		f.full = f.w == len(f.buf)
		if n > 0 {
			return n, nil // an error that came along comes again
		}
		if errors.Is(err, io.EOF) && f.r != f.w {
			// The peer has gone within a frame, and not between two.
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return 0, err
		}
	}

	// A connection that brings neither bytes nor an error would keep this goroutine busy for ever.
	return 0, io.ErrNoProgress
}

// makeRoom leaves at least one free byte at the end of buf, and moves what is buffered to its front.
func (f *frameReader) makeRoom() {
	size := len(f.buf)
	if f.full && size < readBusy {
		// The last read has filled the buffer, so there may be more than it holds.
		size = readBusy
	}

	if f.need > size {
		// The buffer doubles as it fills, unless the frame is of a usual size: a claimed length alone is not worth memory.
		switch {
		case f.need <= readDirect:
			size = (f.need + readBusy - 1) / readBusy * readBusy
		case f.full:
			size = min(2*size, f.need)
		}
	}

	// A buffer that has grown for large frames is given back once many reads have not needed it.
	if f.need <= readBusy && f.w-f.r < readBusy {
		f.quiet++
	} else {
		f.quiet = 0
	}
	if size > readBusy && f.quiet >= shrinkAfter {
		size, f.quiet = readBusy, 0
	}

	if size != len(f.buf) {
		next := make([]byte, size)
		f.w = copy(next, f.buf[f.r:f.w])
		f.r, f.buf = 0, next
		return
	}
	f.w = copy(f.buf, f.buf[f.r:f.w])
	f.r = 0
}
