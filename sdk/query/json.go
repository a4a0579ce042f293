package query

import (
	"bytes"
	"errors"
	"math"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/gridiron-io/gridiron/sdk/codec"
)

// JSON is read without decoding it, and no more of it than leads to an attribute.

var errJSON = errors.New("malformed JSON")

func opening(entries bool) byte {
	if entries {
		return '{'
	}
	return '['
}

func closing(entries bool) byte {
	if entries {
		return '}'
	}
	return ']'
}

// space returns where white space ends that begins at i.
func space(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\n' || b[i] == '\r') {
		i++
	}
	return i
}

// stringEnd returns what is behind the string that begins at i, or -1.
func stringEnd(b []byte, i int) int {
	if i == len(b) || b[i] != '"' {
		return -1
	}
	for i++; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			return i + 1
		case c == '\\':
			i++
		case c < 0x20:
			return -1
		}
	}
	return -1
}

// nameEnd returns where the value begins whose name begins at i, and where the name ends; or -1.
func nameEnd(b []byte, i int) (value, end int) {
	end = stringEnd(b, i)
	if end < 0 {
		return -1, 0
	}
	if i = space(b, end); i == len(b) || b[i] != ':' {
		return -1, 0
	}
	return i + 1, end
}

// simpleEnd returns what is behind the string, number or word that begins at i, or -1.
func simpleEnd(b []byte, i int) int {
	if b[i] == '"' {
		return stringEnd(b, i)
	}
	for _, word := range [...]string{"true", "false", "null"} {
		if b[i] == word[0] && len(b)-i >= len(word) && string(b[i:i+len(word)]) == word {
			return i + len(word)
		}
	}
	end, _ := numberEnd(b, i)
	return end
}

