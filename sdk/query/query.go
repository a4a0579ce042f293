package query

import (
	"errors"

	"github.com/gridiron-io/gridiron/sdk/predicate"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Truth is what a predicate says of an entry, by the rules of SQL. Only True selects it.
type Truth int8

// AND is the least of them, OR the greatest, and NOT the opposite.
const (
	False   Truth = -1
	Unknown Truth = 0
	True    Truth = 1
)

// Query is a compiled predicate. It never changes, so it is safe for concurrent use.
type Query struct {
	root   node
	values bool // a term looks at the value
}

// Parse compiles the text of a predicate. Errors are those of predicate.Parse.
func Parse(text string) (*Query, error) {
	n, err := predicate.Parse(text)
	if err != nil {
		return nil, err
	}
	return Compile(n)
}

// Compile compiles a predicate. Errors wrap wire.ErrMalformed; none comes for what package predicate has made.
func Compile(p *predicate.Node) (*Query, error) {
	var q Query
	c := compiler{q: &q, slots: make(map[string]int)}
	var err error
	q.root, err = c.node(p)
	if err != nil {
		return nil, err
	}
	return &q, nil
}

// UsesValue reports whether the query looks at values. Without that, Eval may be given none.
func (q *Query) UsesValue() bool { return q.values }

// maxSlots is how many attributes an evaluation remembers, so that several terms about one of them walk to it once.
const maxSlots = 16

// compiler makes the nodes of a Query.
type compiler struct {
	q     *Query
	slots map[string]int // by the text of the path
}

// node is a predicate.Node, prepared to be evaluated.
type node struct {
	op    predicate.Op
	nodes []node // of And, Or and Not

	// Of terms:
	key       bool
	steps     []predicate.Step
	slot      int // where an evaluation remembers what the steps lead to; -1: nowhere
	low, high scalar
	set       set
	like      pattern
	glob      wire.Glob
}

func (c *compiler) node(p *predicate.Node) (node, error) {
	n := node{op: p.Op, key: p.Attr.Key, steps: p.Attr.Steps, slot: -1}
	switch p.Op {
	case predicate.OpAnd, predicate.OpOr, predicate.OpNot:
		n.nodes = make([]node, len(p.Nodes))
		for i, x := range p.Nodes {
			var err error
			if n.nodes[i], err = c.node(x); err != nil {
				return node{}, err
			}
		}
		return n, nil
	case predicate.OpIn:
		n.set = newSet(p.Values)
	case predicate.OpLike, predicate.OpILike:
		n.like = newPattern(p.Values[0].(string), p.Op == predicate.OpILike)
	case predicate.OpGlob:
		var err error
		if n.glob, err = wire.CompileGlob(p.Values[0].(string)); err != nil {
			return node{}, err
		}
	case predicate.OpBetween:
		n.low, n.high = literal(p.Values[0]), literal(p.Values[1])
	case predicate.OpIsNull:
	default:
		n.low = literal(p.Values[0])
	}

	c.q.values = c.q.values || !n.key
	n.slot = c.slot(p.Attr)
	return n, nil
}

// slot returns the slot of a path, -1 for one that has none: there is nothing to walk, it leads to many values, or no slot is left.
func (c *compiler) slot(p predicate.Path) int {
	if len(p.Steps) == 0 {
		return -1
	}
	for _, s := range p.Steps {
		if s.Kind == predicate.StepAny {
			return -1
		}
	}

	text := p.String()
	n, ok := c.slots[text]
	if !ok {
		if n = len(c.slots); n == maxSlots {
			return -1
		}
		c.slots[text] = n
	}
	return n
}

// maxWork bounds an evaluation: the bytes that it steps over, and the characters that it compares with patterns. It is enough to walk
// the largest value sixteen times.
const maxWork = 64 << 20

var errWork = errors.New("the predicate takes too much work on this entry")

// evaluation is one evaluation of a Query.
type evaluation struct {
	key, value value
	blind      bool  // nobody knows the value: terms about it are unknown
	work       int   // what is left of maxWork
	broken     bool  // the term at hand is unknown, whatever it has come to
	err        error // the first reason for that
	slots      [maxSlots]slot
}

// slot is what the path of some terms leads to.
type slot struct {
	state found
	at    int // where it begins in the key or value
}

// found is whether there is something at the end of a path.
type found uint8

const (
	unsought found = iota
	present
	missing
	broken
)

// Matches reports whether the query is true of the entry.
func (q *Query) Matches(key, value []byte) bool {
	t, _ := q.Eval(key, value)
	return t == True
}

// Eval returns what the query says of the entry with an encoded key and value. An empty value is one that is missing. The error says why
// a term was unknown though its attribute may be there: bytes are malformed, or the entry would take too much work. The result stands
// all the same.
func (q *Query) Eval(key, val []byte) (Truth, error) { return q.eval(key, val, maxWork) }

// EvalKey returns what the query says of the entry with an encoded key, whatever its value is: what hangs on the value is unknown.
func (q *Query) EvalKey(key []byte) Truth {
	e := evaluation{key: value{b: key}, blind: true, work: maxWork}
	return q.root.eval(&e)
}

func (q *Query) eval(key, val []byte, work int) (Truth, error) {
	e := evaluation{key: value{b: key}, value: valueOf(val), work: work}
	t := q.root.eval(&e)
	return t, e.err
}

// fail makes the term at hand unknown.
func (e *evaluation) fail(err error) {
	e.broken = true
	if e.err == nil {
		e.err = err
	}
}

// charge counts work, and reports whether some is left.
func (e *evaluation) charge(n int) bool {
	if e.work -= n; e.work < 0 {
		e.fail(errWork)
	}
	return !e.broken
}

// eval evaluates a node. The nesting of predicates is bounded, and so is the stack.
func (n *node) eval(e *evaluation) Truth {
	switch n.op {
	case predicate.OpAnd:
		out := True
		for i := range n.nodes {
			if out = min(out, n.nodes[i].eval(e)); out == False {
				break
			}
		}
		return out
	case predicate.OpOr:
		out := False
		for i := range n.nodes {
			if out = max(out, n.nodes[i].eval(e)); out == True {
				break
			}
		}
		return out
	case predicate.OpNot:
		return -n.nodes[0].eval(e)
	}
	return n.term(e)
}

// term evaluates a term.
func (n *node) term(e *evaluation) Truth {
	if e.blind && !n.key {
		return Unknown
	}

	e.broken = false
	root := e.value
	if n.key {
		root = e.key
	}

	out := Unknown
	switch {
	case n.slot >= 0:
		s := &e.slots[n.slot]
		if s.state == unsought {
			*s = e.seek(root, n.steps)
		}
		switch s.state {
		case present:
			out = n.test(e, root.from(s.at))
		case missing:
			out = n.absent()
		}
	case len(root.b) == 0:
		out = n.absent()
	default:
		out = n.walk(e, root, n.steps)
	}

	if e.broken {
		return Unknown
	}
	return out
}

// seek finds what steps without [any] lead to.
func (e *evaluation) seek(root value, steps []predicate.Step) slot {
	v, ok := root, len(root.b) > 0
	for i := 0; i < len(steps) && ok; i++ {
		v, ok = e.step(v, &steps[i])
	}
	switch {
	case e.broken:
		return slot{state: broken}
	case !ok:
		return slot{state: missing}
	}
	return slot{state: present, at: len(root.b) - len(v.b)}
}

// walk goes the steps from v on, and tests what they lead to.
func (n *node) walk(e *evaluation, v value, steps []predicate.Step) Truth {
	for i := range steps {
		if steps[i].Kind == predicate.StepAny {
			return n.any(e, v, steps[i+1:])
		}
		var ok bool
		if v, ok = e.step(v, &steps[i]); !ok {
			return n.absent()
		}
	}
	return n.test(e, v)
}

// any goes the steps from each element of v on. The number of steps bounds the stack. One element that is true is enough, and of none
// nothing is true.
func (n *node) any(e *evaluation, v value, steps []predicate.Step) Truth {
	c, ok := e.open(v, false)
	if !ok {
		return n.absent()
	}

	out := False
	for out != True && e.next(&c) {
		out = max(out, n.walk(e, c.value, steps))
	}
	return out
}

// absent is what the term says of an attribute that is not there. It counts as null.
func (n *node) absent() Truth {
	if n.op == predicate.OpIsNull {
		return True
	}
	return Unknown
}

// test compares v with the term's values.
func (n *node) test(e *evaluation, v value) Truth {
	s, ok := e.read(v, len(n.steps) == 0)
	if !ok {
		return Unknown
	}

	switch n.op {
	case predicate.OpIsNull:
		return truth(s.class == classNull)
	case predicate.OpIn:
		return n.set.has(&s)
	case predicate.OpBetween:
		low, high := Unknown, Unknown
		if s.comparable(&n.low) {
			low = truth(compare(&s, &n.low) >= 0)
		}
		if s.comparable(&n.high) {
			high = truth(compare(&s, &n.high) <= 0)
		}
		return min(low, high)
	case predicate.OpLike, predicate.OpILike:
		if s.class != classString {
			return Unknown
		}
		matches := n.like.match(s.text, &e.work)
		e.charge(0)
		return truth(matches)
	case predicate.OpGlob:
		if s.class != classString {
			return Unknown
		}
		return truth(n.glob.Match(textOf(s.text)))
	}

	if !s.comparable(&n.low) {
		return Unknown
	}
	switch c := compare(&s, &n.low); n.op {
	case predicate.OpEq:
		return truth(c == 0)
	case predicate.OpNe:
		return truth(c != 0)
	case predicate.OpLt:
		return truth(c < 0)
	case predicate.OpLe:
		return truth(c <= 0)
	case predicate.OpGt:
		return truth(c > 0)
	default:
		return truth(c >= 0)
	}
}

func truth(b bool) Truth {
	if b {
		return True
	}
	return False
}
