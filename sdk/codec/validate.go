package codec

import (
	"bytes"
	"errors"
	"fmt"
)

// MaxDepth is how deep arrays and maps may nest in what this package encodes and decodes.
const MaxDepth = 64

// Limits bound a value beyond what its number of bytes does. A zero field means its default.
type Limits struct {
	Depth    int // how deep arrays and maps may nest; default MaxDepth
	Elements int // values in all, keys and containers included; default as many as there are bytes
}

// Validate checks that b is exactly one value within lim, without decoding it. Every length must fit into the bytes that are left, and
// nothing may follow the value. c1 must not occur, the only extension is the timestamp, and no map key contains NaN. Validate accepts
// forms that are not canonical. It allocates nothing for what it accepts, and lim.Depth bounds its stack. It returns an error wrapping
// ErrMalformed that names the place.
//
// NOTE: that no two keys of a map are the same value is found out by decoding.
func Validate(b []byte, lim Limits) error {
	s := scanner{b: b, maxDepth: lim.Depth, left: lim.Elements}
	if s.maxDepth <= 0 {
		s.maxDepth = MaxDepth
	}
	if s.left <= 0 {
		s.left = len(b)
	}
	return s.whole()
}

var (
	errDepth     = errors.New("it nests too deeply")
	errElements  = errors.New("too many elements")
	errNaNKey    = errors.New("NaN in a map key")
	errDuplicate = errors.New("a map key occurs twice")
)

func malformed(err error, at int) error {
	return fmt.Errorf("%w: %w (byte %d)", ErrMalformed, err, at)
}

// scanner walks bytes that may be anything.
type scanner struct {
	b        []byte
	pos      int
	maxDepth int
	left     int  // values that may still come
	loose    bool // something was not in its canonical form
}

// whole checks that b is one value.
func (s *scanner) whole() error {
	if err := s.value(0, false); err != nil {
		return malformed(err, s.pos)
	}
	if s.pos != len(s.b) {
		return malformed(errTrailing, s.pos)
	}
	return nil
}

// value steps over one value that stands in depth containers. inKey says that it is part of a map key.
func (s *scanner) value(depth int, inKey bool) error {
	t, err := readToken(s.b[s.pos:])
	if err != nil {
		return err
	}

	// By default there are as many values as bytes at most, since each takes at least one.
	if s.left--; s.left < 0 {
		return errElements
	}
	if (t.fam == famArray || t.fam == famMap) && depth >= s.maxDepth {
		return errDepth
	}
	if f := t.float(); inKey && t.fam == famFloat && f != f {
		return errNaNKey
	}

	s.loose = s.loose || !t.ok
	s.pos += t.end()

	// The stack is as deep as the value, and maxDepth bounds that.
	switch t.fam {
	case famArray:
		for range t.n {
			if err := s.value(depth+1, inKey); err != nil {
				return err
			}
		}
	case famMap:
		var last []byte
		for i := range t.n {
			at := s.pos
			if err := s.value(depth+1, true); err != nil {
				return err
			}

			key := s.b[at:s.pos]
			if i > 0 {
				// A key that occurs twice shows here only if the keys are in order. Others are sorted later, and checked then.
				switch order := bytes.Compare(last, key); {
				case order == 0:
					return errDuplicate
				case order > 0:
					s.loose = true
				}
			}

			last = key
			if err := s.value(depth+1, inKey); err != nil {
				return err
			}
		}
	}
	return nil
}
