package update

import (
	"math"
	"math/bits"

	"github.com/gridiron-io/gridiron/sdk/codec"
)

// number is a number of a value: an integer of any of Go's types, or a float.
type number struct {
	float  bool
	f      float64
	hi, lo uint64 // of an integer: two's complement of 128 bits, in which no sum of two overflows
}

// numberOf returns the number of a token, and whether it is one.
func numberOf(t codec.Token) (number, bool) {
	switch t.Kind() {
	case codec.KindUint:
		return number{lo: t.Uint()}, true
	case codec.KindInt:
		return number{hi: math.MaxUint64, lo: uint64(t.Int())}, true
	case codec.KindFloat:
		return number{float: true, f: t.Float()}, true
	}
	return number{}, false
}

// append appends the encoding of n, which Msgpack has. It fails for what is not a number.
func (n number) append(dst []byte) ([]byte, error) {
	switch {
	case n.float:
		return codec.AppendKey(dst, n.f)
	case n.hi == 0:
		return codec.AppendKey(dst, n.lo)
	}
	return codec.AppendKey(dst, int64(n.lo))
}

// plus returns the sum of two numbers of one kind.
func (n number) plus(m number) number {
	if n.float {
		return number{float: true, f: n.f + m.f}
	}
	lo, carry := bits.Add64(n.lo, m.lo, 0)
	hi, _ := bits.Add64(n.hi, m.hi, carry)
	return number{hi: hi, lo: lo}
}

// within reports whether n lies in bounds of its kind. NaN lies in none.
func (n number) within(lo, hi number) bool {
	if n.float {
		return n.f >= lo.f && n.f <= hi.f
	}
	return !n.below(lo) && !hi.below(n)
}

// below compares integers.
func (n number) below(m number) bool {
	if n.hi != m.hi {
		return int64(n.hi) < int64(m.hi)
	}
	return n.lo < m.lo
}

// exactly returns n as a float, and whether that is the same number.
func (n number) exactly() (number, bool) {
	const most = 1 << 53
	i := int64(n.lo)
	ok := (n.hi == 0 && n.lo <= most) || (n.hi == math.MaxUint64 && i < 0 && i >= -most)
	return number{float: true, f: float64(i)}, ok
}

// addition is the argument of ProcessIncrement.
type addition struct {
	delta, least, most number
	bounded            bool // least and most are given
	single             bool // the sum is rounded to a float of 32 bits
}

// parseAddition reads a number, or a list of a number and of the bounds of the sum. A list of floats may have a fourth element: how many bits
// the sum has, which is 32.
func parseAddition(arg []byte) (a addition, err error) {
	bad := refusedf("the argument is neither a number nor a list of a number and two bounds")
	head, err := whole("the argument", arg)
	if err != nil {
		return a, err
	}

	ok := false
	if a.delta, ok = numberOf(head); ok {
		return a, nil
	}
	n := head.Len()
	if head.Kind() != codec.KindArray || n != 3 && n != 4 {
		return a, bad
	}

	var list [4]number
	rest := arg[head.Head():]
	for i := range n {
		t, err := codec.ReadToken(rest)
		if err != nil {
			return a, bad
		}
		if list[i], ok = numberOf(t); !ok {
			return a, bad
		}
		rest = rest[t.Head():]
	}

	a = addition{delta: list[0], least: list[1], most: list[2], bounded: true, single: n == 4}
	sort := a.delta.float
	if len(rest) != 0 || a.least.float != sort || a.most.float != sort || a.single && (!sort || list[3] != number{lo: 32}) {
		return a, bad
	}
	return a, nil
}

// increment is what ProcessIncrement does. No entry counts as zero. The result is the new value.
func increment(value, arg []byte) ([]byte, error) {
	a, err := parseAddition(arg)
	if err != nil {
		return nil, err
	}

	was := number{float: a.delta.float}
	if value != nil {
		t, err := whole("the value", value)
		if err != nil {
			return nil, err
		}
		ok := false
		if was, ok = numberOf(t); !ok {
			return nil, refusedf("the value is %v, and no number", t.Kind())
		}
	}

	if was.float != a.delta.float {
		// Without bounds nobody has said what type the value has, so the value's own decides. An integer never becomes a float.
		exact, ok := a.delta.exactly()
		if !was.float || a.bounded || !ok {
			return nil, refusedf("one of value and argument is a float, and the other an integer")
		}
		a.delta = exact
	}

	sum := was.plus(a.delta)
	if a.single {
		sum.f = float64(float32(sum.f))
	}

	least, most := a.least, a.most
	if !a.bounded {
		least, most = natural(was)
	}
	if !sum.within(least, most) {
		return nil, refusedf("the sum is out of bounds")
	}
	return sum.append(nil)
}

// natural returns the bounds of a sum for which none are given: those of the types that hold such a number in an any.
func natural(was number) (least, most number) {
	if was.float {
		return number{float: true, f: -math.MaxFloat64}, number{float: true, f: math.MaxFloat64}
	}
	least = number{hi: math.MaxUint64, lo: 1 << 63}
	// A number that is above the range of int64 already is a uint64.
	if was.hi == 0 && was.lo > math.MaxInt64 {
		return least, number{lo: math.MaxUint64}
	}
	return least, number{lo: math.MaxInt64}
}
