package predicate

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gridiron-io/gridiron/sdk/codec"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Parse reads the text of a predicate. The grammar, in which words may be in any case:
//
//	predicate = and {OR and}
//	and       = not {AND not}
//	not       = NOT not | "(" predicate ")" | path term
//	term      = ("=" | "<>" | "!=" | "<" | "<=" | ">" | ">=") literal
//	          | [NOT] IN "(" literal {"," literal} ")"
//	          | [NOT] BETWEEN literal AND literal
//	          | [NOT] (LIKE | ILIKE) string [ESCAPE string] | [NOT] GLOB string
//	          | IS [NOT] NULL
//	literal   = string | number | TRUE | FALSE | NULL | "X" hexadecimal string | TIMESTAMP string
//
// It returns a *SyntaxError, or an error wrapping wire.ErrTooLarge.
func Parse(text string) (*Node, error) {
	if len(text) > MaxText {
		return nil, fmt.Errorf("%w: a predicate of %d bytes, the limit is %d", wire.ErrTooLarge, len(text), MaxText)
	}

	p := parser{text: text}
	if err := p.next(); err != nil {
		return nil, err
	}
	n, err := p.or()
	if err != nil {
		return nil, err
	}
	if p.tok.kind != tokenEnd {
		return nil, p.unexpected("AND, OR or the end")
	}
	return n, nil
}

// keywords are never names unless they stand in quotes.
var keywords = []string{"AND", "BETWEEN", "FALSE", "GLOB", "ILIKE", "IN", "IS", "LIKE", "NOT", "NULL", "OR", "TRUE"}

func keyword(word string) bool {
	return slices.ContainsFunc(keywords, func(k string) bool { return strings.EqualFold(k, word) })
}

type tokenKind uint8

const (
	tokenEnd tokenKind = iota
	tokenSymbol
	tokenKeyword // text is in upper case
	tokenPath
	tokenString
	tokenBytes
	tokenNumber
)

// token is a word, a path, a literal or a symbol of the text.
type token struct {
	kind       tokenKind
	begin, end int    // where it stands in the text
	text       string // what it says: of a string, what stands within the quotes
	path       Path
}

// parser reads a text from front to back, one token ahead.
type parser struct {
	text  string
	pos   int // behind tok
	tok   token
	depth int // parentheses and NOTs around tok
}

// unexpected returns the error that tok does not fit.
func (p *parser) unexpected(want string) error {
	return unexpected(p.text, p.tok.begin, p.tok.end, want)
}

// next reads the next token.
func (p *parser) next() error {
	for p.pos < len(p.text) && strings.IndexByte(" \t\r\n", p.text[p.pos]) >= 0 {
		p.pos++
	}

	p.tok = token{kind: tokenEnd, begin: p.pos, end: p.pos}
	if p.pos == len(p.text) {
		return nil
	}
	err := p.scan(p.text[p.pos:])
	p.tok.end = p.pos
	return err
}

// scan reads the token that rest, the text from pos on, begins with.
func (p *parser) scan(rest string) error {
	switch c := rest[0]; {
	case c == '\'':
		return p.scanString(tokenString)
	case (c == 'x' || c == 'X') && strings.HasPrefix(rest[1:], "'"):
		p.pos++
		return p.scanString(tokenBytes)
	case isDigit(c), c == '-' && len(rest) > 1 && isDigit(rest[1]):
		p.scanNumber()
		return nil
	case isWord(c), c == '"':
		return p.scanPath()
	}

	n := 1
	// Two characters where they belong together, else one. What is no symbol at all does not fit anywhere.
	for _, s := range [...]string{"<>", "!=", "<=", ">="} {
		if strings.HasPrefix(rest, s) {
			n = len(s)
		}
	}
	p.tok.kind, p.tok.text = tokenSymbol, rest[:n]
	p.pos += n
	return nil
}

// scanString reads the string whose quote stands at pos.
func (p *parser) scanString(kind tokenKind) error {
	s, end, ok := unquoted(p.text, p.pos)
	if !ok {
		return unexpected(p.text, p.tok.begin, len(p.text), "a string in quotes that ends")
	}
	p.tok.kind, p.tok.text, p.pos = kind, s, end
	return nil
}

// scanNumber takes all that could be meant as one number. Whether it is one turns out where it is used.
func (p *parser) scanNumber() {
	start := p.pos
	for p.pos++; p.pos < len(p.text); p.pos++ {
		c := p.text[p.pos]
		sign := (c == '+' || c == '-') && p.text[p.pos-1]|0x20 == 'e'
		if !isWord(c) && c != '.' && !sign {
			break
		}
	}
	p.tok.kind, p.tok.text = tokenNumber, p.text[start:p.pos]
}

