package codec

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"
	"pgregory.net/rapid"
)

// naive is the canonical encoding of what any holds, written down as simply as it can be said.
func naive(v any) string {
	// sized chooses by n among a form within one byte below fix, and 1, 2, 4 and 8 bytes (code 0: there is no such form).
	sized := func(n, fix uint64, fixCode, c1, c2, c4, c8 byte) string {
		switch {
		case n < fix:
			return string([]byte{fixCode | byte(n)})
		case c1 != 0 && n < 1<<8:
			return wide(c1, 1, n)
		case n < 1<<16:
			return wide(c2, 2, n)
		case n < 1<<32:
			return wide(c4, 4, n)
		}
		return wide(c8, 8, n)
	}
	switch v := v.(type) {
	case nil:
		return "\xc0"
	case bool:
		return map[bool]string{false: "\xc2", true: "\xc3"}[v]
	case int64:
		switch {
		case v >= 0:
			return naive(uint64(v))
		case v >= -32:
			return string([]byte{byte(v)})
		case v >= -1<<7:
			return wide(0xd0, 1, uint64(v))
		case v >= -1<<15:
			return wide(0xd1, 2, uint64(v))
		case v >= -1<<31:
			return wide(0xd2, 4, uint64(v))
		}
		return wide(0xd3, 8, uint64(v))
	case uint64:
		return sized(v, 128, 0, 0xcc, 0xcd, 0xce, 0xcf)
	case float64:
		if math.IsNaN(v) {
			return wide(0xcb, 8, 0x7ff8<<48)
		}
		return wide(0xcb, 8, math.Float64bits(v))
	case string:
		return sized(uint64(len(v)), 32, 0xa0, 0xd9, 0xda, 0xdb, 0) + v
	case []byte:
		return sized(uint64(len(v)), 0, 0, 0xc4, 0xc5, 0xc6, 0) + string(v)
	case time.Time:
		sec, nsec := uint64(v.Unix()), uint64(v.Nanosecond())
		switch {
		case nsec == 0 && sec < 1<<32:
			return "\xd6\xff" + wide(0, 4, sec)[1:]
		case sec < 1<<34:
			return "\xd7\xff" + wide(0, 8, nsec<<34|sec)[1:]
		}
		return "\xc7\x0c\xff" + wide(0, 4, nsec)[1:] + wide(0, 8, sec)[1:]
	case []any:
		out := sized(uint64(len(v)), 16, 0x90, 0, 0xdc, 0xdd, 0)
		for _, x := range v {
			out += naive(x)
		}
		return out
	case map[string]any:
		m := map[any]any{}
		for k, x := range v {
			m[k] = x
		}
		return naive(m)
	case map[any]any:
		byKey := map[string]string{}
		var keys []string
		for k, x := range v {
			keys = append(keys, naive(k))
			byKey[naive(k)] = naive(x)
		}
		slices.Sort(keys)
		out := sized(uint64(len(v)), 16, 0x80, 0, 0xde, 0xdf, 0)
		for _, k := range keys {
			out += k + byKey[k]
		}
		return out
	}
	panic("not a value that any decodes to")
}

// wide returns code and the last size bytes of n.
func wide(code byte, size int, n uint64) string {
	b := binary.BigEndian.AppendUint64(nil, n)
	return string([]byte{code}) + string(b[8-size:])
}

// scalars draws what can be a value and a key.
func scalars(key bool) *rapid.Generator[any] {
	return rapid.Custom(func(t *rapid.T) any {
		switch rapid.IntRange(0, 6).Draw(t, "kind") {
		case 0:
			return nil
		case 1:
			return rapid.Bool().Draw(t, "bool")
		case 2:
			return rapid.Int64().Draw(t, "int")
		case 3:
			return rapid.Uint64Min(math.MaxInt64+1).Draw(t, "uint")
		case 4:
			f := rapid.OneOf(rapid.Float64(), rapid.SampledFrom([]float64{0, 1, math.Inf(1), math.Inf(-1), math.MaxFloat32, 5e-324})).Draw(t, "float")
			if key && f == 0 {
				f = 0 // 0.0 and -0.0 are one key in Go
			}
			if !key && rapid.IntRange(0, 9).Draw(t, "special") == 0 {
				f = rapid.SampledFrom([]float64{math.NaN(), math.Copysign(0, -1)}).Draw(t, "f")
			}
			return f
		case 5:
			return rapid.OneOf(rapid.String(), rapid.StringN(0, 300, 300), rapid.Just("\xff")).Draw(t, "string")
		}
		return instant(t)
	})
}

