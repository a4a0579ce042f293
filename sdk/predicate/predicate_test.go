package predicate

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/gridiron-io/gridiron/sdk/codec"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// parsed returns the predicate of a text.
func parsed(t testing.TB, text string) *Node {
	t.Helper()
	n, err := Parse(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return n
}

func TestParse(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"age > 30 AND name LIKE 'A%'", "age > 30 AND name LIKE 'A%'"},
		{"age>30 and name like 'A%'", "age > 30 AND name LIKE 'A%'"},
		{"\n\tage\r= 3 ", "age = 3"},
		{"a=1 or b=2 and c=3", "a = 1 OR b = 2 AND c = 3"},
		{"(a=1 or b=2) and c=3", "(a = 1 OR b = 2) AND c = 3"},
		{"not a=1 and b=2", "NOT a = 1 AND b = 2"},
		{"not (a=1 and b=2)", "NOT (a = 1 AND b = 2)"},
		{"not not a=1", "NOT NOT a = 1"},
		{"not a in (1)", "a NOT IN (1)"},
		{"not a not in (1)", "NOT a NOT IN (1)"},
		{"not a is not null", "NOT a IS NOT NULL"},
		{"((((a=1))))", "a = 1"},
		{"a=1 and (b=2 and c=3)", "a = 1 AND b = 2 AND c = 3"},
		{"a != 1", "a <> 1"},
		{"a<1 AND a<=2 AND a>=3 AND a<>4", "a < 1 AND a <= 2 AND a >= 3 AND a <> 4"},
		{"a In (1,'x',2.5, nUll,TRUE,false)", "a IN (1, 'x', 2.5, NULL, true, false)"},
		{"a not In(1)", "a NOT IN (1)"},
		{"a BETWEEN 1 AND 2 AND b NOT BETWEEN 'a' AND 'b'", "a BETWEEN 1 AND 2 AND b NOT BETWEEN 'a' AND 'b'"},
		{"a is null or a is not null", "a IS NULL OR a IS NOT NULL"},
		{"a not like 'x' and a not ilike 'y'", "a NOT LIKE 'x' AND a NOT ILIKE 'y'"},
		{`a LIKE '50\%'`, `a LIKE '50\%'`},
		{`a LIKE '50!%!!\' ESCAPE '!'`, `a LIKE '50\%\!\\'`},
		{`a LIKE 'a\%' ESCAPE ''`, `a LIKE 'a\\%'`},
		{`a LIKE 'éxé%ü' ESCAPE 'é'`, `a LIKE '\x\%ü'`},
		{`a LIKE '%%' escape '%'`, `a LIKE '\%'`},
		{`__key GLOB 'user:*'`, `__key GLOB 'user:*'`},
		{`__key.id not glob '[a-c]?'`, `__key.id NOT GLOB '[a-c]?'`},
		{"a = 'it''s'", "a = 'it''s'"},
		{"a = ''", "a = ''"},
		{"a = '\\'", "a = '\\'"},
		{"a = -5 OR a = 2.5 OR a = 3e1 OR a = -0.0 OR a = 1E-7", "a = -5 OR a = 2.5 OR a = 30.0 OR a = -0.0 OR a = 1e-07"},
		{"a = 9007199254740993 OR a = 18446744073709551615 OR a = -9223372036854775808", "a = 9007199254740993 OR a = 18446744073709551615 OR a = -9223372036854775808"},
		{"a = X'0aFF' OR a = x''", "a = X'0aff' OR a = X''"},
		{"at < timestamp '2026-12-01T10:00:00.5+01:00'", "at < TIMESTAMP '2026-12-01T09:00:00.5Z'"},
		{"timestamp > 5 AND escape = 1", "timestamp > 5 AND escape = 1"},
		{"a.b.c = 1 AND tags[0] = 2 AND tags[ANY].x = 3 AND this[any][7] = 4", "a.b.c = 1 AND tags[0] = 2 AND tags[any].x = 3 AND this[any][7] = 4"},
		{"this = 1 AND this.a = 2 AND __key = 3 AND __key.a = 4", "this = 1 AND a = 2 AND __key = 3 AND __key.a = 4"},
		{`"this" = 1 AND "__key" = 2 AND "in" = 3 AND a.in = 4`, `"this" = 1 AND "__key" = 2 AND "in" = 3 AND a.in = 4`},
		{`"a.b"."c""d" = 1 AND "" = 2 AND "x" = 3 AND "7" = 4`, `"a.b"."c""d" = 1 AND "" = 2 AND x = 3 AND "7" = 4`},
		{"größe = 1 AND $x = 2 AND _y9 = 3", "größe = 1 AND $x = 2 AND _y9 = 3"},
	} {
		n := parsed(t, c.text)
		if got := n.String(); got != c.want {
			t.Errorf("%s: %s, want %s", c.text, got, c.want)
		}
		if again := parsed(t, c.want); !reflect.DeepEqual(again, n) {
			t.Errorf("%s: its text reads as %+v, not as %+v", c.text, again, n)
		}
	}
}

