package codec

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"time"
)

// decoder reads canonical bytes that a scanner has accepted, and copies what it takes from them.
type decoder struct {
	b    []byte
	pos  int
	hops int // pointers since the last container
}

func (d *decoder) token() (token, error) {
	t, err := readToken(d.b[d.pos:])
	if err != nil {
		return t, malformed(err, d.pos)
	}
	return t, nil
}

// take steps over the token and returns the bytes that it stands for.
func (d *decoder) take(t token) []byte {
	at := d.pos
	d.pos += t.end()
	return d.b[at+t.size : d.pos]
}

// skip steps over one value and returns its bytes.
func (d *decoder) skip() ([]byte, error) {
	at := d.pos
	end, err := skip(d.b, at)
	if err != nil {
		return nil, err
	}
	d.pos = end
	return d.b[at:end], nil
}

// any reads one value as an any holds it.
func (d *decoder) any() (any, error) {
	t, err := d.token()
	if err != nil {
		return nil, err
	}
	switch t.fam {
	case famArray:
		d.pos += t.size
		// readToken has seen that there are bytes for so many elements.
		list := make([]any, t.n)
		for i := range list {
			if list[i], err = d.any(); err != nil {
				return nil, fmt.Errorf("element %d: %w", i, err)
			}
		}
		return list, nil
	case famMap:
		d.pos += t.size
		return d.anyMap(int(t.n))
	}

	v := t.scalar(d.b[d.pos:])
	d.pos += t.end()
	return v, nil
}

// anyMap reads n entries into a map[string]any, or into a map[any]any from the first key that is not a string.
func (d *decoder) anyMap(n int) (any, error) {
	named := make(map[string]any, n)
	for i := range n {
		t, err := d.token()
		if err != nil {
			return nil, err
		}
		if t.fam != famString {
			// What was read so far moves along. Most maps never come here.
			mixed := make(map[any]any, n)
			for k, v := range named {
				mixed[k] = v
			}
			return d.mixedMap(mixed, n-i, n)
		}

		k := string(d.take(t))
		if named[k], err = d.any(); err != nil {
			return nil, fmt.Errorf("map value: %w", err)
		}
	}
	return named, nil
}

// mixedMap reads the left entries that m still lacks; in the end it has n.
func (d *decoder) mixedMap(m map[any]any, left, n int) (any, error) {
	for range left {
		t, err := d.token()
		if err != nil {
			return nil, err
		}
		// Go cannot compare slices and maps, so they cannot be keys of a map[any]any.
		if t.fam == famBytes || t.fam == famArray || t.fam == famMap {
			return nil, fmt.Errorf("%w: %s as a map key, which any cannot hold", ErrType, t.fam)
		}

		k := t.scalar(d.b[d.pos:])
		d.pos += t.end()
		if m[k], err = d.any(); err != nil {
			return nil, fmt.Errorf("map value: %w", err)
		}
	}

	// Go holds some keys equal whose encodings differ, such as 0.0 and -0.0.
	if len(m) != n {
		return nil, fmt.Errorf("%w: two map keys that Go holds equal", ErrType)
	}
	return m, nil
}

// value reads one value into v, which is settable, zero and of p's type.
func (d *decoder) value(p *plan, v reflect.Value) error {
	if p.dec != protoNone {
		return d.foreign(p, v)
	}
	t, err := d.token()
	if err != nil {
		return err
	}

	fits := false
	switch p.kind {
	case kindBool:
		if fits = t.fam == famBool; fits {
			v.SetBool(t.n != 0)
		}
	case kindInt:
		var n int64
		if n, fits = t.int(p.bits); fits {
			v.SetInt(n)
		}
	case kindUint:
		if fits = t.fam == famUint && t.n>>(p.bits-1)>>1 == 0; fits {
			v.SetUint(t.n)
		}
	case kindFloat:
		f := t.float()
		// A float that a float32 would round must not pass: what is read must encode to what was read.
		if fits = t.fam == famFloat && (p.bits == 64 || f != f || float64(float32(f)) == f); fits {
			v.SetFloat(f)
		}
	case kindString:
		if fits = t.fam == famString; fits {
			v.SetString(string(d.body(t)))
		}
	case kindTime:
		if fits = t.fam == famTime; fits {
			*v.Addr().Interface().(*time.Time) = t.time(d.b[d.pos:])
		}
	case kindBytes:
		if fits = t.fam == famBytes; fits {
			v.SetBytes(bytes.Clone(d.body(t)))
		}
	case kindByteArray:
		// An array of another length is another type.
		if fits = t.fam == famBytes && int(t.n) == v.Len(); fits {
			copy(v.Bytes(), d.body(t))
		}
	case kindError:
		if fits = t.fam == famString; fits {
			v.Set(reflect.ValueOf(errors.New(string(d.body(t)))))
		}
	case kindAny:
		// An any takes whatever stands here, and has moved on behind it.
		x, err := d.any()
		if err == nil && x != nil {
			v.Set(reflect.ValueOf(x))
		}
		return err
	case kindPointer:
		if t.fam != famNil {
			return d.pointer(p, v)
		}
	case kindSlice, kindArray, kindMap, kindStruct:
		if t.fam == famArray || t.fam == famMap {
			return d.container(p, v, t)
		}
	default:
		return p.unsupported()
	}

	// nil stands for the zero value of types that have a nil, and v is zero already.
	if !fits && (t.fam != famNil || !p.holdsNil()) {
		return mismatch(t, p.typ.String())
	}
	d.pos += t.end()
	return nil
}

