package query

import (
	"bytes"
	"unicode"
	"unicode/utf8"
)

// pattern is one of LIKE or ILIKE. Characters are those of UTF-8; a byte that is part of none is a character that only _ and % match.
type pattern struct {
	fold bool // letters match in any case

	// pieces stand between the %s. With one of them there is no %, and all of the text must match it.
	pieces []piece
}

// piece is what a pattern has between two %s. It matches texts of a fixed number of characters.
type piece struct {
	lead     int // _s before the first element
	elements []element
}

// element is characters that stand for themselves, and the _s that follow them.
type element struct {
	text  []byte
	runes []rune // text, folded; of ILIKE alone
	after int
}

// newPattern reads a pattern that package predicate has checked.
func newPattern(p string, fold bool) pattern {
	out := pattern{fold: fold, pieces: make([]piece, 1)}
	escaped := false
	for _, r := range p {
		at := &out.pieces[len(out.pieces)-1]
		switch {
		case escaped:
			escaped = false
			at.add(r, fold)
		case r == '\\':
			escaped = true
		case r == '%':
			out.pieces = append(out.pieces, piece{})
		case r == '_' && len(at.elements) == 0:
			at.lead++
		case r == '_':
			at.elements[len(at.elements)-1].after++
		default:
			at.add(r, fold)
		}
	}
	return out
}

// add appends a character that stands for itself.
func (p *piece) add(r rune, fold bool) {
	if n := len(p.elements); n == 0 || p.elements[n-1].after > 0 {
		p.elements = append(p.elements, element{})
	}
	e := &p.elements[len(p.elements)-1]
	e.text = utf8.AppendRune(e.text, r)
	if fold {
		e.runes = append(e.runes, folded(r))
	}
}

// folded returns the same character for all cases of one: the first of those that Unicode's simple folding holds equal.
func folded(r rune) rune {
	if r < utf8.RuneSelf {
		if 'a' <= r && r <= 'z' {
			r -= 'a' - 'A'
		}
		return r
	}
	least := r
	for x := unicode.SimpleFold(r); x != r; x = unicode.SimpleFold(x) {
		least = min(least, x)
	}
	return least
}

// match reports whether all of text matches, in time proportional to the product of the lengths at most. It counts down work, and gives
// up below zero.
func (p *pattern) match(text []byte, work *int) bool {
	*work -= len(text)
	first, last := &p.pieces[0], &p.pieces[len(p.pieces)-1]
	n, ok := p.begins(text, first, work)
	if !ok || len(p.pieces) == 1 {
		return ok && n == len(text)
	}

	text = text[n:]
	if n, ok = p.ends(text, last, work); !ok {
		return false
	}
	text = text[:len(text)-n]

	// The first place that matches leaves the most for the pieces behind it, so no other need be tried.
	for i := 1; i < len(p.pieces)-1; i++ {
		if n, ok = p.find(text, &p.pieces[i], work); !ok {
			return false
		}
		text = text[n:]
	}
	return true
}

// begins returns how many bytes of text the piece matches from the first on.
func (p *pattern) begins(text []byte, x *piece, work *int) (n int, ok bool) {
	n, ok = characters(text, x.lead)
	if !ok {
		return 0, false
	}
	m, ok := p.follow(text[n:], x.elements, work)
	return n + m, ok
}

// follow returns how many bytes of text the elements match from the first on.
func (p *pattern) follow(text []byte, list []element, work *int) (n int, ok bool) {
	for i := range list {
		e := &list[i]
		*work -= len(e.text) + e.after
		if !p.fold {
			if !bytes.HasPrefix(text[n:], e.text) {
				return 0, false
			}
			n += len(e.text)
		}
		for _, want := range e.runes {
			r, size := utf8.DecodeRune(text[n:])
			if !same(r, size, want) {
				return 0, false
			}
			n += size
		}

		size, ok := characters(text[n:], e.after)
		if !ok {
			return 0, false
		}
		n += size
	}
	return n, true
}

// ends returns how many bytes of text the piece matches up to the last.
func (p *pattern) ends(text []byte, x *piece, work *int) (n int, ok bool) {
	left := text
	for i := len(x.elements) - 1; i >= 0; i-- {
		e := &x.elements[i]
		*work -= len(e.text) + e.after
		if left, ok = lastCharacters(left, e.after); !ok {
			return 0, false
		}

		if !p.fold {
			if left, ok = bytes.CutSuffix(left, e.text); !ok {
				return 0, false
			}
		}
		for j := len(e.runes) - 1; j >= 0; j-- {
			r, size := utf8.DecodeLastRune(left)
			if !same(r, size, e.runes[j]) {
				return 0, false
			}
			left = left[:len(left)-size]
		}
	}
	left, ok = lastCharacters(left, x.lead)
	return len(text) - len(left), ok
}

// find returns what is behind the first place in text that matches the piece.
func (p *pattern) find(text []byte, x *piece, work *int) (end int, ok bool) {
	at, ok := characters(text, x.lead)
	if !ok || len(x.elements) == 0 {
		return at, ok
	}

	for *work >= 0 {
		// Without folding, a place that may match is found faster than by trying each.
		if !p.fold {
			i := bytes.Index(text[at:], x.elements[0].text)
			if i < 0 {
				return 0, false
			}
			at += i
		}

		n, ok := p.follow(text[at:], x.elements, work)
		if ok {
			return at + n, true
		}
		if at == len(text) {
			return 0, false
		}
		_, size := utf8.DecodeRune(text[at:])
		at += size
	}
	return 0, false
}

// characters returns how many bytes the first n characters of text take. It is not ok if there are fewer.
func characters(text []byte, n int) (size int, ok bool) {
	for ; n > 0; n-- {
		if size == len(text) {
			return 0, false
		}
		_, m := utf8.DecodeRune(text[size:])
		size += m
	}
	return size, true
}

// lastCharacters returns text without its last n characters. It is not ok if there are fewer.
func lastCharacters(text []byte, n int) (left []byte, ok bool) {
	for ; n > 0; n-- {
		if len(text) == 0 {
			return nil, false
		}
		_, m := utf8.DecodeLastRune(text)
		text = text[:len(text)-m]
	}
	return text, true
}

// same reports whether a decoded character is the folded one.
func same(r rune, size int, want rune) bool {
	// No size is the end, and U+FFFD of one byte is no character.
	if size == 0 || r == utf8.RuneError && size == 1 {
		return false
	}
	return r == want || folded(r) == want
}
