package codec

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

var (
	// ErrNotJSON means that a text is not one value of JSON.
	ErrNotJSON = errors.New("not JSON")

	// ErrInexact means that a part of the JSON would be lost if it were stored.
	ErrInexact = errors.New("would not be stored as it is written")
)

// FromJSON returns the value that a person means by text: its value as JSON, as ParseJSON reads it, or else the text itself as a
// string. It returns errors wrapping ErrInexact, because such text is JSON and must not be taken for a string.
func FromJSON(text string) (any, error) {
	v, err := ParseJSON(text)
	if errors.Is(err, ErrNotJSON) {
		return text, nil
	}
	return v, err
}

// ParseJSON returns what text says as JSON, as Msgpack decodes it into an any. Numbers without fraction and exponent are
// int64, or uint64 above its range; the others are float64. It returns errors wrapping ErrNotJSON, and ErrInexact for
//
//   - integers beyond 64 bits, and other numbers that a float64 would show as another one: too large, too small, or with
//     more digits than it keeps,
//   - objects in which a name stands twice, of which only one value would be kept,
//   - strings with bytes that are not UTF-8 or with half of a surrogate pair, which would be replaced.
func ParseJSON(text string) (any, error) {
	b := []byte(text)
	if !json.Valid(b) {
		var raw json.RawMessage // for what the error says
		return nil, fmt.Errorf("%w: %w", ErrNotJSON, json.Unmarshal(b, &raw))
	}

	// The text is valid from here on, so the parser looks at no more than it needs and never runs beyond the end.
	p := jsonParser{b: b}
	v, err := p.value()
	if err != nil {
		return nil, err
	}
	return v, nil
}

// jsonParser reads a text that is JSON: what it looks for is what the grammar leaves open.
type jsonParser struct {
	b   []byte
	pos int
}

// next steps over white space and returns the byte that follows.
func (p *jsonParser) next() byte {
	for p.b[p.pos] == ' ' || p.b[p.pos] == '\t' || p.b[p.pos] == '\n' || p.b[p.pos] == '\r' {
		p.pos++
	}
	return p.b[p.pos]
}

func (p *jsonParser) value() (any, error) {
	switch p.next() {
	case '{':
		return p.object()
	case '[':
		return p.array()
	case '"':
		return p.string()
	case 't':
		p.pos += len("true")
		return true, nil
	case 'f':
		p.pos += len("false")
		return false, nil
	case 'n':
		p.pos += len("null")
		return nil, nil
	}
	return p.number()
}

