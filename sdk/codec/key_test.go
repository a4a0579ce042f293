package codec

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// integers returns n in every Go type that holds it.
func integers(n int64) []any {
	type named int64
	out := []any{n, named(n), time.Duration(n)}
	add := func(fits bool, v any) {
		if fits {
			out = append(out, v)
		}
	}
	add(int64(int(n)) == n, int(n))
	add(int64(int8(n)) == n, int8(n))
	add(int64(int16(n)) == n, int16(n))
	add(int64(int32(n)) == n, int32(n))
	add(n >= 0, uint(n))
	add(n >= 0, uint64(n))
	add(n >= 0 && int64(uint8(n)) == n, uint8(n))
	add(n >= 0 && int64(uint16(n)) == n, uint16(n))
	add(n >= 0 && int64(uint32(n)) == n, uint32(n))
	return out
}

// The partitions in which a real Hazelcast 5.5 member with 271 partitions puts these keys. They can never change: data
// would be looked for where it is not.
func TestKeysArePartitionedGolden(t *testing.T) {
	type named string
	type namedFloat float64
	text := func(s string) []any { return []any{s, named(s), &s} }
	for _, c := range []struct {
		name string
		keys []any
		want int
	}{
		{"a", text("a"), 73},
		{"user:1001", text("user:1001"), 155},
		{"empty", text(""), 11},
		{"x@y", text("x@y"), 55},
		{"köln", text("köln"), 85},
		{"日本", text("日本"), 220},
		{"1024 x", text(strings.Repeat("x", 1024)), 39},
		{"0", integers(0), 109},
		{"1", integers(1), 110},
		{"-1", integers(-1), 231},
		{"42", integers(42), 145},
		{"MinInt64", integers(math.MinInt64), 32},
		{"MaxInt64", integers(math.MaxInt64), 21},
		{"no bytes", []any{[]byte{}, [0]byte{}}, 11},
		{"0 1 2 255", []any{[]byte{0, 1, 2, 255}, [4]byte{0, 1, 2, 255}}, 195},
		{"1.5", []any{1.5, float32(1.5), namedFloat(1.5)}, 109},
		{"-0.0", []any{math.Copysign(0, -1), float32(math.Copysign(0, -1))}, 32},
		{"true", []any{true}, 223},
		{"false", []any{false}, 195},
	} {
		for _, key := range c.keys {
			b, err := EncodeKey(nil, key)
			if err != nil {
				t.Errorf("%s as %T: %v", c.name, key, err)
				continue
			}
			if got := wire.PartitionOf(b, 271); got != c.want {
				t.Errorf("%s as %T is in partition %d, a Hazelcast member says %d", c.name, key, got, c.want)
			}
		}
	}
}

// Integers at every boundary of the encoding are one key in every type, and their encodings differ from each other's.
func TestIntegerKeysAreOneInEveryType(t *testing.T) {
	seen := map[string]int64{}
	for shift := range 64 {
		for _, n := range []int64{1<<shift - 1, 1 << shift, 1<<shift + 1, -(1 << shift) - 1, -(1 << shift), -(1 << shift) + 1} {
			var first []byte
			for i, key := range integers(n) {
				b, err := EncodeKey(nil, key)
				if err != nil {
					t.Fatal(err)
				}
				if i == 0 {
					first = b
				}
				if !bytes.Equal(b, first) {
					t.Fatalf("%T(%d) encodes as %x, int64 as %x", key, key, b, first)
				}
			}
			if other, ok := seen[string(first)]; ok && other != n {
				t.Fatalf("%d and %d encode alike", n, other)
			}
			seen[string(first)] = n
			var back int64
			if err := DecodeKey(first, &back); err != nil || back != n {
				t.Fatalf("%d comes back as %d, %v", n, back, err)
			}
		}
	}
}

type tenantKey struct{ Tenant, Name string }

func (k tenantKey) PartitionKey() any { return k.Tenant }

