package wire

import (
	"encoding/binary"
	"fmt"
)

// maxParts is how many bytes a frame of parts may have. A part that does not fit begins another frame, or stands in one of its own.
const maxParts = 256 << 10

// partFlags are the flags that each part has for itself.
const partFlags = FlagRetry | FlagCache

const (
	partHeader       = 8 + 4 + 8 + 1 + 8 + 8 + binary.MaxVarintLen32
	answerPartHeader = 8 + 2 + binary.MaxVarintLen32
)

// AppendPart appends r as one part of a frame. The parts of a frame are requests of one operation, each with an ID and an answer of its
// own. They share what stands in the frame's header:
//
//	header   as of a Request, with FlagParts and NoPartition: op, trace, client and deadline hold for all parts
//	part     0 request ID · 8 partition · 12 epoch · 20 flags · writes only: 21 seq · 29 lowest · then the length of the body, and the body
//
// begins is where the last frame in dst begins if AppendPart has made it and nothing was appended since; else it is negative. The result is
// the same for the next call.
func AppendPart(dst []byte, begins int, r *Request) ([]byte, int) {
	size := partHeader + len(r.Body)
	if RequestHeader+traceSize+4+size > maxParts {
		return AppendRequest(dst, r), -1
	}

	if begins < 0 || len(dst)-begins+size > maxParts || !shares(dst[begins+4:], r) {
		begins = len(dst)
		dst = AppendRequest(dst, &Request{Op: r.Op, Flags: r.Flags&FlagTrace | FlagParts, Partition: NoPartition, Client: r.Client,
			Deadline: r.Deadline, Trace: r.Trace})
	}

	dst = AppendU64(dst, r.ID)
	dst = AppendU32(dst, r.Partition)
	dst = AppendU64(dst, r.Epoch)
	dst = append(dst, r.Flags&partFlags)
	// A read has no identity.
	if r.Op.IsWrite() {
		dst = AppendU64(dst, r.Seq)
		dst = AppendU64(dst, r.Lowest)
	}
	dst = AppendBytes(dst, r.Body)

	// The frame is whole after each part, so it may be sent at any time.
	binary.BigEndian.PutUint32(dst[begins:], uint32(len(dst)-begins-4))
	return dst, begins
}

// shares reports whether r can be a part of the frame.
func shares(frame []byte, r *Request) bool {
	var h Request
	return DecodeRequest(frame, &h) == nil && h.Op == r.Op && h.Client == r.Client && h.Deadline == r.Deadline &&
		h.Flags&FlagTrace == r.Flags&FlagTrace && h.Trace == r.Trace
}

// DecodePart reads the next part of a frame into r, which was decoded from the frame or from its part before. parts was made from the
// frame's body. Body aliases that. FlagParts stays set. After an error r is undefined.
func DecodePart(parts *Reader, r *Request) error {
	r.ID, r.Partition, r.Epoch = parts.U64(), parts.U32(), parts.U64()

	flags := parts.U8()
	if flags&^partFlags != 0 {
		return fmt.Errorf("%w: a part's flags are %#x", ErrMalformed, flags)
	}
	r.Flags = r.Flags&^partFlags | flags

	r.Seq, r.Lowest = 0, 0
	if r.Op.IsWrite() {
		r.Seq, r.Lowest = parts.U64(), parts.U64()
	}
	r.Body = parts.Bytes()
	return parts.Err()
}

// AppendAnswerPart appends a as one part of a frame that carries several answers:
//
//	header   as of an Answer, with FlagParts: time and table are those of the frame's first part
//	part     0 request ID · 8 code · then the length of the body, and the body
//
// begins is as in AppendPart.
func AppendAnswerPart(dst []byte, begins int, a *Answer) ([]byte, int) {
	size := answerPartHeader + len(a.Body)
	if AnswerHeader+4+size > maxParts {
		return AppendAnswer(dst, a), -1
	}

	if begins < 0 || len(dst)-begins+size > maxParts {
		begins = len(dst)
		dst = AppendAnswer(dst, &Answer{Flags: FlagParts, Time: a.Time, Table: a.Table})
	}

	dst = AppendU64(dst, a.ID)
	dst = AppendU16(dst, uint16(a.Code))
	dst = AppendBytes(dst, a.Body)
	binary.BigEndian.PutUint32(dst[begins:], uint32(len(dst)-begins-4))
	return dst, begins
}

// DecodeAnswerPart reads the next part of a frame into a, which was decoded from the frame or from its part before. parts was made from the
// frame's body. Body aliases that. FlagParts stays set.
func DecodeAnswerPart(parts *Reader, a *Answer) error {
	a.ID, a.Code, a.Body = parts.U64(), Code(parts.U16()), parts.Bytes()
	return parts.Err()
}
