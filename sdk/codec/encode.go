package codec

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"time"
)

// maxHops bounds the pointers and interfaces between a value and its innermost part, so that a pointer to itself ends.
const maxHops = 4 * MaxDepth

// maxPooled is the capacity in bytes beyond which a scratch buffer is left to the garbage collector.
const maxPooled = 64 << 10

// encoder appends values to dst. Its entries and scratch serve the sorting of maps and are reused.
type encoder struct {
	dst     []byte
	depth   int     // containers around the value
	hops    int     // pointers and interfaces around the value
	keys    int     // map keys around the value; with any, NaN is refused
	oneZero bool    // -0.0 is written as 0.0
	entries []entry // a stack: of the maps being encoded, what has been written of each
	scratch []byte
}

// entry is where a map's entry stands in dst: key from at to key, value from there to end.
type entry struct{ at, key, end int }

var encoders = sync.Pool{New: func() any { return new(encoder) }}

func getEncoder(dst []byte) *encoder {
	e := encoders.Get().(*encoder)
	e.dst = dst
	return e
}

// putEncoder gives e back, but not dst, which is the caller's.
func putEncoder(e *encoder) {
	// One large value must not keep its buffers in the pool.
	scratch := e.scratch
	if cap(scratch) > maxPooled {
		scratch = nil
	}

	// An entry is 24 bytes.
	entries := e.entries[:0]
	if cap(entries) > maxPooled/24 {
		entries = nil
	}

	*e = encoder{entries: entries, scratch: scratch}
	encoders.Put(e)
}

// use says what a value is encoded for.
type use uint8

const (
	asValue  use = iota
	asKey        // it contains no NaN
	asMapKey     // nor -0.0
)

// encode appends v to dst.
func encode(dst []byte, v any, as use) ([]byte, error) {
	e := getEncoder(dst)
	defer putEncoder(e)
	if as != asValue {
		e.keys = 1
	}

	// Keys of maps that Go finds equal must encode alike, and -0.0 equals 0.0.
	e.oneZero = as == asMapKey

	// dst, and not e.dst: after an error nothing counts as appended.
	if err := e.any(v); err != nil {
		return dst, err
	}
	return e.dst, nil
}

// any appends a value by its dynamic type, without reflection for what decoding into an any yields.
func (e *encoder) any(v any) error {
	switch v := v.(type) {
	case float64:
		return e.float(v)
	case float32:
		return e.float(float64(v))
	case []any:
		// A nil slice or map is written as nil, which appendScalar and value below do.
		if v == nil {
			break
		}
		if err := e.enter(); err != nil {
			return err
		}
		e.dst = appendArrayHeader(e.dst, len(v))
		for i, x := range v {
			if err := e.any(x); err != nil {
				return fmt.Errorf("element %d: %w", i, err)
			}
		}
		e.depth--
		return nil
	case map[string]any:
		if v == nil {
			break
		}

		return encodeMap(e, v, (*encoder).string, (*encoder).any)
	case map[string]string:
		if v == nil {
			break
		}
		return encodeMap(e, v, (*encoder).string, (*encoder).string)
	case map[any]any:
		if v == nil {
			break
		}
		return encodeMap(e, v, (*encoder).any, (*encoder).any)
	}

	// Nil slices and maps come here too.
	if out, ok := appendScalar(e.dst, v); ok {
		e.dst = out
		return nil
	}

	rv := reflect.ValueOf(v)
	return e.value(planOf(rv.Type()), rv)
}

func (e *encoder) string(s string) error {
	e.dst = appendString(e.dst, s)
	return nil
}

func (e *encoder) float(f float64) error {
	if f != f && e.keys > 0 {
		return fmt.Errorf("%w: NaN in a key", ErrUnsupported)
	}
	e.appendFloat(f)
	return nil
}

func (e *encoder) appendFloat(f float64) {
	if e.oneZero && f == 0 {
		f = 0 // without a sign
	}
	e.dst = appendFloat(e.dst, f)
}