func TestRouteKey(t *testing.T) {
	if routing, custom := RouteKey("a"); routing != "a" || custom {
		t.Errorf("a string routes by %v, %v", routing, custom)
	}
	if routing, custom := RouteKey(nil); routing != nil || custom {
		t.Errorf("nil routes by %v, %v", routing, custom)
	}
	k := tenantKey{"acme", "x"}
	for _, key := range []any{k, &k} {
		if routing, custom := RouteKey(key); routing != "acme" || !custom {
			t.Errorf("%T routes by %v, %v", key, routing, custom)
		}
	}
	// The key itself is still all of it.
	var back tenantKey
	if b, err := EncodeKey(nil, k); err != nil || DecodeKey(b, &back) != nil || back != k {
		t.Errorf("%+v comes back as %+v, %v", k, back, err)
	}
}

func TestEncodeKeyRefuses(t *testing.T) {
	nan := math.NaN()
	type floats struct{ A, B float64 }
	for name, key := range map[string]any{
		"nil": nil, "nil pointer": (*string)(nil), "nil bytes": []byte(nil), "NaN": nan, "float32 NaN": float32(nan), "pointer to NaN": &nan,
		"NaN in a struct": floats{1, nan}, "NaN in an array": [1]any{nan}, "func": func() {}, "channel": make(chan int),
	} {
		if b, err := EncodeKey([]byte("kept"), key); !errors.Is(err, ErrUnsupported) || string(b) != "kept" {
			t.Errorf("%s: EncodeKey = %q, %v, want ErrUnsupported", name, b, err)
		}
		if b, err := AppendKey([]byte("kept"), key); !errors.Is(err, ErrUnsupported) || string(b) != "kept" {
			t.Errorf("%s: AppendKey = %q, %v, want ErrUnsupported", name, b, err)
		}
	}
	if _, err := AppendKey(nil, nan); !errors.Is(err, ErrUnsupported) {
		t.Errorf("AppendKey of NaN: %v", err)
	}
	if _, err := EncodeKey(nil, floats{1, math.Inf(1)}); err != nil {
		t.Errorf("an infinity: %v", err)
	}
}

// A key that was refused leaves nothing behind in what is reused.
func TestEncodeKeyAfterRefusal(t *testing.T) {
	for range 100 {
		if _, err := EncodeKey(nil, [1]float64{math.NaN()}); err == nil {
			t.Fatal("NaN is accepted")
		}
		if _, err := (Msgpack{}).Encode(nil, [1]float64{math.NaN()}); err != nil {
			t.Fatalf("NaN in a value: %v", err)
		}
	}
}

func TestAppendKeyIsEncodeKey(t *testing.T) {
	type named string
	type point struct{ X, Y int }
	check := func(t *rapid.T, generic []byte, err error, key any) {
		want, wantErr := EncodeKey(nil, key)
		if err != nil || wantErr != nil || !bytes.Equal(generic, want) {
			t.Fatalf("AppendKey(%v) = %x, %v; EncodeKey = %x, %v", key, generic, err, want, wantErr)
		}
		if value, err := (Msgpack{}).Encode(nil, key); err != nil || !bytes.Equal(value, want) {
			t.Fatalf("%v is %x as a key and %x, %v as a value", key, want, value, err)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		s, n, u := rapid.String().Draw(t, "s"), rapid.Int64().Draw(t, "n"), rapid.Uint64().Draw(t, "u")
		f := rapid.Float64().Draw(t, "f")
		b, err := AppendKey(nil, s)
		check(t, b, err, s)
		b, err = AppendKey(nil, named(s))
		check(t, b, err, s)
		b, err = AppendKey(nil, n)
		check(t, b, err, n)
		b, err = AppendKey(nil, int8(n))
		check(t, b, err, int64(int8(n)))
		b, err = AppendKey(nil, u)
		check(t, b, err, u)
		b, err = AppendKey(nil, f)
		check(t, b, err, f)
		b, err = AppendKey(nil, point{int(n), int(u)})
		check(t, b, err, point{int(n), int(u)})
		var back point
		if err := DecodeKey(b, &back); err != nil || back != (point{int(n), int(u)}) {
			t.Fatalf("%x comes back as %v, %v", b, back, err)
		}
	})
}

func allocs(t *testing.T, name string, want float64, f func()) {
	t.Helper()
	if got := testing.AllocsPerRun(200, f); got > want {
		t.Errorf("%s: %v allocations, want %v", name, got, want)
	}
}

