package query

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/gridiron-io/gridiron/sdk/codec"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

func compiled(t testing.TB, text string) *Query {
	t.Helper()
	q, err := Parse(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return q
}

type address struct {
	City string `json:"city"`
	Zip  *int   `json:"zip"`
}

type person struct {
	Name    string        `json:"name"`
	Age     int           `json:"age"`
	Score   float64       `json:"score"`
	Active  bool          `json:"active"`
	Photo   []byte        `json:"photo"`
	Born    time.Time     `json:"born"`
	Waits   time.Duration `json:"waits"`
	Address address       `json:"address"`
	Tags    []string      `json:"tags"`
	Orders  []any         `json:"orders"`
	Big     uint64        `json:"big"`
}

var ada = person{
	Name: "Ada", Age: 36, Score: 2.5, Active: true, Photo: []byte{1, 2}, Born: time.Date(1815, 12, 10, 0, 0, 0, 0, time.UTC), Waits: time.Second,
	Address: address{City: "London"}, Tags: []string{"math", "poet's"}, Orders: []any{map[string]any{"sum": 5}, map[string]any{"sum": 12.5, "paid": true}},
	Big: math.MaxUint64,
}

// expectations are what predicates say of ada, under the key "user:ada". Those with a * are of MessagePack alone: JSON has no such types.
var expectations = []struct {
	text string
	want Truth
}{
	{"age = 36", True},
	{"age = 36.0", True},
	{"age = 36.5", False},
	{"age <> 36", False},
	{"age > 35 AND age < 37 AND age >= 36 AND age <= 36", True},
	{"age > 36 OR age < 36", False},
	{"NOT age = 36", False},
	{"NOT (age = 1 OR name = 'x')", True},
	{"name = 'Ada'", True},
	{"name = 'ada'", False},
	{"name < 'B' AND name > 'Ac'", True},
	{"score = 2.5", True},
	{"score > 2 AND score < 3", True},
	{"active = TRUE", True},
	{"active > false", True},
	{"big = 18446744073709551615", True},
	{"big > 18446744073709551614", True},
	{"big < 18446744073709552000.0", True},
	{"waits = 1000000000", True},
	{"address.city = 'London'", True},
	{"address.city.name = 'London'", Unknown},
	{"address.city.name IS NULL", True},
	{"address.zip IS NULL", True},
	{"address.zip = 5", Unknown},
	{"NOT address.zip = 5", Unknown},
	{"address = 5", Unknown},
	{"address IS NULL", False},
	{"address IS NOT NULL", True},
	{"missing = 1", Unknown},
	{"missing = NULL", Unknown},
	{"missing <> 1", Unknown},
	{"missing IS NULL AND missing[0].x IS NULL", True},
	{"missing = 1 OR age = 36", True},
	{"missing = 1 AND age = 36", Unknown},
	{"missing = 1 AND age = 1", False},
	{"name = 36", Unknown},
	{"NOT name = 36", Unknown},
	{"name <> 36", Unknown},
	{"age = '36'", Unknown},
	{"active = 1", Unknown},
	{"age = NULL", Unknown},
	{"age IN (1, 36)", True},
	{"age IN (1, 2)", False},
	{"age NOT IN (1, 2)", True},
	{"age IN (1, NULL)", Unknown},
	{"age IN (36, NULL)", True},
	{"age IN (1, 'x')", Unknown},
	{"age IN ('x', 36.0)", True},
	{"missing IN (1)", Unknown},
	{"age BETWEEN 36 AND 36", True},
	{"age BETWEEN 37 AND 90", False},
	{"age NOT BETWEEN 37 AND 90", True},
	{"age BETWEEN 40 AND NULL", False},
	{"age BETWEEN NULL AND 40", Unknown},
	{"age BETWEEN 'a' AND 30", False},
	{"name LIKE 'A%'", True},
	{"name LIKE '_d_'", True},
	{"name LIKE 'a%'", False},
	{"name NOT LIKE 'a%'", True},
	{"name ILIKE 'aD%'", True},
	{"age LIKE '3%'", Unknown},
	{"tags[0] = 'math'", True},
	{"tags[1] = 'poet''s'", True},
	{"tags[2] = 'x'", Unknown},
	{"tags[2] IS NULL", True},
	{"tags[any] = 'poet''s'", True},
	{"tags[any] = 'x'", False},
	{"NOT tags[any] = 'x'", True},
	{"tags[any] <> 'math'", True},
	{"tags[any] IN ('x', 'math')", True},
	{"tags[any] NOT IN ('x', 'math')", False},
	{"tags[any] LIKE 'm%'", True},
	{"tags[any] > 5", Unknown},
	{"tags[any] IS NULL", False},
	{"tags[any].x IS NULL", True},
	{"name[any] = 'A'", Unknown},
	{"name[any] IS NULL", True},
	{"orders[any].sum > 12", True},
	{"orders[any].sum > 13", False},
	{"orders[any].paid = true", True},
	{"orders[any].paid = false", Unknown},
	{"orders[any].paid IS NULL", True},
	{"orders[1].sum = 12.5", True},
	{"orders[0].paid IS NULL", True},
	{"__key = 'user:ada'", True},
	{"__key GLOB 'user:*'", True},
	{"__key GLOB 'order:*'", False},
	{"__key.id = 3", Unknown},
	{"this IS NULL", False},
	{"this = 5", Unknown},
	{"this.age = 36", True},
	{"this[0] IS NULL", True},
	{"*photo = X'0102'", True},
	{"*photo > X'0101' AND photo < X'02'", True},
	{"*photo = 'AQI='", Unknown},
	{"*born < TIMESTAMP '1900-01-01T00:00:00Z'", True},
	{"*born = TIMESTAMP '1815-12-10T01:00:00+01:00'", True},
	{"*born = '1815-12-10T00:00:00Z'", Unknown},
}

func TestEval(t *testing.T) {
	key, _ := encoded(t, "user:ada")
	packed, _ := encoded(t, ada)
	text, err := json.Marshal(ada)
	if err != nil {
		t.Fatal(err)
	}
	indented, err := json.MarshalIndent(ada, "\t", "  ")
	if err != nil {
		t.Fatal(err)
	}

	for _, c := range expectations {
		text, values := c.text, [][]byte{packed, text, indented}
		if text[0] == '*' {
			text, values = text[1:], values[:1]
		}
		q := compiled(t, text)
		for i, v := range values {
			if got, err := q.Eval(key, v); got != c.want || err != nil || q.Matches(key, v) != (c.want == True) {
				t.Errorf("%s: of form %d it is %d, want %d; %v", text, i, got, c.want, err)
			}
		}
	}
}

// What values themselves say, and numbers that no float64 holds.
func TestValues(t *testing.T) {
	for _, c := range []struct {
		value string
		text  string
		want  Truth
	}{
		{"9007199254740993", "this = 9007199254740993", True},
		{"9007199254740993", "this = 9007199254740992.0", False},
		{"9007199254740993", "this > 9007199254740992.0", True},
		{"18446744073709551615", "this < 18446744073709552000.0", True},
		{"18446744073709551616", "this = 18446744073709552000.0", True},
		{"18446744073709551617", "this > 18446744073709552000.0", True},
		{"18446744073709551617", "this > 18446744073709551615", True},
		{"18446744073709551617", "this IN (1, 18446744073709551615)", False},
		{"-18446744073709551617", "this < -18446744073709552000.0", True},
		{"-18446744073709551617", "this < -9223372036854775808", True},
		{"-9223372036854775808", "this = -9223372036854775808", True},
		{"-9223372036854775809", "this < -9223372036854775808", True},
		{"1" + strings.Repeat("0", 400), "this > 1e308", True},
		{"-0", "this = 0", True},
		{"-1", "this < -0.5 AND this > -1.5 AND this <> -1.5 AND this = -1.0", True},
		{"-1", "this < 1 AND this > -2 AND this < 1.5", True},
		{"12", "this > -1 AND this > -1.5 AND this < 12.5", True},
		{" 12 ", "this = 12", True},
		{"0.1", "this = 0.1", True},
		{"1e2", "this = 100", True},
		{"1e999", "this > 1e308", True},
		{`"a\u00e9\ud83d\ude00\n\/"`, "this = 'aé😀\n/'", True},
		{`"\ud83d"`, "this = '\ufffd'", True},
		{`"\ud83dx"`, "this = '\ufffdx'", True},
		{`"\ud83d\ud83d\ude00"`, "this = '\ufffd😀'", True},
		{`{"n\u0061me":1}`, "name = 1", True},
		{`{"name\"":1}`, `"name""" = 1`, True},
		{`{"a":{"b":1},"b":2}`, "b = 2", True},
		{`{"a":[1,[2,{"x":"]}"}],{}],"b":2}`, "b = 2 AND a[1][1].x = ']}' AND a[2] IS NOT NULL", True},
		{`{"a":1,"a":2}`, "a = 1", True},
		{`[]`, "this[any] = 1", False},
		{`[ ]`, "this[0] IS NULL", True},
		{`{ }`, "a IS NULL", True},
		{`null`, "this IS NULL", True},
		{"5", "this = 53", True}, // one byte is MessagePack
		{"", "this IS NULL AND a IS NULL", True},
	} {
		if got, err := compiled(t, c.text).Eval(nil, []byte(c.value)); got != c.want || err != nil {
			t.Errorf("%.60s: %s is %d, want %d; %v", c.value, c.text, got, c.want, err)
		}
	}

	// Valid forms that are not canonical.
	for _, c := range []struct{ value, text string }{
		{"\xcd\x00\x05", "this = 5"},
		{"\xca\x3f\xc0\x00\x00", "this = 1.5"},
		{"\xdf\x00\x00\x00\x02\xd9\x01b\x01\xdb\x00\x00\x00\x01a\x02", "a = 2 AND b = 1"},
		{"\x82\x01\x02\xa1a\x03", "a = 3"},
		{"\x82\x92\xa1a\x01\x02\xa1a\x03", "a = 3"},
		{"\xdd\x00\x00\x00\x01\xc3", "this[0] = true"},
		{"\xc7\x0c\xff\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01", "this = TIMESTAMP '1970-01-01T00:00:01.000000001Z'"},
		{"\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00", "NOT this IS NULL"},
	} {
		if got, err := compiled(t, c.text).Eval(nil, []byte(c.value)); got != True || err != nil {
			t.Errorf("%x: %s is %d; %v", c.value, c.text, got, err)
		}
	}
	nan := []byte("\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00")
	for _, text := range []string{"this = 1", "this <> 1", "this IN (1)", "this BETWEEN 1 AND 2"} {
		if got, err := compiled(t, text).Eval(nan, nan); got != Unknown || err != nil {
			t.Errorf("NaN: %s is %d; %v", text, got, err)
		}
	}
}

// Evaluation on bytes says what a plain model says of the decoded values.
func TestEvalAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawnPredicate(t, 3)
		q, err := Compile(p)
		if err != nil {
			t.Fatal(err)
		}
		key, decodedKey := encoded(t, rapid.OneOf(rapid.Just(any("a")), rapid.Just(any(int64(1))), rapid.Just(any(map[string]any{"a": "b"}))).Draw(t, "key"))

		v := drawnValue(t, 3)
		b, decoded := encoded(t, v)
		want := says(p, decodedKey, decoded)
		if got, err := q.Eval(key, b); got != want || err != nil {
			t.Fatalf("%s of %#v is %d, want %d; %v", p, decoded, got, want, err)
		}

		// The same value in JSON, where it is one: other names and texts, and no other types.
		text, err := json.Marshal(jsonable(decoded))
		if err != nil {
			t.Fatal(err)
		}
		if rapid.Bool().Draw(t, "indent") {
			var out bytes.Buffer
			if err := json.Indent(&out, text, " ", "\t"); err != nil {
				t.Fatal(err)
			}
			text = out.Bytes()
		}
		if len(text) == 1 {
			text = append(text, ' ')
		}

		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber()
		decoded = nil
		if err := d.Decode(&decoded); err != nil {
			t.Fatal(err)
		}
		want = says(p, decodedKey, decoded)
		if got, err := q.Eval(key, text); got != want || err != nil {
			t.Fatalf("%s of %s is %d, want %d; %v", p, text, got, want, err)
		}
	})
}