// enter begins an array or a map. The caller takes the depth back.
func (e *encoder) enter() error {
	if e.depth++; e.depth > MaxDepth {
		return fmt.Errorf("%w: it nests deeper than %d, or contains itself", ErrUnsupported, MaxDepth)
	}
	return nil
}

// hop follows a pointer or an interface. The caller takes the hop back.
func (e *encoder) hop() error {
	if e.hops++; e.hops > maxHops {
		return fmt.Errorf("%w: more than %d pointers around one value, or one that contains itself", ErrUnsupported, maxHops)
	}
	return nil
}

func encodeMap[K comparable, V any](e *encoder, m map[K]V, key func(*encoder, K) error, value func(*encoder, V) error) error {
	base, err := e.beginMap(len(m))
	if err != nil {
		return err
	}

	// Entries are written in Go's order, which is chance, and sorted by endMap.
	start := len(e.dst)
	for k, v := range m {
		// Keys obey stricter rules than values, say about NaN.
		at := e.beginKey()
		if err := key(e, k); err != nil {
			return fmt.Errorf("map key: %w", err)
		}
		mid := e.endKey()
		if err := value(e, v); err != nil {
			return fmt.Errorf("map value: %w", err)
		}
		e.entries = append(e.entries, entry{at, mid, len(e.dst)})
	}
	return e.endMap(base, start)
}

// beginMap opens a map of n entries and returns the base to close it with.
func (e *encoder) beginMap(n int) (base int, err error) {
	if err := e.enter(); err != nil {
		return 0, err
	}
	e.dst = appendMapHeader(e.dst, n)
	return len(e.entries), nil
}

func (e *encoder) beginKey() int {
	e.keys++
	return len(e.dst)
}

func (e *encoder) endKey() int {
	e.keys--
	return len(e.dst)
}

// endMap sorts what was written since start and noted since base by the keys' bytes.
func (e *encoder) endMap(base, start int) error {
	e.depth--
	entries := e.entries[base:]
	e.entries = e.entries[:base]
	compare := func(a, b entry) int { return bytes.Compare(e.dst[a.at:a.key], e.dst[b.at:b.key]) }

	// Entries change places within dst, so they are read from a copy.
	if !slices.IsSortedFunc(entries, compare) {
		slices.SortFunc(entries, compare)
		e.scratch = append(e.scratch[:0], e.dst[start:]...)
		out := e.dst[:start]
		for i, x := range entries {
			at := len(out)
			out = append(out, e.scratch[x.at-start:x.end-start]...)
			entries[i] = entry{at, at + x.key - x.at, len(out)}
		}
	}

	// Keys that Go holds apart may encode alike, such as int8(1) and int64(1).
	for i := 1; i < len(entries); i++ {
		if compare(entries[i-1], entries[i]) == 0 {
			return fmt.Errorf("%w: %w", ErrUnsupported, errDuplicate)
		}
	}
	return nil
}

// value appends v, which is of p's type.
func (e *encoder) value(p *plan, v reflect.Value) error {
	if p.enc != protoNone {
		return e.foreign(p, v)
	}

	switch p.kind {
	case kindBool:
		e.dst = appendBool(e.dst, v.Bool())
	case kindInt:
		e.dst = appendInt(e.dst, v.Int())
	case kindUint:
		e.dst = appendUint(e.dst, v.Uint())
	case kindFloat:
		return e.float(v.Float())
	case kindString:
		e.dst = appendString(e.dst, v.String())
	case kindTime:
		e.dst = appendTime(e.dst, v.Interface().(time.Time))
	case kindBytes:
		e.dst = appendBytes(e.dst, v.Bytes())
	case kindByteArray:
		e.byteArray(v)
	case kindSlice, kindArray:
		return e.list(p, v)
	case kindMap:
		return e.reflectMap(p, v)
	case kindStruct:
		return e.structure(p, v)
	case kindPointer:
		if v.IsNil() {
			e.dst = append(e.dst, codeNil)
			return nil
		}
		// Pointers may lead back to themselves without taking any bytes, so they are counted.
		if err := e.hop(); err != nil {
			return err
		}
		err := e.value(p.elem, v.Elem())
		e.hops--
		return err
	case kindAny, kindInterface:
		if v.IsNil() {
			e.dst = append(e.dst, codeNil)
			return nil
		}
		if err := e.hop(); err != nil {
			return err
		}
		err := e.any(v.Elem().Interface())
		e.hops--
		return err
	case kindError:
		if v.IsNil() {
			e.dst = append(e.dst, codeNil)
			return nil
		}
		e.dst = appendString(e.dst, v.Interface().(error).Error())
	default:
		return p.unsupported()
	}
	return nil
}

