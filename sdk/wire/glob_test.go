package wire

import (
	"errors"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestMatchGlob(t *testing.T) {
	for _, c := range []struct {
		glob string
		yes  []string
		no   []string
	}{
		{"", []string{""}, []string{"a"}},
		{"users", []string{"users"}, []string{"user", "userss", "Users", ""}},
		{"*", []string{"", "a", "a/b:c", "日本"}, nil},
		{"user:*", []string{"user:", "user:1", "user:1/2:3"}, []string{"user", "users:1", "xuser:1"}},
		{"*-cache", []string{"-cache", "a-cache", "-cache-cache"}, []string{"cache", "a-caches"}},
		{"a*b*c", []string{"abc", "aXbYc", "abcbc", "abbbc"}, []string{"ab", "acb", "abcd"}},
		{"a?c", []string{"abc", "a日c", "a?c"}, []string{"ac", "abbc"}},
		{"[a-c]x", []string{"ax", "cx"}, []string{"dx", "x", "aax"}},
		{"[^a-c]x", []string{"dx", "日x"}, []string{"ax", "x"}},
		{"[!a]", []string{"b", "!"}, []string{"a"}},
		{"[]a]", []string{"]", "a"}, []string{"b"}},
		{"[a-]", []string{"a", "-"}, []string{"b"}},
		{`[\]\-x]`, []string{"]", "-", "x"}, []string{`\`, "y"}},
		{"[日-本]", []string{"日"}, []string{"a"}},
		{`a\*b`, []string{"a*b"}, []string{"aXb", `a\*b`}},
		{`\users`, []string{"users"}, []string{`\users`}},
		{"**", []string{"", "x"}, nil},
		{"a]b", []string{"a]b"}, []string{"ab"}},
	} {
		if err := CheckGlob(c.glob); err != nil {
			t.Errorf("%q: %v", c.glob, err)
		}
		for _, s := range c.yes {
			if !MatchGlob(c.glob, s) {
				t.Errorf("%q does not match %q", c.glob, s)
			}
		}
		for _, s := range c.no {
			if MatchGlob(c.glob, s) {
				t.Errorf("%q matches %q", c.glob, s)
			}
		}
	}
}

func TestWhatIsNoGlob(t *testing.T) {
	for _, p := range []string{`\`, `a\`, "[", "[]", "[^", "[^]", "[a", `[a\]`, "[z-a]", "\xff", "[\xff]"} {
		if err := CheckGlob(p); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: %v", p, err)
		}
		if MatchGlob(p, p) {
			t.Errorf("%q matches itself and is no glob", p)
		}
	}
}

// A glob of many stars takes no longer than the product of the lengths.
func TestMatchGlobDoesNotExplode(t *testing.T) {
	p, s := strings.Repeat("*a", 100)+"b", strings.Repeat("a", 4000)
	if MatchGlob(p, s) {
		t.Error("it matches")
	}
	g, err := CompileGlob("user:*:[a-z]?")
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(10, func() { g.Match("user:17:ab") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Globs match what the regular expressions that they stand for match.
func TestMatchGlobIsARegularExpression(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var glob, expr strings.Builder
		expr.WriteString("(?s)^")
		for range rapid.IntRange(0, 8).Draw(t, "elements") {
			switch rapid.IntRange(0, 5).Draw(t, "element") {
			case 0:
				glob.WriteString("*")
				expr.WriteString(".*")
			case 1:
				glob.WriteString("?")
				expr.WriteString(".")
			case 2:
				glob.WriteString("[a-c日]")
				expr.WriteString("[a-c日]")
			case 3:
				glob.WriteString("[^ab]")
				expr.WriteString("[^ab]")
			default:
				c := rapid.SampledFrom([]string{"a", "b", "日", "*", "?", "[", "]", `\`, ".", "-"}).Draw(t, "character")
				glob.WriteString(EscapeGlob(c))
				expr.WriteString(regexp.QuoteMeta(c))
			}
		}
		expr.WriteString("$")
		if err := CheckGlob(glob.String()); err != nil {
			t.Fatal(err)
		}
		re := regexp.MustCompile(expr.String())
		s := rapid.StringMatching(`[abcd日*?.-]{0,12}`).Draw(t, "text")
		if got, want := MatchGlob(glob.String(), s), re.MatchString(s); got != want {
			t.Fatalf("%q, %q: %t, want %t", glob.String(), s, got, want)
		}
	})
}

func TestGlobText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String().Draw(t, "text")
		got, ok := GlobText(EscapeGlob(s))
		if !ok || got != s {
			t.Fatalf("%q comes back as %q, %t", s, got, ok)
		}
		if !MatchGlob(EscapeGlob(s), s) {
			t.Fatalf("%q does not match itself", s)
		}
	})
	for _, p := range []string{"a*", "?", "[a]", `a\`} {
		if s, ok := GlobText(p); ok {
			t.Errorf("%q stands for %q alone", p, s)
		}
	}
}

func FuzzGlob(f *testing.F) {
	for _, p := range []string{"", "a*b", "[a-c]", "[^x]?", `\*`, "[", "\xff"} {
		f.Add(p, "abc")
	}
	f.Fuzz(func(t *testing.T, p, s string) {
		if len(p) > 300 || len(s) > 3000 {
			return
		}
		matched := MatchGlob(p, s)
		if CheckGlob(p) != nil && matched {
			t.Fatalf("%q is no glob and matches %q", p, s)
		}
		if text, ok := GlobText(p); ok && utf8.ValidString(s) && matched != (text == s) {
			t.Fatalf("%q stands for %q and matches %q: %t", p, text, s, matched)
		}
	})
}
