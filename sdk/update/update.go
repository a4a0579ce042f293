// Package update is not API: programs use package sdk, and it may change in any version.
//
// It owns what the built-in entry processors make of an encoded value: a number that grows, bytes that are appended, attributes that are
// merged. A member carries them out with each replica, so the package is pure. Equal values and arguments give equal bytes in every process,
// and no bytes make it fail. It works in time and memory in proportion to the value and the argument.
//
// It does not know maps, calls or the log. wire has the processors' names and codes.
package update

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/gridiron-io/gridiron/sdk/codec"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// ErrRefused is wrapped by the errors of Run for an argument, or for a value that the processor cannot change. Nothing has changed then. The
// other error of Run wraps wire.ErrTooLarge.
var ErrRefused = errors.New("not carried out")

// maxSet bounds the elements of a list that ProcessSetAdd looks at: each call compares all of them.
const maxSet = 10_000

// Change is what a processor makes of an entry.
type Change struct {
	Value  []byte // the new value; nil: the entry stays as it is
	Result []byte // MessagePack; nil: the new value is the result
}

// Run carries out a processor on a value, which is nil if there is no entry, and on the entry's version. A value of more than most bytes is
// refused. The slices of the result may alias value and arg.
func Run(p wire.Processor, value []byte, version uint64, arg []byte, most int) (c Change, err error) {
	switch p {
	case wire.ProcessIncrement:
		c.Value, err = increment(value, arg)
	case wire.ProcessAppend:
		c, err = appended(value, arg)
	case wire.ProcessMerge:
		c.Value, err = merge(value, arg)
	case wire.ProcessListPush:
		c, err = push(value, arg, false)
	case wire.ProcessSetAdd:
		c, err = push(value, arg, true)
	case wire.ProcessCompareAndSet:
		c, err = compareAndSet(version, arg)
	default:
		err = refusedf("processor %d is not known", p)
	}

	if err == nil && len(c.Value) > most {
		err = fmt.Errorf("%w: the value would have %d bytes, the limit is %d", wire.ErrTooLarge, len(c.Value), most)
	}
	if err != nil {
		return Change{}, err
	}
	return c, nil
}

func refusedf(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrRefused}, args...)...)
}

// appended is what ProcessAppend does: it appends bytes to bytes, or a string to a string. The result is the new length in bytes.
func appended(value, arg []byte) (Change, error) {
	more, err := whole("the argument", arg)
	if err != nil {
		return Change{}, err
	}
	kind := more.Kind()
	if kind != codec.KindBytes && kind != codec.KindString {
		return Change{}, refusedf("the argument is %v, and neither bytes nor a string", kind)
	}

	var old []byte
	if value != nil {
		was, err := whole("the value", value)
		switch {
		case err != nil:
			return Change{}, err
		// A nil slice of bytes is stored as nil, and is as empty as no entry.
		case was.Kind() == codec.KindNil:
		case was.Kind() != kind:
			return Change{}, refusedf("the value is %v, and the argument %v", was.Kind(), kind)
		default:
			old = was.Body(value)
		}
	}

	n := len(old) + more.Len()
	out := codec.AppendHead(make([]byte, 0, maxHead+n), kind, n)
	return Change{Value: append(append(out, old...), more.Body(arg)...), Result: uintBytes(n)}, nil
}

// maxHead bounds the bytes of the head of a string, of bytes, of an array or of a map.
const maxHead = 5

// push is what ProcessListPush and ProcessSetAdd do: each appends an element to a list. Of a set no element is the same as another. The result
// is the new length, or for a set whether the element is new.
func push(value, arg []byte, set bool) (Change, error) {
	// Equal elements must be equal bytes, and what is stored must be readable.
	element, err := codec.Canonical(nil, arg)
	if err != nil {
		return Change{}, refusedf("the argument: %v", err)
	}

	var elements []byte
	n := 0
	if value != nil {
		head, err := codec.ReadToken(value)
		if err != nil {
			return Change{}, refusedf("the value: %v", err)
		}
		switch head.Kind() {
		// A nil list is stored as nil, and is as empty as no entry.
		case codec.KindNil:
		case codec.KindArray:
			elements, n = value[head.Head():], head.Len()
		default:
			return Change{}, refusedf("the value is %v, and no list", head.Kind())
		}
	}

	if set {
		if n >= maxSet {
			return Change{}, fmt.Errorf("%w: a set of %d elements, the limit is %d", wire.ErrTooLarge, n+1, maxSet)
		}
		for rest := elements; len(rest) > 0; {
			size, err := codec.Skip(rest)
			if err != nil {
				return Change{}, refusedf("the value: %v", err)
			}
			if bytes.Equal(rest[:size], element) {
				return Change{Result: boolBytes(false)}, nil
			}
			rest = rest[size:]
		}
	}

	out := codec.AppendHead(make([]byte, 0, maxHead+len(elements)+len(element)), codec.KindArray, n+1)
	c := Change{Value: append(append(out, elements...), element...), Result: uintBytes(n + 1)}
	if set {
		c.Result = boolBytes(true)
	}
	return c, nil
}

// compareAndSet is what ProcessCompareAndSet does: its argument is a list of a version and a value. It stores the value if the entry has the
// version; 0 is the version of no entry. The result is whether it did.
func compareAndSet(version uint64, arg []byte) (Change, error) {
	head, err := codec.ReadToken(arg)
	if err != nil || head.Kind() != codec.KindArray || head.Len() != 2 {
		return Change{}, refusedf("the argument is no list of a version and a value")
	}
	rest := arg[head.Head():]
	expected, err := codec.ReadToken(rest)
	if err != nil || expected.Kind() != codec.KindUint {
		return Change{}, refusedf("the argument is no list of a version and a value")
	}

	value, err := codec.Canonical(nil, rest[expected.Head():])
	if err != nil {
		return Change{}, refusedf("the argument's value: %v", err)
	}
	if expected.Uint() != version {
		return Change{Result: boolBytes(false)}, nil
	}
	return Change{Value: value, Result: boolBytes(true)}, nil
}

// whole reads b, which must be a scalar or a string and nothing more.
func whole(what string, b []byte) (codec.Token, error) {
	t, err := codec.ReadToken(b)
	if err != nil {
		return t, refusedf("%s: %v", what, err)
	}

	size := t.Head()
	if k := t.Kind(); k == codec.KindString || k == codec.KindBytes {
		size += t.Len()
	}
	if k := t.Kind(); k != codec.KindArray && k != codec.KindMap && size != len(b) {
		return t, refusedf("%s: %d bytes follow it", what, len(b)-size)
	}
	return t, nil
}

// uintBytes returns the encoding of a length.
func uintBytes(n int) []byte {
	b, _ := codec.AppendKey(nil, uint64(n)) // a number always has an encoding
	return b
}

// boolBytes returns the encoding of a truth value.
func boolBytes(v bool) []byte {
	b, _ := codec.AppendKey(nil, v) // a truth value always has an encoding
	return b
}