func TestParseErrors(t *testing.T) {
	for _, c := range []struct {
		text string
		pos  int
		want string
	}{
		{"", 1, "attribute"},
		{"   ", 4, "attribute"},
		{"age", 4, "comparison"},
		{"age >", 6, "value"},
		{"age > ", 7, "value"},
		{"age > > 3", 7, "value"},
		{"age ; 3", 5, "comparison"},
		{"age > 3 4", 9, "AND, OR or the end"},
		{"age > 3 name = 4", 9, "AND, OR or the end"},
		{"age > 3 AND", 12, "attribute"},
		{"AND age > 3", 1, "attribute"},
		{"age > name", 7, "value"},
		{"30 < age", 1, "attribute"},
		{"age > 3)", 8, "AND, OR or the end"},
		{"(age > 3", 9, "AND, OR or )"},
		{"()", 2, "attribute"},
		{"NOT", 4, "attribute"},
		{"a NOT = 3", 7, "IN, BETWEEN"},
		{"a IN 3", 6, "("},
		{"a IN ()", 7, "value"},
		{"a IN (1", 8, ", or )"},
		{"a IN (1,)", 9, "value"},
		{"a BETWEEN 1 OR 2", 13, "AND"},
		{"a BETWEEN 1 AND", 16, "value"},
		{"a IS 3", 6, "NULL or NOT"},
		{"a IS NOT 3", 10, "NULL"},
		{"a LIKE 5", 8, "pattern"},
		{`a LIKE 'x\'`, 8, "pattern"},
		{`a LIKE 'x!' ESCAPE '!'`, 8, "character after each !"},
		{"a LIKE 'x' ESCAPE 'ab'", 19, "one character"},
		{"a LIKE 'x' ESCAPE 5", 19, "one character"},
		{"a LIKE '\xff'", 8, "UTF-8"},
		{"__key GLOB '[a'", 12, "pattern"},
		{"__key GLOB 'a' ESCAPE '!'", 16, "AND, OR or the end"},
		{"a GLOB 'x'", 3, "comparison"},
		{"a = 'x", 5, "string"},
		{`"a = 3`, 1, "name"},
		{`a = "x"`, 5, "value"},
		{"a = 1.", 5, "number"},
		{"a = 01", 5, "number"},
		{"a = 1x", 5, "number"},
		{"a = - 5", 5, "value"},
		{"a = +5", 5, "value"},
		{"a = .5", 5, "value"},
		{"a = 18446744073709551616", 5, "64 bits"},
		{"a = 1e999", 5, "64 bits"},
		{"a = 0.12345678901234567891", 5, "64 bits"},
		{"a = X'0'", 5, "hexadecimal"},
		{"a = X'zz'", 5, "hexadecimal"},
		{"a = TIMESTAMP 5", 15, "time"},
		{"a = TIMESTAMP '2026-12-01'", 15, "time"},
		{"a = TIMESTAMP '2026-12-01T10:00:00.1234567891Z'", 15, "time"},
		{"a = TIMESTAMP '2026-12-01T10:00:00,5Z'", 15, "time"},
		{"a = TIMESTAMP '0000-01-01T00:00:00+01:00'", 15, "time"},
		{"a. = 3", 3, "name"},
		{"a[x] = 3", 3, "index or any"},
		{"a[] = 3", 3, "index or any"},
		{"a[-1] = 3", 3, "index or any"},
		{"a[1000000001] = 3", 3, "index or any"},
		{"a[0 = 3", 4, "]"},
		{"\x00 = 3", 1, "attribute"},
		{strings.Repeat("(", MaxNesting+1) + "a = 1", MaxNesting + 1, "at most 100"},
		{strings.Repeat("NOT ", MaxNesting+1) + "a = 1", 4*MaxNesting + 1, "at most 100"},
		{"a" + strings.Repeat(".a", codec.MaxDepth) + " = 1", 1, "64 steps"},
	} {
		n, err := Parse(c.text)
		var e *SyntaxError
		if !errors.As(err, &e) || !errors.Is(err, wire.ErrMalformed) {
			t.Errorf("%.60q: %v, %v", c.text, n, err)
			continue
		}
		if e.Pos != c.pos || !strings.Contains(e.Want, c.want) || !strings.Contains(err.Error(), fmt.Sprintf("position %d: expected ", c.pos)) {
			t.Errorf("%.60q: %v, want position %d and %q", c.text, err, c.pos, c.want)
		}
		if strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' || r == 0xfffd }) {
			t.Errorf("%.60q: %q has what no terminal shows", c.text, err.Error())
		}
	}
}