// jsonable returns v with keys that are strings alone, and without what JSON has no numbers for.
func jsonable(v any) any {
	switch v := v.(type) {
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return json.Number("1e999")
		}
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			out[i] = jsonable(x)
		}
		return out
	case map[string]any:
		out := make(map[string]any)
		for k, x := range v {
			out[k] = jsonable(x)
		}
		return out
	case map[any]any:
		out := make(map[string]any)
		for k, x := range v {
			out[fmt.Sprint(k)] = jsonable(x)
		}
		return out
	}
	return v
}

func TestLike(t *testing.T) {
	for _, c := range []struct {
		text, pattern string
		like, ilike   bool
	}{
		{"", "", true, true},
		{"", "%", true, true},
		{"", "_", false, false},
		{"a", "A", false, true},
		{"abc", "a%c", true, true},
		{"abc", "%b%", true, true},
		{"abc", "a%b", false, false},
		{"aa", "a%a", true, true},
		{"a", "a%a", false, false},
		{"日本", "__", true, true},
		{"日本", "_", false, false},
		{"日本", "%_本", true, true},
		{"日本語", "_%_", true, true},
		{"a\nb", "a%b", true, true},
		{"a\nb", "a_b", true, true},
		{"50%", `50\%`, true, true},
		{"50x", `50\%`, false, false},
		{`a\b`, `a\\b`, true, true},
		{"x\xffy", "x_y", true, true},
		{"x\xffy", "x%y", true, true},
		{"\xe6\x97", "__", true, true},
		{"\xff", "\ufffd", false, false},
		{"\ufffd", "\ufffd", true, true},
		{"K", "\u212a", false, true},
		{"ÄÖ", "ä_", false, true},
		{"abxabyabz", "%ab_%abz", true, true},
		{"ab", "%b%b", false, false},
		{"abxabyabz", "%b_a%b_", true, true},
	} {
		var work = maxWork
		for i, want := range []bool{c.like, c.ilike} {
			p := newPattern(c.pattern, i == 1)
			if got := p.match([]byte(c.text), &work); got != want {
				t.Errorf("%q LIKE %q, folded %v: %v", c.text, c.pattern, i == 1, got)
			}
		}
	}

	rapid.Check(t, func(t *rapid.T) {
		pattern := drawnPattern(t)
		text := rapid.OneOf(rapid.StringMatching(`[abAK\x{212a}ß日%_\n]{0,12}`), rapid.SampledFrom(texts)).Draw(t, "text")
		fold := rapid.Bool().Draw(t, "fold")
		p, work := newPattern(pattern, fold), maxWork
		if got, want := p.match([]byte(text), &work), likeRegexp(pattern, fold).MatchString(text); got != want {
			t.Fatalf("%q LIKE %q, folded %v: %v", text, pattern, fold, got)
		}
	})
}

