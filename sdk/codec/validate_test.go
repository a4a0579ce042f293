package codec

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"
)

// Everything of these that is not one value is refused by Validate and by Decode, at no cost in memory.
func TestMalformed(t *testing.T) {
	for _, c := range []struct{ name, b string }{
		{"nothing", ""},
		{"never used", "c1"},
		{"never used, within", "9101c1"},
		{"two values", "0101"},
		{"bytes after a string", "a16162"},
		{"bytes after an array", "91c0c0"},
		{"array of 2^32-1", "ddffffffff"},
		{"map of 2^32-1", "dfffffffff"},
		{"map of 2^31", "df80000000"},
		{"string of 2^32-1", "dbffffffff"},
		{"bytes of 2^32-1", "c6ffffffff"},
		{"extension of 2^32-1", "c9ffffffff80"},
		{"timestamp of 2^32-1", "c9ffffffffff"},
		{"array of 65535", "dcffff01"},
		{"map of 65535", "deffff0101"},
		{"string of 65535", "daffff61"},
		{"bytes of 65535", "c5ffff61"},
		{"map with half an entry", "8101"},
		{"map with one entry of two", "820102"},
		{"array in array beyond the end", "92dd00000003c0c0"},
		{"sum of lengths beyond the end", "92dc0004c0c0c0c0"},
		{"interned string", "d48000"},
		{"interned string of two bytes", "d5800000"},
		{"time by number 13", "d60d00000000"},
		{"unknown extension", "c70101ff"},
		{"empty timestamp", "c700ff"},
		{"timestamp of 1 byte", "d4ff00"},
		{"timestamp of 2 bytes", "d5ff0000"},
		{"timestamp of 16 bytes", "d8ff" + strings.Repeat("00", 16)},
		{"timestamp of 11 bytes", "c70bff" + strings.Repeat("00", 11)},
		{"timestamp of 64 bits with 10^9 ns", "d7ffee6b280000000000"},
		{"timestamp of 96 bits with 10^9 ns", "c70cff3b9aca000000000000000000"},
		{"NaN as a key", "81cb7ff800000000000101"},
		{"float32 NaN as a key", "81ca7fc0000001"},
		{"NaN within a key", "8191cb7ff800000000000101"},
		{"NaN as a value within a key", "818101cb7ff800000000000101"},
		{"a key twice", "82a16101a16102"},
		{"10^6 arrays", strings.Repeat("91", 1_000_000) + "c0"},
		{"10^6 maps", strings.Repeat("81c0", 1_000_000) + "c0"},
		{"10^6 maps as keys", strings.Repeat("81", 1_000_000) + "c0"},
		{"65 arrays", strings.Repeat("91", 65) + "c0"},
		{"65 levels of empty array", strings.Repeat("91", 64) + "90"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := mustHex(t, c.b)
			if err := Validate(b, Limits{}); !errors.Is(err, ErrMalformed) {
				t.Errorf("Validate: %v, want ErrMalformed", err)
			}
			if got, err := Canonical([]byte("kept"), b); !errors.Is(err, ErrMalformed) || string(got) != "kept" {
				t.Errorf("Canonical = %x, %v, want ErrMalformed", got, err)
			}
			for _, into := range []any{new(any), new([]any), new(map[string]any), new(tree), new(string), new([]byte), new(int64),
				new(uint64), new(float64), new(bool), new(time.Time), new(custom), new(raw), new([]int32), new(map[int]string)} {
				spent := bytesSpent(func() {
					if err := (Msgpack{}).Decode(b, into); !errors.Is(err, ErrMalformed) {
						t.Errorf("Decode into %T: %v, want ErrMalformed", into, err)
					}
				})
				if spent > 64<<10 {
					t.Errorf("Decode into %T of %d bytes allocated %d bytes", into, len(b), spent)
				}
			}
		})
	}
}