func TestBounds(t *testing.T) {
	// Terms side by side and lists are bounded by the length of the text alone.
	wide := strings.Repeat("a=1 OR ", MaxText/7-1) + "a=1"
	if n := parsed(t, wide); len(n.Nodes) != MaxText/7 || n.nesting != 0 {
		t.Errorf("%d terms", len(n.Nodes))
	}
	parsed(t, "a IN (1"+strings.Repeat(",1", MaxText/2-10)+")")
	parsed(t, "a = '"+strings.Repeat("x", MaxText-6)+"'")
	if _, err := Parse("a = '" + strings.Repeat("x", MaxText-5) + "'"); !errors.Is(err, wire.ErrTooLarge) {
		t.Errorf("a text beyond the limit: %v", err)
	}

	parsed(t, strings.Repeat("(", MaxNesting)+"a = 1"+strings.Repeat(")", MaxNesting))
	parsed(t, strings.Repeat("NOT ", MaxNesting)+"a = 1")
	parsed(t, "a"+strings.Repeat(".a", codec.MaxDepth-1)+" = 1")

	n := parsed(t, "a = 1")
	for range MaxNesting {
		n = must(t)(Not(n))
	}
	parsed(t, n.String())
	if _, err := Not(n); !errors.Is(err, wire.ErrMalformed) {
		t.Errorf("too many NOTs: %v", err)
	}

	// What shares its parts doubles with each step, as its text would.
	a, b := parsed(t, "a = 1"), parsed(t, "b = 2")
	var err error
	for step := 0; err == nil; step++ {
		if step > 20 {
			t.Fatal("a predicate grows without a bound")
		}
		if a, err = And(a, b); err == nil {
			b, err = Or(a, a)
		}
	}
	if !errors.Is(err, wire.ErrTooLarge) {
		t.Errorf("a predicate beyond the limit: %v", err)
	}

	long := strings.Repeat("a", MaxPattern+1)
	for op, attr := range map[Op]string{OpLike: "a", OpILike: "a", OpGlob: "__key"} {
		must(t)(Term(op, attr, long[1:]))
		if _, err := Term(op, attr, long); !errors.Is(err, wire.ErrTooLarge) {
			t.Errorf("%v: a pattern beyond the limit: %v", op, err)
		}
	}
	if _, err := Parse("a LIKE '" + long + "'"); !errors.Is(err, wire.ErrMalformed) {
		t.Errorf("a pattern beyond the limit in a text: %v", err)
	}
}