// An entry may make an evaluation expensive, but not endless.
func TestWorkIsBounded(t *testing.T) {
	const size = 1 << 12 // the work is that of sixteen walks, as for the largest value
	key, _ := encoded(t, "k")
	long, _ := encoded(t, map[string]any{"text": strings.Repeat("a", size), "x": 1})
	hard := strings.Repeat("a_", 500) + "b"

	q := compiled(t, "text LIKE '%"+hard+"%' OR __key = 'k'")
	if got, err := q.eval(key, long, 16*size); got != True || !errors.Is(err, errWork) {
		t.Errorf("with a term that is known: %d, %v", got, err)
	}
	q = compiled(t, "NOT text ILIKE '%"+hard+"%'")
	if got, err := q.eval(key, long, 16*size); got != Unknown || !errors.Is(err, errWork) {
		t.Errorf("alone: %d, %v", got, err)
	}

	// More attributes than are remembered, each behind all of a long list.
	for form, list := range map[string][]byte{
		"msgpack": func() []byte { b, _ := encoded(t, map[string]any{"a": make([]int, size), "b": 1}); return b }(),
		"json":    []byte(`{"a":[0` + strings.Repeat(",0", size/2) + `],"b":1}`),
	} {
		terms := make([]string, 200)
		for i := range terms {
			terms[i] = fmt.Sprintf("b.x%d = 1", i)
		}
		if got, err := compiled(t, strings.Join(terms, " OR ")).eval(nil, list, 18*size); got != Unknown || !errors.Is(err, errWork) {
			t.Errorf("%s: many attributes: %d, %v", form, got, err)
		}
		// One attribute, in many terms.
		for i := range terms {
			terms[i] = fmt.Sprintf("b = %d", i+2)
		}
		if got, err := compiled(t, strings.Join(terms, " OR ")).eval(nil, list, 18*size); got != False || err != nil {
			t.Errorf("%s: one attribute in many terms: %d, %v", form, got, err)
		}
		if got, err := compiled(t, "a[any] > 0 OR a[any] < 0").eval(nil, list, size); got != Unknown || !errors.Is(err, errWork) {
			t.Errorf("%s: all elements: %d, %v", form, got, err)
		}
	}
}

