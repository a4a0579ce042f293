package wire

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
)

func fromHex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func testID(first byte) (id ID) {
	for i := range id {
		id[i] = first + byte(i)
	}
	return id
}

func testTrace() (tr Trace) {
	for i := range tr {
		tr[i] = 0xd0 + byte(i)
	}
	return tr
}

// The bytes that two builds must agree on.
var goldenRequests = []struct {
	name  string
	frame string
	r     Request
}{
	{"all fields", `00000043
		06 20 02 00  0102030405060708  0000010e  1112131415161718  a0a1a2a3a4a5a6a7a8a9aaabacadaeaf
		2122232425262728  3132333435363738  4142434445464748  616263`,
		Request{ID: 0x0102030405060708, Op: OpSet, Flags: FlagRetry, Partition: 270, Epoch: 0x1112131415161718, Client: testID(0xa0),
			Seq: 0x2122232425262728, Lowest: 0x3132333435363738, Deadline: 0x4142434445464748, Body: []byte("abc")}},
	{"with trace", `0000005a
		06 10 01 00  0000000000000001  ffffffff  0000000000000000  00000000000000000000000000000000
		0000000000000000  0000000000000000  ffffffffffffffff
		d0d1d2d3d4d5d6d7d8d9dadbdcdddedf e0e1e2e3e4e5e6e7 e8  78`,
		Request{ID: 1, Op: OpGet, Flags: FlagTrace, Partition: NoPartition, Deadline: -1, Trace: testTrace(), Body: []byte("x")}},
	{"empty", "00000040 06" + strings.Repeat("00", 63), Request{Body: []byte{}}},
}

var goldenAnswers = []struct {
	name  string
	frame string
	a     Answer
}{
	{"all fields", "0000001e 06 80 0102 0102030405060708 1112131415161718 2122232425262728 6869",
		Answer{ID: 0x0102030405060708, Flags: FlagPush, Code: 0x0102, Time: 0x1112131415161718, Table: 0x2122232425262728, Body: []byte("hi")}},
	{"a refusal", "0000001c 06 00 0019 0000000000000007 ffffffffffffffff 0000000000000000",
		Answer{ID: 7, Code: CodeInternal, Time: -1, Body: []byte{}}},
}

func TestRequestGolden(t *testing.T) {
	for _, c := range goldenRequests {
		t.Run(c.name, func(t *testing.T) {
			want := fromHex(t, c.frame)
			got := AppendRequest([]byte("before"), &c.r)
			if !bytes.Equal(got[6:], want) || string(got[:6]) != "before" {
				t.Fatalf("AppendRequest = %x, want %x", got[6:], want)
			}
			n, ok, err := FrameLength(want, MaxFrame)
			if err != nil || !ok || n != len(want)-4 {
				t.Fatalf("FrameLength = %d, %v, %v of %d bytes", n, ok, err, len(want))
			}
			// A connection reads frame after frame into the same Request: nothing of the one before may stay.
			back := Request{ID: 9, Op: 9, Flags: 0xff, Partition: 9, Epoch: 9, Client: testID(9), Seq: 9, Lowest: 9, Deadline: 9, Trace: Trace{9},
				Body: []byte("old")}
			if err := DecodeRequest(want[4:], &back); err != nil || !reflect.DeepEqual(back, c.r) {
				t.Fatalf("DecodeRequest = %+v, %v, want %+v", back, err, c.r)
			}
		})
	}
}

func TestAnswerGolden(t *testing.T) {
	for _, c := range goldenAnswers {
		t.Run(c.name, func(t *testing.T) {
			want := fromHex(t, c.frame)
			if got := AppendAnswer(nil, &c.a); !bytes.Equal(got, want) {
				t.Fatalf("AppendAnswer = %x, want %x", got, want)
			}
			var back Answer
			if err := DecodeAnswer(want[4:], &back); err != nil || !reflect.DeepEqual(back, c.a) {
				t.Fatalf("DecodeAnswer = %+v, %v, want %+v", back, err, c.a)
			}
		})
	}
}

