package wire

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

// The bytes that two builds must agree on.
var (
	goldenParts = []struct {
		name   string
		frames string
		parts  []Request
	}{
		{"writes", `00000090
			06 2a 04 00  0000000000000000  ffffffff  0000000000000000  a0a1a2a3a4a5a6a7a8a9aaabacadaeaf
			0000000000000000  0000000000000000  4142434445464748
			0102030405060708  0000010e  1112131415161718  02  2122232425262728  3132333435363738  03 616263
			0000000000000009  00000000  0000000000000001  00  0000000000000002  0000000000000001  01 78`,
			[]Request{
				{ID: 0x0102030405060708, Op: OpSetMany, Flags: FlagParts | FlagRetry, Partition: 270, Epoch: 0x1112131415161718, Client: testID(0xa0),
					Seq: 0x2122232425262728, Lowest: 0x3132333435363738, Deadline: 0x4142434445464748, Body: []byte("abc")},
				{ID: 9, Op: OpSetMany, Flags: FlagParts, Epoch: 1, Client: testID(0xa0), Seq: 2, Lowest: 1, Deadline: 0x4142434445464748, Body: []byte("x")},
			}},
		{"a read with trace", `00000070
			06 12 05 00  0000000000000000  ffffffff  0000000000000000  a0a1a2a3a4a5a6a7a8a9aaabacadaeaf
			0000000000000000  0000000000000000  0000000000000005
			d0d1d2d3d4d5d6d7d8d9dadbdcdddedf e0e1e2e3e4e5e6e7 e8
			0000000000000007  00000003  0000000000000004  08  01 79`,
			[]Request{{ID: 7, Op: OpGetMany, Flags: FlagParts | FlagTrace | FlagCache, Partition: 3, Epoch: 4, Client: testID(0xa0), Deadline: 5, Trace: testTrace(),
				Body: []byte("y")}}},
	}
	goldenAnswerParts = `00000034
		06 04 0000  0000000000000000  0000000000000011  0000000000000022
		0000000000000007 0000 02 6f6b
		0000000000000008 0001 00`
)

// partsOf reads what a connection would read: requests, those in frames of parts one by one.
func partsOf(b []byte) (frames int, list []Request, err error) {
	for len(b) > 0 {
		n, ok, err := FrameLength(b, MaxFrame)
		if err != nil || !ok || len(b) < n+4 {
			return frames, list, errors.Join(ErrMalformed, err)
		}
		var r Request
		if err := DecodeRequest(b[4:4+n], &r); err != nil {
			return frames, list, err
		}
		b = b[4+n:]
		frames++
		if r.Flags&FlagParts == 0 {
			list = append(list, r)
			continue
		}
		for parts := NewReader(r.Body); parts.Len() > 0; {
			if err := DecodePart(&parts, &r); err != nil {
				return frames, list, err
			}
			list = append(list, r)
		}
	}
	return frames, list, nil
}

func TestPartsGolden(t *testing.T) {
	for _, c := range goldenParts {
		t.Run(c.name, func(t *testing.T) {
			want := fromHex(t, c.frames)
			got, begins := []byte("before"), -1
			for i := range c.parts {
				got, begins = AppendPart(got, begins, &c.parts[i])
			}
			if !bytes.Equal(got[6:], want) || begins != 6 {
				t.Fatalf("AppendPart = %x, %d, want %x", got[6:], begins, want)
			}
			if frames, back, err := partsOf(want); err != nil || frames != 1 || !reflect.DeepEqual(back, c.parts) {
				t.Fatalf("%d frames, %+v, %v, want %+v", frames, back, err, c.parts)
			}
		})
	}
}

// A part that is cut, or has flags that no part has, is refused.
func TestPartsMalformed(t *testing.T) {
	body := fromHex(t, goldenParts[0].frames)[4+RequestHeader:]
	first := len(body) - (8 + 4 + 8 + 1 + 16 + 2)
	for n := 1; n < len(body); n++ {
		parts, r := NewReader(body[:n:n]), Request{Op: OpSetMany}
		var err error
		for parts.Len() > 0 && err == nil {
			err = DecodePart(&parts, &r)
		}
		if n != first && !errors.Is(err, ErrMalformed) {
			t.Errorf("the first %d of %d bytes: %v, want ErrMalformed", n, len(body), err)
		}
	}

	const flags = 8 + 4 + 8
	for v := range 256 {
		b := bytes.Clone(body)
		b[flags] = byte(v)
		parts, r := NewReader(b), Request{Op: OpSetMany}
		if err := DecodePart(&parts, &r); (err == nil) != (byte(v)&^(FlagRetry|FlagCache) == 0) || err != nil && !errors.Is(err, ErrMalformed) {
			t.Errorf("flags %#x: %v", v, err)
		}
	}
}

func TestAnswerPartsGolden(t *testing.T) {
	want := fromHex(t, goldenAnswerParts)
	list := []Answer{
		{ID: 7, Flags: FlagParts, Time: 0x11, Table: 0x22, Body: []byte("ok")},
		{ID: 8, Flags: FlagParts, Code: CodeMoved, Time: 0x11, Table: 0x22},
	}
	got, begins := []byte("before"), -1
	for i := range list {
		got, begins = AppendAnswerPart(got, begins, &list[i])
	}
	if !bytes.Equal(got[6:], want) || begins != 6 {
		t.Fatalf("AppendAnswerPart = %x, %d, want %x", got[6:], begins, want)
	}

	var a Answer
	if err := DecodeAnswer(want[4:], &a); err != nil {
		t.Fatal(err)
	}
	body := a.Body
	for parts, i := NewReader(body), 0; parts.Len() > 0; i++ {
		if err := DecodeAnswerPart(&parts, &a); err != nil || !reflect.DeepEqual(a, list[i]) {
			t.Fatalf("part %d: %+v, %v, want %+v", i, a, err, list[i])
		}
	}
	const first = 8 + 2 + 1 + 2
	for n := 1; n < len(body); n++ {
		parts := NewReader(body[:n:n])
		var err error
		for parts.Len() > 0 && err == nil {
			err = DecodeAnswerPart(&parts, &a)
		}
		if n != first && !errors.Is(err, ErrMalformed) {
			t.Errorf("the first %d of %d bytes: %v, want ErrMalformed", n, len(body), err)
		}
	}
}