// body returns the bytes of the string or bytes t, which is next.
func (d *decoder) body(t token) []byte { return d.b[d.pos+t.size : d.pos+t.end()] }

// holdsNil reports whether the type's zero value is what nil stands for.
func (p *plan) holdsNil() bool {
	switch p.kind {
	case kindBytes, kindSlice, kindMap, kindPointer, kindError:
		return true
	}
	return false
}

func (d *decoder) pointer(p *plan, v reflect.Value) error {
	// A type may consist of pointers alone, as in type T *T.
	if d.hops++; d.hops > maxHops {
		return p.unsupported()
	}
	v.Set(reflect.New(p.elem.typ))
	err := d.value(p.elem, v.Elem())
	d.hops--
	return err
}

// container reads the array or map t, which is next.
func (d *decoder) container(p *plan, v reflect.Value, t token) error {
	if p.fieldsErr != nil {
		return p.fieldsErr
	}

	// Each container takes some of the bytes, so only pointers within one could go on for ever.
	hops := d.hops
	d.hops = 0
	d.pos += t.size

	n := int(t.n)
	var err error
	switch {
	case p.kind == kindSlice && t.fam == famArray:
		v.Set(reflect.MakeSlice(p.typ, n, n))
		err = d.list(p, v)
	case p.kind == kindArray && t.fam == famArray && n == v.Len():
		// An array of another length is another type: nothing is cut off or filled up.
		err = d.list(p, v)
	case p.typ == typeDict && t.fam == famMap:
		err = d.dict(p, v, n)
	case p.kind == kindMap && t.fam == famMap:
		err = d.reflectMap(p, v, n)
	case p.kind == kindStruct && t.fam == famMap && !p.asArray:
		err = d.structure(p, v, n)
	case p.kind == kindStruct && t.fam == famArray && p.asArray && n == len(p.fields):
		err = d.structArray(p, v)
	default:
		err = mismatch(t, p.typ.String())
	}

	d.hops = hops
	return err
}

func (d *decoder) dict(p *plan, v reflect.Value, n int) error {
	m, err := d.anyMap(n)
	if err != nil {
		return err
	}
	if _, ok := m.(map[string]any); !ok {
		return fmt.Errorf("%w: a map with other keys than strings is stored, wanted is %s", ErrType, p.typ)
	}
	v.Set(reflect.ValueOf(m))
	return nil
}

func (d *decoder) list(p *plan, v reflect.Value) error {
	for i := range v.Len() {
		if err := d.value(p.elem, v.Index(i)); err != nil {
			return fmt.Errorf("element %d: %w", i, err)
		}
	}
	return nil
}

func (d *decoder) reflectMap(p *plan, v reflect.Value, n int) error {
	m := reflect.MakeMapWithSize(p.typ, n)

	// Two variables serve all entries, so that a map of any size allocates them once.
	key, val := reflect.New(p.key.typ).Elem(), reflect.New(p.elem.typ).Elem()
	for range n {
		key.SetZero()
		if err := d.value(p.key, key); err != nil {
			return fmt.Errorf("map key: %w", err)
		}
		if !key.Comparable() {
			return fmt.Errorf("%w: a map key that Go cannot compare", ErrType)
		}

		val.SetZero()
		if err := d.value(p.elem, val); err != nil {
			return fmt.Errorf("map value: %w", err)
		}
		m.SetMapIndex(key, val)
	}

	// Keys that differ in bytes may be equal in Go. One of their values would be lost.
	if m.Len() != n {
		return fmt.Errorf("%w: two map keys that %s holds equal", ErrType, p.typ)
	}
	v.Set(m)
	return nil
}

// structure reads n entries into the fields of v. Both are sorted, so it goes through them side by side.
func (d *decoder) structure(p *plan, v reflect.Value, n int) error {
	next := p.lookup
	for range n {
		t, err := d.token()
		if err != nil {
			return err
		}
		if t.fam != famString {
			return fmt.Errorf("%w: a map with %s as a key is stored, wanted is %s", ErrType, t.fam, p.typ)
		}

		name := d.b[d.pos : d.pos+t.end()]
		d.pos += t.end()

		// Fields that are not in the bytes stay zero.
		order := 1
		for len(next) > 0 {
			if order = bytes.Compare(next[0].encoded, name); order >= 0 {
				break
			}
			next = next[1:]
		}

		// The struct has no such field: a later version of the type may have written it.
		if order != 0 || len(next) == 0 {
			if _, err := d.skip(); err != nil {
				return err
			}
			continue
		}

		f := &p.fields[next[0].field]
		next = next[1:]
		fv := f.in(v)
		// The field may have been read already, under another of its names.
		if len(f.aliases) > 0 {
			fv.SetZero()
		}
		if err := d.value(f.plan, fv); err != nil {
			return fmt.Errorf("field %s: %w", f.name, err)
		}
	}
	return nil
}

func (d *decoder) structArray(p *plan, v reflect.Value) error {
	for i := range p.fields {
		f := &p.fields[i]
		if len(f.index) > 1 && d.b[d.pos] == codeNil {
			d.pos++ // of an embedded pointer that was nil, or nil itself
			continue
		}
		if err := d.value(f.plan, f.in(v)); err != nil {
			return fmt.Errorf("field %s: %w", f.name, err)
		}
	}
	return nil
}