// numberEnd returns what is behind the number that begins at i, or -1, and whether the number is written as an integer.
func numberEnd(b []byte, i int) (end int, integer bool) {
	digits := func() bool {
		start := i
		for i < len(b) && b[i] >= '0' && b[i] <= '9' {
			i++
		}
		return i > start
	}

	if i < len(b) && b[i] == '-' {
		i++
	}
	// No digit follows a 0 that comes first.
	if i < len(b) && b[i] == '0' {
		i++
	} else if !digits() {
		return -1, false
	}

	integer = true
	if i < len(b) && b[i] == '.' {
		i, integer = i+1, false
		if !digits() {
			return -1, false
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		i, integer = i+1, false
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		if !digits() {
			return -1, false
		}
	}
	return i, integer
}

// skipJSON returns what is behind the value that b begins with, or -1. It needs no stack for what nests.
func skipJSON(b []byte) int {
	depth, entries := 0, uint64(0) // entries has a bit for each container around, the lowest for the innermost: 1 for an object
	for i := 0; ; {
		// Here begins a value.
		i = space(b, i)
		if i == len(b) {
			return -1
		}

		if object := b[i] == '{'; object || b[i] == '[' {
			if depth == codec.MaxDepth {
				return -1
			}
			depth++
			if entries <<= 1; object {
				entries |= 1
			}

			i = space(b, i+1)
			if i == len(b) || b[i] != closing(object) {
				if object {
					if i, _ = nameEnd(b, i); i < 0 {
						return -1
					}
				}
				continue
			}
			// It is empty, and ends below.
		} else if i = simpleEnd(b, i); i < 0 {
			return -1
		}

		// Here a value has ended, or ends a container.
		for depth > 0 {
			object := entries&1 == 1
			i = space(b, i)
			if i == len(b) {
				return -1
			}
			if b[i] == ',' {
				break
			}
			if b[i] != closing(object) {
				return -1
			}
			i++
			depth--
			entries >>= 1
		}
		if depth == 0 {
			return i
		}

		i = space(b, i+1)
		if entries&1 == 1 {
			if i, _ = nameEnd(b, i); i < 0 {
				return -1
			}
		}
	}
}

// nextJSON is next for JSON.
func (e *evaluation) nextJSON(c *cursor) bool {
	i := 0
	if c.begun {
		if i = skipJSON(c.b); i < 0 {
			e.fail(errJSON)
			return false
		}
	}

	// A comma stands between elements, and none before the first.
	i = space(c.b, i)
	switch {
	case i == len(c.b):
		e.fail(errJSON)
		return false
	case c.b[i] == closing(c.entries):
		return false
	case c.begun && c.b[i] != ',':
		e.fail(errJSON)
		return false
	case c.begun:
		i = space(c.b, i+1)
	}
	c.begun = true

	if c.entries {
		value, end := nameEnd(c.b, i)
		if value < 0 {
			e.fail(errJSON)
			return false
		}
		c.name, i = c.b[i+1:end-1], value
	}
	c.b = c.b[i:]
	return e.charge(i + 1)
}

// readJSON is read for JSON.
func (e *evaluation) readJSON(b []byte, whole bool) (scalar, bool) {
	b = b[space(b, 0):]
	if len(b) > 0 && (b[0] == '{' || b[0] == '[') {
		return scalar{class: classOther}, true
	}

	end := -1
	if len(b) > 0 {
		end = simpleEnd(b, 0)
	}
	if end < 0 || whole && space(b, end) != len(b) {
		e.fail(errJSON)
		return scalar{}, false
	}

	text := b[:end]
	switch text[0] {
	case 'n':
		return scalar{class: classNull}, true
	case 't', 'f':
		return boolScalar(text[0] == 't'), true
	case '"':
		s, ok := unescaped(text[1 : end-1])
		if !ok {
			e.fail(errJSON)
		}
		return scalar{class: classString, text: s}, ok && e.charge(end)
	}
	return jsonNumber(text), true
}

// jsonNumber returns a number. One with a fraction or an exponent is the float64 next to it, as for all who read JSON into floats.
func jsonNumber(text []byte) scalar {
	_, integer := numberEnd(text, 0)
	if !integer {
		f, _ := strconv.ParseFloat(textOf(text), 64) // infinite where it is beyond all floats
		return floatScalar(f)
	}

	digits := bytes.TrimPrefix(text, []byte("-"))
	n := uint64(0)
	for _, c := range digits {
		d := uint64(c - '0')
		if n > (math.MaxUint64-d)/10 {
			return scalar{class: classNumber, form: formDigits, text: text}
		}
		n = n*10 + d
	}
	switch {
	case len(digits) == len(text) || n == 0:
		return scalar{class: classNumber, form: formUint, n: n}
	case n > 1<<63:
		return scalar{class: classNumber, form: formDigits, text: text}
	}
	return scalar{class: classNumber, form: formInt, n: -n}
}

// isJSONName reports whether a name, as it stands between its quotes, is the given one.
func isJSONName(raw []byte, name string) bool {
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw) == name
	}
	s, ok := unescaped(raw)
	return ok && string(s) == name
}

// unescaped returns the string that stands between quotes as raw. Without a backslash nothing is copied. It is not ok if raw has an
// escape that is none.
func unescaped(raw []byte) ([]byte, bool) {
	at := bytes.IndexByte(raw, '\\')
	if at < 0 {
		return raw, true
	}

	out := append(make([]byte, 0, len(raw)), raw[:at]...)
	for rest := raw[at:]; len(rest) > 0; {
		if rest[0] != '\\' {
			out, rest = append(out, rest[0]), rest[1:]
			continue
		}

		// stringEnd has seen that a character follows each backslash.
		c := rest[1]
		rest = rest[2:]
		switch c {
		case '"', '\\', '/':
			out = append(out, c)
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			r, ok := hex4(rest)
			if !ok {
				return nil, false
			}
			rest = rest[4:]

			// A character beyond 16 bits is written as two halves. A half alone is replaced, as package encoding/json does.
			if utf16.IsSurrogate(r) {
				pair := rune(utf8.RuneError)
				if len(rest) >= 6 && rest[0] == '\\' && rest[1] == 'u' {
					if low, ok := hex4(rest[2:]); ok {
						pair = utf16.DecodeRune(r, low)
					}
				}
				if r = pair; r != utf8.RuneError {
					rest = rest[6:]
				}
			}
			out = utf8.AppendRune(out, r)
		default:
			return nil, false
		}
	}
	return out, true
}

// hex4 reads four hexadecimal digits.
func hex4(b []byte) (rune, bool) {
	if len(b) < 4 {
		return 0, false
	}
	n, err := strconv.ParseUint(textOf(b[:4]), 16, 16)
	return rune(n), err == nil
}