// bytesSpent returns how much memory f allocates; a little more when something runs beside it.
func bytesSpent(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// A key that occurs twice in different forms is found when it is decoded, which is where it would do harm.
func TestDuplicateKeysInDisguise(t *testing.T) {
	for _, c := range []struct{ name, b string }{
		{"integer", "82 01 a161 d001 a162"},
		{"unsigned and signed", "82 cc05 01 d300000000000000 05 02"},
		{"string", "82 a161 01 d90161 02"},
		{"float", "82 cb3ff8000000000000 01 ca3fc00000 02"},
		{"time", "82 d6ff00000001 01 d7ff0000000000000001 02"},
		{"not side by side", "83 a161 01 a162 02 a161 03"},
		{"nested", "91 82 a161 01 d90161 02"},
		{"in an array as a key", "82 9101 01 91d001 02"},
		{"maps in another order as keys", "82 8201010202 01 8202020101 02"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := mustHex(t, c.b)
			if _, err := Canonical(nil, b); !errors.Is(err, ErrMalformed) {
				t.Errorf("Canonical: %v, want ErrMalformed", err)
			}
			for _, into := range []any{new(any), new(map[any]any), new([]any), new(map[[1]int]int), new(tree)} {
				if err := (Msgpack{}).Decode(b, into); !errors.Is(err, ErrMalformed) {
					t.Errorf("into %T: %v, want ErrMalformed", into, err)
				}
			}
		})
	}
}

// What is valid but not canonical is read like its canonical form.
func TestCanonical(t *testing.T) {
	for _, c := range []struct{ name, b, want string }{
		{"wide unsigned", "cf0000000000000005", "05"},
		{"wide signed", "d30000000000000005", "05"},
		{"uint8", "cc7f", "7f"},
		{"uint16", "cd00ff", "ccff"},
		{"uint32", "ce0000ffff", "cdffff"},
		{"uint64", "cf00000000ffffffff", "ceffffffff"},
		{"int8", "d0e0", "e0"},
		{"int8 above 127 as int16", "d10080", "cc80"},
		{"int16", "d1ff80", "d080"},
		{"int32", "d2ffff8000", "d18000"},
		{"int64", "d3ffffffff80000000", "d280000000"},
		{"float32", "ca3fc00000", "cb3ff8000000000000"},
		{"float32 NaN", "ca7fc00001", "cb7ff8000000000000"},
		{"NaN", "cbfff0000000000001", "cb7ff8000000000000"},
		{"string", "d90161", "a161"},
		{"string16", "da000161", "a161"},
		{"string32", "db0000000161", "a161"},
		{"bytes16", "c5000161", "c40161"},
		{"bytes32", "c60000000161", "c40161"},
		{"array16", "dc000101", "9101"},
		{"array32", "dd0000000101", "9101"},
		{"map16", "de00010102", "810102"},
		{"map32", "df000000010102", "810102"},
		{"time of 64 bits", "d7ff0000000000000001", "d6ff00000001"},
		{"time of 96 bits", "c70cff000000000000000000000001", "d6ff00000001"},
		{"time with a long header", "c704ff00000001", "d6ff00000001"},
		{"time with a longer header", "c900000004ff00000001", "d6ff00000001"},
		{"order of keys", "82a16201a16102", "82a16102a16201"},
		{"order in a map in a map", "82a162 82 02 02 01 01 a161 c0", "82a161c0a1628201010202"},
		{"order in a key", "81 82 02 02 01 01 c0", "818201010202c0"},
		{"order after shortening", "82 d002 01 01 02", "8201020201"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, want := mustHex(t, c.b), mustHex(t, c.want)
			if err := Validate(b, Limits{}); err != nil {
				t.Fatalf("Validate: %v", err)
			}
			for _, b := range [][]byte{b, want} {
				got, err := Canonical([]byte("x"), b)
				if err != nil || got[0] != 'x' || !bytes.Equal(got[1:], want) {
					t.Fatalf("Canonical(%x) = %x, %v, want %x", b, got, err, want)
				}
			}
			if strings.HasPrefix(c.name, "order in a key") {
				return // a map as a key, which any cannot hold
			}
			var v, w any
			if err := errors.Join((Msgpack{}).Decode(b, &v), (Msgpack{}).Decode(want, &w)); err != nil {
				t.Fatal(err)
			}
			if f, ok := w.(float64); !(ok && f != f) && !reflect.DeepEqual(v, w) {
				t.Errorf("decodes as %#v, its canonical form as %#v", v, w)
			}
			if again := mustEncode(t, v); !bytes.Equal(again, want) {
				t.Errorf("what was decoded encodes as %x, want %x", again, want)
			}
		})
	}
}

