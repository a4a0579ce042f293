package codec

import (
	"bytes"
	"errors"
	"math/big"
	"net"
	"net/netip"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/vmihailenco/msgpack/v5"
)

// textual goes by text, with the methods on the pointer.
type textual struct{ s string }

func (x *textual) MarshalText() ([]byte, error) { return []byte(x.s), nil }
func (x *textual) UnmarshalText(b []byte) error {
	if string(b) == "bad" {
		return errors.New("bad text")
	}
	x.s = string(b)
	return nil
}

// raw goes by bytes and keeps what it is given.
type raw struct{ b []byte }

func (x raw) MarshalBinary() ([]byte, error)      { return x.b, nil }
func (x *raw) UnmarshalBinary(b []byte) error     { x.b = b; return nil }
func (x raw) MarshalText() ([]byte, error)        { return nil, errors.New("bytes come first") }
func (x raw) String() string                      { return string(x.b) }
func (x raw) MarshalJSON() ([]byte, error)        { return nil, errors.New("not asked for") }
func (x *raw) UnmarshalJSON([]byte) error         { return errors.New("not asked for") }
func (x *raw) GobDecode([]byte) error             { return errors.New("not asked for") }
func (x raw) AppendBinary([]byte) ([]byte, error) { return nil, errors.New("not asked for") }

// custom writes what is not canonical: a wide integer, a float32, a map out of order.
type custom struct {
	N int64
	F float32
	M [2]string
}

func (x *custom) EncodeMsgpack(enc *msgpack.Encoder) error {
	return errors.Join(enc.EncodeArrayLen(4), enc.EncodeInt64(x.N), enc.EncodeFloat32(x.F), enc.EncodeMapLen(2),
		enc.EncodeString("zz"), enc.EncodeString(x.M[0]), enc.EncodeString("b"), enc.EncodeString(x.M[1]), enc.EncodeNil())
}

func (x *custom) DecodeMsgpack(dec *msgpack.Decoder) (err error) {
	if _, err := dec.DecodeArrayLen(); err != nil {
		return err
	}
	if x.N, err = dec.DecodeInt64(); err != nil {
		return err
	}
	if x.F, err = dec.DecodeFloat32(); err != nil {
		return err
	}
	m, err := dec.DecodeMap()
	if err != nil {
		return err
	}
	x.M[0], _ = m["zz"].(string)
	x.M[1], _ = m["b"].(string)
	return dec.DecodeNil()
}

// marshaler hands itself to the library.
type marshaler struct {
	F float32
	D float64
}

func (x marshaler) MarshalMsgpack() ([]byte, error) {
	return msgpack.Marshal(map[string]any{"F": x.F, "D": x.D, "A": int64(1)})
}

func (x *marshaler) UnmarshalMsgpack(b []byte) error {
	var v struct {
		F float32
		D float64
	}
	if err := msgpack.Unmarshal(b, &v); err != nil {
		return err
	}
	*x = v
	return nil
}

type halfway struct{ N int } // encodes itself and leaves decoding to its fields

func (h halfway) MarshalMsgpack() ([]byte, error) { return msgpack.Marshal(map[string]int{"N": h.N}) }

type writes string // writes whatever it holds

func (w writes) MarshalMsgpack() ([]byte, error) { return []byte(w), nil }

type panics struct{}

func (panics) MarshalMsgpack() ([]byte, error) { panic("encoding") }
func (*panics) UnmarshalMsgpack([]byte) error  { panic(errors.New("decoding")) }

type lazy struct{} // reads less than there is

func (lazy) EncodeMsgpack(enc *msgpack.Encoder) error { return enc.EncodeInt(1) }
func (*lazy) DecodeMsgpack(*msgpack.Decoder) error    { return nil }

