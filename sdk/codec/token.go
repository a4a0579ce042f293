package codec

import (
	"encoding/binary"
	"errors"
	"math"
	"time"
)

// family is what a stored value is, whichever of its forms was chosen.
type family uint8

const (
	famNil family = iota
	famBool
	famUint // an integer from 0
	famInt  // a negative integer
	famFloat
	famTime
	famString
	famBytes
	famArray
	famMap
)

var familyNames = [...]string{"nil", "a bool", "an integer", "an integer", "a float", "a time", "a string", "bytes", "an array", "a map"}

func (f family) String() string { return familyNames[f] }

// token is one scalar, or the header of a string, of bytes, of an array or of a map. It has no more than four fields, which
// is how many the compiler keeps in registers.
type token struct {
	fam  family
	ok   bool   // in its canonical form
	size int    // bytes of the scalar or of the header
	n    uint64 // bool, integer, bits of a float64, bytes of a timestamp, length, or number of elements or entries
}

// end returns where the token's value ends if it is not an array or a map.
func (t token) end() int {
	if t.fam == famString || t.fam == famBytes {
		return t.size + int(t.n)
	}
	return t.size
}

func (t token) float() float64 { return math.Float64frombits(t.n) }

// instant returns the time since the epoch that t stands for. b begins with the token.
func (t token) instant(b []byte) (sec int64, nsec uint32) {
	switch body := b[t.size-int(t.n) : t.size]; t.n {
	case 4:
		return int64(binary.BigEndian.Uint32(body)), 0
	case 8:
		packed := binary.BigEndian.Uint64(body)
		return int64(packed & (1<<34 - 1)), uint32(packed >> 34)
	default: // 12
		return int64(binary.BigEndian.Uint64(body[4:])), binary.BigEndian.Uint32(body)
	}
}

func (t token) time(b []byte) time.Time {
	sec, nsec := t.instant(b)
	return time.Unix(sec, int64(nsec)).UTC()
}

// int returns the integer if it is one that fits into so many bits.
func (t token) int(bits int) (int64, bool) {
	n := int64(t.n)
	switch t.fam {
	case famUint:
		return n, t.n>>(bits-1) == 0
	case famInt:
		return n, n >= -1<<(bits-1)
	}
	return 0, false
}

// scalar returns the value of a token that is neither array nor map, as an any holds it. b begins with the token.
func (t token) scalar(b []byte) any {
	switch t.fam {
	case famBool:
		return t.n != 0
	case famUint:
		// An int64 where it fits, as decoding into an any promises.
		if t.n > math.MaxInt64 {
			return t.n
		}
		return int64(t.n)
	case famInt:
		return int64(t.n)
	case famFloat:
		return t.float()
	case famTime:
		return t.time(b)
	case famString:
		return string(b[t.size:t.end()])
	case famBytes:
		return append(make([]byte, 0, t.n), b[t.size:t.end()]...)
	}
	return nil
}

var (
	errTruncated = errors.New("it ends too early")
	errTrailing  = errors.New("bytes follow it")
	errNever     = errors.New("the code c1, which is never used")
	errLength    = errors.New("a length beyond the bytes that are left")
	errExtension = errors.New("an extension that is not a timestamp")
	errTimestamp = errors.New("a timestamp that is none")
)

