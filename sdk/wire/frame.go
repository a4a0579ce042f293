package wire

import (
	"encoding/binary"
	"fmt"
)

// Flags of a request or an answer.
const (
	FlagTrace uint8 = 1 << 0 // request: a trace context stands between header and body
	FlagRetry uint8 = 1 << 1 // request: an earlier copy of this call may have reached an owner
	FlagParts uint8 = 1 << 2 // several requests of one operation, or several answers, share the frame; see AppendPart
	FlagCache uint8 = 1 << 3 // request: the caller keeps what it reads, and the answer to OpGet, OpContains or OpGetMany begins with a CacheHead
	FlagPush  uint8 = 1 << 7 // answer without a request: its request ID holds the Op that it would answer
)

// RequestHeader is the size of a request's fixed part, AnswerHeader of an answer's, both without the length.
const (
	RequestHeader = 64
	AnswerHeader  = 28
	traceSize     = 25
)

// Trace is a W3C trace context: 16 bytes trace ID, 8 bytes span ID, 1 byte flags.
type Trace [traceSize]byte

// Request is one call as it stands in a frame:
//
//	0 version · 1 op · 2 flags · 3 zero · 4 request ID · 12 partition · 16 epoch · 24 client · 40 seq · 48 lowest · 56 deadline
type Request struct {
	ID        uint64 // unique among the calls in flight of its connection
	Op        Op
	Flags     uint8
	Partition uint32 // NoPartition if the request is for no partition
	Epoch     uint64 // the newest epoch of the partition that the caller knows; 0 if none
	Client    ID     // with Seq the identity of the call, equal in all its copies
	Seq       uint64 // from 1; 0 for calls that are not recorded
	Lowest    uint64 // where the client request window begins: the lowest seq that the client may repeat in this partition
	Deadline  int64  // cluster time in milliseconds; 0 is refused for writes
	Trace     Trace  // only with FlagTrace
	Body      []byte // aliases the frame
}

// AppendRequest appends r as a frame with its length.
func AppendRequest(dst []byte, r *Request) []byte {
	n := RequestHeader + len(r.Body)
	if r.Flags&FlagTrace != 0 {
		n += traceSize
	}

	// The order and the widths are the protocol's: DecodeRequest reads at fixed offsets.
	dst = AppendU32(dst, uint32(n))
	dst = append(dst, Version, byte(r.Op), r.Flags, 0)
	dst = AppendU64(dst, r.ID)
	dst = AppendU32(dst, r.Partition)
	dst = AppendU64(dst, r.Epoch)
	dst = append(dst, r.Client[:]...)
	dst = AppendU64(dst, r.Seq)
	dst = AppendU64(dst, r.Lowest)
	dst = AppendI64(dst, r.Deadline)

	// The trace context is optional, and costs nothing where there is none.
	if r.Flags&FlagTrace != 0 {
		dst = append(dst, r.Trace[:]...)
	}
	return append(dst, r.Body...)
}

// DecodeRequest reads a frame without its length into r and sets all its fields. Body aliases b. After an error r is undefined.
func DecodeRequest(b []byte, r *Request) error {
	if len(b) < RequestHeader {
		return fmt.Errorf("%w: a request of %d bytes", ErrMalformed, len(b))
	}
	if b[0] != Version {
		return fmt.Errorf("%w: request of protocol version %d, this is %d", ErrMalformed, b[0], Version)
	}

	// A byte in reserve. Refusing other values now lets a later version give it a meaning.
	if b[3] != 0 {
		return fmt.Errorf("%w: a request's byte 3 is %d, not 0", ErrMalformed, b[3])
	}

	r.Op, r.Flags = Op(b[1]), b[2]
	r.ID = binary.BigEndian.Uint64(b[4:])
	r.Partition = binary.BigEndian.Uint32(b[12:])
	r.Epoch = binary.BigEndian.Uint64(b[16:])
	r.Client = ID(b[24:40])
	r.Seq = binary.BigEndian.Uint64(b[40:])
	r.Lowest = binary.BigEndian.Uint64(b[48:])
	r.Deadline = int64(binary.BigEndian.Uint64(b[56:]))

	b = b[RequestHeader:]
	if r.Flags&FlagTrace != 0 {
		if len(b) < traceSize {
			return fmt.Errorf("%w: a trace context of %d bytes", ErrMalformed, len(b))
		}
		r.Trace = Trace(b[:traceSize])
		b = b[traceSize:]
	} else {
		// r is used again for request after request.
		r.Trace = Trace{}
	}

	r.Body = b
	return nil
}

// Answer is the answer to a call as it stands in a frame:
//
//	0 version · 1 flags · 2 code · 4 request ID · 12 cluster time · 20 table version
type Answer struct {
	ID    uint64
	Flags uint8
	Code  Code
	Time  int64  // cluster time at the member in milliseconds
	Table uint64 // version of the member's table view
	Body  []byte // aliases the frame; the text of most errors
}

// AppendAnswer appends a as a frame with its length.
func AppendAnswer(dst []byte, a *Answer) []byte {
	dst = AppendU32(dst, uint32(AnswerHeader+len(a.Body)))
	dst = append(dst, Version, a.Flags)
	dst = AppendU16(dst, uint16(a.Code))
	dst = AppendU64(dst, a.ID)
	dst = AppendI64(dst, a.Time)
	dst = AppendU64(dst, a.Table)
	return append(dst, a.Body...)
}

// DecodeAnswer reads a frame without its length into a, whose Body aliases b.
func DecodeAnswer(b []byte, a *Answer) error {
	if len(b) < AnswerHeader {
		return fmt.Errorf("%w: an answer of %d bytes", ErrMalformed, len(b))
	}
	if b[0] != Version {
		return fmt.Errorf("%w: answer of protocol version %d, this is %d", ErrMalformed, b[0], Version)
	}

	a.Flags = b[1]
	a.Code = Code(binary.BigEndian.Uint16(b[2:]))
	a.ID = binary.BigEndian.Uint64(b[4:])
	a.Time = int64(binary.BigEndian.Uint64(b[12:]))
	a.Table = binary.BigEndian.Uint64(b[20:])
	a.Body = b[AnswerHeader:]
	return nil
}

// FrameLength reads the length of the frame at the start of b. ok is false while fewer than four bytes are there.
// A length above limit is ErrTooLarge: the connection cannot go on.
func FrameLength(b []byte, limit int) (n int, ok bool, err error) {
	if len(b) < 4 {
		return 0, false, nil
	}
	l := binary.BigEndian.Uint32(b)
	if uint64(l) > uint64(limit) {
		return 0, false, fmt.Errorf("%w: a frame of %d bytes, the limit is %d", ErrTooLarge, l, limit)
	}
	return int(l), true, nil
}