func instant(t *rapid.T) time.Time {
	sec := rapid.OneOf(rapid.Int64Range(-1<<36, 1<<36), rapid.Int64(), rapid.Just(int64(1<<32)), rapid.Just(int64(1<<34))).Draw(t, "sec")
	return time.Unix(sec, rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(0, 999_999_999)).Draw(t, "nsec")).UTC()
}

// trees draws what decoding into an any may yield.
func trees(depth int) *rapid.Generator[any] {
	return rapid.Custom(func(t *rapid.T) any {
		limit := 5
		if depth == 0 {
			limit = 1
		}
		switch rapid.IntRange(0, limit).Draw(t, "shape") {
		case 0:
			return scalars(false).Draw(t, "scalar")
		case 1:
			return append([]byte{}, rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "bytes")...)
		case 2, 3:
			return append([]any{}, rapid.SliceOfN(trees(depth-1), 0, 20).Draw(t, "list")...)
		case 4:
			return rapid.MapOfN(rapid.String(), trees(depth-1), 0, 20).Draw(t, "map")
		}
		m := rapid.MapOfN(scalars(true), trees(depth-1), 0, 20).Draw(t, "mixed")
		m[int64(0)] = nil // else it might decode as a map[string]any
		return m
	})
}

// The law that all rests on: encode, decode into any, encode again: the same bytes; and the value is what it was.
func TestEncodingIsCanonical(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := trees(3).Draw(t, "value")
		b, err := Msgpack{}.Encode(nil, v)
		if err != nil {
			t.Fatal(err)
		}
		if want := naive(v); string(b) != want {
			t.Fatalf("encodes as %x, said simply it is %x", b, want)
		}
		var back any
		if err := (Msgpack{}).Decode(b, &back); err != nil {
			t.Fatal(err)
		}
		if !same(back, v) {
			t.Fatalf("decodes as %#v", back)
		}
		if again, err := (Msgpack{}).Encode(nil, back); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("encodes again as %x, %v, first as %x", again, err, b)
		}
		if got, err := Canonical(nil, b); err != nil || !bytes.Equal(got, b) {
			t.Fatalf("Canonical = %x, %v, want %x", got, err, b)
		}
	})
}

// same is DeepEqual but for NaN, which equals itself here.
func same(a, b any) bool {
	switch a := a.(type) {
	case float64:
		b, ok := b.(float64)
		return ok && (math.Float64bits(a) == math.Float64bits(b) || a != a && b != b)
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, same)
	case map[string]any:
		b, ok := b.(map[string]any)
		for k := range a {
			if x, has := b[k]; !ok || !has || !same(a[k], x) {
				return false
			}
		}
		return ok && len(a) == len(b)
	case map[any]any:
		b, ok := b.(map[any]any)
		for k := range a {
			if x, has := b[k]; !ok || !has || !same(a[k], x) {
				return false
			}
		}
		return ok && len(a) == len(b)
	}
	return reflect.DeepEqual(a, b)
}

// record has a field of every kind.
type record struct {
	B   bool
	I   int
	I8  int8 `msgpack:"i8"`
	I16 myInt
	I32 int32 `json:"third,omitempty"`
	I64 int64
	U   uint
	U8  uint8
	U16 uint16
	U32 uint32
	U64 uint64
	F32 float32
	F64 float64
	S   myString
	Bs  []byte
	D   digest
	T   time.Time
	Dur time.Duration
	L   []int16
	A   [2]string
	M   map[string]int
	MI  map[int8][]string
	MA  map[[2]uint8]bool
	P   *record
	PP  **int
	Any any
	ID  uint16 // hides those of the embedded
	base
	*Mixin
}

func records(depth int) *rapid.Generator[record] {
	return rapid.Custom(func(t *rapid.T) record {
		r := record{
			B: rapid.Bool().Draw(t, "B"), I: rapid.Int().Draw(t, "I"), I8: rapid.Int8().Draw(t, "I8"), I16: myInt(rapid.Int16().Draw(t, "I16")),
			I32: rapid.Int32().Draw(t, "I32"), I64: rapid.Int64().Draw(t, "I64"), U: rapid.Uint().Draw(t, "U"), U8: rapid.Uint8().Draw(t, "U8"),
			U16: rapid.Uint16().Draw(t, "U16"), U32: rapid.Uint32().Draw(t, "U32"), U64: rapid.Uint64().Draw(t, "U64"),
			F32: rapid.Float32().Draw(t, "F32"), F64: rapid.Float64().Draw(t, "F64"), S: myString(rapid.String().Draw(t, "S")),
			Bs: rapid.SliceOf(rapid.Byte()).Draw(t, "Bs"), D: digest(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "D")),
			T: instant(t), Dur: time.Duration(rapid.Int64().Draw(t, "Dur")), L: rapid.SliceOf(rapid.Int16()).Draw(t, "L"),
			A:    [2]string{rapid.String().Draw(t, "A0"), rapid.String().Draw(t, "A1")},
			M:    rapid.MapOf(rapid.String(), rapid.Int()).Draw(t, "M"),
			MI:   rapid.MapOf(rapid.Int8(), rapid.SliceOf(rapid.String())).Draw(t, "MI"),
			Any:  trees(1).Draw(t, "Any"),
			ID:   rapid.Uint16().Draw(t, "ID"),
			base: base{Kind: rapid.String().Draw(t, "Kind")},
		}
		if rapid.Bool().Draw(t, "nils") {
			r.Bs, r.L, r.M, r.MI = nil, nil, nil, nil
		} else {
			r.Mixin = &Mixin{Extra: rapid.Int().Draw(t, "Extra")}
			r.MA = map[[2]uint8]bool{{1, 2}: true, {2, 1}: false}
			n := rapid.Int().Draw(t, "PP")
			p := &n
			r.PP = &p
		}
		if depth > 0 && rapid.Bool().Draw(t, "nested") {
			p := records(depth-1).Draw(t, "P")
			r.P = &p
		}
		return r
	})
}

