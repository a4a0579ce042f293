package predicate

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/gridiron-io/gridiron/sdk/codec"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Path leads to an attribute.
type Path struct {
	Key   bool // from the entry's key, not from its value
	Steps []Step
}

// StepKind is what a Step does.
type StepKind uint8

// The kinds of steps.
const (
	StepName  StepKind = iota // to the value of a key that is a string
	StepIndex                 // to an element of a list
	StepAny                   // to each of the elements
)

// Step leads from a value into it.
type Step struct {
	Kind  StepKind
	Name  string
	Index int // from 0
}

// The words for where a path begins. In quotes they are names.
const (
	thisWord = "this"
	keyWord  = "__key"
)

// maxIndex is the largest index. No list of a value has as many elements.
const maxIndex = 1e9

// ParsePath reads a path such as "a.b[0]", "__key" or "this". Within double quotes each character is part of a name, and two of the
// quotes are one. Without quotes a name ends before . and [. It returns errors wrapping wire.ErrMalformed.
func ParsePath(text string) (Path, error) {
	p := pathParser{text: text, bare: func(c byte) bool { return c != '.' && c != '[' && c != ']' && c != '"' }}
	path, err := p.path()
	if err == nil && p.pos < len(text) {
		err = p.unexpected("a . or [")
	}
	if err != nil {
		return Path{}, fmt.Errorf("the attribute %q: %w", shortened(text), err)
	}
	return path, nil
}

// pathParser reads the path that stands at pos.
type pathParser struct {
	text string
	pos  int
	bare func(c byte) bool // whether a name without quotes may have c
}

// unexpected returns an error about what stands at pos.
func (p *pathParser) unexpected(want string) error { return unexpected(p.text, p.pos, p.pos+1, want) }

// at reports whether c stands at pos.
func (p *pathParser) at(c byte) bool { return p.pos < len(p.text) && p.text[p.pos] == c }

func (p *pathParser) path() (out Path, err error) {
	start := p.pos
	quoted := p.at('"')
	name, err := p.name()
	if err != nil {
		return Path{}, err
	}

	switch {
	case !quoted && name == keyWord:
		out.Key = true
	case quoted || name != thisWord:
		out.Steps = append(out.Steps, Step{Kind: StepName, Name: name})
	}

	for p.at('.') || p.at('[') {
		// No value nests as deeply, so nothing is lost.
		if len(out.Steps) == codec.MaxDepth {
			return Path{}, unexpected(p.text, start, p.pos, fmt.Sprintf("a path of at most %d steps", codec.MaxDepth))
		}
		step, err := p.step()
		if err != nil {
			return Path{}, err
		}
		out.Steps = append(out.Steps, step)
	}
	return out, nil
}

// step reads what begins with a . or a [.
func (p *pathParser) step() (Step, error) {
	p.pos++
	if p.text[p.pos-1] == '.' {
		name, err := p.name()
		return Step{Kind: StepName, Name: name}, err
	}

	start := p.pos
	for p.pos < len(p.text) && isWord(p.text[p.pos]) {
		p.pos++
	}
	inside := p.text[start:p.pos]

	step := Step{Kind: StepAny}
	if !strings.EqualFold(inside, "any") {
		n, err := strconv.ParseUint(inside, 10, 32)
		if err != nil || n > maxIndex {
			return Step{}, unexpected(p.text, start, max(p.pos, start+1), "an index or any")
		}
		step = Step{Kind: StepIndex, Index: int(n)}
	}

	if !p.at(']') {
		return Step{}, p.unexpected("]")
	}
	p.pos++
	return step, nil
}

// name reads a name, with or without quotes.
func (p *pathParser) name() (string, error) {
	if p.at('"') {
		name, end, ok := unquoted(p.text, p.pos)
		if !ok {
			return "", unexpected(p.text, p.pos, len(p.text), "a name in quotes that ends")
		}
		p.pos = end
		return name, nil
	}

	start := p.pos
	for p.pos < len(p.text) && p.bare(p.text[p.pos]) {
		p.pos++
	}
	if p.pos == start {
		return "", p.unexpected("a name")
	}
	return p.text[start:p.pos], nil
}

// unquoted returns what stands within the quotes that begin at pos, and what is behind them. It is not ok if they do not end.
func unquoted(text string, pos int) (s string, end int, ok bool) {
	quote := text[pos : pos+1]
	var b strings.Builder
	for pos++; ; {
		n := strings.Index(text[pos:], quote)
		if n < 0 {
			return "", 0, false
		}
		b.WriteString(text[pos : pos+n])
		pos += n + 1

		// Two quotes are one character.
		if !strings.HasPrefix(text[pos:], quote) {
			return b.String(), pos, true
		}
		b.WriteString(quote)
		pos++
	}
}

// String returns the path as it stands in texts.
func (p Path) String() string { return string(p.appendText(nil)) }

func (p Path) appendText(dst []byte) []byte {
	steps := p.Steps
	switch {
	case p.Key:
		dst = append(dst, keyWord...)
	case len(steps) == 0 || steps[0].Kind != StepName:
		dst = append(dst, thisWord...)
	default:
		// The first name stands where a word of the language could.
		name := steps[0].Name
		if isBare(name) && !keyword(name) && name != thisWord && name != keyWord {
			dst = append(dst, name...)
		} else {
			dst = appendQuoted(dst, name, '"')
		}
		steps = steps[1:]
	}

	for _, s := range steps {
		switch {
		case s.Kind == StepAny:
			dst = append(dst, "[any]"...)
		case s.Kind == StepIndex:
			dst = append(strconv.AppendInt(append(dst, '['), int64(s.Index), 10), ']')
		case isBare(s.Name):
			dst = append(append(dst, '.'), s.Name...)
		default:
			dst = appendQuoted(append(dst, '.'), s.Name, '"')
		}
	}
	return dst
}

// isWord reports whether a word of a text may have c. It begins with no digit.
func isWord(c byte) bool {
	return c >= 0x80 || c == '_' || c == '$' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// isBare reports whether a name needs no quotes in texts.
func isBare(name string) bool {
	if name == "" || isDigit(name[0]) {
		return false
	}
	for i := range len(name) {
		if !isWord(name[i]) {
			return false
		}
	}
	return true
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// shortened returns the beginning of a text that is too long for a message.
func shortened(s string) string {
	const most = 40
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}

// SyntaxError says where a text is no predicate, or no path.
type SyntaxError struct {
	Pos  int    // byte, from 1, at which what does not fit begins
	Want string // what was expected there
	Got  string // what stands there; "" at the end of the text
}

// Error returns where the error is, what was expected there, and what was found.
func (e *SyntaxError) Error() string { return wire.ErrMalformed.Error() + ": " + e.Problem() }

// Problem returns the error without the words of the one that it wraps.
func (e *SyntaxError) Problem() string {
	got := "the end"
	if e.Got != "" {
		got = strconv.Quote(e.Got)
	}
	return fmt.Sprintf("position %d: expected %s, found %s", e.Pos, e.Want, got)
}

// Unwrap returns wire.ErrMalformed.
func (e *SyntaxError) Unwrap() error { return wire.ErrMalformed }

// unexpected returns the error about what stands in text from begin to end.
func unexpected(text string, begin, end int, want string) error {
	return &SyntaxError{Pos: begin + 1, Want: want, Got: shortened(text[min(begin, len(text)):min(end, len(text))])}
}
