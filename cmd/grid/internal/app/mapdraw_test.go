package app

import (
	"math"
	"time"

	"pgregory.net/rapid"
)

// What a map can hold, of every type that has an encoding.

type drawnStruct struct {
	Name  string `json:"name"`
	At    time.Time
	Raw   []byte
	Sub   *drawnStruct
	ByInt map[int]string
	Rate  float64
}

type drawnKey struct {
	Tenant string
	ID     [4]byte
	N      int
}

func boxed[T any](g *rapid.Generator[T]) *rapid.Generator[any] {
	return rapid.Map(g, func(v T) any { return v })
}

// strings of bytes that may be anything, and those that mean something to a format.
func drawnStrings() *rapid.Generator[string] {
	return rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 8), func(b []byte) string { return string(b) }),
		rapid.SampledFrom([]string{"", " ", "5", "null", "NaN", "1e400", "k\xff", "k\xfe", "k\ufffd", "\r\n", "a\rb", "\r", "\"", "\\.", ",", "\x00", "\ufeff", "AQL/", "{\"a\":1,\"a\":2}", "\"\\ud800\"", "2024-02-29T13:04:05.678Z"}))
}

func drawnFloats() *rapid.Generator[float64] {
	return rapid.OneOf(rapid.Float64(), rapid.SampledFrom([]float64{0, math.Copysign(0, -1), 1, -1, 0.1, 1e21, 1e-7, 1 << 53, 1 << 63, math.MaxFloat64, math.SmallestNonzeroFloat64, math.Inf(1), math.Inf(-1)}))
}

func drawnTimes() *rapid.Generator[time.Time] {
	return rapid.Custom(func(t *rapid.T) time.Time {
		return time.Unix(rapid.Int64Range(-1<<40, 1<<40).Draw(t, "seconds"), rapid.Int64Range(0, 999_999_999).Draw(t, "nanoseconds")).UTC()
	})
}

// keys draws what can be a key: everything that Go can compare and that is neither nil nor NaN.
func keys() *rapid.Generator[any] {
	array := rapid.Custom(func(t *rapid.T) [4]byte { return [4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "array")) })
	return rapid.OneOf(
		boxed(drawnStrings()), boxed(rapid.Int64()), boxed(rapid.Uint64()), boxed(rapid.Int8()), boxed(drawnFloats()), boxed(rapid.Float32()), boxed(rapid.Bool()),
		boxed(array), boxed(drawnTimes()), boxed(rapid.SliceOfN(rapid.Byte(), 0, 8)),
		rapid.Custom(func(t *rapid.T) any {
			return drawnKey{drawnStrings().Draw(t, "tenant"), array.Draw(t, "id"), rapid.Int().Draw(t, "n")}
		}),
		rapid.Custom(func(t *rapid.T) any {
			return [2]any{drawnStrings().Draw(t, "first"), rapid.Int().Draw(t, "second")}
		}),
		rapid.Custom(func(t *rapid.T) any {
			return struct{ Name string }{drawnStrings().Draw(t, "name")}
		}),
	)
}

// values draws what can be a value.
func values(depth int) *rapid.Generator[any] {
	leaves := rapid.OneOf(keys(), rapid.Just[any](nil), boxed(rapid.SampledFrom([]float64{math.NaN()})), boxed(rapid.Uint8()),
		rapid.Just[any]([]byte(nil)), rapid.Just[any]([]string(nil)), rapid.Just[any](map[string]int(nil)), rapid.Just[any]([]any{}), rapid.Just[any](map[string]any{}),
		boxed(rapid.MapOfN(rapid.Int(), drawnStrings(), 0, 3)), boxed(rapid.MapOfN(drawnStrings(), rapid.Int(), 0, 3)), boxed(rapid.MapOfN(rapid.Bool(), drawnFloats(), 0, 2)),
		rapid.Custom(func(t *rapid.T) any { // which an any cannot hold
			return map[[2]byte]int{[2]byte(rapid.SliceOfN(rapid.Byte(), 2, 2).Draw(t, "array")): 1}
		}),
		rapid.Custom(func(t *rapid.T) any {
			s := drawnStruct{drawnStrings().Draw(t, "name"), drawnTimes().Draw(t, "at"), rapid.SliceOfN(rapid.Byte(), 0, 4).Draw(t, "raw"), nil, map[int]string{1: "x"}, drawnFloats().Draw(t, "rate")}
			s.Sub = &drawnStruct{Name: s.Name}
			return s
		}),
		boxed(rapid.Map(rapid.Int64(), func(n int64) time.Duration { return time.Duration(n) })),
	)
	if depth == 0 {
		return leaves
	}
	return rapid.OneOf(leaves, leaves, boxed(rapid.SliceOfN(values(depth-1), 0, 4)), boxed(rapid.MapOfN(drawnStrings(), values(depth-1), 0, 4)))
}

// expiries draws when an entry may end: not while a test looks at it.
func expiries() *rapid.Generator[expiry] {
	return rapid.Custom(func(t *rapid.T) expiry {
		e := expiry{given: true}
		if rapid.Bool().Draw(t, "has a TTL") {
			e.ttl = time.Duration(rapid.Int64Range(3_600_000, 1<<40).Draw(t, "TTL")) * time.Millisecond
		}
		if rapid.Bool().Draw(t, "has a max-idle") {
			e.maxIdle = time.Duration(rapid.SampledFrom([]int64{3_600_000, 3_600_001, 1 << 40}).Draw(t, "max-idle")) * time.Millisecond
		}
		return e
	})
}