func (e *encoder) byteArray(v reflect.Value) {
	n := v.Len()
	e.dst = appendBytesHeader(e.dst, n)
	at := len(e.dst)
	e.dst = slices.Grow(e.dst, n)[:at+n]

	if v.CanAddr() {
		copy(e.dst[at:], v.Bytes())
		return
	}

	// reflect gives no slice of an array that has no address.
	for i := range n {
		e.dst[at+i] = byte(v.Index(i).Uint())
	}
}

func (e *encoder) list(p *plan, v reflect.Value) error {
	if p.kind == kindSlice && v.IsNil() {
		// A nil slice is another value than an empty one, and decoding must give it back.
		e.dst = append(e.dst, codeNil)
		return nil
	}

	if err := e.enter(); err != nil {
		return err
	}

	n := v.Len()
	e.dst = appendArrayHeader(e.dst, n)
	for i := range n {
		if err := e.value(p.elem, v.Index(i)); err != nil {
			return fmt.Errorf("element %d: %w", i, err)
		}
	}
	e.depth--
	return nil
}

func (e *encoder) reflectMap(p *plan, v reflect.Value) error {
	if v.IsNil() {
		// A nil map is another value than an empty one, and decoding must give it back.
		e.dst = append(e.dst, codeNil)
		return nil
	}

	base, err := e.beginMap(v.Len())
	if err != nil {
		return err
	}
	start := len(e.dst)

	// Two variables serve all entries, so that a map of any size allocates them once.
	key, val := reflect.New(p.key.typ).Elem(), reflect.New(p.elem.typ).Elem()
	for it := v.MapRange(); it.Next(); {
		key.SetIterKey(it)
		val.SetIterValue(it)

		at := e.beginKey()
		if err := e.value(p.key, key); err != nil {
			return fmt.Errorf("map key: %w", err)
		}
		mid := e.endKey()
		if err := e.value(p.elem, val); err != nil {
			return fmt.Errorf("map value: %w", err)
		}
		e.entries = append(e.entries, entry{at, mid, len(e.dst)})
	}
	return e.endMap(base, start)
}

func (e *encoder) structure(p *plan, v reflect.Value) error {
	if err := e.enter(); err != nil {
		return err
	}
	if p.fieldsErr != nil {
		return p.fieldsErr
	}

	if p.asArray {
		e.dst = appendArrayHeader(e.dst, len(p.fields))
	} else {
		// The number of entries comes first, so fields that are left out are counted before any is written.
		n := len(p.fields)
		if p.mayOmit {
			for i := range p.fields {
				if _, ok := p.fields[i].of(v); !ok {
					n--
				}
			}
		}
		e.dst = appendMapHeader(e.dst, n)
	}
	for i := range p.fields {
		f := &p.fields[i]
		fv, ok := f.of(v)
		switch {
		case !p.asArray && !ok:
			// A map leaves the field out. The count above knows.
			continue
		case !p.asArray:
			e.dst = append(e.dst, f.encoded...)
		case !fv.IsValid():
			// An array has a place for each field, so what is missing is nil.
			e.dst = append(e.dst, codeNil)
			continue
		}
		if err := e.value(f.plan, fv); err != nil {
			return fmt.Errorf("field %s: %w", f.name, err)
		}
	}
	e.depth--
	return nil
}
