package codec

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
)

// field is a struct's field, or one of a struct embedded in it.
type field struct {
	name      string
	encoded   []byte // the name as a map key
	index     []int  // path through embedded structs
	plan      *plan
	omitEmpty bool
	omitZero  bool
	aliases   []string
}

// lookup finds a field by the bytes of a map key.
type lookup struct {
	encoded []byte
	field   int
}

// of returns the field's value in a struct and whether it is written. It is invalid if an embedded pointer is nil.
func (f *field) of(strct reflect.Value) (reflect.Value, bool) {
	v := strct
	for _, i := range f.index {
		if v.Kind() == reflect.Pointer {
			// The fields of an embedded struct that is not there are not there either.
			if v.IsNil() {
				return reflect.Value{}, false
			}
			v = v.Elem()
		}
		v = v.Field(i)
	}
	return v, !(f.omitEmpty && isEmpty(v) || f.omitZero && isZero(v))
}

// in returns the field's value in an addressable struct, allocating embedded pointers.
func (f *field) in(strct reflect.Value) reflect.Value {
	v := strct
	for _, i := range f.index {
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				v.Set(reflect.New(v.Type().Elem()))
			}
			v = v.Elem()
		}
		v = v.Field(i)
	}
	return v
}

// isEmpty says what omitempty leaves out: zero values, and strings, slices, maps and arrays of length 0. -0.0 is not zero.
func isEmpty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Slice, reflect.Map, reflect.String, reflect.Array:
		return v.Len() == 0
	}
	return isZero(v)
}

// isZero asks the value's own IsZero method, if it has one.
func isZero(v reflect.Value) bool {
	if (v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface) && v.IsNil() {
		// Asking a nil pointer's method could panic.
		return true
	}
	if z, ok := v.Interface().(interface{ IsZero() bool }); ok {
		return z.IsZero()
	}

	// -0.0 is not the zero value: it would come back as 0.0.
	if v.CanFloat() {
		return math.Float64bits(v.Float()) == 0
	}
	return v.IsZero()
}

// tag is a parsed struct tag.
type tag struct {
	name                          string
	fromJSON                      bool
	omitEmpty, omitZero           bool
	inline, noInline, asArray, no bool
	aliases                       []string
}

func tagOf(f reflect.StructField) tag {
	var t tag
	text := f.Tag.Get("msgpack")
	if text == "" {
		// Most types have json tags already, and mean the same names.
		text = f.Tag.Get("json")
		t.fromJSON = true
	}
	if text == "-" {
		t.no = true
		return t
	}

	name, options, _ := strings.Cut(text, ",")
	t.name = name
	for option := range strings.SplitSeq(options, ",") {
		alias, isAlias := strings.CutPrefix(option, "alias:")
		switch {
		case option == "omitempty":
			t.omitEmpty = true
		case option == "omitzero":
			t.omitZero = true
		// All other options are those of msgpack tags.
		case t.fromJSON:
		case option == "inline":
			t.inline = true
		case option == "noinline":
			t.noInline = true
		case option == "as_array", option == "asArray":
			t.asArray = true
		case isAlias:
			t.aliases = append(t.aliases, alias)
		}
	}
	// A "-" with options hides the field in msgpack tags, and is its name in json tags.
	t.no = name == "-" && !t.fromJSON
	return t
}

// embedded is a struct whose fields are still to be collected.
type embedded struct {
	typ   reflect.Type
	index []int
}

// structFields fills p's fields, level by level of embedding.
func (b planBuilder) structFields(p *plan) error {
	omitAll := false

	// The msgpack library takes options for the whole struct from a field of this name.
	if f, ok := p.typ.FieldByName("_msgpack"); ok && len(f.Index) == 1 {
		t := tagOf(f)
		p.asArray, omitAll = t.asArray, t.omitEmpty
	}

	// The rules are those of Go's embedding: the field at the least depth has the name.
	depthOf := map[string]int{}
	seen := map[reflect.Type]bool{p.typ: true}
	level := []embedded{{typ: p.typ}}

	for depth := 0; len(level) > 0; depth++ {
		var next []embedded
		for _, at := range level {
			for i := range at.typ.NumField() {
				sf := at.typ.Field(i)
				t := tagOf(sf)
				if t.no || sf.Name == "_msgpack" || !sf.IsExported() && !sf.Anonymous {
					// A field nearer to the top hides this one.
					continue
				}

				index := append(slices.Clone(at.index), i)
				if in, ok, err := b.inlines(sf, t); err != nil {
					return fmt.Errorf("%w: %s in %s", err, sf.Name, p.typ)
				} else if ok {
					if !seen[in] {
						next = append(next, embedded{in, index})
					}
					continue
				}

				if !sf.IsExported() {
					continue
				}

				f := field{name: cmp.Or(t.name, sf.Name), index: index, plan: b.plan(sf.Type),
					omitEmpty: t.omitEmpty || omitAll, omitZero: t.omitZero, aliases: t.aliases}
				if d, ok := depthOf[f.name]; ok && d < depth {
					continue
				} else if ok {
					return fmt.Errorf("%w: %s has two fields named %q", ErrUnsupported, p.typ, f.name)
				}

				depthOf[f.name] = depth
				f.encoded = appendString(nil, f.name)
				p.fields = append(p.fields, f)
				// A field behind an embedded pointer is missing while the pointer is nil.
				p.mayOmit = p.mayOmit || f.omitEmpty || f.omitZero || len(index) > 1
			}
		}

		// A type counts at the smallest depth at which it is embedded, and a recursive one ends here.
		for _, e := range next {
			seen[e.typ] = true
		}
		level = next
	}

	// Maps are written in the order of their keys' bytes, arrays in the order of the declaration.
	slices.SortFunc(p.fields, func(a, b field) int {
		if p.asArray {
			return slices.Compare(a.index, b.index)
		}
		return bytes.Compare(a.encoded, b.encoded)
	})
	return p.buildLookup()
}

// inlines returns the struct whose fields stand for the embedded field sf, if they do.
func (b planBuilder) inlines(sf reflect.StructField, t tag) (reflect.Type, bool, error) {
	if !sf.Anonymous || t.noInline || t.fromJSON && t.name != "" {
		return nil, false, nil
	}

	typ := sf.Type
	if typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	if typ.Kind() != reflect.Struct || !t.inline && typ == typeTime {
		return nil, false, nil
	}

	// A type that encodes itself is one value and has no fields to inline.
	if enc, dec := protocolsOf(typ); !t.inline && (enc != protoNone || dec != protoNone) {
		return nil, false, nil
	}

	// Decoding could not set such a pointer.
	if sf.Type.Kind() == reflect.Pointer && !sf.IsExported() {
		return nil, false, fmt.Errorf("%w: an embedded pointer to an unexported struct", ErrUnsupported)
	}
	return typ, true, nil
}

func (p *plan) buildLookup() error {
	for i, f := range p.fields {
		p.lookup = append(p.lookup, lookup{f.encoded, i})
		for _, alias := range f.aliases {
			p.lookup = append(p.lookup, lookup{appendString(nil, alias), i})
		}
	}

	slices.SortFunc(p.lookup, func(a, b lookup) int { return bytes.Compare(a.encoded, b.encoded) })
	for i := 1; i < len(p.lookup); i++ {
		if bytes.Equal(p.lookup[i-1].encoded, p.lookup[i].encoded) {
			return fmt.Errorf("%w: in %s an alias is another field's name", ErrUnsupported, p.typ)
		}
	}
	return nil
}