// scanPath reads a path, or a keyword.
func (p *parser) scanPath() error {
	pp := pathParser{text: p.text, pos: p.pos, bare: isWord}
	path, err := pp.path()
	if err != nil {
		return err
	}

	word := p.text[p.pos:pp.pos]
	p.tok.kind, p.tok.text, p.tok.path, p.pos = tokenPath, word, path, pp.pos
	if keyword(word) {
		p.tok.kind, p.tok.text = tokenKeyword, strings.ToUpper(word)
	}
	return nil
}

func (p *parser) isKeyword(word string) bool { return p.tok.kind == tokenKeyword && p.tok.text == word }

func (p *parser) isSymbol(s string) bool { return p.tok.kind == tokenSymbol && p.tok.text == s }

// isPlain reports whether tok is the word, which is a name elsewhere.
func (p *parser) isPlain(word string) bool {
	return p.tok.kind == tokenPath && strings.EqualFold(p.tok.text, word)
}

// take steps over a symbol.
func (p *parser) take(symbol string) error {
	if !p.isSymbol(symbol) {
		return p.unexpected(symbol)
	}
	return p.next()
}

func (p *parser) or() (*Node, error) { return p.list(OpOr, p.and) }

func (p *parser) and() (*Node, error) { return p.list(OpAnd, p.not) }

// list reads what op combines.
func (p *parser) list(op Op, item func() (*Node, error)) (*Node, error) {
	var nodes []*Node
	for {
		n, err := item()
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, n)

		if !p.isKeyword(op.String()) {
			return join(op, nodes), nil
		}
		if err := p.next(); err != nil {
			return nil, err
		}
	}
}

// not reads a term, or what begins with NOT or a parenthesis. They may nest, and depth bounds the stack that this takes.
func (p *parser) not() (*Node, error) {
	negated, open := p.isKeyword("NOT"), p.isSymbol("(")
	if !negated && !open {
		return p.term()
	}

	if p.depth == MaxNesting {
		return nil, p.unexpected(fmt.Sprintf("at most %d parentheses and NOTs around each other", MaxNesting))
	}
	p.depth++
	defer func() { p.depth-- }()
	if err := p.next(); err != nil {
		return nil, err
	}

	if negated {
		n, err := p.not()
		if err != nil {
			return nil, err
		}
		return negate(n), nil
	}

	n, err := p.or()
	if err != nil {
		return nil, err
	}
	if !p.isSymbol(")") {
		return nil, p.unexpected("AND, OR or )")
	}
	return n, p.next()
}

// comparisons are the operators that one literal follows.
var comparisons = map[string]Op{"=": OpEq, "<>": OpNe, "!=": OpNe, "<": OpLt, "<=": OpLe, ">": OpGt, ">=": OpGe}

// term reads a path and what it is compared with.
func (p *parser) term() (*Node, error) {
	if p.tok.kind != tokenPath {
		return nil, p.unexpected("an attribute, NOT or (")
	}
	path := p.tok.path
	if err := p.next(); err != nil {
		return nil, err
	}

	if op, ok := comparisons[p.tok.text]; ok && p.tok.kind == tokenSymbol {
		if err := p.next(); err != nil {
			return nil, err
		}
		v, err := p.literal()
		if err != nil {
			return nil, err
		}
		return newTerm(op, path, []any{v}), nil
	}

	if p.isKeyword("IS") {
		return p.isNull(path)
	}

	want, negated := "a comparison", p.isKeyword("NOT")
	if negated {
		want = "IN, BETWEEN, LIKE or ILIKE, or behind __key GLOB"
		if err := p.next(); err != nil {
			return nil, err
		}
	}

	var n *Node
	var err error
	switch {
	case p.isKeyword("IN"):
		n, err = p.in(path)
	case p.isKeyword("BETWEEN"):
		n, err = p.between(path)
	case p.isKeyword("LIKE"):
		n, err = p.pattern(OpLike, path)
	case p.isKeyword("ILIKE"):
		n, err = p.pattern(OpILike, path)
	case p.isKeyword("GLOB") && path.Key:
		n, err = p.pattern(OpGlob, path)
	default:
		err = p.unexpected(want)
	}
	if err == nil && negated {
		n = negate(n)
	}
	return n, err
}

