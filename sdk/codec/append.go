package codec

import (
	"encoding/binary"
	"math"
	"time"
)

// The format's codes that are used by name.
const (
	codeNil   = 0xc0
	codeFalse = 0xc2
	codeTrue  = 0xc3
	codeBin8  = 0xc4
	codeExt8  = 0xc7
	codeF32   = 0xca
	codeF64   = 0xcb
	codeUint8 = 0xcc
	codeInt8  = 0xd0
	codeFix1  = 0xd4
	codeFix4  = 0xd6
	codeFix8  = 0xd7
	codeStr8  = 0xd9
	codeArr16 = 0xdc
	codeMap16 = 0xde

	fixMap = 0x80
	fixArr = 0x90
	fixStr = 0xa0

	extTime = 0xff // the timestamp extension, type -1
)

// theNaN is the one NaN that is written.
const theNaN = uint64(0x7ff8) << 48

func appendBool(dst []byte, v bool) []byte {
	if v {
		return append(dst, codeTrue)
	}
	return append(dst, codeFalse)
}

func appendUint(dst []byte, n uint64) []byte {
	// The fewest bytes that hold n. One number has one encoding, since keys are compared by their bytes.
	switch {
	case n < 0x80:
		return append(dst, byte(n))
	case n <= math.MaxUint8:
		return append(dst, codeUint8, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(dst, codeUint8+1), uint16(n))
	case n <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(dst, codeUint8+2), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, codeUint8+3), n)
}

func appendInt(dst []byte, n int64) []byte {
	switch {
	case n >= 0:
		// A number from 0 is written alike whether its Go type has a sign or not.
		return appendUint(dst, uint64(n))
	case n >= -32:
		return append(dst, byte(n))
	case n >= math.MinInt8:
		return append(dst, codeInt8, byte(n))
	case n >= math.MinInt16:
		return binary.BigEndian.AppendUint16(append(dst, codeInt8+1), uint16(n))
	case n >= math.MinInt32:
		return binary.BigEndian.AppendUint32(append(dst, codeInt8+2), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, codeInt8+3), uint64(n))
}

func appendFloat(dst []byte, f float64) []byte {
	bits := math.Float64bits(f)
	if f != f {
		bits = theNaN
	}
	return binary.BigEndian.AppendUint64(append(dst, codeF64), bits)
}

func appendString(dst []byte, s string) []byte {
	return append(appendStringHeader(dst, len(s)), s...)
}

func appendStringHeader(dst []byte, n int) []byte {
	switch {
	case n < 32:
		return append(dst, fixStr|byte(n))
	case n <= math.MaxUint8:
		return append(dst, codeStr8, byte(n))
	}
	return appendLength(dst, codeStr8+1, n)
}

// appendBytes appends bin, or nil for nil.
func appendBytes(dst, b []byte) []byte {
	if b == nil {
		return append(dst, codeNil)
	}
	return append(appendBytesHeader(dst, len(b)), b...)
}

func appendBytesHeader(dst []byte, n int) []byte {
	if n <= math.MaxUint8 {
		return append(dst, codeBin8, byte(n))
	}
	return appendLength(dst, codeBin8+1, n)
}

func appendArrayHeader(dst []byte, n int) []byte {
	if n < 16 {
		return append(dst, fixArr|byte(n))
	}
	return appendLength(dst, codeArr16, n)
}

func appendMapHeader(dst []byte, n int) []byte {
	if n < 16 {
		return append(dst, fixMap|byte(n))
	}
	return appendLength(dst, codeMap16, n)
}

// appendLength appends n in two bytes after code, or in four after the code that follows it. Lengths beyond four bytes do
// not get here: what holds them is beyond every limit of size by a factor of a thousand.
func appendLength(dst []byte, code byte, n int) []byte {
	if n <= math.MaxUint16 {
		return binary.BigEndian.AppendUint16(append(dst, code), uint16(n))
	}
	return binary.BigEndian.AppendUint32(append(dst, code+1), uint32(n))
}

func appendTime(dst []byte, t time.Time) []byte {
	return appendInstant(dst, t.Unix(), uint32(t.Nanosecond()))
}

func appendInstant(dst []byte, sec int64, nsec uint32) []byte {
	if uint64(sec)>>34 != 0 {
		// 96 bits: seconds before 1970 or beyond 34 bits.
		dst = append(dst, codeExt8, 12, extTime)
		dst = binary.BigEndian.AppendUint32(dst, nsec)
		return binary.BigEndian.AppendUint64(dst, uint64(sec))
	}
	packed := uint64(nsec)<<34 | uint64(sec)
	if packed>>32 == 0 {
		// 32 bits are enough without nanoseconds, until the year 2106.
		return binary.BigEndian.AppendUint32(append(dst, codeFix4, extTime), uint32(packed))
	}
	return binary.BigEndian.AppendUint64(append(dst, codeFix8, extTime), packed)
}

// instantSize returns how many bytes appendInstant appends.
func instantSize(sec int64, nsec uint32) int {
	switch {
	case uint64(sec)>>34 != 0:
		return 15
	case nsec == 0 && uint64(sec)>>32 == 0:
		return 6
	}
	return 10
}