func TestTypedValuesAreCanonical(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := records(1).Draw(t, "record")
		b, err := Msgpack{}.Encode(nil, v)
		if err != nil {
			t.Fatal(err)
		}
		var back record
		if err := (Msgpack{}).Decode(b, &back); err != nil {
			t.Fatal(err)
		}
		if again, err := (Msgpack{}).Encode(nil, back); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("through its type it encodes as %x, %v, first as %x", again, err, b)
		}
		back.Any, v.Any = nil, nil
		if p, q := back.P, v.P; p != nil && q != nil {
			p.Any, q.Any = nil, nil
		}
		if !reflect.DeepEqual(back, v) {
			t.Fatalf("decodes as %+v, was %+v", back, v)
		}
		v.MA, back.MA = nil, nil // arrays as keys, which any cannot hold
		if v.P != nil {
			v.P.MA = nil
		}
		b, err = Msgpack{}.Encode(b[:0], v)
		if err != nil {
			t.Fatal(err)
		}
		var plain any
		if err := (Msgpack{}).Decode(b, &plain); err != nil {
			t.Fatal(err)
		}
		if again, err := (Msgpack{}).Encode(nil, plain); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("through any it encodes as %x, %v, first as %x", again, err, b)
		}
	})
}

// shuffle returns a valid encoding of v that need not be canonical.
func shuffle(t *rapid.T, v any) []byte {
	var out []byte
	length := func(n int, fix int, fixCode, c1, c2, c4 byte) {
		form := rapid.IntRange(0, 3).Draw(t, "form")
		switch {
		case form == 0 && n < fix:
			out = append(out, fixCode|byte(n))
		case form <= 1 && c1 != 0 && n < 256:
			out = append(out, c1, byte(n))
		case form <= 2 && n < 65536:
			out = append(out, wide(c2, 2, uint64(n))...)
		default:
			out = append(out, wide(c4, 4, uint64(n))...)
		}
	}
	switch v := v.(type) {
	case int64:
		if rapid.Bool().Draw(t, "wide") {
			return []byte(wide(0xd3, 8, uint64(v)))
		}
	case float64:
		if float64(float32(v)) == v && rapid.Bool().Draw(t, "narrow") {
			return []byte(wide(0xca, 4, uint64(math.Float32bits(float32(v)))))
		}
	case string:
		length(len(v), 32, 0xa0, 0xd9, 0xda, 0xdb)
		return append(out, v...)
	case []byte:
		length(len(v), 0, 0, 0xc4, 0xc5, 0xc6)
		return append(out, v...)
	case []any:
		length(len(v), 16, 0x90, 0, 0xdc, 0xdd)
		for _, x := range v {
			out = append(out, shuffle(t, x)...)
		}
		return out
	case map[string]any:
		length(len(v), 16, 0x80, 0, 0xde, 0xdf)
		for k, x := range v {
			out = append(append(out, shuffle(t, k)...), shuffle(t, x)...)
		}
		return out
	case map[any]any:
		length(len(v), 16, 0x80, 0, 0xde, 0xdf)
		for k, x := range v {
			out = append(append(out, shuffle(t, k)...), shuffle(t, x)...)
		}
		return out
	}
	return []byte(naive(v))
}

func TestAnyFormIsMadeCanonical(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := trees(2).Draw(t, "value")
		b := shuffle(t, v)
		if err := Validate(b, Limits{}); err != nil {
			t.Fatal(err)
		}
		if got, err := Canonical(nil, b); err != nil || string(got) != naive(v) {
			t.Fatalf("Canonical(%x) = %x, %v, want %x", b, got, err, naive(v))
		}
		var back any
		if err := (Msgpack{}).Decode(b, &back); err != nil || !same(back, v) {
			t.Fatalf("decodes as %#v, %v", back, err)
		}
	})
}