// isNull reads IS NULL and IS NOT NULL.
func (p *parser) isNull(path Path) (*Node, error) {
	if err := p.next(); err != nil {
		return nil, err
	}
	want, negated := "NULL or NOT", p.isKeyword("NOT")
	if negated {
		want = "NULL"
		if err := p.next(); err != nil {
			return nil, err
		}
	}
	if !p.isKeyword("NULL") {
		return nil, p.unexpected(want)
	}

	n := newTerm(OpIsNull, path, nil)
	if negated {
		n = negate(n)
	}
	return n, p.next()
}

func (p *parser) in(path Path) (*Node, error) {
	if err := p.next(); err != nil {
		return nil, err
	}
	if err := p.take("("); err != nil {
		return nil, err
	}

	var values []any
	for {
		v, err := p.literal()
		if err != nil {
			return nil, err
		}
		values = append(values, v)

		if p.isSymbol(")") {
			return newTerm(OpIn, path, values), p.next()
		}
		if !p.isSymbol(",") {
			return nil, p.unexpected(", or )")
		}
		if err := p.next(); err != nil {
			return nil, err
		}
	}
}

func (p *parser) between(path Path) (*Node, error) {
	if err := p.next(); err != nil {
		return nil, err
	}
	low, err := p.literal()
	if err != nil {
		return nil, err
	}

	// This AND belongs to BETWEEN. The next one combines terms.
	if !p.isKeyword("AND") {
		return nil, p.unexpected("AND")
	}
	if err := p.next(); err != nil {
		return nil, err
	}
	high, err := p.literal()
	if err != nil {
		return nil, err
	}
	return newTerm(OpBetween, path, []any{low, high}), nil
}

// pattern reads what LIKE, ILIKE or GLOB compares with.
func (p *parser) pattern(op Op, path Path) (*Node, error) {
	if err := p.next(); err != nil {
		return nil, err
	}
	if p.tok.kind != tokenString {
		return nil, p.unexpected("a pattern in single quotes")
	}
	tok := p.tok
	if err := p.next(); err != nil {
		return nil, err
	}

	pattern := tok.text
	if op != OpGlob && p.isPlain("ESCAPE") {
		if err := p.next(); err != nil {
			return nil, err
		}
		if p.tok.kind != tokenString || !utf8.ValidString(p.tok.text) || utf8.RuneCountInString(p.tok.text) > 1 {
			return nil, p.unexpected("one character in single quotes, or none")
		}

		var ok bool
		if pattern, ok = escapedBy(pattern, p.tok.text); !ok {
			return nil, unexpected(p.text, tok.begin, tok.end, "a pattern with a character after each "+p.tok.text)
		}
		if err := p.next(); err != nil {
			return nil, err
		}
	}

	if err := checkPattern(op, pattern); err != nil {
		why := strings.TrimPrefix(err.Error(), wire.ErrMalformed.Error()+": ")
		return nil, unexpected(p.text, tok.begin, tok.end, "another pattern ("+why+")")
	}
	return newTerm(op, path, []any{pattern}), nil
}

// literal reads a value to compare with.
func (p *parser) literal() (v any, err error) {
	switch {
	case p.tok.kind == tokenString:
		v = p.tok.text
	case p.tok.kind == tokenNumber:
		v, err = codec.ParseJSON(p.tok.text)
		switch {
		case errors.Is(err, codec.ErrInexact):
			return nil, p.unexpected("a number that 64 bits hold as it is written")
		case err != nil:
			return nil, p.unexpected("a number")
		}
	case p.tok.kind == tokenBytes:
		if v, err = hex.DecodeString(p.tok.text); err != nil {
			return nil, p.unexpected("hexadecimal digits, two for each byte")
		}
	case p.isKeyword("TRUE"), p.isKeyword("FALSE"):
		v = p.tok.text == "TRUE"
	case p.isKeyword("NULL"):
	case p.isPlain(timestamp):
		if err := p.next(); err != nil {
			return nil, err
		}
		return p.time()
	default:
		return nil, p.unexpected("a value: a string in single quotes, a number, TRUE, FALSE, NULL, X'…' or " + timestamp)
	}
	return v, p.next()
}

// time reads the string behind TIMESTAMP.
func (p *parser) time() (any, error) {
	// Go reads a comma like a point, and drops digits below nanoseconds. Neither is what a text here may say.
	const digits = "0123456789"
	_, fraction, _ := strings.Cut(p.tok.text, ".")
	odd := strings.Contains(p.tok.text, ",") || len(fraction)-len(strings.TrimLeft(fraction, digits)) > 9

	if p.tok.kind == tokenString && !odd {
		if t, err := time.Parse(time.RFC3339, p.tok.text); err == nil {
			if v, err := Literal(t); err == nil {
				return v, p.next()
			}
		}
	}
	return nil, p.unexpected("a time such as '2006-01-02T15:04:05.123Z'")
}