// sink keeps results alive and inputs unknown to the compiler.
var sink struct {
	b  []byte
	s  string
	n  int64
	u  uint64
	f  float64
	ok bool
	v  any
}

func TestHotPathsDoNotAllocate(t *testing.T) {
	sink.s, sink.n, sink.u, sink.f = strings.Repeat("key", 5), 1<<40, 1<<63, 2.5
	buf := make([]byte, 0, 256)
	allocs(t, "string key", 0, func() { sink.b, _ = AppendKey(buf, sink.s) })
	allocs(t, "bytes key", 0, func() { sink.b, _ = AppendKey(buf, sink.b) })
	allocs(t, "int key", 0, func() { sink.b, _ = AppendKey(buf, int(sink.n)) })
	allocs(t, "int8 key", 0, func() { sink.b, _ = AppendKey(buf, int8(sink.n)) })
	allocs(t, "int16 key", 0, func() { sink.b, _ = AppendKey(buf, int16(sink.n)) })
	allocs(t, "int32 key", 0, func() { sink.b, _ = AppendKey(buf, int32(sink.n)) })
	allocs(t, "int64 key", 0, func() { sink.b, _ = AppendKey(buf, sink.n) })
	allocs(t, "uint key", 0, func() { sink.b, _ = AppendKey(buf, uint(sink.u)) })
	allocs(t, "uint8 key", 0, func() { sink.b, _ = AppendKey(buf, uint8(sink.u)) })
	allocs(t, "uint16 key", 0, func() { sink.b, _ = AppendKey(buf, uint16(sink.u)) })
	allocs(t, "uint32 key", 0, func() { sink.b, _ = AppendKey(buf, uint32(sink.u)) })
	allocs(t, "uint64 key", 0, func() { sink.b, _ = AppendKey(buf, sink.u) })
	allocs(t, "float64 key", 0, func() { sink.b, _ = AppendKey(buf, sink.f) })
	allocs(t, "bool key", 0, func() { sink.b, _ = AppendKey(buf, sink.ok) })

	var boxed any = sink.s
	allocs(t, "string in an any", 0, func() { sink.b, _ = EncodeKey(buf, boxed) })
	allocs(t, "value in an any", 0, func() { sink.b, _ = Msgpack{}.Encode(buf, boxed) })

	str, num, flt := mustEncode(t, "text"), mustEncode(t, 1<<40), mustEncode(t, 1.5)
	var failed error
	var into []byte
	allocs(t, "decode int64", 0, func() { failed = errors.Join(failed, Msgpack{}.Decode(num, &sink.n)) })
	allocs(t, "decode float64", 0, func() { failed = errors.Join(failed, Msgpack{}.Decode(flt, &sink.f)) })
	allocs(t, "decode string", 1, func() { failed = errors.Join(failed, Msgpack{}.Decode(str, &sink.s)) })
	allocs(t, "decode bytes", 1, func() { failed = errors.Join(failed, Msgpack{}.Decode(mustBin, &into)) })
	if failed != nil {
		t.Fatal(failed)
	}
}

var mustBin = []byte{codeBin8, 3, 1, 2, 3}

// A key's text is what was encoded, and nothing but texts has one.
func TestKeyText(t *testing.T) {
	for _, n := range []int{0, 1, 31, 32, 255, 256, 65535, 65536} {
		s := strings.Repeat("x", n)
		b, err := EncodeKey(nil, s)
		if err != nil {
			t.Fatal(err)
		}
		if text, ok := KeyText(b); !ok || string(text) != s {
			t.Errorf("the text of a key of %d bytes has %d, %v", n, len(text), ok)
		}
		if _, ok := KeyText(append(b, 0)); ok {
			t.Errorf("a text of %d bytes with a byte too many", n)
		}
		if _, ok := KeyText(b[:len(b)-1]); ok {
			t.Errorf("a text of %d bytes with a byte too few", n)
		}
	}
	for _, key := range []any{7, -1, true, 1.5, []byte("x"), [1]string{"x"}} {
		if b, err := EncodeKey(nil, key); err == nil {
			if text, ok := KeyText(b); ok {
				t.Errorf("%v is the text %q", key, text)
			}
		}
	}
}