// Whatever requests are appended, as parts or not, they come out as they went in, and frames of parts stay within their bound.
func TestPartsKeepRequests(t *testing.T) {
	sizes := []int{0, 1, 20, 300, maxParts / 3, maxParts - 200, maxParts, maxParts + 1, MaxOperation}
	rapid.Check(t, func(t *rapid.T) {
		var b []byte
		begins, before := -1, -1
		list := make([]Request, rapid.IntRange(0, 30).Draw(t, "n"))
		for i := range list {
			r := &list[i]
			*r = Request{ID: uint64(i), Op: rapid.SampledFrom([]Op{OpGetMany, OpSetMany}).Draw(t, "op"), Partition: drawU32(t, "partition"),
				Epoch: drawU64(t, "epoch"), Client: ID{rapid.Uint8Range(0, 1).Draw(t, "client")}, Deadline: rapid.Int64Range(0, 1).Draw(t, "deadline"),
				Body: make([]byte, rapid.SampledFrom(sizes).Draw(t, "size"))}
			if r.Op.IsWrite() {
				r.Seq, r.Lowest = drawU64(t, "seq"), drawU64(t, "lowest")
			}
			if rapid.Bool().Draw(t, "retry") {
				r.Flags |= FlagRetry
			}
			if rapid.Bool().Draw(t, "trace") {
				r.Flags, r.Trace = r.Flags|FlagTrace, Trace{rapid.Uint8Range(0, 1).Draw(t, "trace")}
			}

			at := len(b)
			if rapid.IntRange(0, 9).Draw(t, "alone") == 0 {
				b, begins = AppendRequest(b, r), -1
			} else if b, begins = AppendPart(b, begins, r); begins >= 0 && len(b)-begins > maxParts {
				t.Fatalf("a frame of %d bytes", len(b)-begins)
			}

			// What shares a header shares a frame, unless that is full.
			if i > 0 && before >= 0 && begins == at && at-before+partHeader+len(r.Body) <= maxParts {
				if p := &list[i-1]; p.Op == r.Op && p.Client == r.Client && p.Deadline == r.Deadline && p.Trace == r.Trace && p.Flags&FlagTrace == r.Flags&FlagTrace {
					t.Fatalf("request %d begins a frame", i)
				}
			}
			before = begins
		}

		_, back, err := partsOf(b)
		if err != nil || len(back) != len(list) {
			t.Fatalf("%d of %d requests, %v", len(back), len(list), err)
		}
		for i := range back {
			back[i].Flags &^= FlagParts
			if len(back[i].Body) == 0 {
				back[i].Body = []byte{}
			}
			if !reflect.DeepEqual(back[i], list[i]) {
				t.Fatalf("request %d: %.200v, want %.200v", i, back[i], list[i])
			}
		}
	})
}

func TestPartsDoNotAllocate(t *testing.T) {
	r, a := goldenParts[0].parts[0], Answer{ID: 1, Body: []byte("body")}
	buf := make([]byte, 0, 1024)
	if n := testing.AllocsPerRun(100, func() {
		b, begins := AppendPart(buf, -1, &r)
		b, _ = AppendPart(b, begins, &r)
		var back Request
		if DecodeRequest(b[4:], &back) != nil {
			t.Error("refused")
		}
		for parts := NewReader(back.Body); parts.Len() > 0; {
			if DecodePart(&parts, &back) != nil {
				t.Error("refused")
			}
		}
		b, begins = AppendAnswerPart(buf, -1, &a)
		b, _ = AppendAnswerPart(b, begins, &a)
		var answer Answer
		if DecodeAnswer(b[4:], &answer) != nil {
			t.Error("refused")
		}
		for parts := NewReader(answer.Body); parts.Len() > 0; {
			if DecodeAnswerPart(&parts, &answer) != nil {
				t.Error("refused")
			}
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzDecodeParts(f *testing.F) {
	for _, c := range goldenParts {
		f.Add(fromHex(f, c.frames)[4+RequestHeader:], true)
	}
	f.Add(fromHex(f, goldenAnswerParts)[4+AnswerHeader:], false)
	f.Fuzz(func(t *testing.T, b []byte, write bool) {
		r := Request{Op: OpGetMany}
		if write {
			r.Op = OpSetMany
		}
		for parts := NewReader(b); parts.Len() > 0; {
			left := parts.Len()
			if err := DecodePart(&parts, &r); err != nil {
				if !errors.Is(err, ErrMalformed) {
					t.Fatalf("%v is not ErrMalformed", err)
				}
				break
			}
			if parts.Len() >= left {
				t.Fatal("a part takes nothing")
			}
		}
		var a Answer
		for parts := NewReader(b); parts.Len() > 0; {
			left := parts.Len()
			if err := DecodeAnswerPart(&parts, &a); err != nil {
				if !errors.Is(err, ErrMalformed) {
					t.Fatalf("%v is not ErrMalformed", err)
				}
				return
			}
			if parts.Len() >= left {
				t.Fatal("a part takes nothing")
			}
		}
	})
}
