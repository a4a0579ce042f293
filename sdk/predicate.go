package sdk

import (
	"fmt"
	"reflect"
	"slices"

	"github.com/gridiron-io/gridiron/sdk/predicate"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Predicate chooses entries of a map. Predicates never change, and may be shared. What is wrong with one is the error of the call that
// uses it: ErrInvalid, or ErrTooLarge for a text of more than 64 KB or a pattern of more than 1,024 bytes.
//
// An attribute is the name of a field as it is encoded. Paths such as "a.b" lead to a field within a field, and "tags[0]" to an element
// of a list. With "tags[any]" a comparison is true if it is true of one element. The key is "__key", and the value itself is "this".
// Double quotes make all within them part of a name.
//
// Integers and floats compare as numbers. A missing attribute is null. A comparison with null, or between two types, is unknown, as in
// SQL, and so is its opposite. Only entries of which a predicate is true match.
//
// docs/PREDICATES.md has the rules.
type Predicate interface {
	// predicate returns the predicate as members know it, for a map with keys of the given type.
	predicate(key reflect.Type) (wire.Predicate, error)

	// node returns the predicate as a part of others.
	node() (*predicate.Node, error)
}

type keyGlob string

func (g keyGlob) predicate(key reflect.Type) (wire.Predicate, error) {
	p := wire.Predicate{Kind: wire.PredicateGlob, Text: string(g)}
	if err := globbed(key); err != nil {
		return p, err
	}

	if err := p.Check(); err != nil {
		return p, wireError("", "", err)
	}
	return p, nil
}

// globbed returns an error unless keys of a type may be strings.
func globbed(key reflect.Type) error {
	if k := key.Kind(); k != reflect.String && k != reflect.Interface {
		return &Error{Partition: -1, Err: ErrInvalid, Hint: "KeyGlob on keys that are no strings but " + key.String()}
	}
	return nil
}

func (g keyGlob) node() (*predicate.Node, error) {
	return predicate.Term(predicate.OpGlob, "__key", string(g))
}

// KeyGlob matches entries whose whole key matches a pattern. * stands for any characters, also / and :. ? stands for one
// character, [a-z] for one of a set, [^a-z] for one outside it. \ takes the special meaning from the next character. All else
// stands for itself.
//
// Keys must be strings, otherwise the call that uses the predicate fails with ErrInvalid. It also does for a set without an end.
// A pattern of more than 1,024 bytes is ErrTooLarge.
func KeyGlob(pattern string) Predicate { return keyGlob(pattern) }

// condition is a predicate on attributes, or why it is none.
type condition struct {
	n    *predicate.Node
	text string // as it was given; "": n's own
	err  error
}

func (c condition) predicate(key reflect.Type) (wire.Predicate, error) {
	if c.err != nil {
		return wire.Predicate{}, wireError("", "", c.err)
	}
	if globs(c.n) {
		if err := globbed(key); err != nil {
			return wire.Predicate{}, err
		}
	}

	text := c.text
	if text == "" {
		text = c.n.String()
	}
	return wire.Predicate{Kind: wire.PredicateText, Text: text}, nil
}

// globs reports whether n compares whole keys with a glob. The nesting of predicates is bounded.
func globs(n *predicate.Node) bool {
	return n.Op == predicate.OpGlob && len(n.Attr.Steps) == 0 || slices.ContainsFunc(n.Nodes, globs)
}

func (c condition) node() (*predicate.Node, error) { return c.n, c.err }

func term(op predicate.Op, attr string, values ...any) Predicate {
	n, err := predicate.Term(op, attr, values...)
	return condition{n: n, err: err}
}

// SQL matches entries of which the text is true, such as "age > 30 AND name LIKE 'A%' AND address.city IN ('Rome', 'Oslo')". The error
// for a text that is none names the position of what does not fit.
//
// There are =, <>, <, <=, >, >=, IN, BETWEEN, LIKE, ILIKE and IS NULL, with NOT before all words but IS, and NOT, AND and OR, which bind
// in this order, and parentheses. Words may be in any case. Values are strings in single quotes, of which two are one quote, numbers,
// TRUE, FALSE and NULL, X'0aff' for bytes, and TIMESTAMP '2006-01-02T15:04:05Z' for times.
func SQL(text string) Predicate {
	n, err := predicate.Parse(text)
	return condition{n, text, err}
}

// Eq matches entries whose attribute equals v. Values that predicates compare with are single values, and are encoded like those of a
// map: a string, number, bool, []byte or time.Time, or what encodes itself as one.
func Eq(attr string, v any) Predicate { return term(predicate.OpEq, attr, v) }

// Ne matches entries whose attribute differs from v, and is of its type.
func Ne(attr string, v any) Predicate { return term(predicate.OpNe, attr, v) }

// Gt matches entries whose attribute is greater than v.
func Gt(attr string, v any) Predicate { return term(predicate.OpGt, attr, v) }

// Ge matches entries whose attribute is greater than v or equals it.
func Ge(attr string, v any) Predicate { return term(predicate.OpGe, attr, v) }

// Lt matches entries whose attribute is less than v.
func Lt(attr string, v any) Predicate { return term(predicate.OpLt, attr, v) }

// Le matches entries whose attribute is less than v or equals it.
func Le(attr string, v any) Predicate { return term(predicate.OpLe, attr, v) }

// Between matches entries whose attribute is from lo to hi, both included.
func Between(attr string, lo, hi any) Predicate { return term(predicate.OpBetween, attr, lo, hi) }

// In matches entries whose attribute equals one of vs. There must be one.
func In(attr string, vs ...any) Predicate { return term(predicate.OpIn, attr, vs...) }

// Like matches entries whose whole attribute, a string, matches a pattern: % stands for any characters, also none, and _ for one. \ takes
// the special meaning from the next character. Case counts; see [ILike].
func Like(attr, pattern string) Predicate { return term(predicate.OpLike, attr, pattern) }

// ILike is Like for letters in any case.
func ILike(attr, pattern string) Predicate { return term(predicate.OpILike, attr, pattern) }

// IsNull matches entries whose attribute is null or missing.
func IsNull(attr string) Predicate { return term(predicate.OpIsNull, attr) }

// And matches entries that all of ps match. There must be one.
func And(ps ...Predicate) Predicate { return combined(predicate.And, ps) }

// Or matches entries that one of ps matches. There must be one.
func Or(ps ...Predicate) Predicate { return combined(predicate.Or, ps) }

// Not matches entries of which p is false. Where p is unknown, so is its opposite.
func Not(p Predicate) Predicate {
	return combined(func(nodes ...*predicate.Node) (*predicate.Node, error) { return predicate.Not(nodes[0]) }, []Predicate{p})
}

// combined combines the nodes of predicates.
func combined(by func(...*predicate.Node) (*predicate.Node, error), ps []Predicate) Predicate {
	nodes := make([]*predicate.Node, len(ps))
	for i, p := range ps {
		if p == nil {
			return condition{err: fmt.Errorf("%w: a nil predicate within another", wire.ErrMalformed)}
		}

		var err error
		if nodes[i], err = p.node(); err != nil {
			return condition{err: err}
		}
	}
	n, err := by(nodes...)
	return condition{n: n, err: err}
}