// A header that is cut anywhere is an error; the body has no length of its own, so that it may end anywhere.
func TestFramesTruncated(t *testing.T) {
	for _, c := range goldenRequests {
		header := RequestHeader
		if c.r.Flags&FlagTrace != 0 {
			header += traceSize
		}
		b := fromHex(t, c.frame)[4:]
		for n := range b {
			var r Request
			err := DecodeRequest(b[:n:n], &r)
			if n < header && !errors.Is(err, ErrMalformed) {
				t.Errorf("%s: the first %d bytes: %v, want ErrMalformed", c.name, n, err)
			}
			if n >= header && (err != nil || !bytes.Equal(r.Body, b[header:n])) {
				t.Errorf("%s: the first %d bytes: body %x, %v", c.name, n, r.Body, err)
			}
		}
	}
	for _, c := range goldenAnswers {
		b := fromHex(t, c.frame)[4:]
		for n := range b {
			var a Answer
			err := DecodeAnswer(b[:n:n], &a)
			if n < AnswerHeader && !errors.Is(err, ErrMalformed) {
				t.Errorf("%s: the first %d bytes: %v, want ErrMalformed", c.name, n, err)
			}
			if n >= AnswerHeader && (err != nil || !bytes.Equal(a.Body, b[AnswerHeader:n])) {
				t.Errorf("%s: the first %d bytes: body %x, %v", c.name, n, a.Body, err)
			}
		}
	}
}

func TestFramesOfAnotherVersion(t *testing.T) {
	request, answer := fromHex(t, goldenRequests[0].frame)[4:], fromHex(t, goldenAnswers[0].frame)[4:]
	for v := range 256 {
		request[0], answer[0] = byte(v), byte(v)
		errR, errA := DecodeRequest(request, new(Request)), DecodeAnswer(answer, new(Answer))
		if v == Version {
			if errR != nil || errA != nil {
				t.Errorf("version %d: %v, %v", v, errR, errA)
			}
		} else if !errors.Is(errR, ErrMalformed) || !errors.Is(errA, ErrMalformed) {
			t.Errorf("version %d: %v, %v, want ErrMalformed", v, errR, errA)
		}
	}
}

// What is reserved is zero, so that a later version may give it a meaning.
func TestRequestReserved(t *testing.T) {
	b := fromHex(t, goldenRequests[0].frame)[4:]
	for v := range 256 {
		b[3] = byte(v)
		if err := DecodeRequest(b, new(Request)); (err == nil) != (v == 0) || err != nil && !errors.Is(err, ErrMalformed) {
			t.Errorf("byte 3 is %d: %v", v, err)
		}
	}
}

func TestFrameLength(t *testing.T) {
	for _, c := range []struct {
		b     string
		limit int
		n     int
		ok    bool
		err   error
	}{
		{"", 10, 0, false, nil},
		{"000000", 10, 0, false, nil},
		{"00000000", 10, 0, true, nil},
		{"00000001", 10, 1, true, nil},
		{"0000000aff", 10, 10, true, nil},
		{"0000000b", 10, 0, false, ErrTooLarge},
		{"7fffffff", MaxFrame, 0, false, ErrTooLarge},
		{"80000000", MaxFrame, 0, false, ErrTooLarge},
		{"ffffffff", MaxFramePeer, 0, false, ErrTooLarge},
	} {
		n, ok, err := FrameLength(fromHex(t, c.b), c.limit)
		if n != c.n || ok != c.ok || !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
			t.Errorf("FrameLength(%s, %d) = %d, %v, %v", c.b, c.limit, n, ok, err)
		}
	}
}

// A connection reads frame after frame into the same structs.
func TestRequestsAndAnswersDoNotAllocate(t *testing.T) {
	request, answer := goldenRequests[1].r, goldenAnswers[0].a
	buf := make([]byte, 0, 256)
	var r Request
	var a Answer
	if n := testing.AllocsPerRun(100, func() {
		b := AppendRequest(buf, &request)
		if DecodeRequest(b[4:], &r) != nil {
			t.Error("refused")
		}
		b = AppendAnswer(buf, &answer)
		if DecodeAnswer(b[4:], &a) != nil {
			t.Error("refused")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzDecodeRequest(f *testing.F) {
	for _, c := range goldenRequests {
		f.Add(fromHex(f, c.frame)[4:])
	}
	f.Add([]byte{})
	f.Add([]byte("GET / HTTP/1.1\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var r Request
		if err := DecodeRequest(b, &r); err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("%v is not ErrMalformed", err)
			}
			return
		}
		again := AppendRequest(nil, &r)
		if n, ok, err := FrameLength(again, math.MaxInt32); err != nil || !ok || n != len(b) {
			t.Fatalf("a frame of %d bytes is written with %d, %v, %v", len(b), n, ok, err)
		}
		if !bytes.Equal(again[4:], b) {
			t.Fatalf("%x is written as %x", b, again[4:])
		}
	})
}

func FuzzDecodeAnswer(f *testing.F) {
	for _, c := range goldenAnswers {
		f.Add(fromHex(f, c.frame)[4:])
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		var a Answer
		if err := DecodeAnswer(b, &a); err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("%v is not ErrMalformed", err)
			}
			return
		}
		if again := AppendAnswer(nil, &a); !bytes.Equal(again[4:], b) {
			t.Fatalf("%x is written as %x", b, again[4:])
		}
	})
}
