package render

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"

	"github.com/gridiron-io/gridiron/sdk/codec"
)

// printed returns what a printer makes of a document.
func printed(t require.TestingT, d Document, f Format, terminal bool) string {
	var out bytes.Buffer
	p := Printer{Out: &out, Format: f, Terminal: terminal}
	require.NoError(t, p.Print(d))
	return out.String()
}

func TestFormats(t *testing.T) {
	entry := Record(Field{"key", "alice"}, Field{"value", map[string]any{"age": int64(30), "tags": []any{"a", "b c"}}}).RawColumn("value").PlainColumn("value")
	list := Records([]string{"name", "entries", "at"}, [][]any{
		{"users", 3, time.Date(2026, 1, 2, 3, 4, 5, 678_900_000, time.FixedZone("", 3600))},
		{"a\tb", uint64(math.MaxUint64), nil},
	})
	keys := Values("key", []any{"a", "b\x1b[2J"})
	for name, c := range map[string]struct {
		doc    Document
		format Format
		want   string
	}{
		"record json":   {entry, JSON, `{"key":"alice","value":{"age":30,"tags":["a","b c"]}}` + "\n"},
		"record yaml":   {entry, YAML, "key: alice\nvalue:\n  age: 30\n  tags:\n    - a\n    - b c\n"},
		"record csv":    {entry, CSV, "key,value\nalice,\"{\"\"age\"\":30,\"\"tags\"\":[\"\"a\"\",\"\"b c\"\"]}\"\n"},
		"record table":  {entry, Table, "KEY    VALUE\nalice  {\"age\":30,\"tags\":[\"a\",\"b c\"]}\n"},
		"record plain":  {entry, Plain, `{"age":30,"tags":["a","b c"]}` + "\n"},
		"record raw":    {entry, Raw, `{"age":30,"tags":["a","b c"]}` + "\n"},
		"records json":  {list, JSON, `[{"name":"users","entries":3,"at":"2026-01-02T02:04:05.678Z"},{"name":"a\tb","entries":18446744073709551615,"at":null}]` + "\n"},
		"records yaml":  {list, YAML, "- name: users\n  entries: 3\n  at: \"2026-01-02T02:04:05.678Z\"\n- name: \"a\\tb\"\n  entries: 18446744073709551615\n  at: null\n"},
		"records csv":   {list, CSV, "name,entries,at\nusers,3,2026-01-02T02:04:05.678Z\na\tb,18446744073709551615,\n"},
		"records table": {list, Table, "NAME   ENTRIES               AT\nusers  3                     2026-01-02T02:04:05.678Z\na\\tb   18446744073709551615  null\n"},
		"records plain": {list, Plain, "users\t3\t2026-01-02T02:04:05.678Z\na\\tb\t18446744073709551615\tnull\n"},
		"records raw":   {list, Raw, "users\n3\n2026-01-02T02:04:05.678Z\na\tb\n18446744073709551615\nnull\n"},
		"values json":   {keys, JSON, `["a","b\u001b[2J"]` + "\n"},
		"values yaml":   {keys, YAML, "- a\n- \"b\\u001b[2J\"\n"},
		"values csv":    {keys, CSV, "key\na\nb\x1b[2J\n"},
		"values table":  {keys, Table, "KEY\na\nb\\u001b[2J\n"},
		"values plain":  {keys, Plain, "a\nb\\u001b[2J\n"},
		"values raw":    {keys, Raw, "a\nb\x1b[2J\n"},
		"empty json":    {Records([]string{"a", "b"}, nil), JSON, "[]\n"},
		"empty yaml":    {Values("a", nil), YAML, "[]\n"},
		"empty csv":     {Records([]string{"a", "b"}, nil), CSV, "a,b\n"},
		"empty table":   {Records([]string{"a", "b"}, nil), Table, "A  B\n"},
		"empty plain":   {Records([]string{"a", "b"}, nil), Plain, ""},
		"nested empty":  {Record(Field{"a", []any{}}, Field{"b", map[string]any{}}), YAML, "a: []\nb: {}\n"},
		"nested lists":  {Values("a", []any{[]any{int64(1), []any{"x"}}}), YAML, "- - 1\n  - - x\n"},
		"wide":          {Records([]string{"a", "b"}, [][]any{{"日本", "x"}, {"abcde", "y"}}), Table, "A      B\n日本   x\nabcde  y\n"},
		"bytes":         {Values("a", []any{[]byte{1, 2}}), Raw, "AQI=\n"},
		"floats":        {Values("a", []any{1.0, 2.5}), JSON, "[1.0,2.5]\n"},
	} {
		require.Equal(t, c.want, printed(t, c.doc, c.format, false), name)
	}
}

