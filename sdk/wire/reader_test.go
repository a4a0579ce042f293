package wire

import (
	"bytes"
	"errors"
	"math"
	"testing"

	"pgregory.net/rapid"
)

// What the Append functions write, a Reader reads, and nothing is left.
func TestReaderReadsWhatIsAppended(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		u8, u16, u32, u64 := rapid.Uint8().Draw(t, "u8"), rapid.Uint16().Draw(t, "u16"), rapid.Uint32().Draw(t, "u32"), rapid.Uint64().Draw(t, "u64")
		i64, uv, v := rapid.Int64().Draw(t, "i64"), rapid.Uint64().Draw(t, "uvarint"), rapid.Int64().Draw(t, "varint")
		s, bs, rest := rapid.String().Draw(t, "s"), rapid.SliceOf(rapid.Byte()).Draw(t, "bs"), rapid.SliceOf(rapid.Byte()).Draw(t, "rest")
		b := append([]byte(nil), u8)
		b = AppendU16(b, u16)
		b = AppendU32(b, u32)
		b = AppendU64(b, u64)
		b = AppendI64(b, i64)
		b = AppendUvarint(b, uv)
		b = AppendVarint(b, v)
		b = AppendString(b, s)
		b = AppendBytes(b, bs)
		id := testID(u8)
		b = append(append(b, id[:]...), rest...)

		r := NewReader(b)
		if r.Len() != len(b) || r.U8() != u8 || r.U16() != u16 || r.U32() != u32 || r.U64() != u64 || r.I64() != i64 || r.Uvarint() != uv ||
			r.Varint() != v || r.String() != s || !bytes.Equal(r.Bytes(), bs) || r.ID() != id || !bytes.Equal(r.Rest(), rest) {
			t.Fatal("something came back as something else")
		}
		if err := r.Done(); err != nil || r.Len() != 0 {
			t.Fatalf("in the end %d bytes are left, %v", r.Len(), err)
		}
	})
}

// readerFields read one field of each kind.
var readerFields = map[string]func(*Reader) bool{ // whether the result is zero
	"U8":      func(r *Reader) bool { return r.U8() == 0 },
	"U16":     func(r *Reader) bool { return r.U16() == 0 },
	"U32":     func(r *Reader) bool { return r.U32() == 0 },
	"U64":     func(r *Reader) bool { return r.U64() == 0 },
	"I64":     func(r *Reader) bool { return r.I64() == 0 },
	"Uvarint": func(r *Reader) bool { return r.Uvarint() == 0 },
	"Varint":  func(r *Reader) bool { return r.Varint() == 0 },
	"Count":   func(r *Reader) bool { return r.Count(1) == 0 },
	"Bytes":   func(r *Reader) bool { return r.Bytes() == nil },
	"String":  func(r *Reader) bool { return r.String() == "" },
	"ID":      func(r *Reader) bool { return r.ID().IsZero() },
}

func TestReaderFailsForGood(t *testing.T) {
	for name, read := range readerFields {
		r := NewReader(nil)
		if !read(&r) || !errors.Is(r.Err(), ErrMalformed) {
			t.Errorf("%s of nothing: %v, want ErrMalformed and zero", name, r.Err())
		}
		r = NewReader(bytes.Repeat([]byte{1}, 100))
		r.Fail("the reason is %d", 7)
		first := r.Err()
		for name, read := range readerFields {
			if !read(&r) || r.Err() != first || r.Len() != 0 {
				t.Errorf("%s after a failure: error %v, %d bytes left", name, r.Err(), r.Len())
			}
		}
		if len(r.Rest()) != 0 || r.Done() != first || first.Error() != "malformed: the reason is 7" {
			t.Errorf("after a failure: %v", r.Done())
		}
	}
}

