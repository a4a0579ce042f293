package codec

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
)

func mustEncode(t testing.TB, v any) []byte {
	t.Helper()
	b, err := Msgpack{}.Encode(nil, v)
	if err != nil {
		t.Fatalf("Encode(%#v): %v", v, err)
	}
	return b
}

func mustHex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

type (
	myInt    int16
	myString string
	myBytes  []byte
	myFloat  float32
	myBool   bool
	myMap    map[myString]myInt
	digest   [4]byte
)

// The bytes of the format: they can never change, because data that is stored has them.
func TestEncodeGolden(t *testing.T) {
	two := 2
	epoch := time.Unix(0, 0)
	for _, c := range []struct {
		name string
		v    any
		want string
	}{
		{"nil", nil, "c0"},
		{"nil pointer", (*int)(nil), "c0"},
		{"nil slice", []int(nil), "c0"},
		{"nil bytes", []byte(nil), "c0"},
		{"nil map", map[string]int(nil), "c0"},
		{"nil map of any", map[string]any(nil), "c0"},
		{"nil list of any", []any(nil), "c0"},
		{"pointer", &two, "02"},
		{"true", true, "c3"},
		{"named bool", myBool(false), "c2"},
		{"0", 0, "00"},
		{"127", 127, "7f"},
		{"128", 128, "cc80"},
		{"255", uint8(255), "ccff"},
		{"256", 256, "cd0100"},
		{"65535", 65535, "cdffff"},
		{"65536", 65536, "ce00010000"},
		{"MaxUint32", math.MaxUint32, "ceffffffff"},
		{"MaxUint32+1", math.MaxUint32 + 1, "cf0000000100000000"},
		{"MaxInt64", math.MaxInt64, "cf7fffffffffffffff"},
		{"MaxUint64", uint64(math.MaxUint64), "cfffffffffffffffff"},
		{"-1", -1, "ff"},
		{"-32", -32, "e0"},
		{"-33", -33, "d0df"},
		{"-128", int8(-128), "d080"},
		{"-129", -129, "d1ff7f"},
		{"MinInt16", math.MinInt16, "d18000"},
		{"MinInt16-1", math.MinInt16 - 1, "d2ffff7fff"},
		{"MinInt32-1", math.MinInt32 - 1, "d3ffffffff7fffffff"},
		{"MinInt64", math.MinInt64, "d38000000000000000"},
		{"duration", time.Second, "ce3b9aca00"},
		{"1.5", 1.5, "cb3ff8000000000000"},
		{"float32 1.5", float32(1.5), "cb3ff8000000000000"},
		{"named float32", myFloat(1.5), "cb3ff8000000000000"},
		{"1.0", 1.0, "cb3ff0000000000000"},
		{"-0.0", math.Copysign(0, -1), "cb8000000000000000"},
		{"NaN", math.NaN(), "cb7ff8000000000000"},
		{"NaN with a payload", math.Float64frombits(0xfff8000000000007), "cb7ff8000000000000"},
		{"float32 NaN", float32(math.NaN()), "cb7ff8000000000000"},
		{"Inf", math.Inf(1), "cb7ff0000000000000"},
		{"empty string", "", "a0"},
		{"string", "ab", "a26162"},
		{"named string", myString("ab"), "a26162"},
		{"31 bytes", strings.Repeat("x", 31), "bf" + strings.Repeat("78", 31)},
		{"32 bytes", strings.Repeat("x", 32), "d920" + strings.Repeat("78", 32)},
		{"256 bytes", strings.Repeat("x", 256), "da0100" + strings.Repeat("78", 256)},
		{"65536 bytes", strings.Repeat("x", 65536), "db00010000" + strings.Repeat("78", 65536)},
		{"not UTF-8", "\xff", "a1ff"},
		{"empty bytes", []byte{}, "c400"},
		{"bytes", []byte{1, 2}, "c4020102"},
		{"256 byte slice", make([]byte, 256), "c50100" + strings.Repeat("00", 256)},
		{"65536 byte slice", make([]byte, 65536), "c600010000" + strings.Repeat("00", 65536)},
		{"named bytes", myBytes{1, 2}, "c4020102"},
		{"byte array", digest{1, 2, 3, 4}, "c40401020304"},
		{"epoch", epoch, "d6ff00000000"},
		{"with zone", epoch.In(time.FixedZone("x", 3600)), "d6ff00000000"},
		{"2^32-1 s", time.Unix(math.MaxUint32, 0), "d6ffffffffff"},
		{"2^32 s", time.Unix(math.MaxUint32+1, 0), "d7ff0000000100000000"},
		{"1 ns", time.Unix(0, 1), "d7ff0000000400000000"},
		{"2^34-1 s", time.Unix(1<<34-1, 0), "d7ff00000003ffffffff"},
		{"2^34 s", time.Unix(1<<34, 0), "c70cff000000000000000400000000"},
		{"before the epoch", time.Unix(-1, 999_999_999), "c70cff3b9ac9ffffffffffffffffff"},
		{"zero time", time.Time{}, "c70cff00000000fffffff1886e0900"},
		{"list", []any{1, "a", nil}, "9301a161c0"},
		{"empty list", []int{}, "90"},
		{"array", [2]int{1, 2}, "920102"},
		{"16 elements", make([]int, 16), "dc0010" + strings.Repeat("00", 16)},
		{"65536 elements", make([]bool, 65536), "dd00010000" + strings.Repeat("c2", 65536)},
		{"empty map", map[string]int{}, "80"},
		{"shorter keys first", map[string]int{"b": 1, "aa": 2, "": 3}, "83a003a16201a2616102"},
		{"map of any", map[string]any{"b": []any{}, "a": map[string]any{"z": 1, "y": 2}}, "82a16182a17902a17a01a16290"},
		{"map of strings", map[string]string{"b": "1", "a": "2"}, "82a161a132a162a131"},
		{"integer keys", map[int]bool{-1: true, 1: true, 200: false, 0: true}, "8400c301c3ccc8c2ffc3"},
		{"mixed keys", map[any]any{"a": 1, 1: "a", true: nil, 1.5: 0}, "8401a161a16101c3c0cb3ff800000000000000"},
		{"named map", myMap{"b": 2, "a": 1}, "82a16101a16202"},
		{"array keys", map[[2]int]int{{2, 1}: 1, {1, 2}: 2}, "8292010202920201" + "01"},
		{"error", error(errors.New("no")), "80"},
	} {
		t.Run(c.name, func(t *testing.T) {
			prefix := []byte("prefix")
			got, err := Msgpack{}.Encode(prefix, c.v)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.HasPrefix(got, prefix) || !bytes.Equal(got[len(prefix):], mustHex(t, c.want)) {
				t.Fatalf("Encode = %x, want %s", got[len(prefix):], c.want)
			}
			if err := Validate(got[len(prefix):], Limits{}); err != nil {
				t.Fatalf("Validate of what was encoded: %v", err)
			}
		})
	}
}

