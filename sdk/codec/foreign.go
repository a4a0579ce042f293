package codec

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"math"
	"reflect"
	"sync"

	"github.com/vmihailenco/msgpack/v5"
)

// foreignCoder is the library's encoder and decoder with what they write to and read from, for types with methods that
// want them.
type foreignCoder struct {
	out bytes.Buffer
	in  bytes.Reader
	enc *msgpack.Encoder
	dec *msgpack.Decoder
}

var foreignCoders = sync.Pool{New: func() any {
	return &foreignCoder{enc: msgpack.NewEncoder(nil), dec: msgpack.NewDecoder(nil)}
}}

func getForeign() *foreignCoder { return foreignCoders.Get().(*foreignCoder) }

func (c *foreignCoder) put() {
	c.in.Reset(nil)
	if c.out.Cap() <= maxPooled {
		foreignCoders.Put(c)
	}
}

// caught turns a panic of a method of p's type into *err, which wraps as.
func caught(p *plan, as error, err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("%w: a method of %s panicked: %v", as, p.typ, r)
	}
}

// isNil reports whether v is a nil slice or map.
func isNil(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Slice, reflect.Map, reflect.Func, reflect.Chan:
		return v.IsNil()
	}
	return false
}

// foreign appends what v's own method makes of it, in canonical form. A nil slice or map is nil without asking it.
func (e *encoder) foreign(p *plan, v reflect.Value) (err error) {
	if isNil(v) {
		e.dst = append(e.dst, codeNil)
		return nil
	}

	if !v.CanAddr() { // the method may belong to the pointer type
		c := reflect.New(p.typ).Elem()
		c.Set(v)
		v = c
	}

	// A method of the program may panic. That must fail one call and not the process.
	defer caught(p, ErrUnsupported, &err)
	switch m := v.Addr().Interface(); p.enc {
	case protoBinary:
		b, err := m.(encoding.BinaryMarshaler).MarshalBinary()
		if err != nil {
			return err
		}
		e.dst = append(appendBytesHeader(e.dst, len(b)), b...)
		return nil
	case protoText:
		b, err := m.(encoding.TextMarshaler).MarshalText()
		if err != nil {
			return err
		}
		e.dst = append(appendStringHeader(e.dst, len(b)), b...)
		return nil
	case protoMarshaler:
		b, err := m.(msgpack.Marshaler).MarshalMsgpack()
		if err != nil {
			return err
		}
		return e.adopt(p, b)
	default:
		c := getForeign()
		c.out.Reset()
		c.enc.Reset(&c.out)
		// Structs inside have their names by the same tags as outside.
		c.enc.SetCustomStructTag("json")
		if err := m.(msgpack.CustomEncoder).EncodeMsgpack(c.enc); err != nil {
			return err
		}
		err := e.adopt(p, c.out.Bytes())
		// After an error or a panic the state of c is not known, and c is not used again.
		c.put()
		return err
	}
}

// adopt appends b, which a method of p's type wrote, in canonical form.
func (e *encoder) adopt(p *plan, b []byte) error {
	// Only the depth that is left here counts, so that a method cannot nest deeper than a plain value.
	s := scanner{b: b, maxDepth: MaxDepth - e.depth, left: len(b)}
	err := s.value(0, e.keys > 0)
	if err == nil && s.pos != len(b) {
		err = errTrailing
	}
	if err != nil {
		return fmt.Errorf("%w: %s wrote: %w (byte %d)", ErrUnsupported, p.typ, err, s.pos)
	}

	if !s.loose {
		e.dst = append(e.dst, b...)
		return nil
	}

	if err := e.rewriteWhole(b); err != nil {
		return fmt.Errorf("%w: %s wrote: %w", ErrUnsupported, p.typ, err)
	}
	return nil
}

// foreign has v's own method read one value.
func (d *decoder) foreign(p *plan, v reflect.Value) (err error) {
	t, err := d.token()
	if err != nil {
		return err
	}
	b, err := d.skip()
	if err != nil {
		return err
	}

	// The encoder writes nil for these without asking their method.
	if t.fam == famNil {
		switch v.Kind() {
		case reflect.Slice, reflect.Map:
			return nil
		}
	}

	// A method may keep what it is given, so it gets a copy.
	defer caught(p, ErrType, &err)
	m := v.Addr().Interface()
	switch p.dec {
	case protoBinary:
		if t.fam != famBytes {
			return mismatch(t, p.typ.String())
		}
		return refused(p, m.(encoding.BinaryUnmarshaler).UnmarshalBinary(bytes.Clone(b[t.size:])))
	case protoText:
		if t.fam != famString {
			return mismatch(t, p.typ.String())
		}
		return refused(p, m.(encoding.TextUnmarshaler).UnmarshalText(bytes.Clone(b[t.size:])))
	}

	err = foreignRead(p, m, b)
	if err == nil {
		return nil
	}

	// The library reads a float32 from four bytes only. A method that wants one gets all floats in the fewest bytes.
	narrow, some := narrowFloats(b)
	if !some {
		return err
	}

	v.SetZero() // the first attempt may have set some of it
	if foreignRead(p, m, narrow) == nil {
		return nil
	}
	return err
}

// refused is the error of a method of p's type that does not accept the stored value.
func refused(p *plan, err error) error {
	if err == nil || errors.Is(err, ErrType) {
		return err
	}
	return fmt.Errorf("%w: %s: %w", ErrType, p.typ, err)
}

// foreignRead has a method of p's type read all of b.
func foreignRead(p *plan, m any, b []byte) error {
	if p.dec == protoMarshaler {
		return refused(p, m.(msgpack.Unmarshaler).UnmarshalMsgpack(bytes.Clone(b)))
	}

	c := getForeign()
	c.in.Reset(b)
	c.dec.Reset(&c.in)
	c.dec.SetCustomStructTag("json")

	if err := m.(msgpack.CustomDecoder).DecodeMsgpack(c.dec); err != nil {
		return refused(p, err)
	}

	// A method that leaves bytes behind has read something else than what was written.
	left := c.in.Len()
	c.put()
	if left != 0 {
		return fmt.Errorf("%w: %s left %d bytes unread", ErrType, p.typ, left)
	}
	return nil
}

// narrowFloats returns b with every float that a float32 holds as one, and whether there was any.
func narrowFloats(b []byte) (out []byte, some bool) {
	for len(b) > 0 {
		t, err := readToken(b)
		if err != nil {
			return nil, false
		}

		f := float32(t.float())
		if t.fam == famFloat && math.Float64bits(float64(f)) == t.n {
			bits := math.Float32bits(f)
			// The value stays the same: only floats that a float32 holds exactly are narrowed.
			out = append(out, codeF32, byte(bits>>24), byte(bits>>16), byte(bits>>8), byte(bits))
			some = true
		} else {
			out = append(out, b[:t.end()]...)
		}
		b = b[t.end():]
	}
	return out, some
}
