package predicate

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Bounds of a predicate.
const (
	MaxText    = wire.MaxPredicate // bytes of its text
	MaxNesting = 100               // parentheses and NOTs of its text around each other; terms side by side do not count
	MaxPattern = wire.MaxGlob      // bytes of the pattern of LIKE, ILIKE and GLOB: matching takes time by its length and the value's
)

// Op is what a Node does.
type Op uint8

// The first three combine nodes; the others are terms, which compare an attribute.
const (
	OpAnd Op = iota + 1
	OpOr
	OpNot
	OpEq
	OpNe
	OpLt
	OpLe
	OpGt
	OpGe
	OpIn
	OpBetween
	OpLike
	OpILike
	OpGlob
	OpIsNull
)

var opTexts = [...]string{OpAnd: "AND", OpOr: "OR", OpNot: "NOT", OpEq: "=", OpNe: "<>", OpLt: "<", OpLe: "<=", OpGt: ">", OpGe: ">=", OpIn: "IN",
	OpBetween: "BETWEEN", OpLike: "LIKE", OpILike: "ILIKE", OpGlob: "GLOB", OpIsNull: "IS NULL"}

// String returns the operator as it stands in texts.
func (o Op) String() string { return opTexts[o] }

// Node is a predicate, or a part of one. Nodes never change, and predicates may share them.
type Node struct {
	Op Op

	// Nodes are those that And, Or and Not combine.
	// Invariant: Not has one, And and Or have two or more, of which none has their own Op.
	Nodes []*Node

	// Attr is the attribute of a term.
	Attr Path

	// Values are what a term compares the attribute with, of the types that Literal returns.
	// Invariant: Between has two, In one or more, IsNull none, all others one. Patterns are strings, and patterns.
	Values []any

	nesting int // of its text, as MaxNesting counts
	size    int // of its text
}

// Term returns the term that compares the attribute of the path attr. Values are of any type that Literal takes. It returns errors
// wrapping wire.ErrMalformed or wire.ErrTooLarge.
func Term(op Op, attr string, values ...any) (*Node, error) {
	path, err := ParsePath(attr)
	if err != nil {
		return nil, err
	}

	var literals []any
	for _, v := range values {
		l, err := Literal(v)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", path, op, err)
		}
		literals = append(literals, l)
	}

	if op == OpIn && len(literals) == 0 {
		return nil, fmt.Errorf("%w: %s IN without a value", wire.ErrMalformed, path)
	}
	if op == OpLike || op == OpILike || op == OpGlob {
		if err := checkPattern(op, literals[0]); err != nil {
			return nil, err
		}
	}
	if op == OpGlob && !path.Key {
		return nil, fmt.Errorf("%w: GLOB is for %s, not for %s", wire.ErrMalformed, keyWord, path)
	}
	return newTerm(op, path, literals).bounded()
}

// checkPattern returns an error unless v is a pattern of op.
func checkPattern(op Op, v any) error {
	p, ok := v.(string)
	switch {
	case !ok:
		return fmt.Errorf("%w: %s takes a string", wire.ErrMalformed, op)
	case len(p) > MaxPattern:
		return fmt.Errorf("%w: a pattern of %d bytes, the limit is %d", wire.ErrTooLarge, len(p), MaxPattern)
	case op == OpGlob:
		return wire.CheckGlob(p)
	case !utf8.ValidString(p):
		return fmt.Errorf("%w: the pattern %q is not UTF-8", wire.ErrMalformed, shortened(p))
	}

	// A backslash takes the character after it with it, so an odd number of them at the end lacks one.
	if tail := len(p) - len(strings.TrimRight(p, `\`)); tail%2 == 1 {
		return fmt.Errorf(`%w: the pattern %q ends with a single \`, wire.ErrMalformed, shortened(p))
	}
	return nil
}

// And is true if all nodes are true.
func And(nodes ...*Node) (*Node, error) { return combine(OpAnd, nodes) }

// Or is true if one of the nodes is true.
func Or(nodes ...*Node) (*Node, error) { return combine(OpOr, nodes) }

func combine(op Op, nodes []*Node) (*Node, error) {
	// Of nothing, And would be true of all entries. A list that is empty by mistake must not select everything.
	if len(nodes) == 0 {
		return nil, fmt.Errorf("%w: %s of no predicates", wire.ErrMalformed, op)
	}
	return join(op, nodes).bounded()
}

// Not is true if n is false. It is unknown if n is.
func Not(n *Node) (*Node, error) { return negate(n).bounded() }

// bounded returns n unless it is beyond a bound.
func (n *Node) bounded() (*Node, error) {
	switch {
	case n.nesting > MaxNesting:
		return nil, fmt.Errorf("%w: a predicate with %d parentheses and NOTs around each other, the limit is %d", wire.ErrMalformed, n.nesting, MaxNesting)
	case n.size > MaxText:
		return nil, fmt.Errorf("%w: a predicate whose text has %d bytes, the limit is %d", wire.ErrTooLarge, n.size, MaxText)
	}
	return n, nil
}

func newTerm(op Op, attr Path, values []any) *Node {
	n := &Node{Op: op, Attr: attr, Values: values}
	n.size = len(n.appendTerm(nil, false))
	return n
}

// join returns the And or Or of one or more nodes.
func join(op Op, nodes []*Node) *Node {
	if len(nodes) == 1 {
		return nodes[0]
	}

	n := &Node{Op: op}
	for _, x := range nodes {
		// What is combined in the same way needs no parentheses, and has none when it is read back.
		if x.Op == op {
			n.Nodes = append(n.Nodes, x.Nodes...)
		} else {
			n.Nodes = append(n.Nodes, x)
		}
	}
	n.Nodes = slices.Clip(n.Nodes)

	for i, x := range n.Nodes {
		if i > 0 {
			n.size += len(" ") + len(op.String()) + len(" ")
		}
		n.add(x)
	}
	return n
}

func negate(x *Node) *Node {
	n := &Node{Op: OpNot, Nodes: []*Node{x}, size: len("NOT ")}
	if x.infix() {
		// One word within the term.
		n.size += x.size
		return n
	}
	n.add(x)
	n.nesting++
	return n
}

// add counts one of n's nodes.
func (n *Node) add(x *Node) {
	nesting, size := x.nesting, x.size
	if n.parenthesises(x) {
		nesting, size = nesting+1, size+len("()")
	}
	n.nesting = max(n.nesting, nesting)
	n.size += size
}