// An integer has the same bytes in every type that holds it.
func TestIntegersOfAllTypesAreOne(t *testing.T) {
	for n := int64(math.MinInt8); n <= math.MaxInt8; n++ {
		want := mustEncode(t, n)
		same := []any{int(n), int8(n), int16(n), int32(n), myInt(n), time.Duration(n), []any{n}[0]}
		if n >= 0 {
			same = append(same, uint(n), uint8(n), uint16(n), uint32(n), uint64(n), uintptr(n))
		}
		for _, v := range same {
			if got := mustEncode(t, v); !bytes.Equal(got, want) {
				t.Fatalf("%T(%d) encodes as %x, int64 as %x", v, n, got, want)
			}
		}
	}
}

func TestDecodeIntoAny(t *testing.T) {
	for _, c := range []struct{ v, want any }{
		{nil, nil},
		{true, true},
		{uint8(7), int64(7)},
		{int8(-7), int64(-7)},
		{uint64(math.MaxInt64), int64(math.MaxInt64)},
		{uint64(math.MaxInt64) + 1, uint64(math.MaxInt64) + 1},
		{float32(0.5), 0.5},
		{"a", "a"},
		{[]byte{1}, []byte{1}},
		{[]byte{}, []byte{}},
		{time.Date(2024, 2, 29, 1, 2, 3, 4, time.FixedZone("x", 3600)), time.Date(2024, 2, 29, 0, 2, 3, 4, time.UTC)},
		{[]string{"a"}, []any{"a"}},
		{[]int{}, []any{}},
		{map[string]int{"a": 1}, map[string]any{"a": int64(1)}},
		{map[int]int{1: 2}, map[any]any{int64(1): int64(2)}},
		{map[any]any{"a": 1, 2: 3, nil: 4}, map[any]any{"a": int64(1), int64(2): int64(3), nil: int64(4)}},
		{map[any]any{"a": 1}, map[string]any{"a": int64(1)}},
		{map[time.Time]int{time.Unix(1, 0): 1}, map[any]any{time.Unix(1, 0).UTC(): int64(1)}},
		{struct{ B, A int }{1, 2}, map[string]any{"A": int64(2), "B": int64(1)}},
	} {
		var got any
		if err := (Msgpack{}).Decode(mustEncode(t, c.v), &got); err != nil {
			t.Errorf("%#v: %v", c.v, err)
		} else if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%#v decodes as %#v, want %#v", c.v, got, c.want)
		}
		// As a field too, where another path decodes it.
		var in struct{ X any }
		if err := (Msgpack{}).Decode(mustEncode(t, map[string]any{"X": c.v}), &in); err != nil || !reflect.DeepEqual(in.X, c.want) {
			t.Errorf("%#v in a field decodes as %#v, %v, want %#v", c.v, in.X, err, c.want)
		}
	}
}

