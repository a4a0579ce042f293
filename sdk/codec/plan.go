package codec

import (
	"encoding"
	"fmt"
	"reflect"
	"sync"
	"time"

	"github.com/vmihailenco/msgpack/v5"
)

// kind is how a type's values are encoded when the type does not do it itself.
type kind uint8

const (
	kindUnsupported kind = iota
	kindBool
	kindInt
	kindUint
	kindFloat
	kindString
	kindTime
	kindBytes     // a slice of bytes
	kindByteArray // an array of bytes
	kindSlice
	kindArray
	kindMap
	kindStruct
	kindPointer
	kindAny       // an interface that everything implements
	kindError     // the interface error: its text
	kindInterface // any other interface: encoded by what it holds, never decoded
)

// protocol is by which methods a type encodes or decodes itself.
type protocol uint8

const (
	protoNone protocol = iota
	protoCustom
	protoMarshaler
	protoBinary
	protoText
)

var (
	typeTime  = reflect.TypeFor[time.Time]()
	typeError = reflect.TypeFor[error]()
	typeDict  = reflect.TypeFor[map[string]any]()

	// protocols holds, in order of preference, the interface for encoding and the one for decoding.
	protocols = [...]struct {
		proto    protocol
		enc, dec reflect.Type
	}{
		{protoCustom, reflect.TypeFor[msgpack.CustomEncoder](), reflect.TypeFor[msgpack.CustomDecoder]()},
		{protoMarshaler, reflect.TypeFor[msgpack.Marshaler](), reflect.TypeFor[msgpack.Unmarshaler]()},
		{protoBinary, reflect.TypeFor[encoding.BinaryMarshaler](), reflect.TypeFor[encoding.BinaryUnmarshaler]()},
		{protoText, reflect.TypeFor[encoding.TextMarshaler](), reflect.TypeFor[encoding.TextUnmarshaler]()},
	}
)

// plan is all that is known about a type before its first value. Plans are complete and immutable once published; those
// of recursive types contain themselves.
type plan struct {
	typ       reflect.Type
	kind      kind
	enc, dec  protocol
	key, elem *plan
	bits      int // of integers and floats

	// Of structs: the fields sorted by their encoded names, or in their order in the type if asArray.
	fields    []field
	fieldsErr error
	lookup    []lookup // sorted by encoded name
	asArray   bool
	mayOmit   bool
}

var plans struct {
	sync.Map // reflect.Type -> *plan, complete ones only
	building sync.Mutex
}

// planOf returns the plan of t. It never fails: what is wrong with a type is reported for its values.
func planOf(t reflect.Type) *plan {
	if p, ok := plans.Load(t); ok {
		return p.(*plan)
	}

	plans.building.Lock()

	// One builder at a time, so that each type has one plan.
	defer plans.building.Unlock()

	b := planBuilder{}
	p := b.plan(t)
	// Plans are published only when all are complete: another goroutine must not meet half of one.
	for t, p := range b {
		plans.Store(t, p)
	}
	return p
}

// planBuilder holds the plans begun, so that a recursive type finds itself.
type planBuilder map[reflect.Type]*plan

func (b planBuilder) plan(t reflect.Type) *plan {
	if p, ok := plans.Load(t); ok {
		return p.(*plan)
	}
	if p, ok := b[t]; ok {
		return p
	}

	// Noted before its parts are planned, so that a recursive type finds itself.
	p := &plan{typ: t}
	b[t] = p

	// A time has one form here, although its type could encode itself in others.
	if t == typeTime {
		p.kind = kindTime
		return p
	}

	p.enc, p.dec = protocolsOf(t)

	switch t.Kind() {
	case reflect.Bool:
		p.kind = kindBool
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		p.kind, p.bits = kindInt, t.Bits()
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		p.kind, p.bits = kindUint, t.Bits()
	case reflect.Float32, reflect.Float64:
		p.kind, p.bits = kindFloat, t.Bits()
	case reflect.String:
		p.kind = kindString
	case reflect.Slice, reflect.Array:
		p.elem = b.plan(t.Elem())
		// Elements that encode themselves are no bytes.
		isBytes := p.elem.kind == kindUint && p.elem.bits == 8 && p.elem.enc == protoNone && p.elem.dec == protoNone
		switch {
		case t.Kind() == reflect.Slice && isBytes:
			p.kind = kindBytes
		case t.Kind() == reflect.Slice:
			p.kind = kindSlice
		case isBytes:
			p.kind = kindByteArray
		default:
			p.kind = kindArray
		}
	case reflect.Map:
		// Plans of parts may be this very plan, where the type contains itself.
		p.kind, p.key, p.elem = kindMap, b.plan(t.Key()), b.plan(t.Elem())
	case reflect.Struct:
		p.kind = kindStruct
		p.fieldsErr = b.structFields(p)
	case reflect.Pointer:
		p.kind, p.elem = kindPointer, b.plan(t.Elem())
	case reflect.Interface:
		switch {
		case t.NumMethod() == 0:
			p.kind = kindAny
		case t == typeError:
			p.kind = kindError
		default:
			p.kind = kindInterface
		}
	}
	return p
}

// protocolsOf returns how values of t encode and decode themselves. A pointer is followed first, and an interface is
// encoded by what it holds.
func protocolsOf(t reflect.Type) (enc, dec protocol) {
	if t.Kind() == reflect.Pointer || t.Kind() == reflect.Interface {
		return protoNone, protoNone
	}

	// A pointer has the methods of its element too, so one look finds both.
	ptr := reflect.PointerTo(t)
	for _, p := range protocols {
		isEnc, isDec := ptr.Implements(p.enc), ptr.Implements(p.dec)
		// A protocol for both directions comes first: what it writes, it can read.
		if isEnc && isDec {
			return p.proto, p.proto
		}
		if isEnc && enc == protoNone {
			enc = p.proto
		}
		if isDec && dec == protoNone {
			dec = p.proto
		}
	}
	return enc, dec
}

func (p *plan) unsupported() error {
	return fmt.Errorf("%w: a value of type %s", ErrUnsupported, p.typ)
}
