package codec

import (
	"bytes"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"
)

type user struct {
	Name    string
	Email   string
	Age     int
	Active  bool
	Score   float64
	Tags    []string
	Created time.Time
}

func benchValues() []struct {
	name string
	v    any
	into func() any
} {
	u := user{"Alice", "alice@example.org", 30, true, 0.75, []string{"a", "b"}, time.Unix(1_700_000_000, 0).UTC()}
	list := make([]int64, 100)
	for i := range list {
		list[i] = int64(i * i * i)
	}
	return []struct {
		name string
		v    any
		into func() any
	}{
		{"string", "a text of some thirty characters", func() any { return new(string) }},
		{"bytes1k", bytes.Repeat([]byte{7}, 1024), func() any { return new([]byte) }},
		{"int64", int64(1 << 40), func() any { return new(int64) }},
		{"struct", u, func() any { return new(user) }},
		{"struct-into-any", u, func() any { return new(any) }},
		{"ints", list, func() any { return new([]int64) }},
		{"map", map[string]any{"name": "Alice", "age": int64(30), "tags": []any{"a", "b"}, "in": map[string]any{"x": 1.5}},
			func() any { return new(map[string]any) }},
		{"map-of-ints", map[string]int{"one": 1, "two": 2, "three": 3, "four": 4}, func() any { return new(map[string]int) }},
	}
}

func BenchmarkEncode(b *testing.B) {
	for _, c := range benchValues() {
		b.Run("value="+c.name+"/by=codec", func(b *testing.B) {
			b.ReportAllocs()
			buf := make([]byte, 0, 4096)
			for b.Loop() {
				if _, err := (Msgpack{}).Encode(buf, c.v); err != nil {
					b.Fatal(err)
				}
			}
		})
		// The library with the options that come closest: it leaves most maps and all structs unsorted.
		b.Run("value="+c.name+"/by=library", func(b *testing.B) {
			b.ReportAllocs()
			var buf bytes.Buffer
			for b.Loop() {
				buf.Reset()
				enc := msgpack.GetEncoder()
				enc.Reset(&buf)
				enc.UseCompactInts(true)
				enc.SetSortMapKeys(true)
				if err := enc.Encode(c.v); err != nil {
					b.Fatal(err)
				}
				msgpack.PutEncoder(enc)
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, c := range benchValues() {
		encoded := mustEncode(b, c.v)
		b.Run("value="+c.name+"/by=codec", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := (Msgpack{}).Decode(encoded, c.into()); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("value="+c.name+"/by=library", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				dec := msgpack.GetDecoder()
				dec.Reset(bytes.NewReader(encoded))
				if err := dec.Decode(c.into()); err != nil {
					b.Fatal(err)
				}
				msgpack.PutDecoder(dec)
			}
		})
	}
}

func BenchmarkAppendKey(b *testing.B) {
	buf := make([]byte, 0, 256)
	sink.s, sink.n, sink.u, sink.f = "user:1001", 1<<40, 1<<63, 2.5
	sink.b = []byte("bytes")
	key := sink.b
	b.Run("type=string", func(b *testing.B) { benchKey(b, buf, sink.s) })
	b.Run("type=bytes", func(b *testing.B) { benchKey(b, buf, key) })
	b.Run("type=int", func(b *testing.B) { benchKey(b, buf, int(sink.n)) })
	b.Run("type=int32", func(b *testing.B) { benchKey(b, buf, int32(sink.n)) })
	b.Run("type=int64", func(b *testing.B) { benchKey(b, buf, sink.n) })
	b.Run("type=uint64", func(b *testing.B) { benchKey(b, buf, sink.u) })
	b.Run("type=float64", func(b *testing.B) { benchKey(b, buf, sink.f) })
	b.Run("type=bool", func(b *testing.B) { benchKey(b, buf, sink.ok) })
	b.Run("type=struct", func(b *testing.B) { benchKey(b, buf, tenantKey{"acme", "x"}) })
}

func benchKey[K any](b *testing.B, buf []byte, key K) {
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if sink.b, err = AppendKey(buf, key); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkValidate(b *testing.B) {
	encoded := mustEncode(b, everything())
	b.ReportAllocs()
	b.SetBytes(int64(len(encoded)))
	for b.Loop() {
		if err := Validate(encoded, Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkToJSON(b *testing.B) {
	var v any
	if err := (Msgpack{}).Decode(mustEncode(b, benchValues()[3].v), &v); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ToJSON(v); err != nil {
			b.Fatal(err)
		}
	}
}