// What was written by another type is an error, never something similar: what Get returned must pass ReplaceIfSame.
func TestDecodeIsStrict(t *testing.T) {
	type point struct{ X, Y int8 }
	type pair struct {
		//lint:ignore U1000 the codec reads its tag
		_msgpack struct{} `msgpack:",as_array"`
		A, B     int
	}
	for _, c := range []struct {
		name   string
		stored any
		into   any
	}{
		{"string into int", "1", new(int)},
		{"string into bytes", "1", new([]byte)},
		{"bytes into string", []byte("1"), new(string)},
		{"bytes into named string", []byte("1"), new(myString)},
		{"int into string", 1, new(string)},
		{"int into bool", 1, new(bool)},
		{"bool into int", true, new(int64)},
		{"int into float", 1, new(float64)},
		{"int into float32", 1, new(float32)},
		{"float into int", 1.0, new(int)},
		{"float into uint64", 1.0, new(uint64)},
		{"float64 into float32", 0.1, new(float32)},
		{"float above float32", 1e300, new(float32)},
		{"nil into string", nil, new(string)},
		{"nil into int", nil, new(int)},
		{"nil into int64", nil, new(int64)},
		{"nil into bool", nil, new(bool)},
		{"nil into float", nil, new(float64)},
		{"nil into time", nil, new(time.Time)},
		{"nil into struct", nil, new(point)},
		{"nil into array", nil, new([2]int)},
		{"nil into a field", map[string]any{"X": nil}, new(point)},
		{"300 into int8", 300, new(int8)},
		{"128 into int8", 128, new(int8)},
		{"-129 into int8", -129, new(int8)},
		{"256 into uint8", 256, new(uint8)},
		{"40000 into named int16", 40000, new(myInt)},
		{"2^31 into int32", 1 << 31, new(int32)},
		{"2^32 into uint32", 1 << 32, new(uint32)},
		{"2^63 into int64", uint64(1 << 63), new(int64)},
		{"2^63 into int", uint64(1 << 63), new(int)},
		{"2^63 into duration", uint64(1 << 63), new(time.Duration)},
		{"-1 into uint64", -1, new(uint64)},
		{"-1 into uint", -1, new(uint)},
		{"-1 into uint8", -1, new(uint8)},
		{"300 into a field", map[string]int{"X": 300}, new(point)},
		{"300 into an element", []int{300}, new([]int8)},
		{"300 as a key", map[int]int{300: 1}, new(map[int8]int)},
		{"300 as a map's value", map[int]int{1: 300}, new(map[int]int8)},
		{"array into struct", []int{1, 2}, new(point)},
		{"a string in an array struct", []any{1, "x"}, new(pair)},
		{"empty array into struct", []int{}, new(point)},
		{"map into an array struct", map[string]int{"A": 1}, new(pair)},
		{"3 elements into an array struct of 2", []int{1, 2, 3}, new(pair)},
		{"map into slice", map[string]int{}, new([]int)},
		{"array into map", []int{}, new(map[string]int)},
		{"array into string", []int{}, new(string)},
		{"string into map", "a", new(map[string]any)},
		{"2 elements into 3", []int{1, 2}, new([3]int)},
		{"3 elements into 2", []int{1, 2, 3}, new([2]int)},
		{"3 bytes into 4", []byte{1, 2, 3}, new(digest)},
		{"5 bytes into 4", []byte{1, 2, 3, 4, 5}, new(digest)},
		{"string into byte array", "abcd", new(digest)},
		{"time into int", time.Unix(0, 0), new(int64)},
		{"int into time", 1, new(time.Time)},
		{"string into time", "2024-01-01T00:00:00Z", new(time.Time)},
		{"two integers into time", []int{1, 2}, new(time.Time)},
		{"integer keys into struct", map[int]int{1: 1}, new(point)},
		{"integer keys into map[string]any", map[int]int{1: 1}, new(map[string]any)},
		{"integer keys into string keys", map[int]int{1: 1}, new(map[string]int)},
		{"int into error", 1, new(error)},
		{"array as a key into any", map[[1]int]int{{1}: 1}, new(any)},
		{"bytes as a key into any", map[digest]int{{1}: 1}, new(any)},
		{"array as a key into map[any]int", map[[1]int]int{{1}: 1}, new(map[any]int)},
		{"array as a key into a struct key", map[any]int{struct{ A any }{[1]int{1}}: 1}, new(map[struct{ A any }]int)},
		{"0 and -0 as keys", map[any]int{uint8(0): 1, 0.0: 1, [1]float64{math.Copysign(0, -1)}: 1, [1]float64{0}: 2}, new(any)},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := mustEncode(t, c.stored)
			if err := (Msgpack{}).Decode(b, c.into); !errors.Is(err, ErrType) {
				t.Fatalf("Decode gave %#v and error %v, want ErrType", reflect.ValueOf(c.into).Elem().Interface(), err)
			}
			// The same as an element, where no short cut is taken.
			list := reflect.New(reflect.SliceOf(reflect.TypeOf(c.into).Elem())).Interface()
			if err := (Msgpack{}).Decode(append([]byte{0x91}, b...), list); !errors.Is(err, ErrType) {
				t.Fatalf("Decode as an element gave %v, want ErrType", err)
			}
		})
	}
}