// The library reads what is written here, and what it writes is read here.
func TestLibraryAgrees(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := records(1).Draw(t, "record")
		type part struct {
			S myString
			L []int16
			M map[string]int
			T time.Time
			F float64
			B []byte
			N uint64
			P *int8
		}
		want := part{v.S, v.L, v.M, v.T, v.F64, v.Bs, v.U64, &v.I8}
		theirs, err := msgpack.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got part
		if err := (Msgpack{}).Decode(theirs, &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("the library's bytes decode as %+v, %v, want %+v", got, err, want)
		}
		ours, err := Msgpack{}.Encode(nil, want)
		if err != nil {
			t.Fatal(err)
		}
		if c, err := Canonical(nil, theirs); err != nil || !bytes.Equal(c, ours) {
			t.Fatalf("the library's bytes are %x, %v, ours %x", c, err, ours)
		}
		var read part
		if err := msgpack.Unmarshal(ours, &read); err != nil {
			t.Fatal(err)
		}
		read.T = read.T.UTC()
		if !reflect.DeepEqual(read, want) {
			t.Fatalf("the library reads %+v, want %+v", read, want)
		}
	})
}

func FuzzDecode(f *testing.F) {
	f.Add(mustEncode(f, everything()))
	f.Add(mustEncode(f, record{Any: everything()}))
	for _, s := range []string{"ddffffffff", "dfffffffff", "dbffffffff", "c6ffffffff", "c9ffffffff80", "d48000", "82a16101a16102", "c1",
		"81cb7ff800000000000101", "829101c09101c0", "d7ffee6b280000000000", "de00010102"} {
		f.Add(mustHex(f, s))
	}
	f.Add([]byte(strings.Repeat("\x91", 100) + "\xc0"))
	f.Fuzz(func(t *testing.T, b []byte) {
		input := bytes.Clone(b)
		for _, into := range []any{new(any), new(record), new([]any), new(map[any]any), new(map[string]string), new(tree),
			new([]record), new(string), new([]byte), new(int8), new(float32), new(time.Time), new(custom), new(marshaler), new(raw),
			new(map[[2]any]any), new([4][]int), new(msgpack.RawMessage)} {
			err := (Msgpack{}).Decode(b, into)
			if err != nil && !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrType) {
				t.Fatalf("Decode into %T: %v, which is neither ErrMalformed nor ErrType", into, err)
			}
			if !bytes.Equal(b, input) {
				t.Fatalf("Decode into %T changed its input", into)
			}
			if err != nil {
				continue
			}
			if _, err := (Msgpack{}).Encode(nil, reflect.ValueOf(into).Elem().Interface()); err != nil {
				t.Fatalf("what was decoded into %T does not encode: %v", into, err)
			}
		}
		if len(b) < 1<<16 {
			if spent := bytesSpent(func() { var v any; _ = (Msgpack{}).Decode(b, &v) }); spent > 1<<20+uint64(400*len(b)) {
				t.Fatalf("%d bytes cost %d bytes of memory", len(b), spent)
			}
		}
		var v any
		if (Msgpack{}).Decode(b, &v) == nil {
			if _, err := ToJSON(v); err != nil {
				t.Fatalf("ToJSON: %v", err)
			}
		}
	})
}

func FuzzCanonical(f *testing.F) {
	f.Add(mustEncode(f, everything()))
	for _, s := range []string{"82a16201a16102", "81 82 02 02 01 01 c0", "ca7fc00001", "d30000000000000005", "82 9101 01 91d001 02"} {
		f.Add(mustHex(f, s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := Canonical(nil, b)
		if valid := Validate(b, Limits{}); valid != nil && err == nil {
			t.Fatalf("Canonical accepts what Validate does not: %v", valid)
		}
		var v any
		decoded := (Msgpack{}).Decode(b, &v)
		if err != nil {
			if decoded == nil {
				t.Fatalf("Decode accepts what Canonical does not: %v", err)
			}
			return
		}
		if again, err := Canonical(nil, c); err != nil || !bytes.Equal(again, c) {
			t.Fatalf("Canonical(%x) = %x, %v: it is not canonical", c, again, err)
		}
		if decoded != nil {
			if !errors.Is(decoded, ErrType) {
				t.Fatalf("Decode: %v", decoded)
			}
			return
		}
		if encoded, err := (Msgpack{}).Encode(nil, v); err != nil || !bytes.Equal(encoded, c) {
			t.Fatalf("what was decoded encodes as %x, %v; canonical is %x", encoded, err, c)
		}
	})
}