func must(t testing.TB) func(*Node, error) *Node {
	return func(n *Node, err error) *Node {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
}

func TestTermErrors(t *testing.T) {
	type list []int
	for name, f := range map[string]func() (*Node, error){
		"no attribute":        func() (*Node, error) { return Term(OpEq, "", 1) },
		"an open quote":       func() (*Node, error) { return Term(OpEq, `"a`, 1) },
		"a quote within":      func() (*Node, error) { return Term(OpEq, `a"b`, 1) },
		"an empty step":       func() (*Node, error) { return Term(OpEq, "a..b", 1) },
		"a step at the end":   func() (*Node, error) { return Term(OpEq, "a.", 1) },
		"an open index":       func() (*Node, error) { return Term(OpEq, "a[1", 1) },
		"a bracket":           func() (*Node, error) { return Term(OpEq, "a]", 1) },
		"a name after ]":      func() (*Node, error) { return Term(OpEq, "a[1]b", 1) },
		"a function":          func() (*Node, error) { return Term(OpEq, "a", func() {}) },
		"a list":              func() (*Node, error) { return Term(OpEq, "a", list{1}) },
		"a map":               func() (*Node, error) { return Term(OpEq, "a", map[string]int{}) },
		"NaN":                 func() (*Node, error) { return Term(OpEq, "a", math.NaN()) },
		"infinity":            func() (*Node, error) { return Term(OpLt, "a", math.Inf(1)) },
		"the year 10000":      func() (*Node, error) { return Term(OpLt, "a", time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)) },
		"an empty IN":         func() (*Node, error) { return Term(OpIn, "a") },
		"one of several":      func() (*Node, error) { return Term(OpIn, "a", 1, nil, func() {}) },
		"a pattern's end":     func() (*Node, error) { return Term(OpLike, "a", `x\\\`) },
		"a pattern's text":    func() (*Node, error) { return Term(OpILike, "a", "\xff") },
		"a glob":              func() (*Node, error) { return Term(OpGlob, "__key", "[a") },
		"a glob on the value": func() (*Node, error) { return Term(OpGlob, "a", "x") },
		"AND of nothing":      func() (*Node, error) { return And() },
		"OR of nothing":       func() (*Node, error) { return Or() },
	} {
		if n, err := f(); !errors.Is(err, wire.ErrMalformed) {
			t.Errorf("%s: %v, %v", name, n, err)
		}
	}
}

type named string

func TestLiterals(t *testing.T) {
	at := time.Date(2026, 12, 1, 10, 0, 0, 5, time.FixedZone("", 3600))
	for _, c := range []struct {
		v    any
		want string
	}{
		{nil, "NULL"},
		{(*int)(nil), "NULL"},
		{true, "true"},
		{int8(-3), "-3"},
		{uint64(math.MaxUint64), "18446744073709551615"},
		{float32(1.5), "1.5"},
		{1e300, "1e+300"},
		{5e-324, "5e-324"},
		{3.0, "3.0"},
		{named("x'y"), "'x''y'"},
		{"\xff\x00", "'\xff\x00'"},
		{[]byte{1, 255}, "X'01ff'"},
		{[2]byte{1, 2}, "X'0102'"},
		{[]byte{}, "X''"},
		{time.Minute, "60000000000"},
		{at, "TIMESTAMP '2026-12-01T09:00:00.000000005Z'"},
		{time.Unix(-1, 0), "TIMESTAMP '1969-12-31T23:59:59Z'"},
		{big.NewInt(7), "'7'"}, // what encodes itself is what it encodes itself as
	} {
		n := must(t)(Term(OpEq, "a", c.v))
		if got := n.String(); got != "a = "+c.want {
			t.Errorf("%T: %s, want %s", c.v, got, c.want)
		}
		if again := parsed(t, n.String()); !reflect.DeepEqual(again, n) {
			t.Errorf("%T: %#v reads back as %#v", c.v, n.Values[0], again.Values[0])
		}
	}
}

// Names for constructors need fewer quotes than those of texts, since they stand alone.
func TestPaths(t *testing.T) {
	for _, c := range []struct{ attr, want string }{
		{"a", "a"},
		{"first-name", `"first-name"`},
		{"in", `"in"`},
		{"a.in", "a.in"},
		{"x y.z w", `"x y"."z w"`},
		{`"a.b".c`, `"a.b".c`},
		{`"this"`, `"this"`},
		{"this", "this"},
		{"this.a", "a"},
		{"this.this", `"this"`},
		{"this[0]", "this[0]"},
		{"__key", "__key"},
		{"__key.id[any]", "__key.id[any]"},
		{"7.8", `"7"."8"`},
		{"größe", "größe"},
		{"a[007]", "a[7]"},
	} {
		n := must(t)(Term(OpEq, c.attr, 1))
		if got := n.Attr.String(); got != c.want {
			t.Errorf("%s: %s, want %s", c.attr, got, c.want)
		}
		if again := parsed(t, n.String()); !reflect.DeepEqual(again, n) {
			t.Errorf("%s: reads back as %+v, not as %+v", c.attr, again.Attr, n.Attr)
		}
	}
}

// drawnPath draws a path as constructors take it.
func drawnPath(t *rapid.T) string {
	name := rapid.OneOf(rapid.SampledFrom([]string{"a", "b", "this", "__key", "In", "not", "a b", `"`, "", "0", "日", "x.y"}),
		rapid.StringN(0, 5, 20), rapid.Just("\xff"))
	text := string(appendQuoted(nil, name.Draw(t, "name"), '"'))
	if rapid.IntRange(0, 4).Draw(t, "root") == 0 {
		text = rapid.SampledFrom([]string{"this", "__key"}).Draw(t, "word")
	}
	for range rapid.IntRange(0, 3).Draw(t, "steps") {
		switch rapid.IntRange(0, 2).Draw(t, "step") {
		case 0:
			text += "." + string(appendQuoted(nil, name.Draw(t, "name"), '"'))
		case 1:
			text += fmt.Sprintf("[%d]", rapid.IntRange(0, maxIndex).Draw(t, "index"))
		default:
			text += "[any]"
		}
	}
	return text
}

func drawnLiteral(t *rapid.T) any {
	switch rapid.IntRange(0, 7).Draw(t, "literal") {
	case 0:
		return nil
	case 1:
		return rapid.Bool().Draw(t, "bool")
	case 2:
		return rapid.Int64().Draw(t, "int")
	case 3:
		return rapid.Uint64().Draw(t, "uint")
	case 4:
		f := rapid.Float64().Draw(t, "float")
		if math.IsInf(f, 0) || math.IsNaN(f) {
			f = math.Copysign(0, -1)
		}
		return f
	case 5:
		return rapid.OneOf(rapid.String(), rapid.Just("'\xff")).Draw(t, "string")
	case 6:
		return rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")
	}
	return time.Unix(rapid.Int64Range(-62135596800, 253402300799).Draw(t, "sec"), rapid.Int64Range(0, 999_999_999).Draw(t, "nsec"))
}

func drawnNode(t *rapid.T, depth int) *Node {
	term := func(op Op, values ...any) *Node {
		attr := drawnPath(t)
		if op == OpGlob {
			attr = "__key"
		}
		n, err := Term(op, attr, values...)
		if err != nil {
			t.Fatalf("%s %v %v: %v", attr, op, values, err)
		}
		return n
	}

	op := rapid.SampledFrom([]Op{OpAnd, OpOr, OpNot, OpNot, OpEq, OpNe, OpLt, OpLe, OpGt, OpGe, OpIn, OpBetween, OpLike, OpILike, OpGlob, OpIsNull}).Draw(t, "op")
	if depth == 0 && op <= OpNot {
		op = OpEq
	}
	switch op {
	case OpAnd, OpOr:
		var nodes []*Node
		for range rapid.IntRange(1, 3).Draw(t, "nodes") {
			nodes = append(nodes, drawnNode(t, depth-1))
		}
		return join(op, nodes)
	case OpNot:
		return negate(drawnNode(t, depth-1))
	case OpIn:
		var values []any
		for range rapid.IntRange(1, 4).Draw(t, "values") {
			values = append(values, drawnLiteral(t))
		}
		return term(op, values...)
	case OpBetween:
		return term(op, drawnLiteral(t), drawnLiteral(t))
	case OpLike, OpILike, OpGlob:
		return term(op, rapid.StringMatching(`([a-c'é%_*?]|\\.){0,8}`).Draw(t, "pattern"))
	case OpIsNull:
		return term(op)
	}
	return term(op, drawnLiteral(t))
}

// What a predicate says of itself, a parser reads as the same predicate, with the size and nesting that were told.
func TestTextRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := drawnNode(t, 4)
		text := n.String()
		if len(text) != n.size {
			t.Fatalf("%s: %d bytes, told were %d", text, len(text), n.size)
		}

		again, err := Parse(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if !reflect.DeepEqual(again, n) {
			t.Fatalf("%s: reads back as %s", text, again)
		}

		// The parser counts the nesting as it was told: so many parentheses around it are the most.
		around := MaxNesting - n.nesting
		wrapped := strings.Repeat("(", around) + text + strings.Repeat(")", around)
		if _, err := Parse(wrapped); err != nil {
			t.Fatalf("%s: nests deeper than the %d that were told: %v", text, n.nesting, err)
		}
		if _, err := Parse("(" + wrapped + ")"); err == nil {
			t.Fatalf("%s: nests less deep than the %d that were told", text, n.nesting)
		}
	})
}