// 0.0 and -0.0 are two keys here and one in Go.
func TestDecodeRefusesKeysThatGoHoldsEqual(t *testing.T) {
	b := mustHex(t, "82 cb0000000000000000 01 cb8000000000000000 02")
	if err := Validate(b, Limits{}); err != nil {
		t.Fatal(err)
	}
	for _, into := range []any{new(any), new(map[float64]int), new(map[any]any)} {
		if err := (Msgpack{}).Decode(b, into); !errors.Is(err, ErrType) {
			t.Errorf("into %T: %v, want ErrType", into, err)
		}
	}
}

func TestEncodeRefuses(t *testing.T) {
	type selfPointer *selfPointer
	var loop selfPointer
	loop = &loop
	var self any
	self = &self
	list := []any{nil}
	list[0] = list
	type node struct{ Next *node }
	ring := &node{}
	ring.Next = ring
	dict := map[string]any{}
	dict["a"] = dict
	nested := func(n int) any {
		var v any
		for range n {
			v = []any{v}
		}
		return v
	}
	one, uno := 1, 1
	for _, c := range []struct {
		name string
		v    any
	}{
		{"func", func() {}},
		{"channel", make(chan int)},
		{"complex", complex(1, 2)},
		{"struct with a channel", struct{ C chan int }{}},
		{"list of funcs", []func(){nil}},
		{"pointer to itself", loop},
		{"interface in itself", self},
		{"list in itself", list},
		{"map in itself", dict},
		{"ring", ring},
		{"too deep", nested(MaxDepth + 1)},
		{"NaN as a key", map[float64]int{math.NaN(): 1}},
		{"NaN as a float32 key", map[float32]int{float32(math.NaN()): 1}},
		{"NaN within a key", map[[1]float64]int{{math.NaN()}: 1}},
		{"NaN as a key of any", map[any]any{math.NaN(): 1}},
		{"NaN in a struct as a key", map[any]any{struct{ F float64 }{math.NaN()}: 1}},
		{"keys that encode alike", map[any]any{int8(1): 1, int64(1): 2}},
		{"keys that encode alike, typed", map[*int]int{&one: 1, &uno: 2}},
		{"two fields of one name", struct {
			A int `msgpack:"x"`
			B int `msgpack:"x"`
		}{}},
		{"an alias that is a field", struct {
			A int `msgpack:"x,alias:y"`
			B int `msgpack:"y"`
		}{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dst := []byte("kept")
			got, err := Msgpack{}.Encode(dst, c.v)
			if !errors.Is(err, ErrUnsupported) {
				t.Fatalf("Encode = %x, %v, want ErrUnsupported", got, err)
			}
			if string(got) != "kept" {
				t.Fatalf("Encode returned %q with its error, want dst as it was", got)
			}
		})
	}
	if b := mustEncode(t, nested(MaxDepth)); Validate(b, Limits{}) != nil {
		t.Errorf("%d levels are encoded but not accepted", MaxDepth)
	}
}