// readToken reads the token that b begins with. It accepts any bytes and allocates nothing. A string or bytes lie within
// b. b has at least one byte for every element of an array, and two for every entry of a map.
func readToken(b []byte) (token, error) {
	if len(b) == 0 {
		return token{}, errTruncated
	}

	// The most frequent forms come first: they have their value or length in the first byte.
	c := b[0]
	switch {
	case c < fixMap:
		return token{fam: famUint, ok: true, size: 1, n: uint64(c)}, nil
	case c >= 0xe0:
		return token{fam: famInt, ok: true, size: 1, n: uint64(int64(int8(c)))}, nil
	case c < fixArr:
		return lengthToken(b, famMap, 1, uint64(c&0x0f), 0)
	case c < fixStr:
		return lengthToken(b, famArray, 1, uint64(c&0x0f), 0)
	case c < codeNil:
		return lengthToken(b, famString, 1, uint64(c&0x1f), 0)
	}

	var n uint64 // what follows the code, in as many bytes as width says

	// Checked once here, so that no form below reads beyond b.
	width := widths[c-codeNil]
	if len(b) <= width {
		return token{}, errTruncated
	}

	switch width {
	case 1:
		n = uint64(b[1])
	case 2:
		n = uint64(binary.BigEndian.Uint16(b[1:]))
	case 4:
		n = uint64(binary.BigEndian.Uint32(b[1:]))
	case 8:
		n = binary.BigEndian.Uint64(b[1:])
	}

	switch c {
	case codeNil:
		return token{fam: famNil, ok: true, size: 1}, nil
	case codeFalse, codeTrue:
		return token{fam: famBool, ok: true, size: 1, n: uint64(c - codeFalse)}, nil
	case codeBin8:
		return lengthToken(b, famBytes, 2, n, 0)
	case codeBin8 + 1:
		return lengthToken(b, famBytes, 3, n, 1<<8)
	case codeBin8 + 2:
		return lengthToken(b, famBytes, 5, n, 1<<16)
	case codeExt8, codeExt8 + 1, codeExt8 + 2:
		return timeToken(b, 1+width, n)
	case codeF32:
		return token{fam: famFloat, size: 5, n: math.Float64bits(float64(math.Float32frombits(uint32(n))))}, nil
	case codeF64:
		f := math.Float64frombits(n)
		return token{fam: famFloat, ok: f == f || n == theNaN, size: 9, n: n}, nil
	case codeUint8:
		return token{fam: famUint, ok: n >= 1<<7, size: 2, n: n}, nil
	case codeUint8 + 1:
		return token{fam: famUint, ok: n >= 1<<8, size: 3, n: n}, nil
	case codeUint8 + 2:
		return token{fam: famUint, ok: n >= 1<<16, size: 5, n: n}, nil
	case codeUint8 + 3:
		return token{fam: famUint, ok: n >= 1<<32, size: 9, n: n}, nil
	case codeInt8:
		return intToken(2, int64(int8(n)), -1<<5), nil
	case codeInt8 + 1:
		return intToken(3, int64(int16(n)), math.MinInt8), nil
	case codeInt8 + 2:
		return intToken(5, int64(int32(n)), math.MinInt16), nil
	case codeInt8 + 3:
		return intToken(9, int64(n), math.MinInt32), nil
	case codeFix1, codeFix1 + 1, codeFix1 + 2, codeFix1 + 3, codeFix1 + 4:
		return timeToken(b, 1, 1<<(c-codeFix1))
	case codeStr8:
		return lengthToken(b, famString, 2, n, 1<<5)
	case codeStr8 + 1:
		return lengthToken(b, famString, 3, n, 1<<8)
	case codeStr8 + 2:
		return lengthToken(b, famString, 5, n, 1<<16)
	case codeArr16:
		return lengthToken(b, famArray, 3, n, 1<<4)
	case codeArr16 + 1:
		return lengthToken(b, famArray, 5, n, 1<<16)
	case codeMap16:
		return lengthToken(b, famMap, 3, n, 1<<4)
	case codeMap16 + 1:
		return lengthToken(b, famMap, 5, n, 1<<16)
	}

	return token{}, errNever
}

// widths says for the codes from c0 to df how many bytes of integer, float or length follow.
var widths = [...]int{
	0xc4 - codeNil: 1, 2, 4, // bin
	0xc7 - codeNil: 1, 2, 4, // ext
	0xca - codeNil: 4, 8, // float
	0xcc - codeNil: 1, 2, 4, 8, // uint
	0xd0 - codeNil: 1, 2, 4, 8, // int
	0xd9 - codeNil: 1, 2, 4, // str
	0xdc - codeNil: 2, 4, // array
	0xde - codeNil: 2, 4, // map
}

// intToken returns a signed integer, whose form is canonical below least.
func intToken(size int, n, least int64) token {
	if n >= 0 {
		return token{fam: famUint, size: size, n: uint64(n)}
	}
	return token{fam: famInt, ok: n < least, size: size, n: uint64(n)}
}

// lengthToken returns the header of what has n bytes, elements or entries. Its form is canonical from least on.
func lengthToken(b []byte, fam family, size int, n, least uint64) (token, error) {
	left := uint64(len(b) - size)
	// Each entry takes a byte for its key and one for its value at least.
	if fam == famMap {
		left /= 2
	}

	// A length is never believed beyond the bytes that are there: nobody allocates for more.
	if n > left {
		return token{}, errLength
	}
	return token{fam: fam, ok: n >= least, size: size, n: n}, nil
}

// timeToken reads an extension of n bytes whose type stands at b[at].
func timeToken(b []byte, at int, n uint64) (token, error) {
	if at >= len(b) {
		return token{}, errTruncated
	}
	if n > uint64(len(b)-at-1) {
		return token{}, errLength
	}
	if b[at] != extTime {
		return token{}, errExtension
	}
	if n != 4 && n != 8 && n != 12 {
		return token{}, errTimestamp
	}

	// The same instant may stand in a longer form than it needs. Such a form is valid but not canonical.
	size := at + 1 + int(n)
	sec, nsec := token{size: size, n: n}.instant(b)
	if nsec >= 1e9 {
		return token{}, errTimestamp
	}
	return token{fam: famTime, ok: size == instantSize(sec, nsec), size: size, n: n}, nil
}
