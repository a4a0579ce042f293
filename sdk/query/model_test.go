package query

import (
	"encoding/json"
	"math"
	"math/big"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/gridiron-io/gridiron/sdk/codec"
	"github.com/gridiron-io/gridiron/sdk/predicate"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// nothing stands for an attribute that is missing.
type nothing struct{}

// says is what a predicate says of a key and a value that were decoded, as docs/PREDICATES.md has it and as simply as it can be said.
func says(n *predicate.Node, key, value any) Truth {
	switch n.Op {
	case predicate.OpAnd:
		out := True
		for _, x := range n.Nodes {
			out = min(out, says(x, key, value))
		}
		return out
	case predicate.OpOr:
		out := False
		for _, x := range n.Nodes {
			out = max(out, says(x, key, value))
		}
		return out
	case predicate.OpNot:
		return -says(n.Nodes[0], key, value)
	}
	if n.Attr.Key {
		return saysOf(n, key, n.Attr.Steps)
	}
	return saysOf(n, value, n.Attr.Steps)
}

func saysOf(n *predicate.Node, v any, steps []predicate.Step) Truth {
	if len(steps) == 0 {
		return compared(n, v)
	}

	list, isList := v.([]any)
	switch s := steps[0]; s.Kind {
	case predicate.StepName:
		var in any = nothing{}
		switch m := v.(type) {
		case map[string]any:
			if x, ok := m[s.Name]; ok {
				in = x
			}
		case map[any]any:
			if x, ok := m[s.Name]; ok {
				in = x
			}
		}
		return saysOf(n, in, steps[1:])
	case predicate.StepIndex:
		if !isList || s.Index >= len(list) {
			return saysOf(n, nothing{}, steps[1:])
		}
		return saysOf(n, list[s.Index], steps[1:])
	}

	if !isList {
		return compared(n, nothing{})
	}
	out := False
	for _, x := range list {
		out = max(out, saysOf(n, x, steps[1:]))
	}
	return out
}

// compared is what a term says of the value of its attribute.
func compared(n *predicate.Node, v any) Truth {
	isNull := v == nil || v == any(nothing{})
	if n.Op == predicate.OpIsNull {
		return truth(isNull)
	}
	if isNull {
		return Unknown
	}

	equal := func(lit any) Truth {
		c, ok := ordered(v, lit)
		if !ok {
			return Unknown
		}
		return truth(c == 0)
	}
	switch n.Op {
	case predicate.OpIn:
		out := False
		for _, lit := range n.Values {
			out = max(out, equal(lit))
		}
		return out
	case predicate.OpBetween:
		out := True
		for i, lit := range n.Values {
			c, ok := ordered(v, lit)
			if !ok {
				out = min(out, Unknown)
			} else {
				out = min(out, truth(i == 0 && c >= 0 || i == 1 && c <= 0))
			}
		}
		return out
	case predicate.OpLike, predicate.OpILike, predicate.OpGlob:
		s, ok := v.(string)
		if !ok {
			return Unknown
		}
		if n.Op == predicate.OpGlob {
			return truth(wire.MatchGlob(n.Values[0].(string), s))
		}
		return truth(likeRegexp(n.Values[0].(string), n.Op == predicate.OpILike).MatchString(s))
	}

	c, ok := ordered(v, n.Values[0])
	if !ok {
		return Unknown
	}
	return truth(map[predicate.Op]bool{predicate.OpEq: c == 0, predicate.OpNe: c != 0, predicate.OpLt: c < 0, predicate.OpLe: c <= 0,
		predicate.OpGt: c > 0, predicate.OpGe: c >= 0}[n.Op])
}

// likeRegexp says in another language what a pattern says.
func likeRegexp(p string, fold bool) *regexp.Regexp {
	var b strings.Builder
	b.WriteString("(?s)^")
	if fold {
		b.WriteString("(?i)")
	}
	for i := 0; i < len(p); {
		r, size := utf8.DecodeRuneInString(p[i:])
		i += size
		switch r {
		case '%':
			b.WriteString(".*")
		case '_':
			b.WriteString(".")
		case '\\':
			r, size = utf8.DecodeRuneInString(p[i:])
			i += size
			fallthrough
		default:
			b.WriteString(regexp.QuoteMeta(string(r)))
		}
	}
	b.WriteString("$")
	return regexp.MustCompile(b.String())
}

// ordered compares two values, if they have an order.
func ordered(a, b any) (c int, ok bool) {
	if x, y := number(a), number(b); x != nil && y != nil {
		return x.Cmp(y), true
	}
	switch a := a.(type) {
	case bool:
		b, ok := b.(bool)
		one := map[bool]int{true: 1}
		return one[a] - one[b], ok
	case string:
		b, ok := b.(string)
		return strings.Compare(a, b), ok
	case []byte:
		b, ok := b.([]byte)
		return strings.Compare(string(a), string(b)), ok
	case time.Time:
		b, ok := b.(time.Time)
		return a.Compare(b), ok
	}
	return 0, false
}

// number returns a number without rounding it, or nil.
func number(v any) *big.Float {
	switch v := v.(type) {
	case int64:
		return new(big.Float).SetInt64(v)
	case uint64:
		return new(big.Float).SetUint64(v)
	case float64:
		if !math.IsNaN(v) {
			return new(big.Float).SetFloat64(v)
		}
	case json.Number:
		if i, ok := new(big.Int).SetString(string(v), 10); ok {
			return new(big.Float).SetInt(i)
		}
		f, _ := v.Float64() // infinite where it is beyond all floats
		return new(big.Float).SetFloat64(f)
	}
	return nil
}

// The pools that values and literals are drawn from are small, so that they meet.
var (
	names   = []string{"a", "b", "a b", "this", "é\"\\"}
	integer = []int64{0, 1, -1, 2, 127, 128, -33, 1 << 53, 1<<53 + 1, -1<<53 - 1, math.MaxInt64, math.MinInt64}
	floats  = []float64{0, math.Copysign(0, -1), 1, -1, 0.5, 1.5, -1.5, 1 << 53, 1<<53 + 2, 1 << 63, -1 << 63, 1 << 64, 1e300, -1e300, 5e-324}
	texts   = []string{"", "a", "A", "ab", "aab", "abab", "K", "\u212a", "ßs", "日本", "a\nb", "a%b_", "x\xffy", "\xe6\x97", "it's"}
	binary  = [][]byte{{}, {0}, {1, 2}, []byte("a")}
	times   = []time.Time{time.Unix(0, 0).UTC(), time.Unix(0, 1).UTC(), time.Unix(1<<33, 5).UTC(), time.Unix(-5, 999).UTC()}
)

// drawnScalar draws what can be a value and a literal.
func drawnScalar(t *rapid.T) any {
	switch rapid.IntRange(0, 7).Draw(t, "scalar") {
	case 0:
		return nil
	case 1:
		return rapid.Bool().Draw(t, "bool")
	case 2:
		return rapid.SampledFrom(integer).Draw(t, "int")
	case 3:
		return uint64(1<<63 + rapid.SampledFrom([]uint64{0, 1, 1<<63 - 1}).Draw(t, "uint"))
	case 4:
		return rapid.SampledFrom(floats).Draw(t, "float")
	case 5:
		return rapid.SampledFrom(binary).Draw(t, "bytes")
	case 6:
		return rapid.SampledFrom(times).Draw(t, "time")
	}
	return rapid.SampledFrom(texts).Draw(t, "text")
}

// drawnValue draws what decoding into an any may yield.
func drawnValue(t *rapid.T, depth int) any {
	kind := rapid.IntRange(0, 4).Draw(t, "value")
	if depth == 0 {
		kind = 0
	}
	switch kind {
	case 0:
		if rapid.IntRange(0, 20).Draw(t, "odd") == 0 {
			return rapid.SampledFrom([]float64{math.NaN(), math.Inf(1), math.Inf(-1)}).Draw(t, "odd float")
		}
		return drawnScalar(t)
	case 1:
		list := []any{}
		for range rapid.IntRange(0, 4).Draw(t, "length") {
			list = append(list, drawnValue(t, depth-1))
		}
		return list
	}

	m := map[any]any{}
	for range rapid.IntRange(0, 4).Draw(t, "entries") {
		m[rapid.SampledFrom(names).Draw(t, "name")] = drawnValue(t, depth-1)
	}
	if rapid.IntRange(0, 9).Draw(t, "mixed") == 0 {
		m[rapid.SampledFrom(integer).Draw(t, "key")] = drawnValue(t, depth-1)
	}
	return m
}

// encoded returns the value's bytes, and what decoding them into an any yields.
func encoded(t interface{ Fatal(...any) }, v any) (b []byte, decoded any) {
	b, err := codec.Msgpack{}.Encode(nil, v)
	if err != nil {
		t.Fatal(err)
	}
	if err := (codec.Msgpack{}).Decode(b, &decoded); err != nil {
		t.Fatal(err)
	}
	return b, decoded
}

func drawnPath(t *rapid.T) string {
	name := func() string {
		return `"` + strings.ReplaceAll(rapid.SampledFrom(names).Draw(t, "name"), `"`, `""`) + `"`
	}
	path := rapid.SampledFrom([]string{"this", "__key", name(), name(), name(), name()}).Draw(t, "root")
	for range rapid.IntRange(0, 3).Draw(t, "steps") {
		path += rapid.SampledFrom([]string{"." + name(), "." + name(), "[0]", "[1]", "[3]", "[any]", "[any]"}).Draw(t, "step")
	}
	return path
}

func drawnPredicate(t *rapid.T, depth int) *predicate.Node {
	term := func(op predicate.Op, values ...any) *predicate.Node {
		attr := drawnPath(t)
		if op == predicate.OpGlob {
			attr = "__key"
		}
		n, err := predicate.Term(op, attr, values...)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}

	op := predicate.Op(rapid.IntRange(int(predicate.OpAnd), int(predicate.OpIsNull)).Draw(t, "op"))
	if depth == 0 && op <= predicate.OpNot {
		op = predicate.OpEq
	}
	switch op {
	case predicate.OpAnd, predicate.OpOr:
		var nodes []*predicate.Node
		for range rapid.IntRange(2, 4).Draw(t, "nodes") {
			nodes = append(nodes, drawnPredicate(t, depth-1))
		}
		combine := predicate.And
		if op == predicate.OpOr {
			combine = predicate.Or
		}
		n, err := combine(nodes...)
		if err != nil {
			t.Fatal(err)
		}
		return n
	case predicate.OpNot:
		n, err := predicate.Not(drawnPredicate(t, depth-1))
		if err != nil {
			t.Fatal(err)
		}
		return n
	case predicate.OpIn:
		var values []any
		for range rapid.IntRange(1, 6).Draw(t, "values") {
			values = append(values, drawnScalar(t))
		}
		return term(op, values...)
	case predicate.OpBetween:
		return term(op, drawnScalar(t), drawnScalar(t))
	case predicate.OpLike, predicate.OpILike, predicate.OpGlob:
		return term(op, drawnPattern(t))
	case predicate.OpIsNull:
		return term(op)
	}
	return term(op, drawnScalar(t))
}

// drawnPattern draws what is a pattern of LIKE and of GLOB.
func drawnPattern(t *rapid.T) string {
	return rapid.StringMatching(`([abAkß日%%%__*?]|\\[%_a\\]){0,8}`).Draw(t, "pattern")
}
