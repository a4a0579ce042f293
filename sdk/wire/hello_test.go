package wire

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

var (
	goldenHello = Hello{Version: 1, Plane: PlaneCalls, Cluster: "grid", ClusterID: testID(0x10), Name: "köln", Client: testID(0x30),
		Member: testID(0x50), Incarnation: testID(0x70), Stream: 1}
	goldenHelloAnswer = HelloAnswer{Version: 1, Code: CodeForbidden, Message: "no", Cluster: "grid", ClusterID: testID(0x10), Member: testID(0x50),
		Incarnation: testID(0x70), MemberName: "m1", Time: 0x0102030405060708, Partitions: 271}
)

const (
	goldenHelloBytes = `4752444e 0000004f
		0001 01 04 67726964 101112131415161718191a1b1c1d1e1f 05 6bc3b66c6e 303132333435363738393a3b3c3d3e3f
		505152535455565758595a5b5c5d5e5f 707172737475767778797a7b7c7d7e7f 01`
	goldenHelloAnswerBytes = `4752444e 0000004b
		0001 000a 02 6e6f 04 67726964 101112131415161718191a1b1c1d1e1f 505152535455565758595a5b5c5d5e5f
		707172737475767778797a7b7c7d7e7f 02 6d31 0102030405060708 0000010f`
)

// opened checks the eight bytes before a hello's body and returns the body.
func opened(t *testing.T, frame []byte) []byte {
	t.Helper()
	n, err := HelloLength([8]byte(frame))
	if err != nil || n != len(frame)-8 {
		t.Fatalf("HelloLength = %d, %v of %d bytes", n, err, len(frame))
	}
	return frame[8:]
}

func TestHelloGolden(t *testing.T) {
	want := fromHex(t, goldenHelloBytes)
	if got := AppendHello(nil, &goldenHello); !bytes.Equal(got, want) {
		t.Fatalf("AppendHello = %x, want %x", got, want)
	}
	if back, err := DecodeHello(opened(t, want)); err != nil || back != goldenHello {
		t.Fatalf("DecodeHello = %+v, %v, want %+v", back, err, goldenHello)
	}
	want = fromHex(t, goldenHelloAnswerBytes)
	if got := AppendHelloAnswer([]byte("x"), &goldenHelloAnswer); !bytes.Equal(got[1:], want) {
		t.Fatalf("AppendHelloAnswer = %x, want %x", got[1:], want)
	}
	if back, err := DecodeHelloAnswer(opened(t, want)); err != nil || back != goldenHelloAnswer {
		t.Fatalf("DecodeHelloAnswer = %+v, %v, want %+v", back, err, goldenHelloAnswer)
	}
}

// A hello that ends early is an error wherever it ends; one with more is from a later version.
func TestHelloTruncatedAndExtended(t *testing.T) {
	hello, answer := fromHex(t, goldenHelloBytes)[8:], fromHex(t, goldenHelloAnswerBytes)[8:]
	for n := range hello {
		if _, err := DecodeHello(hello[:n:n]); !errors.Is(err, ErrMalformed) {
			t.Errorf("the first %d bytes of a hello: %v, want ErrMalformed", n, err)
		}
	}
	for n := range answer {
		if _, err := DecodeHelloAnswer(answer[:n:n]); !errors.Is(err, ErrMalformed) {
			t.Errorf("the first %d bytes of an answer: %v, want ErrMalformed", n, err)
		}
	}
	if back, err := DecodeHello(append(hello, 1, 2, 3)); err != nil || back != goldenHello {
		t.Errorf("a longer hello: %+v, %v", back, err)
	}
	if back, err := DecodeHelloAnswer(append(answer, 1, 2, 3)); err != nil || back != goldenHelloAnswer {
		t.Errorf("a longer answer: %+v, %v", back, err)
	}
}

func TestHelloRefuses(t *testing.T) {
	for name, b := range map[string]string{
		"name beyond the end":   "0001 01 ff01",
		"name of 2^64-1 bytes":  "0001 01 ffffffffffffffffff01",
		"varint without end":    "0001 01 " + strings.Repeat("ff", 20),
		"name that is not UTF8": "0001 01 02 fffe" + strings.Repeat("00", 80),
	} {
		if _, err := DecodeHello(fromHex(t, b)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v, want ErrMalformed", name, err)
		}
	}
}

func TestHelloLength(t *testing.T) {
	for _, c := range []struct {
		b   string
		n   int
		err error
	}{
		{Magic + "\x00\x00\x00\x00", 0, nil},
		{Magic + "\x00\x00\x0f\xf8", MaxHello - 8, nil},
		{Magic + "\x00\x00\x0f\xf9", 0, ErrTooLarge},
		{Magic + "\xff\xff\xff\xff", 0, ErrTooLarge},
		{"GET / HT", 0, ErrMalformed},
		{"\x16\x03\x01\x02\x00\x01\x00\x01", 0, ErrMalformed}, // TLS
		{"grdn\x00\x00\x00\x00", 0, ErrMalformed},
		{"\x00\x00\x00\x00\x00\x00\x00\x00", 0, ErrMalformed},
	} {
		n, err := HelloLength([8]byte([]byte(c.b)))
		if n != c.n || !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
			t.Errorf("HelloLength(%q) = %d, %v, want %d, %v", c.b, n, err, c.n, c.err)
		}
	}
}

func TestPlanes(t *testing.T) {
	for p, want := range map[Plane][2]bool{0: {}, PlaneCalls: {true, true}, PlaneEvents: {true, false}, PlaneJoin: {true, false},
		PlaneRaft: {false, true}, PlaneMeta: {false, true}, PlaneAdmin: {true, false}, 7: {}, 255: {}} {
		if got := [2]bool{p.ForClients(), p.ForMembers()}; got != want {
			t.Errorf("plane %d is for clients, members: %v, want %v", p, got, want)
		}
	}
}

func FuzzDecodeHello(f *testing.F) {
	f.Add(fromHex(f, goldenHelloBytes)[8:])
	f.Add(fromHex(f, goldenHelloAnswerBytes)[8:])
	f.Add([]byte{})
	f.Add(bytes.Repeat([]byte{0xff}, 40))
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, err := DecodeHello(b); err == nil {
			if back, err := DecodeHello(AppendHello(nil, &h)[8:]); err != nil || back != h {
				t.Fatalf("%+v comes back as %+v, %v", h, back, err)
			}
		} else if !errors.Is(err, ErrMalformed) {
			t.Fatalf("%v is not ErrMalformed", err)
		}
		if a, err := DecodeHelloAnswer(b); err == nil {
			if back, err := DecodeHelloAnswer(AppendHelloAnswer(nil, &a)[8:]); err != nil || back != a {
				t.Fatalf("%+v comes back as %+v, %v", a, back, err)
			}
		} else if !errors.Is(err, ErrMalformed) {
			t.Fatalf("%v is not ErrMalformed", err)
		}
	})
}