// everything is a value with all forms of the format in it.
func everything() any {
	return map[any]any{
		nil: nil, true: false, int64(-1): int64(-200), int64(1): uint64(math.MaxUint64), 1.5: math.NaN(),
		"short": strings.Repeat("x", 40), "list": make([]any, 20), "bytes": make([]byte, 300), "long": strings.Repeat("y", 300),
		time.Unix(1, 0).UTC():      []any{time.Unix(1, 1).UTC(), time.Unix(-1, 1).UTC(), int64(math.MinInt16), int64(math.MinInt32), int64(math.MinInt64)},
		strings.Repeat("key", 100): map[string]any{"a": int64(70000), "b": int64(1 << 40), "c": int64(300)},
		int64(7):                   map[any]any{int64(0): 0.0, int64(2): -1.0},
	}
}

func TestTruncatedAtEveryOffset(t *testing.T) {
	b := mustEncode(t, everything())
	if err := Validate(b, Limits{}); err != nil {
		t.Fatal(err)
	}
	for n := range b {
		if err := Validate(b[:n:n], Limits{}); !errors.Is(err, ErrMalformed) {
			t.Fatalf("the first %d of %d bytes: %v, want ErrMalformed", n, len(b), err)
		}
		var v any
		if err := (Msgpack{}).Decode(b[:n:n], &v); !errors.Is(err, ErrMalformed) {
			t.Fatalf("Decode of the first %d of %d bytes: %v, want ErrMalformed", n, len(b), err)
		}
	}
}

func TestLimits(t *testing.T) {
	nested := mustHex(t, "91 92 81a16190 01") // depth 4; array, array, map, key, array, integer
	for _, c := range []struct {
		lim Limits
		ok  bool
	}{
		{Limits{}, true},
		{Limits{Depth: 4}, true},
		{Limits{Depth: 3}, false},
		{Limits{Depth: 100}, true},
		{Limits{Elements: 6}, true},
		{Limits{Elements: 5}, false},
		{Limits{Depth: 4, Elements: 6}, true},
	} {
		if err := Validate(nested, c.lim); (err == nil) != c.ok || err != nil && !errors.Is(err, ErrMalformed) {
			t.Errorf("%+v: %v, want ok %v", c.lim, err, c.ok)
		}
	}
	for depth, ok := range map[int]bool{63: true, 64: true, 65: false} {
		b := append(bytes.Repeat([]byte{0x91}, depth), codeNil)
		var v any
		if err := (Msgpack{}).Decode(b, &v); (err == nil) != ok {
			t.Errorf("Decode of %d levels: %v", depth, err)
		}
	}
	if err := Validate(append(bytes.Repeat([]byte{0x91}, 1000), codeNil), Limits{Depth: 1000}); err != nil {
		t.Errorf("a depth that was asked for: %v", err)
	}
}

func TestValidateAllocatesNothing(t *testing.T) {
	b := mustEncode(t, everything())
	if n := testing.AllocsPerRun(100, func() {
		if Validate(b, Limits{}) != nil {
			t.Error("refused")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// A string that is not UTF-8 is the user's business.
func TestStringsAreCarriedAsTheyAre(t *testing.T) {
	for _, s := range []string{"\xff\xfe", "a\x00b", "\xed\xa0\x80", ""} {
		var got string
		var v any
		if err := errors.Join((Msgpack{}).Decode(mustEncode(t, s), &got), (Msgpack{}).Decode(mustEncode(t, s), &v)); err != nil || got != s || v != s {
			t.Errorf("%q comes back as %q and %q, %v", s, got, v, err)
		}
	}
}