func (p *jsonParser) array() (any, error) {
	p.pos++
	list := []any{}
	for p.next() != ']' {
		if len(list) > 0 {
			p.pos++ // the comma
		}
		v, err := p.value()
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	p.pos++
	return list, nil
}

func (p *jsonParser) object() (any, error) {
	p.pos++
	m := map[string]any{}

	for p.next() != '}' {
		if len(m) > 0 {
			p.pos++ // the comma
			p.next()
		}
		name, err := p.string()
		if err != nil {
			return nil, err
		}

		if _, twice := m[name]; twice {
			return nil, fmt.Errorf("%w: the name %q stands twice in an object", ErrInexact, shortened(name))
		}

		p.next()
		p.pos++ // the colon
		if m[name], err = p.value(); err != nil {
			return nil, err
		}
	}
	p.pos++
	return m, nil
}

// string reads a string, which begins here.
func (p *jsonParser) string() (string, error) {
	p.pos++
	start := p.pos
	for p.b[p.pos] != '"' && p.b[p.pos] != '\\' {
		p.pos++
	}
	out := p.b[start:p.pos] // without escapes, all there is
	// The text itself must not be overwritten by what an escape stands for.
	if p.b[p.pos] == '\\' {
		out = bytes.Clone(out)
	}

	for p.b[p.pos] != '"' {
		c := p.b[p.pos]
		p.pos++
		if c != '\\' {
			out = append(out, c)
			continue
		}

		c = p.b[p.pos]
		p.pos++
		switch c {
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
			r, err := p.escaped()
			if err != nil {
				return "", err
			}
			out = utf8.AppendRune(out, r)
		default: // a quote, a slash or a backslash
			out = append(out, c)
		}
	}
	p.pos++

	if !utf8.Valid(out) {
		return "", fmt.Errorf("%w: the string %s is not UTF-8", ErrInexact, strconv.QuoteToASCII(shortened(string(out))))
	}
	return string(out), nil
}

// escaped reads the digits that follow \u, and the second half of a pair.
func (p *jsonParser) escaped() (rune, error) {
	r := p.hex()
	if !utf16.IsSurrogate(r) {
		return r, nil
	}

	// A character beyond 16 bits is written as two halves.
	if p.b[p.pos] == '\\' && p.b[p.pos+1] == 'u' {
		p.pos += 2
		if pair := utf16.DecodeRune(r, p.hex()); pair != utf8.RuneError {
			return pair, nil
		}
	}
	return 0, fmt.Errorf(`%w: \u%04x is half of a surrogate pair`, ErrInexact, r)
}

func (p *jsonParser) hex() rune {
	n, err := strconv.ParseUint(string(p.b[p.pos:p.pos+4]), 16, 16)
	if err != nil {
		panic(fmt.Sprintf("codec: JSON with the escape %q was taken for valid", p.b[p.pos:p.pos+4]))
	}
	p.pos += 4
	return rune(n)
}

func (p *jsonParser) number() (any, error) {
	start := p.pos
	for p.pos < len(p.b) && strings.IndexByte("+-.eE0123456789", p.b[p.pos]) >= 0 {
		p.pos++
	}

	text := string(p.b[start:p.pos])
	if !strings.ContainsAny(text, ".eE") {
		// Integers keep all their digits, which a float64 would not.
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return n, nil
		}
		if n, err := strconv.ParseUint(text, 10, 64); err == nil {
			return n, nil
		}
		return nil, fmt.Errorf("%w: the integer %s does not fit into 64 bits, a string in quotes keeps it", ErrInexact, shortened(text))
	}

	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(f, 0) {
		return nil, fmt.Errorf("%w: the number %s does not fit into a float64, a string in quotes keeps it", ErrInexact, shortened(text))
	}

	// A number that would be shown as another one is refused here, rather than changed in silence.
	if shown := string(appendJSONFloat(nil, f)); !sameNumber(text, shown) {
		return nil, fmt.Errorf("%w: the number %s would become %s, a string in quotes keeps it", ErrInexact, shortened(text), shown)
	}
	return f, nil
}

// sameNumber reports whether two numbers of JSON are equal as decimals, however they are written.
func sameNumber(a, b string) bool {
	x, okX := decimalOf(a)
	y, okY := decimalOf(b)
	return okX && okY && x == y
}

// decimal is the number 0.digits times ten to the power of exp. Its digits begin and end with another one than 0; zero has
// none, and no exponent.
type decimal struct {
	negative bool
	digits   string
	exp      int64
}

// decimalOf reads a number of JSON. It is not ok if its exponent is beyond what any float64 has.
func decimalOf(text string) (d decimal, ok bool) {
	text, d.negative = strings.CutPrefix(text, "-")
	exponent := ""
	if at := strings.IndexAny(text, "eE"); at >= 0 {
		text, exponent = text[:at], strings.TrimPrefix(text[at+1:], "+")
	}

	// The number becomes 0.digits times ten to the exp, in which equal numbers have equal parts.
	whole, fraction, _ := strings.Cut(text, ".")
	d.exp = int64(len(whole))
	all := whole + fraction
	significant := strings.TrimLeft(all, "0")
	d.exp -= int64(len(all) - len(significant))

	// Zero has no digits, whatever its exponent.
	if d.digits = strings.TrimRight(significant, "0"); d.digits == "" {
		d.exp = 0
		return d, true
	}

	if exponent != "" {
		e, err := strconv.ParseInt(exponent, 10, 32)
		if err != nil {
			return d, false
		}
		d.exp += e
	}
	return d, true
}

// shortened returns the beginning of a text that is too long for a message.
func shortened(s string) string {
	const most = 60
	if len(s) <= most {
		return s
	}
	return fmt.Sprintf("%s… (%d characters)", s[:most], len(s))
}