func TestReaderLengths(t *testing.T) {
	for _, c := range []struct{ name, b string }{
		{"one byte too few", "02 61"},
		{"2^63", "80808080808080808001 61"},
		{"2^64-1", "ffffffffffffffffff01 61"},
		{"beyond 64 bits", "ffffffffffffffffff02 61"},
		{"varint without end", "ffffffffffffffffffffff"},
		{"varint cut off", "80"},
	} {
		b := fromHex(t, c.b)
		for _, name := range []string{"Bytes", "String", "Count"} {
			r := NewReader(b)
			if !readerFields[name](&r) || !errors.Is(r.Err(), ErrMalformed) {
				t.Errorf("%s: %s: %v, want ErrMalformed", c.name, name, r.Err())
			}
		}
	}
}

// A decoder may allocate by Count: it never exceeds what the bytes could hold.
func TestReaderCount(t *testing.T) {
	for _, c := range []struct {
		n        uint64
		minSize  int
		left     int
		accepted bool
	}{
		{0, 8, 0, true}, {1, 8, 8, true}, {1, 8, 7, false}, {2, 8, 16, true}, {3, 8, 16, false}, {5, 0, 5, true}, {6, 0, 5, false},
		{math.MaxUint64, 1, 100, false}, {1 << 62, 4, 100, false},
	} {
		r := NewReader(append(AppendUvarint(nil, c.n), make([]byte, c.left)...))
		n := r.Count(c.minSize)
		if c.accepted && (r.Err() != nil || n != int(c.n)) || !c.accepted && (n != 0 || !errors.Is(r.Err(), ErrMalformed)) {
			t.Errorf("%d of %d bytes in %d: %d, %v", c.n, c.minSize, c.left, n, r.Err())
		}
	}
}

func TestReaderSlices(t *testing.T) {
	input := AppendBytes(AppendBytes(nil, []byte("ab")), nil)
	input = append(input, "rest"...)
	r := NewReader(input)
	got := r.Bytes()
	if &got[0] != &input[1] || cap(got) != 2 {
		t.Errorf("Bytes does not alias its input, or may be appended into what follows (capacity %d)", cap(got))
	}
	if empty := r.Bytes(); empty != nil {
		t.Errorf("no bytes are %#v, want nil", empty)
	}
	if err := r.Done(); !errors.Is(err, ErrMalformed) {
		t.Errorf("Done with 4 bytes left: %v, want ErrMalformed", err)
	}
	r = NewReader(AppendBytes(nil, []byte{0xff}))
	if s := r.String(); s != "" || !errors.Is(r.Err(), ErrMalformed) {
		t.Errorf("a text that is not UTF-8: %q, %v, want ErrMalformed", s, r.Err())
	}
}

func TestIDText(t *testing.T) {
	id := testID(0x0a)
	const text = "0a0b0c0d-0e0f-1011-1213-141516171819"
	if id.String() != text {
		t.Errorf("String = %s, want %s", id, text)
	}
	for _, s := range []string{text, "0A0B0C0D-0E0F-1011-1213-141516171819"} {
		if back, err := ParseID(s); err != nil || back != id {
			t.Errorf("ParseID(%s) = %s, %v", s, back, err)
		}
	}
	if zero, err := ParseID("00000000-0000-0000-0000-000000000000"); err != nil || !zero.IsZero() || id.IsZero() {
		t.Errorf("the zero ID: %s, %v", zero, err)
	}
	bad := []string{"", text[1:], text + "0", "0a0b0c0d0e0f-1011-1213-141516171819", "0a0b0c0d_0e0f_1011_1213_141516171819",
		"ga0b0c0d-0e0f-1011-1213-141516171819", "{a0b0c0d-0e0f-1011-1213-14151617181}", "0a0b0c0-d0e0f-1011-1213-141516171819"}
	for n := range text {
		bad = append(bad, text[:n])
	}
	for _, s := range bad {
		if back, err := ParseID(s); !errors.Is(err, ErrMalformed) || !back.IsZero() {
			t.Errorf("ParseID(%q) = %s, %v, want ErrMalformed", s, back, err)
		}
	}
}

func TestIDTextRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := ID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
		if back, err := ParseID(id.String()); err != nil || back != id {
			t.Fatalf("%s comes back as %s, %v", id, back, err)
		}
	})
}
