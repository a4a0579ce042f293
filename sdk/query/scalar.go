package query

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"
	"unsafe"
)

// class is the type of a value as far as comparisons go. Values of two classes do not compare.
type class uint8

const (
	classNull  class = iota
	classOther       // a list, a map, or NaN: it compares with nothing
	classBool
	classNumber
	classString
	classBytes
	classTime
)

// form is how a number is held.
type form uint8

const (
	formUint   form = iota // n, an integer from 0
	formInt                // n, a negative integer
	formFloat              // n, the bits of a float64
	formDigits             // text, an integer of JSON that no 64 bits hold
)

// scalar is a value that terms compare, or that it is none.
type scalar struct {
	class class
	form  form
	nsec  uint32 // of a time
	n     uint64 // a bool, a number, or the seconds of a time since 1970
	text  []byte // of a string, bytes or digits
}

// literal returns what predicate.Literal returned.
func literal(v any) scalar {
	switch v := v.(type) {
	case nil:
		return scalar{class: classNull}
	case bool:
		return boolScalar(v)
	case int64:
		return intScalar(v)
	case uint64:
		return scalar{class: classNumber, form: formUint, n: v}
	case float64:
		return floatScalar(v)
	case string:
		return scalar{class: classString, text: []byte(v)}
	case []byte:
		return scalar{class: classBytes, text: v}
	case time.Time:
		return scalar{class: classTime, n: uint64(v.Unix()), nsec: uint32(v.Nanosecond())}
	}
	panic(fmt.Sprintf("query: a literal of type %T", v))
}

func boolScalar(v bool) scalar {
	s := scalar{class: classBool}
	if v {
		s.n = 1
	}
	return s
}

func intScalar(v int64) scalar {
	if v < 0 {
		return scalar{class: classNumber, form: formInt, n: uint64(v)}
	}
	return scalar{class: classNumber, form: formUint, n: uint64(v)}
}

func floatScalar(f float64) scalar {
	// NaN is not in the order of numbers.
	if f != f {
		return scalar{class: classOther}
	}
	return scalar{class: classNumber, form: formFloat, n: math.Float64bits(f)}
}

// comparable reports whether compare may be asked about the two.
func (s *scalar) comparable(lit *scalar) bool { return s.class == lit.class && s.class > classOther }

// compare returns the order of two scalars of one class. lit is a literal. No number is rounded for it.
func compare(s, lit *scalar) int {
	switch s.class {
	case classNumber:
		return compareNumbers(s, lit)
	case classTime:
		return cmp.Or(cmp.Compare(int64(s.n), int64(lit.n)), cmp.Compare(s.nsec, lit.nsec))
	case classBool:
		return cmp.Compare(s.n, lit.n)
	}
	return bytes.Compare(s.text, lit.text)
}

func (s *scalar) float() float64 { return math.Float64frombits(s.n) }

func compareNumbers(s, lit *scalar) int {
	switch {
	case s.form == formDigits:
		return compareDigits(s, lit)
	case s.form == formFloat && lit.form == formFloat:
		return cmp.Compare(s.float(), lit.float())
	case s.form == formFloat:
		return -compareMixed(lit, s.float())
	case lit.form == formFloat:
		return compareMixed(s, lit.float())
	case s.form != lit.form:
		// One of them is negative, the other is not.
		return cmp.Compare(lit.form, s.form)
	}
	// Of two's complements of the same sign the order is that of the bits.
	return cmp.Compare(s.n, lit.n)
}

// compareMixed compares an integer with a float. It compares whole numbers first, and then the fraction that the float may have: a float
// with a fraction is small enough to be told from the whole number beside it.
func compareMixed(s *scalar, f float64) int {
	if s.form == formInt {
		switch {
		case f >= 0:
			return -1
		case f < math.MinInt64:
			return 1
		}
		whole := int64(f)
		return cmp.Or(cmp.Compare(int64(s.n), whole), cmp.Compare(float64(whole), f))
	}

	switch {
	case f < 0:
		return 1
	case f >= 1<<64:
		return -1
	}
	whole := uint64(f)
	return cmp.Or(cmp.Compare(s.n, whole), cmp.Compare(float64(whole), f))
}

// compareDigits compares an integer beyond 64 bits.
func compareDigits(s, lit *scalar) int {
	sign := 1
	if s.text[0] == '-' {
		sign = -1
	}
	if lit.form != formFloat {
		return sign
	}

	// Rounding keeps the order, so only numbers that round to the float itself are left.
	f := lit.float()
	rounded, _ := strconv.ParseFloat(textOf(s.text), 64) // infinite where it is beyond all floats
	if c := cmp.Compare(rounded, f); c != 0 {
		return c
	}
	var buf [320]byte // the largest float has 309 digits
	exact := strconv.AppendFloat(buf[:0], f, 'f', 0, 64)
	return sign * cmp.Or(cmp.Compare(len(s.text), len(exact)), bytes.Compare(s.text, exact))
}

// set is the values of an IN.
type set struct {
	list    []scalar // in order, by class first; without those that compare with nothing
	classes uint8    // a bit for each class that a value has
}

func newSet(values []any) set {
	var s set
	for _, v := range values {
		lit := literal(v)
		s.classes |= 1 << lit.class
		if lit.class > classOther {
			s.list = append(s.list, lit)
		}
	}
	slices.SortFunc(s.list, func(a, b scalar) int { return order(&a, &b) })
	return s
}

// order orders scalars by their classes first. lit is a literal.
func order(s, lit *scalar) int {
	if s.class != lit.class {
		return cmp.Compare(s.class, lit.class)
	}
	return compare(s, lit)
}

// has reports whether s equals one of the values. It is unknown if none equals it and one does not compare with it.
func (set *set) has(s *scalar) Truth {
	if s.class <= classOther {
		return Unknown
	}

	// Written out: given to a search function, s would be moved to the heap.
	for low, high := 0, len(set.list); low < high; {
		mid := int(uint(low+high) / 2)
		switch c := order(s, &set.list[mid]); {
		case c == 0:
			return True
		case c < 0:
			high = mid
		default:
			low = mid + 1
		}
	}
	if set.classes&^(1<<s.class) != 0 {
		return Unknown
	}
	return False
}

// textOf returns b as a string without copying it. The string must not be kept.
func textOf(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
