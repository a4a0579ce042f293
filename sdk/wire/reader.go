package wire

import (
	"encoding/binary"
	"fmt"
	"unicode/utf8"
)

// Reader decodes a byte slice from front to back. The first thing that does not fit is remembered and every later call
// returns zero, so that a decoder checks once, at its end. Slices it returns alias the input.
type Reader struct {
	b   []byte
	err error
}

// NewReader returns a Reader over b, which it does not copy.
func NewReader(b []byte) Reader { return Reader{b: b} }

// Err returns the first error.
func (r *Reader) Err() error { return r.err }

// Len returns how many bytes are left.
func (r *Reader) Len() int { return len(r.b) }

// Fail makes the Reader fail with the given reason unless it has failed already.
func (r *Reader) Fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: "+format, append([]any{ErrMalformed}, args...)...)
		r.b = nil
	}
}

// Done returns the first error, or one if bytes are left over.
func (r *Reader) Done() error {
	if r.err == nil && len(r.b) != 0 {
		r.Fail("%d bytes left over", len(r.b))
	}
	return r.err
}

func (r *Reader) take(n int) []byte {
	// After the first error everything reads as zero, so callers check once, at the end.
	if r.err != nil {
		return nil
	}
	if n < 0 || n > len(r.b) {
		r.Fail("%d bytes wanted, %d left", n, len(r.b))
		return nil
	}

	// The capacity ends with the slice, so that nobody can append into what follows.
	b := r.b[:n:n]
	r.b = r.b[n:]
	return b
}

// U8 reads one byte.
func (r *Reader) U8() uint8 {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

// U16 reads two bytes.
func (r *Reader) U16() uint16 {
	if b := r.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

// U32 reads four bytes.
func (r *Reader) U32() uint32 {
	if b := r.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

// U64 reads eight bytes.
func (r *Reader) U64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// I64 reads eight bytes as a signed integer.
func (r *Reader) I64() int64 { return int64(r.U64()) }

// Uvarint reads an unsigned varint.
func (r *Reader) Uvarint() uint64 {
	// Lengths and counts are mostly short. After an error nothing is left, so there is none.
	if len(r.b) > 0 && r.b[0] < 0x80 {
		v := r.b[0]
		r.b = r.b[1:]
		return uint64(v)
	}
	return r.longUvarint()
}

func (r *Reader) longUvarint() uint64 {
	if r.err != nil {
		return 0
	}

	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.Fail("bad varint")
		return 0
	}

	r.b = r.b[n:]
	return v
}

// Varint reads a signed (zig-zag) varint.
func (r *Reader) Varint() int64 {
	if r.err != nil {
		return 0
	}

	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.Fail("bad varint")
		return 0
	}

	r.b = r.b[n:]
	return v
}

// Count reads the length of a list whose elements take at least minSize bytes each. It refuses a length that the remaining bytes
// cannot hold, so a decoder may allocate as many elements as Count returns.
func (r *Reader) Count(minSize int) int {
	n := r.Uvarint()
	if r.err == nil && n > uint64(len(r.b)/max(minSize, 1)) {
		r.Fail("a list of %d in %d bytes", n, len(r.b))
		return 0
	}
	return int(n)
}

// Bytes reads a length and that many bytes. The result aliases the input; nil for length 0.
func (r *Reader) Bytes() []byte {
	n := r.Uvarint()
	// Compared as unsigned numbers: a huge length must not become a negative int.
	if n > uint64(len(r.b)) {
		r.Fail("%d bytes wanted, %d left", n, len(r.b))
		return nil
	}
	if n == 0 {
		return nil
	}
	return r.take(int(n))
}

// String reads a length and that many bytes of UTF-8.
func (r *Reader) String() string {
	b := r.Bytes()
	if !utf8.Valid(b) {
		r.Fail("a text that is not UTF-8")
		return ""
	}
	return string(b)
}

// ID reads a 16-byte identity.
func (r *Reader) ID() (id ID) {
	copy(id[:], r.take(16))
	return id
}

// Rest reads all that is left. The result aliases the input.
func (r *Reader) Rest() []byte { return r.take(len(r.b)) }

// AppendBytes appends b's length and b.
func AppendBytes(dst, b []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(b)))
	return append(dst, b...)
}

// AppendString appends s's length and s.
func AppendString(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

// AppendU16, AppendU32, AppendU64 and AppendI64 append integers in big-endian order.
func AppendU16(dst []byte, v uint16) []byte { return binary.BigEndian.AppendUint16(dst, v) }

// AppendU32 appends four bytes.
func AppendU32(dst []byte, v uint32) []byte { return binary.BigEndian.AppendUint32(dst, v) }

// AppendU64 appends eight bytes.
func AppendU64(dst []byte, v uint64) []byte { return binary.BigEndian.AppendUint64(dst, v) }

// AppendI64 appends eight bytes.
func AppendI64(dst []byte, v int64) []byte { return binary.BigEndian.AppendUint64(dst, uint64(v)) }

// AppendUvarint appends an unsigned varint.
func AppendUvarint(dst []byte, v uint64) []byte { return binary.AppendUvarint(dst, v) }

// AppendVarint appends a signed (zig-zag) varint.
func AppendVarint(dst []byte, v int64) []byte { return binary.AppendVarint(dst, v) }
