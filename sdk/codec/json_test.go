package codec

import (
	"encoding/json"
	"errors"
	"math"
	"math/big"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestFromJSON(t *testing.T) {
	for _, c := range []struct {
		text string
		want any
	}{
		{"null", nil},
		{"true", true},
		{"false", false},
		{"1", int64(1)},
		{" 1\n", int64(1)},
		{"-5", int64(-5)},
		{"-0", int64(0)},
		{"9223372036854775807", int64(math.MaxInt64)},
		{"-9223372036854775808", int64(math.MinInt64)},
		{"9223372036854775808", uint64(1 << 63)},
		{"18446744073709551615", uint64(math.MaxUint64)},
		{"1.0", 1.0},
		{"1.10", 1.1},
		{"1e3", 1000.0},
		{"1E+3", 1000.0},
		{"100e-2", 1.0},
		{"0.1", 0.1},
		{"-0.0", math.Copysign(0, -1)},
		{"-0e9", math.Copysign(0, -1)},
		{"0.000e99999999999999999999", 0.0},
		{"5e-324", 5e-324},
		{"1.7976931348623157e308", math.MaxFloat64},
		{"18446744073709552000.0", 18446744073709551616.0},
		{"123456789012345680000.0", 123456789012345680000.0},
		{`"1"`, "1"},
		{`""`, ""},
		{`"10769150350006150715113082367"`, "10769150350006150715113082367"},
		{"", ""},
		{" ", " "},
		{"hello", "hello"},
		{"hello world", "hello world"},
		{"01", "01"},
		{"+1", "+1"},
		{".5", ".5"},
		{"1.", "1."},
		{"NaN", "NaN"},
		{"1 2", "1 2"},
		{"1]", "1]"},
		{"{}x", "{}x"},
		{`{"a":`, `{"a":`},
		{"'a'", "'a'"},
		{"a\xff", "a\xff"},
		{`"\ud83d\ude00\"\\\/\b\f\n\r\t\u00e9"`, "😀\"\\/\b\f\n\r\té"},
		{`[ 1 , "a" , null , 2.5 , { "b" : [ ] } ]`, []any{int64(1), "a", nil, 2.5, map[string]any{"b": []any{}}}},
		{`{"age":30,"big":18446744073709551615}`, map[string]any{"age": int64(30), "big": uint64(math.MaxUint64)}},
		{"{}", map[string]any{}},
	} {
		if got, err := FromJSON(c.text); err != nil || !same(got, c.want) {
			t.Errorf("FromJSON(%q) = %#v, %v, want %#v", c.text, got, err, c.want)
		}
	}
}

// What JSON says and nothing here holds is refused, wherever it stands, with what it is.
func TestFromJSONRefuses(t *testing.T) {
	for _, c := range []struct{ text, names string }{
		{"18446744073709551616", "the integer 18446744073709551616 does"},
		{"-9223372036854775809", "the integer -9223372036854775809 does"},
		{"10769150350006150715113082367", "the integer 10769150350006150715113082367 does"},
		{strings.Repeat("9", 100), "(100 characters)"},
		{"1e999", "the number 1e999 does"},
		{"-1e309", "the number -1e309 does"},
		{"1e-400", "the number 1e-400 would become 0.0"},
		{"1e-99999999999999999999", "would become 0.0"},
		{"9007199254740993.0", "the number 9007199254740993.0 would become 9007199254740992.0"},
		{"0.1000000000000000055511151231257827", "would become 0.1"},
		{"10769150350006150715113082367.5", "would become 1.076915035000615e+28"},
		{`{"a":1,"b":2,"a":1}`, `"a" stands twice`},
		{`{"a":1,"\u0061":1}`, `"a" stands twice`},
		{`"\ud800"`, `\ud800 is half`},
		{`"\udc00\ud800"`, `\udc00 is half`},
		{`"\ud800\ud800"`, `\ud800 is half`},
		{`"\uD800x"`, `\ud800 is half`},
		{"\"a\xff\"", `"a\xff" is not UTF-8`},
		{"\"\xed\xa0\x80\"", "is not UTF-8"},
	} {
		for _, around := range []string{"%", " [1,%]", `{"x":{"y":[%]}}`} {
			text := strings.ReplaceAll(around, "%", c.text)
			if v, err := FromJSON(text); !errors.Is(err, ErrInexact) || v != nil || !strings.Contains(err.Error(), c.names) {
				t.Errorf("FromJSON(%q) = %#v, %v, want ErrInexact: …%s…", text, v, err, c.names)
			}
		}
	}
	for _, text := range []string{`{"\ud800":1}`, "{\"\xff\":1}"} {
		if v, err := FromJSON(text); !errors.Is(err, ErrInexact) {
			t.Errorf("FromJSON(%q) = %#v, %v, want ErrInexact", text, v, err)
		}
	}
}

func TestParseJSON(t *testing.T) {
	for _, text := range []string{"", "hello", "01", "1 2", `"a`, "{}x"} {
		if v, err := ParseJSON(text); !errors.Is(err, ErrNotJSON) || v != nil {
			t.Errorf("ParseJSON(%q) = %#v, %v, want ErrNotJSON", text, v, err)
		}
	}
	if v, err := ParseJSON(`"a"`); err != nil || v != "a" {
		t.Errorf("%v, %v", v, err)
	}
}

// A number is taken as it is written, or not at all.
func TestNumbersAreExact(t *testing.T) {
	digits := rapid.StringMatching(`-?(0|[1-9][0-9]{0,24})(\.[0-9]{1,24})?([eE][-+]?[0-9]{1,3})?`)
	rapid.Check(t, func(t *rapid.T) {
		text := digits.Draw(t, "number")
		v, err := FromJSON(text)
		if err != nil {
			if !errors.Is(err, ErrInexact) {
				t.Fatal(err)
			}
			return
		}
		b, err := ToJSON(v)
		if err != nil {
			t.Fatal(err)
		}
		want, _ := new(big.Rat).SetString(text)
		if got, ok := new(big.Rat).SetString(string(b)); !ok || got.Cmp(want) != 0 {
			t.Fatalf("%s is shown as %s", text, b)
		}
	})
	rapid.Check(t, func(t *rapid.T) { // and every float is
		f := rapid.Float64().Draw(t, "float")
		b, err := ToJSON(f)
		if err != nil {
			t.Fatal(err)
		}
		if v, err := FromJSON(string(b)); err != nil || !same(v, f) {
			t.Fatalf("%s is read as %v, %v", b, v, err)
		}
	})
}

func TestToJSON(t *testing.T) {
	at := time.Date(2024, 2, 29, 13, 4, 5, 678_999_999, time.FixedZone("x", 3600))
	for _, c := range []struct {
		v    any
		want string
	}{
		{nil, "null"},
		{false, "false"},
		{int64(math.MaxInt64), "9223372036854775807"},
		{int64(math.MinInt64), "-9223372036854775808"},
		{uint64(math.MaxUint64), "18446744073709551615"},
		{1.5, "1.5"},
		{2.0, "2.0"},
		{0.0, "0.0"},
		{math.Copysign(0, -1), "-0.0"},
		{1e20, "100000000000000000000.0"},
		{1e21, "1e+21"},
		{1e-7, "1e-07"},
		{math.NaN(), `"NaN"`},
		{math.Inf(1), `"Infinity"`},
		{math.Inf(-1), `"-Infinity"`},
		{"", `""`},
		{`a"b\c/`, `"a\"b\\c/"`},
		{"<&>", `"<&>"`},
		{"\n\r\t\b\x00\x1b[31m\x7f\u009b", `"\n\r\t\u0008\u0000\u001b[31m\u007f\u009b"`},
		{"\u2028\u2029\u202e", `"\u2028\u2029\u202e"`},
		{"köln 日本 😀", `"köln 日本 😀"`},
		{"a\xffb", "\"a\ufffdb\""},
		{[]byte{0, 1, 255}, `"AAH/"`},
		{[]byte{}, `""`},
		{[]byte(nil), "null"},
		{at, `"2024-02-29T12:04:05.678Z"`},
		{time.Unix(0, 0), `"1970-01-01T00:00:00.000Z"`},
		{[]any{}, "[]"},
		{[]any(nil), "null"},
		{map[string]any(nil), "null"},
		{map[any]any(nil), "null"},
		{[]any{int64(1), "a", nil}, `[1,"a",null]`},
		{map[string]any{"b": int64(1), "a": []any{}, "aa": map[string]any{}}, `{"a":[],"aa":{},"b":1}`},
		{map[string]any{"\x1b": int64(1)}, `{"\u001b":1}`},
		{map[any]any{int64(10): "ten", int64(9): "nine", "a": 1.0, true: nil, nil: false, 1.5: int64(0), at: "t"},
			`{"1.5":0,"10":"ten","2024-02-29T12:04:05.678Z":"t","9":"nine","a":1.0,"null":false,"true":null}`},
		{map[any]any{int64(1): "int", "1": "string", "1'": "prime", 1.0: "float"}, `{"1":"string","1'":"prime","1''":"int","1.0":"float"}`},
		{map[any]any{math.Inf(1): int64(1)}, `{"Infinity":1}`},
		{map[string]any{"\xff": int64(1), "\xfe": int64(2), "a": int64(3)}, `{"a":3,"�":2,"�'":1}`},
		{map[string]any{"\xfb": 1, "\xfc": 2, "\xfd": 3, "\xfe": 4, "\xff": 5}, "{\"\ufffd\":1,\"\ufffd'\":2,\"\ufffd''\":3,\"\ufffd'''\":4,\"\ufffd'4\":5}"},
		{map[any]any{"\xff": int64(1), true: nil}, `{"true":null,"�":1}`},
		// What any does not decode to is rendered as what it would decode to.
		{struct {
			B int8 `json:"b"`
			A []string
		}{1, []string{"x"}}, `{"A":["x"],"b":1}`},
		{int8(1), "1"},
		{[]any{float32(0.5), []int{1}}, "[0.5,[1]]"},
	} {
		got, err := ToJSON(c.v)
		if err != nil || string(got) != c.want {
			t.Errorf("ToJSON(%#v) = %s, %v, want %s", c.v, got, err, c.want)
		}
	}
}

func TestToJSONRefuses(t *testing.T) {
	loop := []any{nil}
	loop[0] = loop
	for name, v := range map[string]any{"a list in itself": loop, "func": func() {}, "channel within": map[string]any{"a": make(chan int)},
		"channel as a key": map[any]any{make(chan int): 1}} {
		if b, err := ToJSON(v); !errors.Is(err, ErrUnsupported) || b != nil {
			t.Errorf("%s: %s, %v, want ErrUnsupported", name, b, err)
		}
	}
}

// Whatever was decoded renders as one line of JSON, which reads back as what JSON can say of it.
func TestToJSONIsJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := trees(3).Draw(t, "value")
		b, err := ToJSON(v)
		if err != nil {
			t.Fatal(err)
		}
		if !json.Valid(b) || strings.ContainsAny(string(b), "\n\r\x1b") {
			t.Fatalf("%q is not JSON in one line", b)
		}
		said, err := ParseJSON(string(b))
		if err != nil {
			t.Fatal(err)
		}
		again, err := ToJSON(said)
		if err != nil || string(again) != string(b) {
			t.Fatalf("%s reads back as %s, %v", b, again, err)
		}
	})
}

