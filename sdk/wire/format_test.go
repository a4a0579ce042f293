package wire

import (
	"bytes"
	"errors"
	"reflect"
	"runtime"
	"testing"

	"pgregory.net/rapid"
)

// format is one encoded thing of this package, with its type hidden, so that all of them go through the same tests.
type format struct {
	name   string
	golden []golden
	encode func(dst []byte, v any) []byte
	decode func(b []byte) (any, error)
	draw   func(t *rapid.T) any // a value as decode returns it
	ends   ending
	late   int // bytes at the end that earlier versions leave out
}

// golden are the bytes that two builds must agree on, and what they mean.
type golden struct {
	bytes string
	value any
}

// ending is how a format ends.
type ending uint8

const (
	closed ending = iota // bytes left over are refused
	open                 // later versions may append fields
	tail                 // the last field is all that is left
)

// formatOf returns the format with the given functions.
func formatOf[T any](name string, encode func(dst []byte, v T) []byte, decode func(b []byte) (T, error), draw func(t *rapid.T) T, list ...golden) *format {
	return &format{
		name: name, golden: list,
		encode: func(dst []byte, v any) []byte { return encode(dst, v.(T)) },
		decode: func(b []byte) (any, error) { return decode(b) },
		draw:   func(t *rapid.T) any { return draw(t) },
	}
}

// pointed returns an Append function that takes its value by pointer as one that takes it by value.
func pointed[T any](f func(dst []byte, v *T) []byte) func([]byte, T) []byte {
	return func(dst []byte, v T) []byte { return f(dst, &v) }
}

// reader returns a decoder that reads from a Reader as one that reads all of its input.
func reader[T any](f func(r *Reader) T) func([]byte) (T, error) {
	return func(b []byte) (T, error) {
		r := NewReader(b)
		v := f(&r)
		return v, r.Done()
	}
}

func (f *format) ending(e ending) *format {
	f.ends = e
	return f
}

func (f *format) newest(bytes int) *format {
	f.late = bytes
	return f
}

// testFormats holds every format to what all of them promise.
func testFormats(t *testing.T, list []*format) {
	for _, f := range list {
		t.Run(f.name, func(t *testing.T) {
			if len(f.golden) == 0 {
				t.Fatal("no golden bytes")
			}
			for _, g := range f.golden {
				f.testGolden(t, g)
				f.testCut(t, g)
			}
			rapid.Check(t, f.testRoundTrip)
		})
	}
}

func (f *format) testGolden(t *testing.T, g golden) {
	t.Helper()
	want := fromHex(t, g.bytes)
	if got := f.encode([]byte("before"), g.value); !bytes.Equal(got[6:], want) || string(got[:6]) != "before" {
		t.Errorf("%+v is written as\n%x, want\n%x", g.value, got[6:], want)
	}
	if back, err := f.decode(want); err != nil || !reflect.DeepEqual(back, g.value) {
		t.Errorf("%x is read as\n%+v, %v, want\n%+v", want, back, err, g.value)
	}
}

// testCut cuts golden bytes at every offset, and appends to them.
func (f *format) testCut(t *testing.T, g golden) {
	t.Helper()
	b := fromHex(t, g.bytes)
	whole := len(b)
	if f.ends == tail {
		whole -= len(tailOf(g.value))
	}
	for n := range whole {
		if n == whole-f.late {
			continue
		}
		if v, err := f.decode(b[:n:n]); !errors.Is(err, ErrMalformed) {
			t.Errorf("the first %d of %d bytes are read as %+v, %v, want ErrMalformed", n, len(b), v, err)
		}
	}
	longer, err := f.decode(append(b[:len(b):len(b)], 0x01))
	switch f.ends {
	case closed:
		if !errors.Is(err, ErrMalformed) {
			t.Errorf("with a byte left over: %+v, %v, want ErrMalformed", longer, err)
		}
	case open:
		if err != nil || !reflect.DeepEqual(longer, g.value) {
			t.Errorf("with a field of a later version: %+v, %v, want %+v", longer, err, g.value)
		}
	case tail:
		if err != nil || !bytes.Equal(tailOf(longer), append(tailOf(g.value), 0x01)) {
			t.Errorf("with a longer last field: %+v, %v", longer, err)
		}
	}
}

// tailOf returns the field without a length of the one format that has such a field.
func tailOf(v any) []byte { return bytes.Clone(v.(WriteResult).Value) }

func (f *format) testRoundTrip(t *rapid.T) {
	v := f.draw(t)
	b := f.encode(nil, v)
	input := bytes.Clone(b)
	back, err := f.decode(b)
	if err != nil || !reflect.DeepEqual(back, v) {
		t.Fatalf("%+v comes back as\n%+v, %v", v, back, err)
	}
	if !bytes.Equal(b, input) {
		t.Fatal("the decoder has changed its input")
	}
	if again := f.encode(nil, back); !bytes.Equal(again, b) {
		t.Fatalf("%x is written again as\n%x", b, again)
	}
}