// FuzzParse: any text is an error with a position in it, or a predicate whose text means the same.
func FuzzParse(f *testing.F) {
	for _, text := range []string{
		"age > 30 AND name LIKE 'A%' AND address.city IN ('Rome','Oslo')", "NOT (a=1 OR b<>-2.5e3) AND c NOT BETWEEN 1 AND X'0a'",
		`"a""b"[any].c[0] IS NOT NULL`, `x NOT ILIKE '!%\' ESCAPE '!'`, "t >= TIMESTAMP '2026-12-01T10:00:00Z'", "__key GLOB '[a-c]*'", "((a=1", "'",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, err := Parse(text)
		var e *SyntaxError
		switch {
		case errors.As(err, &e):
			if e.Pos < 1 || e.Pos > len(text)+1 {
				t.Fatalf("%q: position %d", text, e.Pos)
			}
			return
		case errors.Is(err, wire.ErrTooLarge):
			return
		case err != nil:
			t.Fatal(err)
		}

		// Texts may be shorter than what is written for them.
		written := n.String()
		if n.size != len(written) {
			t.Fatalf("%q: %d bytes, told were %d", written, len(written), n.size)
		}
		if n.size > MaxText {
			return
		}
		if again, err := Parse(written); err != nil || !reflect.DeepEqual(again, n) {
			t.Fatalf("%q: written as %q, which reads as %v, %v", text, written, again, err)
		}
	})
}