// Whatever names and values are, no format writes anything to a terminal that it would obey.
func TestTerminalIsNotObeyed(t *testing.T) {
	evil := "a\x1b]0;title\x07\u009b2Jb\u202ec\u2028d\x7f\xff\r"
	d := Records([]string{"key", "value"}, [][]any{{evil, map[string]any{evil: evil}}})
	for _, f := range append([]Format{Plain}, Formats...) {
		for _, r := range printed(t, d, f, true) {
			require.False(t, obeyed(r) && r != '\n' && r != '\t', "%s wrote %q", f, r)
		}
	}
	require.Equal(t, `\x80a\nb\u001b\u0085`+`\u202e`, Escape("\x80a\nb\x1b\u0085\u202e"))
	require.Equal(t, `ü日\`, Escape(`ü日\`), "what is harmless stays")
}

// The formats tell the same: YAML and JSON read back alike, and give back every value.
func TestYAMLIsJSON(t *testing.T) {
	text := rapid.OneOf(rapid.String(), rapid.StringMatching(`[a-zA-Z0-9 :#\[\]{},&*!|>'"%@-]{0,8}`),
		rapid.SampledFrom([]string{"", "yes", "No", "~", "null", "0x1f", "1e3", "-", "---", "- a", "a: b", "a #b", "1_000", "2026-01-02", "=", "<<", "NaN", ".inf", "y"}))
	scalar := rapid.OneOf(rapid.Just[any](nil), rapid.Map(rapid.Bool(), toAny[bool]), rapid.Map(rapid.Int64(), toAny[int64]),
		rapid.Map(rapid.Float64(), toAny[float64]), rapid.Map(text, toAny[string]))
	var tree func(depth int) *rapid.Generator[any]
	tree = func(depth int) *rapid.Generator[any] {
		if depth == 0 {
			return scalar
		}
		return rapid.OneOf(scalar, rapid.Map(rapid.SliceOfN(tree(depth-1), 0, 3), toAny[[]any]),
			rapid.Map(rapid.MapOfN(text, tree(depth-1), 0, 3), toAny[map[string]any]))
	}
	rapid.Check(t, func(t *rapid.T) {
		rows := rapid.SliceOfN(rapid.SliceOfN(tree(2), 2, 2), 0, 3).Draw(t, "rows")
		d := Records([]string{"a", "b_ms"}, rows)
		if len(rows) == 1 && rapid.Bool().Draw(t, "one") {
			d.shape = record
		}
		asJSON, asYAML := printed(t, d, JSON, false), printed(t, d, YAML, false)
		var fromJSON, fromYAML any
		require.NoError(t, json.Unmarshal([]byte(asJSON), &fromJSON))
		require.NoError(t, yaml.Unmarshal([]byte(asYAML), &fromYAML), "%s", asYAML)
		// The numbers of both as float64, so that they compare.
		again, err := json.Marshal(fromYAML)
		require.NoError(t, err)
		var plain any
		require.NoError(t, json.Unmarshal(again, &plain))
		require.Equal(t, fromJSON, plain, "%s", asYAML)

		// And JSON gives back the values, but for what it has no notation for.
		for i, row := range rows {
			b, err := codec.ToJSON(row[0])
			require.NoError(t, err)
			require.Contains(t, asJSON, `"a":`+string(b), "row %d", i)
		}
	})
}

func toAny[T any](v T) any { return v }

// failing is an output that breaks.
type failing struct{}

var errDiskFull = errors.New("no space left")

func (failing) Write([]byte) (int, error) { return 0, errDiskFull }

func TestPrintReports(t *testing.T) {
	p := Printer{Out: failing{}, Format: JSON}
	require.ErrorIs(t, p.Print(Values("a", []any{1})), errDiskFull)

	var out bytes.Buffer
	for _, f := range append([]Format{Plain}, Formats...) {
		p = Printer{Out: &out, Format: f}
		require.Error(t, p.Print(Values("a", []any{"good", make(chan int)})), f)
		require.Empty(t, out.String(), "%s wrote a part", f)
	}
}

func TestParseFormat(t *testing.T) {
	for _, f := range Formats {
		got, err := ParseFormat(string(f))
		require.NoError(t, err)
		require.Equal(t, f, got)
	}
	for _, name := range []string{"", "JSON", "xml", "plain"} {
		_, err := ParseFormat(name)
		require.ErrorContains(t, err, "table, json, yaml, csv, raw", "%q", name)
	}
}

func TestStream(t *testing.T) {
	for format, want := range map[Format]string{
		JSON:  `{"kind":"ADDED","key":"a","new":1}` + "\n" + `{"kind":"REMOVED","key":"b","new":null}` + "\n",
		YAML:  "---\nkind: ADDED\nkey: a\nnew: 1\n---\nkind: REMOVED\nkey: b\nnew: null\n",
		CSV:   "kind,key,new\nADDED,a,1\nREMOVED,b,\n",
		Plain: "ADDED\ta\t1\nREMOVED\tb\tnull\n",
		Raw:   "1\nnull\n",
		Table: "KIND     KEY  NEW\nADDED    a    1\nREMOVED  b    null\n",
	} {
		var out bytes.Buffer
		p := Printer{Out: &out, Format: format}
		s := p.Stream([]string{"kind", "key", "new"}, []int{7}, "new")
		require.NoError(t, s.Write([]any{"ADDED", "a", int64(1)}))
		require.NoError(t, s.Write([]any{"REMOVED", "b", nil}))
		require.Equal(t, want, out.String(), format)
	}
}
