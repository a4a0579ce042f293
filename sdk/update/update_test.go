package update

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"math/big"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/gridiron-io/gridiron/sdk/codec"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

const most = 1 << 20

func enc(t testing.TB, v any) []byte {
	t.Helper()
	b, err := codec.Msgpack{}.Encode(nil, v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func dec(t testing.TB, b []byte) (v any) {
	t.Helper()
	if err := (codec.Msgpack{}).Decode(b, &v); err != nil {
		t.Fatalf("%x: %v", b, err)
	}
	return v
}

// absent stands for no entry.
type absent struct{}

func value(t testing.TB, v any) []byte {
	t.Helper()
	if v == (absent{}) {
		return nil
	}
	return enc(t, v)
}

type list = []any

func TestProcessors(t *testing.T) {
	const big64 = uint64(math.MaxInt64) + 1
	refused := ErrRefused
	for _, c := range []struct {
		p            wire.Processor
		value, arg   any
		want, result any // want nil: the entry stays; result nil: the new value
		err          error
	}{
		{wire.ProcessIncrement, absent{}, int64(-5), int64(-5), nil, nil},
		{wire.ProcessIncrement, int64(3), int64(-5), int64(-2), nil, nil},
		{wire.ProcessIncrement, int64(math.MaxInt64), int64(1), nil, nil, refused},
		{wire.ProcessIncrement, big64, int64(1), big64 + 1, nil, nil},
		{wire.ProcessIncrement, big64, int64(-1), int64(math.MaxInt64), nil, nil},
		{wire.ProcessIncrement, uint64(math.MaxUint64), int64(1), nil, nil, refused},
		{wire.ProcessIncrement, int64(math.MinInt64), int64(-1), nil, nil, refused},
		{wire.ProcessIncrement, int64(math.MinInt64), int64(math.MinInt64), nil, nil, refused},
		{wire.ProcessIncrement, 1.5, 0.25, 1.75, nil, nil},
		{wire.ProcessIncrement, 1.5, int64(2), 3.5, nil, nil},
		{wire.ProcessIncrement, 1.5, int64(1<<53 + 1), nil, nil, refused},
		{wire.ProcessIncrement, int64(1), 0.5, nil, nil, refused},
		{wire.ProcessIncrement, math.MaxFloat64, math.MaxFloat64, nil, nil, refused},
		{wire.ProcessIncrement, math.Inf(1), math.Inf(-1), nil, nil, refused},
		{wire.ProcessIncrement, 1.0, math.NaN(), nil, nil, refused},
		{wire.ProcessIncrement, absent{}, math.Inf(1), nil, nil, refused},
		{wire.ProcessIncrement, "1", int64(1), nil, nil, refused},
		{wire.ProcessIncrement, nil, int64(1), nil, nil, refused},
		{wire.ProcessIncrement, int64(1), "1", nil, nil, refused},
		{wire.ProcessIncrement, int64(120), list{int64(7), int64(-128), int64(127)}, int64(127), nil, nil},
		{wire.ProcessIncrement, int64(120), list{int64(8), int64(-128), int64(127)}, nil, nil, refused},
		{wire.ProcessIncrement, int64(-120), list{int64(-8), int64(-128), int64(127)}, int64(-128), nil, nil},
		{wire.ProcessIncrement, int64(-120), list{int64(-9), int64(-128), int64(127)}, nil, nil, refused},
		{wire.ProcessIncrement, uint64(math.MaxUint64 - 1), list{int64(1), int64(0), uint64(math.MaxUint64)}, uint64(math.MaxUint64), nil, nil},
		{wire.ProcessIncrement, uint64(math.MaxUint64), list{uint64(math.MaxUint64), int64(0), uint64(math.MaxUint64)}, nil, nil, refused},
		{wire.ProcessIncrement, 1.5, list{int64(1), int64(0), int64(9)}, nil, nil, refused},
		{wire.ProcessIncrement, 0.1, list{0.2, -1.0, 1.0}, 0.1 + 0.2 + 5e-17, nil, nil},
		{wire.ProcessIncrement, float64(float32(0.1)), list{float64(float32(0.2)), -1.0, 1.0, int64(32)}, float64(float32(0.1) + float32(0.2)), nil, nil},
		{wire.ProcessIncrement, math.MaxFloat32, list{math.MaxFloat32, -math.MaxFloat32, math.MaxFloat32, int64(32)}, nil, nil, refused},
		{wire.ProcessIncrement, 1.0, list{1.0, -1.0, 9.0, int64(16)}, nil, nil, refused},
		{wire.ProcessIncrement, int64(1), list{int64(1), int64(0), int64(9), int64(32)}, nil, nil, refused},
		{wire.ProcessIncrement, int64(1), list{int64(1), int64(0), 9.0}, nil, nil, refused},
		{wire.ProcessIncrement, int64(1), list{int64(1), int64(0)}, nil, nil, refused},
		{wire.ProcessIncrement, int64(1), list{list{}, int64(0), int64(1)}, nil, nil, refused},

		{wire.ProcessAppend, absent{}, []byte("ab"), []byte("ab"), int64(2), nil},
		{wire.ProcessAppend, []byte("ab"), []byte("c"), []byte("abc"), int64(3), nil},
		{wire.ProcessAppend, nil, []byte("c"), []byte("c"), int64(1), nil},
		{wire.ProcessAppend, "é", "c", "éc", int64(3), nil},
		{wire.ProcessAppend, "é", []byte("c"), nil, nil, refused},
		{wire.ProcessAppend, "é", int64(1), nil, nil, refused},
		{wire.ProcessAppend, list{}, "c", nil, nil, refused},
		{wire.ProcessAppend, bytes.Repeat([]byte{1}, most), []byte("c"), nil, nil, wire.ErrTooLarge},

		{wire.ProcessListPush, absent{}, "a", list{"a"}, int64(1), nil},
		{wire.ProcessListPush, nil, "a", list{"a"}, int64(1), nil},
		{wire.ProcessListPush, list{"a", int64(1)}, list{"b"}, list{"a", int64(1), list{"b"}}, int64(3), nil},
		{wire.ProcessListPush, "a", "b", nil, nil, refused},
		{wire.ProcessSetAdd, absent{}, "a", list{"a"}, true, nil},
		{wire.ProcessSetAdd, list{"a", int64(1)}, int64(1), nil, false, nil},
		{wire.ProcessSetAdd, list{"a", int64(1)}, 1.0, list{"a", int64(1), 1.0}, true, nil},
		{wire.ProcessSetAdd, map[string]any{"a": int64(1)}, 1.0, nil, nil, refused},
		{wire.ProcessSetAdd, make(list, maxSet), "a", nil, nil, wire.ErrTooLarge},

		{wire.ProcessCompareAndSet, "a", list{int64(7), "b"}, "b", true, nil},
		{wire.ProcessCompareAndSet, "a", list{int64(6), "b"}, nil, false, nil},
		{wire.ProcessCompareAndSet, "a", list{"7", "b"}, nil, nil, refused},
		{wire.ProcessCompareAndSet, "a", "b", nil, nil, refused},
		{wire.ProcessCompareAndSet, "a", list{int64(7), "b", "c"}, nil, nil, refused},

		{99, "a", "b", nil, nil, refused},
	} {
		got, err := Run(c.p, value(t, c.value), 7, enc(t, c.arg), most)
		if c.err != nil {
			if !errors.Is(err, c.err) || !reflect.DeepEqual(got, Change{}) {
				t.Errorf("processor %d on %v with %v: %x, %v, want %v", c.p, c.value, c.arg, got, err, c.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("processor %d on %v with %v: %v", c.p, c.value, c.arg, err)
			continue
		}
		if c.want == nil && got.Value != nil || c.want != nil && !bytes.Equal(got.Value, enc(t, c.want)) {
			t.Errorf("processor %d on %v with %v: value %x, want %v", c.p, c.value, c.arg, got.Value, c.want)
		}
		if c.result == nil && got.Result != nil || c.result != nil && !bytes.Equal(got.Result, enc(t, c.result)) {
			t.Errorf("processor %d on %v with %v: result %x, want %v", c.p, c.value, c.arg, got.Result, c.result)
		}
	}
	if got, err := Run(wire.ProcessCompareAndSet, nil, 0, enc(t, list{int64(0), "b"}), most); err != nil || string(got.Value) != "\xa1b" {
		t.Errorf("no entry, and version 0: %x, %v", got.Value, err)
	}
}

// The cases of RFC 7396, appendix A, and some more.
func TestMerge(t *testing.T) {
	for _, c := range []struct{ target, patch, want string }{
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
		{`{"a":"b"}`, `{"a":null}`, `{}`},
		{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
		{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
		{`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
		{`["a","b"]`, `["c","d"]`, `["c","d"]`},
		{`{"a":"b"}`, `["c"]`, `["c"]`},
		{`{"a":"foo"}`, `null`, `null`},
		{`{"a":"foo"}`, `"bar"`, `"bar"`},
		{`{"e":null}`, `{"a":1}`, `{"e":null,"a":1}`},
		{`[1,2]`, `{"a":"b","c":null}`, `{"a":"b"}`},
		{`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},
		{``, `{"a":{"b":null,"c":1}}`, `{"a":{"c":1}}`},
		{`{"z":1,"a":{"y":2,"x":{"k":[{},{"p":"}\""}]}},"m":-1.50}`, `{"a":{"x":{"k":2},"b":true},"n":{}}`, `{"z":1,"a":{"y":2,"x":{"k":2},"b":true},"m":-1.50,"n":{}}`},
		{" {\n \"a\" : 1 , \"b\" :[ 1, 2 ] } ", `{"b": 2, "c" : null }`, `{"a":1,"b":2}`},
		{`{"é":1,"\u00e9":2}`, `{"é":3}`, `{"é":3}`},
		{`{"a":1}`, `{"b":1,"b":2}`, `{"a":1,"b":2}`},
	} {
		var target []byte
		if c.target != "" {
			target = []byte(c.target)
		}
		got, err := merge(target, []byte(c.patch))
		if err != nil || string(got) != c.want {
			t.Errorf("%s with %s: %s, %v, want %s", c.target, c.patch, got, err, c.want)
		}

		// The same on MessagePack, which has no names that stand twice.
		from := func(text string) []byte {
			if text == "" {
				return nil
			}
			v, err := codec.FromJSON(text)
			if err != nil {
				return nil
			}
			return enc(t, v)
		}
		a, p, want := from(c.target), from(c.patch), from(c.want)
		if p == nil || a == nil && c.target != "" {
			continue
		}
		if got, err := merge(a, p); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s with %s on MessagePack: %x, %v, want %x", c.target, c.patch, got, err, want)
		}
	}

	for name, c := range map[string][2]string{
		"no JSON":              {`{"a":1}`, "\x81\xa1a\x01"},
		"no JSON there":        {"\x81\xa1a\x01", `{"a":1}`},
		"half of it":           {"\x81\xa1a", "\x81\xa1a\x01"},
		"half a patch":         {"\x81\xa1a\x01", "\x81\xa1a"},
		"a patch that is deep": {`{}`, string(bytes.Repeat([]byte(`{"a":`), maxNesting+1)) + "1" + string(bytes.Repeat([]byte("}"), maxNesting+1))},
	} {
		if got, err := merge([]byte(c[0]), []byte(c[1])); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
}

// merged is RFC 7396 as it stands there.
func merged(target, patch any) any {
	p, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	t, ok := target.(map[string]any)
	if !ok {
		t = map[string]any{}
	}
	for name, v := range p {
		if v == nil {
			delete(t, name)
		} else {
			t[name] = merged(t[name], v)
		}
	}
	return t
}

func drawTree(t *rapid.T, depth int) any {
	if depth == 0 || rapid.IntRange(0, 3).Draw(t, "leaf") == 0 {
		return rapid.SampledFrom([]any{nil, int64(1), "x", true, list{int64(1), map[string]any{"a": nil}}}).Draw(t, "scalar")
	}
	out := map[string]any{}
	for range rapid.IntRange(0, 20).Draw(t, "n") {
		out[rapid.SampledFrom([]string{"", "a", "b", "c", "d\"", "é", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "longer than thirty-one bytes, this is"}).Draw(t, "name")] = drawTree(t, depth-1)
	}
	return out
}

// Both merges do what the RFC says on values of any shape.
func TestMergeIsTheRFC(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		target, patch := drawTree(rt, 3), drawTree(rt, 3)
		a, p := enc(t, target), enc(t, patch)
		ja, jp := mustJSON(t, target), mustJSON(t, patch)
		want := merged(target, patch)

		got, err := merge(a, p)
		if err != nil || !bytes.Equal(got, enc(t, want)) {
			rt.Fatalf("MessagePack: %v, %v, want %v", dec(t, got), err, want)
		}
		got, err = merge(ja, jp)
		if err != nil || len(ja) > 1 && len(jp) > 1 && !sameJSON(t, got, mustJSON(t, want)) {
			rt.Fatalf("JSON: %s, %v, want %v", got, err, want)
		}
	})
}

func mustJSON(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func sameJSON(t testing.TB, a, b []byte) bool {
	t.Helper()
	var x, y any
	if err := errors.Join(json.Unmarshal(a, &x), json.Unmarshal(b, &y)); err != nil {
		t.Fatal(err)
	}
	return reflect.DeepEqual(x, y)
}

// Sums of integers are those of arithmetic without bounds, and refused exactly outside of the bounds.
func TestIntegersAreExact(t *testing.T) {
	integer := rapid.OneOf(rapid.Map(rapid.Int64(), func(i int64) any { return i }), rapid.Map(rapid.Uint64(), func(u uint64) any { return u }),
		rapid.SampledFrom([]any{int64(math.MinInt64), int64(math.MaxInt64), uint64(math.MaxUint64), int64(0), int64(-1)}))
	rapid.Check(t, func(rt *rapid.T) {
		was, delta, lo, hi := integer.Draw(rt, "was"), integer.Draw(rt, "delta"), integer.Draw(rt, "lo"), integer.Draw(rt, "hi")
		sum := new(big.Int).Add(bigOf(was), bigOf(delta))
		inside := sum.Cmp(bigOf(lo)) >= 0 && sum.Cmp(bigOf(hi)) <= 0

		got, err := increment(enc(t, was), enc(t, list{delta, lo, hi}))
		if inside != (err == nil) {
			rt.Fatalf("%v + %v in %v to %v: %x, %v", was, delta, lo, hi, got, err)
		}
		if inside && bigOf(dec(t, got)).Cmp(sum) != 0 {
			rt.Fatalf("%v + %v: %v", was, delta, dec(t, got))
		}
	})
}

func bigOf(v any) *big.Int {
	if u, ok := v.(uint64); ok {
		return new(big.Int).SetUint64(u)
	}
	return big.NewInt(v.(int64))
}

// FuzzRun runs each processor on any bytes: nothing panics, what comes out of MessagePack is MessagePack, and the arguments stay as they are.
func FuzzRun(f *testing.F) {
	f.Add(byte(wire.ProcessMerge), []byte("\x82\xa1a\x01\xa1b\x81\xa1c\xc0"), []byte("\x81\xa1b\x81\xa1c\xc0"))
	f.Add(byte(wire.ProcessMerge), []byte(`{"a":{"b":[1,"}"]}}`), []byte(`{"a":{"b":null,"c":{}}}`))
	f.Add(byte(wire.ProcessIncrement), []byte{0x7f}, []byte{0x93, 1, 0, 0xcc, 0xff})
	f.Add(byte(wire.ProcessIncrement), []byte{0xcb, 0, 0, 0, 0, 0, 0, 0, 0}, []byte{1})
	f.Add(byte(wire.ProcessSetAdd), []byte{0x92, 1, 0x91, 2}, []byte{0x91, 2})
	f.Add(byte(wire.ProcessListPush), []byte{0x9f}, []byte{0xdf, 0, 0, 0, 0})
	f.Add(byte(wire.ProcessCompareAndSet), []byte{1}, []byte{0x92, 7, 0x80})
	f.Add(byte(wire.ProcessAppend), []byte{0xa1, 'a'}, []byte{0xd9, 0})
	f.Fuzz(func(t *testing.T, p byte, value, arg []byte) {
		if len(value) == 0 {
			value = nil
		}
		v, a := bytes.Clone(value), bytes.Clone(arg)
		c, err := Run(wire.Processor(p), value, 7, arg, most)
		if !bytes.Equal(v, value) || !bytes.Equal(a, arg) {
			t.Fatal("an argument was changed")
		}
		if err != nil {
			if !errors.Is(err, ErrRefused) && !errors.Is(err, wire.ErrTooLarge) {
				t.Fatalf("%v", err)
			}
			return
		}
		again, _ := Run(wire.Processor(p), value, 7, arg, most)
		if !bytes.Equal(again.Value, c.Value) || !bytes.Equal(again.Result, c.Result) {
			t.Fatal("the same again is another result")
		}
		if c.Value == nil && c.Result == nil {
			t.Fatal("neither a value nor a result")
		}
		switch wire.Processor(p) {
		case wire.ProcessMerge:
			if codec.Validate(c.Value, codec.Limits{}) != nil && !json.Valid(c.Value) {
				t.Fatalf("%q", c.Value)
			}
		case wire.ProcessIncrement, wire.ProcessCompareAndSet:
			if c.Value != nil && codec.Validate(c.Value, codec.Limits{}) != nil {
				t.Fatalf("%x", c.Value)
			}
		}
	})
}