// allocFactor is how many bytes a decoder may allocate for each of its input.
const allocFactor = 40

// decodeWithin decodes b and fails the test if that allocates more than most bytes.
func (f *format) decodeWithin(t *testing.T, b []byte, most int) (any, error) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	v, err := f.decode(b)
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > uint64(most) {
		t.Fatalf("%s: %d bytes allocated for an input of %d, which is more than %d", f.name, n, len(b), most)
	}
	return v, err
}

// fuzzSlack is what errors, and what else goes on in a fuzzer's process, may allocate.
const fuzzSlack = 64 << 10

// fuzzFormats feeds a fuzzer's bytes to the decoder that its first argument chooses.
func fuzzFormats(fuzz *testing.F, list []*format) {
	for i, f := range list {
		for _, g := range f.golden {
			b := fromHex(fuzz, g.bytes)
			fuzz.Add(uint8(i), b)
			fuzz.Add(uint8(i), b[:len(b)/2])
		}
		fuzz.Add(uint8(i), []byte{})
		fuzz.Add(uint8(i), bytes.Repeat([]byte{0xff}, 64))
		fuzz.Add(uint8(i), bytes.Repeat([]byte{0x01}, 64))
	}
	fuzz.Fuzz(func(t *testing.T, which uint8, b []byte) {
		f := list[int(which)%len(list)]
		v, err := f.decodeWithin(t, b, fuzzSlack+allocFactor*len(b))
		if err != nil {
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrTooLarge) {
				t.Fatalf("%s: %v is neither ErrMalformed nor ErrTooLarge", f.name, err)
			}
			return
		}
		again := f.encode(nil, v)
		if back, err := f.decode(again); err != nil || !reflect.DeepEqual(back, v) {
			t.Fatalf("%s: %+v comes back as\n%+v, %v", f.name, v, back, err)
		}
	})
}

// testList decodes a format with a list between head and rest. Elements of their least size are accepted, as many as are
// announced; a list that cannot be there is refused before room is made for it.
func (f *format) testList(t *testing.T, head, element, rest []byte) {
	t.Helper()
	const n, few, slack = 4000, 100, 16 << 10
	list := func(count uint64, there int) []byte {
		b := AppendUvarint(bytes.Clone(head), count)
		return append(append(b, bytes.Repeat(element, there)...), rest...)
	}
	b := list(n, n)
	if _, err := f.decodeWithin(t, b, slack+allocFactor*len(b)); err != nil {
		t.Errorf("%s: a list of %d: %v", f.name, n, err)
	}
	for _, count := range []uint64{n, 1 << 32, 1 << 62, 1<<64 - 1} {
		if _, err := f.decodeWithin(t, list(count, n-few), slack); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: a list of %d with room for %d: %v, want ErrMalformed", f.name, count, n-few, err)
		}
	}
}

// What follows draws fields.

func drawID(t *rapid.T, label string) ID {
	return ID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, label))
}

// drawBytes returns nil instead of no bytes, as decoders do.
func drawBytes(t *rapid.T, label string) []byte {
	if b := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, label); len(b) > 0 {
		return b
	}
	return nil
}

// drawSome returns at least one byte.
func drawSome(t *rapid.T, label string) []byte {
	return rapid.SliceOfN(rapid.Byte(), 1, 300).Draw(t, label)
}

func drawMapName(t *rapid.T) []byte {
	return []byte(rapid.StringMatching(`[a-zA-Z0-9 _./:é日😀-]{1,60}`).Draw(t, "map"))
}

// drawList returns up to most elements, and an empty list instead of nil, as decoders do.
func drawList[T any](t *rapid.T, label string, most int, draw func(*rapid.T, string) T) []T {
	list := make([]T, rapid.IntRange(0, most).Draw(t, label+" count"))
	for i := range list {
		list[i] = draw(t, label)
	}
	return list
}

func drawString(t *rapid.T, label string) string { return rapid.String().Draw(t, label) }

func drawU64(t *rapid.T, label string) uint64 { return rapid.Uint64().Draw(t, label) }

func drawI64(t *rapid.T, label string) int64 { return rapid.Int64().Draw(t, label) }

func drawU32(t *rapid.T, label string) uint32 { return rapid.Uint32().Draw(t, label) }

func drawU8(t *rapid.T, label string) uint8 { return rapid.Uint8().Draw(t, label) }

func drawBool(t *rapid.T, label string) bool { return rapid.Bool().Draw(t, label) }

func drawCode(t *rapid.T, label string) Code { return Code(rapid.Uint16().Draw(t, label)) }