// JSON that a person writes comes back as it was meant: integers stay integers and floats floats.
func TestJSONRoundTrip(t *testing.T) {
	for _, text := range []string{"1", "1.0", "-5", "18446744073709551615", `"x"`, "[]", "{}", `{"a":[1,2.5,"3",null,true]}`, "1e+30"} {
		said, err := FromJSON(text)
		if err != nil {
			t.Fatal(err)
		}
		var v any
		if err := (Msgpack{}).Decode(mustEncode(t, said), &v); err != nil {
			t.Fatal(err)
		}
		if got, err := ToJSON(v); err != nil || string(got) != text {
			t.Errorf("%s comes back as %s, %v", text, got, err)
		}
	}
}

func FuzzFromJSON(f *testing.F) {
	for _, s := range []string{"1", "1e999", `{"a":[1.0]}`, "hello", "\"\xff\"", "[[[]]]", `"\ud800"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		v, err := FromJSON(text)
		if err != nil && !errors.Is(err, ErrInexact) {
			t.Fatal(err)
		}
		if err != nil || v == text {
			return
		}
		if !json.Valid([]byte(text)) {
			t.Fatalf("%q is read as %#v and is not JSON", text, v)
		}
		b, err := ToJSON(v)
		if err != nil {
			if !errors.Is(err, ErrUnsupported) {
				t.Fatal(err)
			}
			return // nested too deeply
		}
		if again, err := FromJSON(string(b)); err != nil || !same(again, v) {
			t.Fatalf("%q is %#v, rendered %s, read again %#v, %v", text, v, b, again, err)
		}
	})
}
