package query

import (
	"fmt"

	"github.com/gridiron-io/gridiron/sdk/codec"
	"github.com/gridiron-io/gridiron/sdk/predicate"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// value is an encoded value, and all that follows it in the key or value of the entry.
type value struct {
	b    []byte
	json bool
}

// valueOf returns an entry's value. See the package comment for how it tells the formats apart.
func valueOf(b []byte) value { return value{b: b, json: len(b) > 1 && b[0] < 0x80} }

// from returns the value that begins at a place in v.
func (v value) from(at int) value { return value{v.b[at:], v.json} }

// cursor goes through a list or a map. Its value is that of the element or entry at hand.
type cursor struct {
	value
	entries bool // of a map
	begun   bool
	left    int // elements or entries behind the one at hand, in MessagePack

	// The key of the entry at hand.
	name  []byte // of JSON, as it stands between the quotes
	named bool   // it is a string
}

// open returns a cursor before the first element of a list, or before the first entry of a map. It is not ok if v is something else.
func (e *evaluation) open(v value, entries bool) (c cursor, ok bool) {
	c = cursor{value: v, entries: entries}
	if v.json {
		c.b = c.b[space(c.b, 0):]
		switch {
		case len(c.b) > 0 && c.b[0] == opening(entries):
			c.b = c.b[1:]
			return c, true
		case len(c.b) > 0 && c.b[0] == opening(!entries):
		case len(c.b) == 0 || simpleEnd(c.b, 0) < 0:
			e.fail(errJSON)
		}
		return c, false
	}

	t, err := codec.ReadToken(v.b)
	if err != nil {
		e.fail(err)
		return c, false
	}
	c.b, c.left = v.b[t.Head():], t.Len()
	return c, t.Kind() == codec.KindMap && entries || t.Kind() == codec.KindArray && !entries
}

// next goes to the next element or entry. It returns false if there is none, or if bytes are malformed.
func (e *evaluation) next(c *cursor) bool {
	if c.json {
		return e.nextJSON(c)
	}
	if c.left == 0 {
		return false
	}
	c.left--

	if c.begun && !e.skip(c) {
		return false
	}
	c.begun = true
	if !c.entries {
		return e.charge(1)
	}

	key, err := codec.ReadToken(c.b)
	if err != nil {
		e.fail(err)
		return false
	}
	// Only strings are names. Other keys are stepped over.
	if c.named = key.Kind() == codec.KindString; !c.named {
		return e.skip(c)
	}
	c.name = key.Body(c.b)
	c.b = c.b[key.Head()+len(c.name):]
	return e.charge(1)
}

// skip steps over the value at hand.
func (e *evaluation) skip(c *cursor) bool {
	n, err := codec.Skip(c.b)
	if err != nil {
		e.fail(err)
		return false
	}
	c.b = c.b[n:]
	return e.charge(n)
}

// step goes one step from v. It is not ok if there is nothing, or if bytes are malformed.
func (e *evaluation) step(v value, s *predicate.Step) (value, bool) {
	c, ok := e.open(v, s.Kind == predicate.StepName)
	if !ok {
		return value{}, false
	}

	for left := s.Index; e.next(&c); left-- {
		if s.Kind == predicate.StepName && c.is(s.Name) || s.Kind == predicate.StepIndex && left == 0 {
			return c.value, true
		}
	}
	return value{}, false
}

// is reports whether the entry at hand has a name for its key.
func (c *cursor) is(name string) bool {
	if c.json {
		return isJSONName(c.name, name)
	}
	return c.named && string(c.name) == name
}

// read returns what v is. If it is all of the key or value, nothing may follow it. It is not ok if bytes are malformed.
func (e *evaluation) read(v value, whole bool) (scalar, bool) {
	if v.json {
		return e.readJSON(v.b, whole)
	}

	t, err := codec.ReadToken(v.b)
	if err != nil {
		e.fail(err)
		return scalar{}, false
	}

	s, size := scalar{class: classOther}, t.Head()
	switch t.Kind() {
	case codec.KindNil:
		s.class = classNull
	case codec.KindBool:
		s = boolScalar(t.Bool())
	case codec.KindUint:
		s = scalar{class: classNumber, form: formUint, n: t.Uint()}
	case codec.KindInt:
		s = intScalar(t.Int())
	case codec.KindFloat:
		s = floatScalar(t.Float())
	case codec.KindString:
		s = scalar{class: classString, text: t.Body(v.b)}
	case codec.KindBytes:
		s = scalar{class: classBytes, text: t.Body(v.b)}
	case codec.KindTime:
		sec, nsec := t.Instant(v.b)
		s = scalar{class: classTime, n: uint64(sec), nsec: nsec}
	case codec.KindArray, codec.KindMap:
		return s, true
	}

	// Bytes of another format may begin like a value. Only within one is it likely that they go on like one.
	if size += len(s.text); whole && size != len(v.b) {
		e.fail(fmt.Errorf("%w: %d bytes follow the value", wire.ErrMalformed, len(v.b)-size))
		return scalar{}, false
	}
	return s, true
}
