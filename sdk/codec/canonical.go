package codec

import (
	"fmt"
	"math"
)

// Canonical appends b, one valid value, to dst in its canonical form. It returns errors wrapping ErrMalformed, also for a
// map in which a key occurs twice; then dst is returned as it was. It keeps neither slice.
func Canonical(dst, b []byte) ([]byte, error) {
	s := scanner{b: b, maxDepth: MaxDepth, left: len(b)}
	if err := s.whole(); err != nil {
		return dst, err
	}
	// Most bytes that come from this codec are canonical already.
	if !s.loose {
		return append(dst, b...), nil
	}

	e := getEncoder(dst)
	defer putEncoder(e)
	if err := e.rewriteWhole(b); err != nil {
		return dst, err
	}
	return e.dst, nil
}

// rewriteWhole appends b, which a scanner has accepted, in canonical form.
func (e *encoder) rewriteWhole(b []byte) error {
	_, err := e.rewrite(b)
	return err
}

// rewrite appends the value that b begins with in canonical form and returns what follows it. b has been scanned.
func (e *encoder) rewrite(b []byte) (rest []byte, err error) {
	t, err := readToken(b)
	if err != nil {
		return nil, malformed(err, 0)
	}

	// The scan has checked lengths and depth, so nothing here reads beyond b.
	body := b[t.size:]
	switch t.fam {
	case famNil:
		e.dst = append(e.dst, codeNil)
	case famBool:
		e.dst = appendBool(e.dst, t.n != 0)
	case famUint:
		e.dst = appendUint(e.dst, t.n)
	case famInt:
		e.dst = appendInt(e.dst, int64(t.n))
	case famFloat:
		e.appendFloat(math.Float64frombits(t.n))
	case famTime:
		sec, nsec := t.instant(b)
		e.dst = appendInstant(e.dst, sec, nsec)
	case famString:
		e.dst = append(appendStringHeader(e.dst, int(t.n)), body[:t.n]...)
		body = body[t.n:]
	case famBytes:
		e.dst = append(appendBytesHeader(e.dst, int(t.n)), body[:t.n]...)
		body = body[t.n:]
	case famArray:
		// What is written here may stand inside other containers, so the depth is counted as in the encoder.
		if err := e.enter(); err != nil {
			return nil, err
		}
		e.dst = appendArrayHeader(e.dst, int(t.n))
		for range t.n {
			if body, err = e.rewrite(body); err != nil {
				return nil, err
			}
		}
		e.depth--
	case famMap:
		base, err := e.beginMap(int(t.n))
		if err != nil {
			return nil, err
		}
		// Entries are written in the order of b and sorted by endMap.
		start := len(e.dst)
		for range t.n {
			at := len(e.dst)
			if body, err = e.rewrite(body); err != nil {
				return nil, err
			}
			mid := len(e.dst)
			if body, err = e.rewrite(body); err != nil {
				return nil, err
			}
			// Keys are compared by their canonical bytes, so the order in b says nothing.
			e.entries = append(e.entries, entry{at, mid, len(e.dst)})
		}

		if err := e.endMap(base, start); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrMalformed, errDuplicate)
		}
	}
	return body, nil
}
