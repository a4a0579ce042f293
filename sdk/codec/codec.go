// Package codec encodes and decodes keys and values. Its form is canonical MessagePack: equal values have equal bytes, so members
// can compare, hash and route values without decoding them.
//
// The canonical form, of which there is exactly one per value:
//
//   - An integer takes its shortest form, whatever its Go type: int8(7), uint64(7) and a named type's 7 are the same bytes.
//   - A float is eight bytes, a float32 too: float32(1.5) and 1.5 are the same bytes. Every NaN is the one NaN. 0.0 and -0.0
//     differ, as their bits do, and a float never equals an integer.
//   - A text is str, []byte and [n]byte are bin. A string that is not UTF-8 is carried as it is.
//   - A map's entries are sorted by the encoded bytes of their keys. Two keys that encode alike, and NaN in a key, are errors.
//   - A struct is the map of its exported fields by name; see [Msgpack] for tags.
//   - A time.Time is the instant alone, as the timestamp extension in its shortest form. It comes back in UTC. No other
//     extension is written or accepted.
//   - A nil pointer, slice, map, []byte or interface is nil; an empty slice or map is not.
//
// Everything decoded is first checked by [Validate]: bytes from outside cost memory in proportion to their length and
// depth of stack up to a limit, whatever lengths they claim. Decoding is strict: bytes that a value of the wanted type did not write
// are [ErrType]. So what is read encodes to the same bytes again.
//
// The package knows nothing of maps, partitions, members or I/O.
package codec

import (
	"errors"
	"fmt"
	"reflect"
	"time"
)

// Codec turns values into bytes and back. Implementations are safe for concurrent use.
//
// Members compare values by their bytes: with a codec whose equal values may have different bytes, conditional writes
// fail where they should not.
type Codec interface {
	// Encode appends v to dst and returns the extended slice. It keeps neither. With an error it returns dst as it was.
	Encode(dst []byte, v any) ([]byte, error)

	// Decode reads all of b into the value that v points to, replacing it. Nothing in that value aliases b afterwards:
	// the caller may reuse b. After an error the value is unspecified.
	Decode(b []byte, v any) error

	// Name identifies the format, so that two programs that disagree about a map's codec can be told apart.
	Name() string
}

// Errors of this package wrap one of these. Ask with errors.Is.
var (
	// ErrType means that the bytes are a value of another type than the wanted one, or out of its range.
	ErrType = errors.New("value of another type")

	// ErrMalformed means that the bytes are not one complete value within the limits.
	ErrMalformed = errors.New("malformed value")

	// ErrUnsupported means that a Go value has no encoding: functions, channels, complex numbers, values that contain themselves
	// or nest deeper than MaxDepth, NaN in a key, nil as a key. Decode returns it for a target that is no pointer, or a pointer
	// to such a value.
	ErrUnsupported = errors.New("value cannot be encoded")
)

// Msgpack is the default codec. Its zero value is ready.
//
// Struct fields are named by their msgpack tag, else by their json tag, else by their Go name. Honoured are "-",
// omitempty, omitzero, inline, noinline, alias:name (read, never written) and, on a field _msgpack, as_array and omitempty
// for the whole struct. Embedded structs are inlined unless their json tag names them; of two fields of one name the less
// deeply embedded one wins, and two at the same depth are an error. Options about other things (intern, json's string)
// have no meaning here. Fields in the bytes that the struct lacks are skipped; fields that the bytes lack are zero.
//
// A type may encode itself. The interfaces for that are, in this order, CustomEncoder and CustomDecoder, or Marshaler and Unmarshaler,
// of github.com/vmihailenco/msgpack/v5, encoding.BinaryMarshaler for bin, and encoding.TextMarshaler for str. Interfaces that the type
// has for both directions come first. What such a method writes is made canonical afterwards.
//
// Into an any, integers decode as int64, or uint64 above its range, and floats as float64. The rest decodes as nil, bool, string,
// []byte, time.Time in UTC, []any, map[string]any, or map[any]any if a key is not a string. Encoding that result gives the same bytes
// again. An any cannot hold maps whose keys are bin, arrays or maps: they are ErrType there.
type Msgpack struct{}

var _ Codec = Msgpack{}

// Name returns "msgpack".
func (Msgpack) Name() string { return "msgpack" }

// Encode appends the canonical encoding of v. It returns errors wrapping ErrUnsupported, and those of the methods by which
// a value encodes itself. It allocates nothing but what dst needs for scalars and for what any holds.
func (Msgpack) Encode(dst []byte, v any) ([]byte, error) {
	if out, ok := appendScalar(dst, v); ok {
		return out, nil
	}
	return encode(dst, v, asValue)
}

// Decode reads the encoding b into the value that v points to. It returns errors wrapping ErrMalformed, ErrType, also
// around those of the value's own methods, or ErrUnsupported.
//
// NOTE: bytes that are valid but not canonical are accepted, for clients in other languages; only then does Decode copy
// them first.
func (Msgpack) Decode(b []byte, v any) error {
	if done, err := decodeScalar(b, v); done {
		return err
	}
	return decode(b, v)
}