func TestMalformed(t *testing.T) {
	key, _ := encoded(t, "k")
	for _, v := range []string{
		"\xc1", "\x81", "\x81\xa1a", "\xdd\xff\xff\xff\xff", "\xa5ab", "\x82\xa1b\xc1\xa1a\x01", "\x82\xa1b\xdd\x00\x00\x00\x05", "\xd4\x01\x00",
		"{\"", `{"a"`, `{"a":`, `{"b":1`, `{"b":1,`, `{"b":1,}`, `{"b" 1}`, `{b:1}`, `{"b":tru,"a":1}`, `{"b":01,"a":1}`, `{"b":"\`, `{"b":[1},"a":1}`,
		`{"b":[1 2],"a":1}`, `{"b":{"c":1],"a":1}`, `{"a":}`, `{"a":"\x"}`, `{"a":"\u12g4"}`, "{\"b\":\"\n\",\"a\":1}", "hello", "  ",
		`{"b":` + strings.Repeat("[", codec.MaxDepth+1) + strings.Repeat("]", codec.MaxDepth+1) + `,"a":1}`,
	} {
		for _, text := range []string{"a = 1", "NOT a = 1", "a LIKE '%'", "a IN (1)"} {
			if got, err := compiled(t, text).Eval(key, []byte(v)); got != Unknown || err == nil {
				t.Errorf("%q: %s is %d, %v", v, text, got, err)
			}
		}
		if got, err := compiled(t, "a = 1 OR __key = 'k'").Eval(key, []byte(v)); got != True {
			t.Errorf("%q: a term that is known does not decide: %d, %v", v, got, err)
		}
	}

	// A value in another format may begin like a number.
	for _, v := range []string{"\xffother", "\xc0\xc0", "12 34", "true!"} {
		for _, text := range []string{"this = -1", "this IS NULL", "this = true", "this > 0"} {
			if got, err := compiled(t, text).Eval(key, []byte(v)); got != Unknown || err == nil {
				t.Errorf("%q: %s is %d, %v", v, text, got, err)
			}
		}
	}

	// Every beginning of a valid value is missing something, and nothing of it is read beyond its end.
	eachForm(t, func(q *Query, _ string, v []byte) {
		for n := range v {
			q.Eval(v[:n:n], v[:n:n])
		}
	})
}

// eachForm calls f with the query of each expectation and its text, and with either form of the value.
func eachForm(t *testing.T, f func(q *Query, of string, v []byte)) {
	t.Helper()
	packed, _ := encoded(t, ada)
	text, err := json.Marshal(ada)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range expectations {
		q := compiled(t, strings.TrimPrefix(c.text, "*"))
		for _, v := range [][]byte{packed, text} {
			f(q, c.text, v)
		}
	}
}

func TestUsesValue(t *testing.T) {
	for text, want := range map[string]bool{
		"__key GLOB 'a*'": false, "__key = 1 OR NOT __key.id IS NULL": false, "a = 1": true, "__key = 1 AND this IS NULL": true,
	} {
		if got := compiled(t, text).UsesValue(); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

// What hangs on the value is unknown, whatever the value is, and no look at it is tried.
func TestEvalKey(t *testing.T) {
	key, _ := encoded(t, "k")
	for text, want := range map[string]Truth{
		"__key = 'k'": True, "__key = 'l'": False, "this IS NULL": Unknown, "NOT a = 1": Unknown,
		"__key = 'l' AND a = 1": False, "__key = 'k' AND a = 1": Unknown, "__key = 'k' OR a[any] = 1": True,
	} {
		q := compiled(t, text)
		if got := q.EvalKey(key); got != want {
			t.Errorf("%s: %d, want %d", text, got, want)
		}
		if n := testing.AllocsPerRun(10, func() { q.EvalKey(key) }); n != 0 {
			t.Errorf("%s: %v allocations", text, n)
		}
	}
}

func TestTransition(t *testing.T) {
	const (
		added, updated, removed = wire.EventAdded, wire.EventUpdated, wire.EventRemoved
		none                    = wire.EventKind(0)
	)
	// By what the query says before and after: not true and not true, true and not, not and true, true and true.
	for kind, want := range map[wire.EventKind][4]wire.EventKind{
		added:             {none, none, added, added},
		wire.EventLoaded:  {none, none, wire.EventLoaded, wire.EventLoaded},
		updated:           {none, removed, added, updated},
		wire.EventTTL:     {none, removed, added, wire.EventTTL},
		removed:           {none, removed, none, removed},
		wire.EventExpired: {none, wire.EventExpired, none, wire.EventExpired},
		wire.EventEvicted: {none, wire.EventEvicted, none, wire.EventEvicted},
		wire.EventCleared: {wire.EventCleared, wire.EventCleared, wire.EventCleared, wire.EventCleared},
		wire.EventLost:    {wire.EventLost, wire.EventLost, wire.EventLost, wire.EventLost},
	} {
		for _, was := range []Truth{False, Unknown, True} {
			for _, is := range []Truth{False, Unknown, True} {
				i := 0
				if was == True {
					i++
				}
				if is == True {
					i += 2
				}
				got, ok := Transition(kind, was, is)
				if !ok {
					got = none
				}
				if got != want[i] {
					t.Errorf("kind %d, from %d to %d: %d, want %d", kind, was, is, got, want[i])
				}
			}
		}
	}
}

// One Query serves many at once.
func TestConcurrentUse(t *testing.T) {
	key, _ := encoded(t, "user:ada")
	packed, _ := encoded(t, ada)
	q := compiled(t, "age > 30 AND name ILIKE 'a%' AND tags[any] IN ('x', 'math') AND __key GLOB 'user:*'")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 100 {
				if !q.Matches(key, packed) {
					t.Error("it does not match")
				}
			}
		})
	}
	wg.Wait()
}

// An evaluation allocates nothing, but for strings of JSON with escapes.
func TestEvalAllocatesNothing(t *testing.T) {
	key, _ := encoded(t, "user:ada")
	eachForm(t, func(q *Query, of string, v []byte) {
		if n := testing.AllocsPerRun(10, func() { q.Eval(key, v) }); n != 0 {
			t.Errorf("%s: %v allocations", of, n)
		}
	})
}

// FuzzEval: no bytes make an evaluation fail, and what codec finds in order is judged as the model judges it.
func FuzzEval(f *testing.F) {
	queries := make([]*Query, len(expectations))
	for i, c := range expectations {
		queries[i] = compiled(f, strings.TrimPrefix(c.text, "*"))
	}
	packed, _ := encoded(f, ada)
	text, err := json.Marshal(ada)
	if err != nil {
		f.Fatal(err)
	}
	for _, v := range [][]byte{packed, text, {}, []byte("\xdd\xff\xff\xff\xff"), []byte(`{"age":[{"x":"\u00`), []byte(`{"tags":["\ud83d\ude00",-1e5]}`)} {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, q := range queries {
			got, err := q.Eval(b, b)
			if again, _ := q.Eval(b, b); again != got {
				t.Fatalf("it is %d, and then %d", got, again)
			}
			if err != nil && !errors.Is(err, codec.ErrMalformed) && !errors.Is(err, errJSON) && !errors.Is(err, wire.ErrMalformed) {
				t.Fatal(err)
			}
		}
	})
}

// BenchmarkEval evaluates predicates on a value of eleven fields.
func BenchmarkEval(b *testing.B) {
	key, _ := encoded(b, "user:ada")
	packed, _ := encoded(b, ada)
	asJSON, err := json.Marshal(ada)
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct{ name, text string }{
		{"number", "age > 30"},
		{"nested", "address.city = 'London'"},
		{"three", "age > 30 AND name LIKE 'A%' AND address.city IN ('Rome', 'London')"},
		{"range", "age >= 30 AND age < 40"},
		{"any", "tags[any] = 'math'"},
		{"glob", "__key GLOB 'user:*'"},
	} {
		q := compiled(b, c.text)
		for _, v := range []struct {
			form string
			b    []byte
		}{{"msgpack", packed}, {"json", asJSON}} {
			b.Run("predicate="+c.name+"/form="+v.form, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if !q.Matches(key, v.b) {
						b.Fatal("it does not match")
					}
				}
			})
		}
	}

	// For comparison: decoding the whole value.
	b.Run("decode/form=msgpack", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var v any
			if err := (codec.Msgpack{}).Decode(packed, &v); err != nil {
				b.Fatal(err)
			}
		}
	})
}