func TestDecodeIntoWhatCannotHold(t *testing.T) {
	type selfPointer *selfPointer
	for name, v := range map[string]any{
		"nil": nil, "no pointer": 1, "nil pointer": (*int)(nil), "nil any": (*any)(nil), "nil string": (*string)(nil),
		"channel": new(chan int), "interface with methods": new(interface{ Foo() }), "endless pointer": new(selfPointer),
	} {
		if err := (Msgpack{}).Decode([]byte{1}, v); !errors.Is(err, ErrUnsupported) {
			t.Errorf("%s: %v, want ErrUnsupported", name, err)
		}
	}
}

// The caller reuses the bytes it decoded from: nothing may point into them.
func TestDecodeDoesNotAlias(t *testing.T) {
	type all struct {
		S  string
		B  []byte
		N  myBytes
		A  any
		M  map[string][]byte
		L  []string
		D  digest
		MA map[any]any
		E  error
		T  textual
		R  raw
	}
	v := all{"string", []byte("bytes"), myBytes("named"), []any{"any", []byte("more")}, map[string][]byte{"key": []byte("value")},
		[]string{"list"}, digest{1, 2, 3, 4}, map[any]any{"k": "v", int64(1): []byte("x")}, errors.New("err"), textual{"text"}, raw{[]byte("raw")}}
	b := mustEncode(t, v)
	var got all
	if err := (Msgpack{}).Decode(b, &got); err != nil {
		t.Fatal(err)
	}
	var s string
	var bs []byte
	var x any
	str, bin := mustEncode(t, "string"), mustEncode(t, []byte("bytes"))
	decodeAll := errors.Join((Msgpack{}).Decode(str, &s), (Msgpack{}).Decode(bin, &bs), (Msgpack{}).Decode(bin, &x))
	if decodeAll != nil {
		t.Fatal(decodeAll)
	}
	for _, input := range [][]byte{b, str, bin} {
		for i := range input {
			input[i] = 0xee
		}
	}
	if !reflect.DeepEqual(got, v) {
		t.Errorf("after its input was overwritten the value is %+v, want %+v", got, v)
	}
	if s != "string" || string(bs) != "bytes" || !reflect.DeepEqual(x, []byte("bytes")) {
		t.Errorf("after their input was overwritten: %q %q %q", s, bs, x)
	}
}

// Decode replaces: nothing of what was there shines through, and shared memory of it is not written to.
func TestDecodeReplaces(t *testing.T) {
	type inner struct{ A, B int }
	type outer struct {
		I inner
		M map[string]int
		L []int
		P *int
	}
	n := 1
	old := outer{inner{1, 2}, map[string]int{"old": 1}, []int{1, 2, 3}, &n}
	oldMap, oldList := old.M, old.L
	if err := (Msgpack{}).Decode(mustEncode(t, map[string]any{
		"I": map[string]int{"A": 9}, "M": map[string]int{"new": 2}, "L": []int{7}, "P": 8,
	}), &old); err != nil {
		t.Fatal(err)
	}
	want := outer{inner{9, 0}, map[string]int{"new": 2}, []int{7}, old.P}
	if !reflect.DeepEqual(old, want) || *old.P != 8 {
		t.Errorf("got %+v, want %+v", old, want)
	}
	if n != 1 || oldMap["old"] != 1 || len(oldMap) != 1 || oldList[0] != 1 {
		t.Errorf("what the old value pointed to was changed: %d %v %v", n, oldMap, oldList)
	}
	var list any = []any{"old"}
	if err := (Msgpack{}).Decode(mustEncode(t, map[string]any{"a": 1}), &list); err != nil || !reflect.DeepEqual(list, map[string]any{"a": int64(1)}) {
		t.Errorf("any: %v, %v", list, err)
	}
}

// Values beyond what is kept for reuse take the same path.
func TestLargeValues(t *testing.T) {
	big := map[string]any{}
	list := make([]any, 20_000)
	for i := range list {
		k := strings.Repeat("k", i%40) + string(rune('a'+i%26))
		big[k+hex.EncodeToString([]byte{byte(i), byte(i >> 8)})] = int64(i)
		list[i] = k
	}
	v := map[string]any{"map": big, "list": list, "bytes": make([]byte, 1<<20), "text": strings.Repeat("x", 1<<20)}
	for range 3 {
		b := mustEncode(t, v)
		var got any
		if err := (Msgpack{}).Decode(b, &got); err != nil || !reflect.DeepEqual(got, any(v)) {
			t.Fatalf("a value of %d bytes does not come back: %v", len(b), err)
		}
	}
}

func TestName(t *testing.T) {
	var c Codec = Msgpack{}
	if c.Name() != "msgpack" {
		t.Errorf("Name = %q", c.Name())
	}
}