// appendScalar appends v if it is of a predeclared scalar type. It lets v not escape.
func appendScalar(dst []byte, v any) ([]byte, bool) {
	// Named types are not among these: they have plans.
	switch v := v.(type) {
	case string:
		return appendString(dst, v), true
	case []byte:
		return appendBytes(dst, v), true
	case int:
		return appendInt(dst, int64(v)), true
	case int64:
		return appendInt(dst, v), true
	case uint64:
		return appendUint(dst, v), true
	case bool:
		return appendBool(dst, v), true
	case float64:
		return appendFloat(dst, v), true
	case int32:
		return appendInt(dst, int64(v)), true
	case uint32:
		return appendUint(dst, uint64(v)), true
	case int16:
		return appendInt(dst, int64(v)), true
	case uint16:
		return appendUint(dst, uint64(v)), true
	case int8:
		return appendInt(dst, int64(v)), true
	case uint8:
		return appendUint(dst, uint64(v)), true
	case uint:
		return appendUint(dst, uint64(v)), true
	case uintptr:
		return appendUint(dst, uint64(v)), true
	case float32:
		return appendFloat(dst, float64(v)), true
	case time.Duration:
		return appendInt(dst, int64(v)), true
	case time.Time:
		return appendTime(dst, v), true
	case nil:
		return append(dst, codeNil), true
	}
	return dst, false
}

// decodeScalar decodes a scalar into the predeclared scalar type that v points to. done is false if v points to another
// type, or to an any while b is an array or a map.
func decodeScalar(b []byte, v any) (done bool, err error) {
	switch v := v.(type) {
	case *string:
		if v != nil {
			t, err := wholeToken(b, famString, "string")
			if err == nil {
				*v = string(b[t.size:])
			}
			return true, err
		}
	case *[]byte:
		if v != nil {
			t, err := wholeToken(b, famBytes, "[]byte")
			switch {
			case err == nil:
				// A copy that is not nil, also without bytes: empty is another value than nil.
				*v = append(make([]byte, 0, len(b)-t.size), b[t.size:]...)
			case len(b) == 1 && b[0] == codeNil:
				*v, err = nil, nil
			}
			return true, err
		}
	case *int64:
		if v != nil {
			n, err := wholeInt(b, 64, "int64")
			*v = n
			return true, err
		}
	case *int:
		if v != nil {
			n, err := wholeInt(b, intBits, "int")
			*v = int(n)
			return true, err
		}
	case *uint64:
		if v != nil {
			// A negative number is a token of another family, so nothing wraps around.
			t, err := wholeToken(b, famUint, "uint64")
			*v = t.n
			return true, err
		}
	case *float64:
		if v != nil {
			t, err := wholeToken(b, famFloat, "float64")
			*v = t.float()
			return true, err
		}
	case *bool:
		if v != nil {
			t, err := wholeToken(b, famBool, "bool")
			*v = t.n != 0
			return true, err
		}
	case *time.Time:
		if v != nil {
			t, err := wholeToken(b, famTime, "time.Time")
			if err == nil {
				*v = t.time(b)
			}
			return true, err
		}
	case *any:
		if v != nil {
			t, err := readToken(b)
			if err != nil {
				return true, malformed(err, 0)
			}
			// Nothing is allocated for a container before all of it was scanned.
			if t.fam == famArray || t.fam == famMap {
				return false, nil
			}

			if end := t.end(); end != len(b) {
				return true, malformed(errTrailing, end)
			}
			*v = t.scalar(b)
			return true, nil
		}
	}
	return false, nil
}

const intBits = 32 << (^uint(0) >> 63)

// wholeToken reads the scalar that is all of b and must be of family want.
func wholeToken(b []byte, want family, typ string) (token, error) {
	t, err := readToken(b)
	if err == nil && t.fam == want && t.end() == len(b) {
		return t, nil
	}

	// Bytes that are no value at all are malformed. Only others are of another type.
	if err := Validate(b, Limits{}); err != nil {
		return token{}, err
	}
	return token{}, mismatch(t, typ)
}

func wholeInt(b []byte, bits int, typ string) (int64, error) {
	t, err := readToken(b)
	if err == nil && t.end() == len(b) {
		if n, ok := t.int(bits); ok {
			return n, nil
		}
	}

	// Bytes that are damaged are reported as damaged, before any talk about types.
	if err := Validate(b, Limits{}); err != nil {
		return 0, err
	}
	return 0, mismatch(t, typ)
}

// mismatch is the error for a stored t where a value of the named type was wanted.
func mismatch(t token, typ string) error {
	switch t.fam {
	case famUint:
		return fmt.Errorf("%w: the integer %d is stored, wanted is %s", ErrType, t.n, typ)
	case famInt:
		return fmt.Errorf("%w: the integer %d is stored, wanted is %s", ErrType, int64(t.n), typ)
	case famArray, famMap:
		return fmt.Errorf("%w: %s of %d is stored, wanted is %s", ErrType, t.fam, t.n, typ)
	}
	return fmt.Errorf("%w: %s is stored, wanted is %s", ErrType, t.fam, typ)
}

// decode is Decode for everything that decodeScalar leaves.
func decode(b []byte, v any) error {
	p := reflect.ValueOf(v)
	if p.Kind() != reflect.Pointer || p.IsNil() {
		return fmt.Errorf("%w: decoding needs a non-nil pointer, got %T", ErrUnsupported, v)
	}

	// The whole is checked before any of it is decoded, so that lengths in it may be trusted.
	s := scanner{b: b, maxDepth: MaxDepth, left: len(b)}
	if err := s.whole(); err != nil {
		return err
	}

	// The decoder reads canonical bytes only.
	if s.loose {
		e := getEncoder(nil)
		defer putEncoder(e)
		if err := e.rewriteWhole(b); err != nil {
			return err
		}
		b = e.dst
	}

	d := decoder{b: b}
	// The bytes may lack fields, which are zero afterwards.
	p.Elem().SetZero()
	return d.value(planOf(p.Type().Elem()), p.Elem())
}