func TestTypesThatEncodeThemselves(t *testing.T) {
	type holder struct {
		T  textual
		PT *textual
		R  []raw
		C  custom
		M  map[string]marshaler
		H  halfway
		U  uuid.UUID
		A  netip.Addr
		IP net.IP
		B  *big.Int
		L  url.URL
		W  msgpack.RawMessage
	}
	u := uuid.MustParse("00112233-4455-6677-8899-aabbccddeeff")
	v := holder{textual{"t"}, &textual{"p"}, []raw{{[]byte("r")}}, custom{7, 0.5, [2]string{"x", "y"}},
		map[string]marshaler{"a": {0.25, 0.1}}, halfway{3}, u, netip.MustParseAddr("10.0.0.1"), net.ParseIP("10.0.0.2"),
		big.NewInt(12345), url.URL{Scheme: "http", Host: "h"}, msgpack.RawMessage{0x01}}
	b := mustEncode(t, v)
	want := mustEncode(t, map[string]any{
		"T": "t", "PT": "p", "R": []any{[]byte("r")}, "C": []any{7, 0.5, map[string]string{"zz": "x", "b": "y"}, nil},
		"M": map[string]any{"a": map[string]any{"F": 0.25, "D": 0.1, "A": 1}}, "H": map[string]int{"N": 3}, "U": u[:],
		"A": []byte{10, 0, 0, 1}, "IP": "10.0.0.2", "B": "12345", "L": []byte("http://h"), "W": 1,
	})
	if !bytes.Equal(b, want) {
		t.Fatalf("encodes as %x\nwant       %x", b, want)
	}
	var back holder
	if err := (Msgpack{}).Decode(b, &back); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(back, v) {
		t.Fatalf("decodes as %+v, want %+v", back, v)
	}
}

func TestNilOfTypesThatEncodeThemselves(t *testing.T) {
	type holder struct {
		IP net.IP
		W  msgpack.RawMessage
		B  *big.Int
		T  *textual
	}
	b := mustEncode(t, holder{})
	if want := mustEncode(t, map[string]any{"IP": nil, "W": nil, "B": nil, "T": nil}); !bytes.Equal(b, want) {
		t.Fatalf("encodes as %x, want %x", b, want)
	}
	back := holder{IP: net.IP{1}}
	if err := (Msgpack{}).Decode(b, &back); err != nil || !reflect.DeepEqual(back, holder{}) {
		t.Fatalf("decodes as %+v, %v", back, err)
	}
	for _, into := range []any{new(textual), new(raw), new(uuid.UUID), new(netip.Addr)} {
		if err := (Msgpack{}).Decode([]byte{codeNil}, into); !errors.Is(err, ErrType) {
			t.Errorf("nil into %T: %v, want ErrType", into, err)
		}
	}
}

func TestForeignRefused(t *testing.T) {
	for name, w := range map[string]writes{
		"nothing": "", "truncated": "\x92\x01", "two values": "\x01\x01", "never used": "\xc1", "interned": "\xd4\x80\x00",
		"huge": "\xdd\xff\xff\xff\xff", "duplicate": "\x82\xa1a\x01\xa1a\x02", "disguised duplicate": "\x82\x01\x01\xd0\x01\x02",
		"too deep": writes(strings.Repeat("\x91", MaxDepth) + "\x01"),
	} {
		if b, err := (Msgpack{}).Encode(nil, []any{w}); !errors.Is(err, ErrUnsupported) {
			t.Errorf("%s: Encode = %x, %v, want ErrUnsupported", name, b, err)
		}
	}
	if _, err := (Msgpack{}).Encode(nil, map[any]int{writes("\xcb\x7f\xf8\x00\x00\x00\x00\x00\x01"): 1}); !errors.Is(err, ErrUnsupported) {
		t.Errorf("NaN in a key: %v", err)
	}
	for name, c := range map[string]struct {
		stored, into any
	}{
		"bytes into text":      {[]byte("x"), new(textual)},
		"text into bytes":      {"x", new(raw)},
		"text that is refused": {"bad", new(textual)},
		"15 bytes as UUID":     {make([]byte, 15), new(uuid.UUID)},
		"text as UUID":         {"00112233-4455-6677-8899-aabbccddeeff", new(uuid.UUID)},
		"map for custom":       {map[string]int{}, new(custom)},
		"string for marshaler": {"x", new(marshaler)},
		"left unread":          {[]int{1, 2}, new(lazy)},
	} {
		if err := (Msgpack{}).Decode(mustEncode(t, c.stored), c.into); !errors.Is(err, ErrType) {
			t.Errorf("%s: %v, want ErrType", name, err)
		}
	}
}

func TestPanicsBecomeErrors(t *testing.T) {
	if _, err := (Msgpack{}).Encode(nil, panics{}); !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), "encoding") {
		t.Errorf("Encode: %v", err)
	}
	if err := (Msgpack{}).Decode([]byte{1}, new(panics)); !errors.Is(err, ErrType) || !strings.Contains(err.Error(), "decoding") {
		t.Errorf("Decode: %v", err)
	}
}
