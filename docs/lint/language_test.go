package lint

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// TestRetiredWords fails when a name, a comment, a string or a document says a word that has another name now.
func TestRetiredWords(t *testing.T) {
	all := make(map[string][]said)
	for _, f := range repository(t) {
		all[f.path] = saidBy(f)
	}
	for _, w := range append(slices.Clone(retiredWords), style...) {
		t.Run(regexp.MustCompile(`[^a-zA-Z]+`).ReplaceAllString(w.old, "-"), func(t *testing.T) {
			for _, f := range repository(t) {
				report(t, w.in(f.path, all[f.path]))
			}
		})
	}
}

// TestRetiredWordsAreSeen fails when a retired word is no longer found, or another one is taken for it.
func TestRetiredWordsAreSeen(t *testing.T) {
	for _, w := range append(slices.Clone(retiredWords), style...) {
		for _, name := range w.names {
			f, err := parse("maps/x.go", []byte("package x\n\nfunc f() {\n\t"+name+" := 1\n}\n"))
			if err != nil {
				t.Fatal(err)
			}
			if len(w.in(f.path, saidBy(f))) != 1 {
				t.Errorf("%s: the name %s was not found", w.old, name)
			}
		}
		for _, text := range w.texts {
			for _, planted := range []struct{ path, text string }{
				{"docs/x.md", "# X\n\nIt says: " + text + ".\n"},
				{"maps/x.go", "package x\n\n// It says: " + text + ".\nvar y = 1\n"},
				{"maps/x.go", "package x\n\nvar y = \"it says: " + text + "\"\n"},
				{"grid/testdata/cluster/x.txt", "# It says: " + text + ".\n"},
			} {
				f, err := parse(planted.path, []byte(planted.text))
				if err != nil {
					t.Fatal(err)
				}
				if len(w.in(f.path, saidBy(f))) != 1 {
					t.Errorf("%s: %q was not found in %s", w.old, text, planted.path)
				}
			}
		}
		for _, text := range w.passes {
			report(t, w.in("docs/x.md", saidBy(&file{path: "docs/x.md", text: []byte(text)})))
		}
	}
	if len(namesIn("the `someName` of clientRPC")) != 2 {
		t.Error("names in a text were not found")
	}
}

// said is a line of a comment, of a string or of a document, or the name that a declaration gives.
type said struct {
	line        int
	text, lower string
	isName      bool // text is a name, and lower its words in lower case
}

// saidBy returns all that a file says in its own words.
func saidBy(f *file) (all []said) {
	text := func(line int, s string) {
		for i, l := range strings.Split(s, "\n") {
			all = append(all, said{line: line + i, text: l, lower: strings.ToLower(l)})
		}
	}
	all = append(all, said{line: 1, text: path.Base(f.path), lower: parts(path.Base(f.path)), isName: true})
	if !f.isGo() {
		text(1, prose(f))
		return all
	}
	for _, group := range f.ast.Comments {
		for _, c := range group.List {
			text(f.line(c), c.Text)
		}
	}
	f.each(func(n ast.Node, around []ast.Node) {
		switch n := n.(type) {
		case *ast.BasicLit:
			if _, ok := around[len(around)-1].(*ast.ImportSpec); n.Kind == token.STRING && !ok {
				text(f.line(n), n.Value)
			}
		case *ast.Ident:
			if declares(n, around) {
				all = append(all, said{line: f.line(n), text: n.Name, lower: parts(n.Name), isName: true})
			}
		}
	})
	return all
}

// in returns where a file, which says all of this, says the word.
func (w *retiredWord) in(name string, all []said) (problems []string) {
	if slices.ContainsFunc(wordsAllowed, func(a allowance) bool { return a.file == name && (a.old == "" || a.old == w.old) }) {
		return nil
	}
	for _, s := range all {
		if !slices.ContainsFunc(w.stems, func(stem string) bool { return strings.Contains(s.lower, stem) }) {
			continue
		}
		var found []string
		switch {
		case !s.isName:
			found = w.inText(s.text)
		case w.name != nil && w.name.MatchString(s.lower):
			found = []string{s.text}
		}
		for _, what := range found {
			problems = append(problems, fmt.Sprintf("%s:%d: %q: say %s", name, s.line, what, w.say))
		}
	}
	return problems
}

// inText returns what a line of text says of the word: the word itself, and names that have it in them.
func (w *retiredWord) inText(line string) (found []string) {
	plain := strings.ReplaceAll(line, "_", " ")
	if w.fine != nil {
		plain = w.fine.ReplaceAllStringFunc(plain, func(s string) string { return strings.Repeat("·", len(s)) })
	}
	found = append(found, w.text.FindAllString(plain, -1)...)
	if w.name == nil {
		return found
	}
	for _, name := range namesIn(line) {
		if w.name.MatchString(parts(name)) && !w.text.MatchString(name) {
			found = append(found, name)
		}
	}
	return found
}

// prose returns the text of a document. The history of changes has to say what was renamed: there, quoted names do not count.
func prose(f *file) string {
	if f.path != "docs/CHANGELOG.md" {
		return string(f.text)
	}
	return regexp.MustCompile("`[^`\n]*`").ReplaceAllString(string(f.text), "``")
}

var camel = regexp.MustCompile(`\b[A-Za-z]+[a-z0-9][A-Z][A-Za-z0-9]*\b`)

// namesIn returns the names of a text that are written as Go writes those of several words.
func namesIn(text string) []string { return camel.FindAllString(text, -1) }

// parts returns the words of a name in lower case, parted by spaces.
func parts(name string) string {
	var b strings.Builder
	runes := []rune(name)
	for i, r := range runes {
		switch {
		case !unicode.IsLetter(r):
			b.WriteByte(' ')
			continue
		case i == 0 || !unicode.IsUpper(r):
		case unicode.IsLower(runes[i-1]), i+1 < len(runes) && unicode.IsLower(runes[i+1]):
			b.WriteByte(' ')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// declares reports whether a name is given here, and not only used: what other modules named is theirs.
func declares(id *ast.Ident, around []ast.Node) bool {
	switch p := around[len(around)-1].(type) {
	case *ast.File:
		return p.Name == id
	case *ast.FuncDecl:
		return p.Name == id
	case *ast.TypeSpec:
		return p.Name == id
	case *ast.ImportSpec:
		return p.Name == id
	case *ast.LabeledStmt:
		return p.Label == id
	case *ast.ValueSpec:
		return slices.Contains(p.Names, id)
	case *ast.Field:
		return slices.Contains(p.Names, id)
	case *ast.AssignStmt:
		return p.Tok == token.DEFINE && slices.ContainsFunc(p.Lhs, func(e ast.Expr) bool { return e == ast.Expr(id) })
	case *ast.RangeStmt:
		return p.Tok == token.DEFINE && (p.Key == ast.Expr(id) || p.Value == ast.Expr(id))
	default:
		return false
	}
}

// maxWords is when a sentence has become several. The aim is 25; this is the end.
const maxWords = 40

// TestSentences fails when a document or a comment has a sentence that nobody reads to its end. The changelog is older than the rule.
func TestSentences(t *testing.T) {
	for _, f := range goFiles(t) {
		report(t, longComments(f))
	}
	for _, f := range documents(t) {
		if f.path != "docs/CHANGELOG.md" {
			report(t, longSentences(f))
		}
	}
	long := strings.Repeat("word ", maxWords) + "end."
	for text, want := range map[string]int{
		"# X\n\nShort. " + long + " Short.\n":                          1,
		"- " + strings.ReplaceAll(long, " word word", "\n  word word"): 1,
		"| " + long + " |\n\n```\n" + long + "\n```\n":                 0,
		strings.Repeat("Some words. ", 30):                             0,
		strings.Repeat("Version 1.2 of `a. b`, e.g. this. ", 12):       0,
	} {
		if got := longSentences(&file{path: "docs/x.md", text: []byte(text)}); len(got) != want {
			t.Errorf("%d long sentences were found, want %d: %q", len(got), want, got)
		}
	}

	for text, want := range map[string]int{
		"// Short.\n// " + strings.ReplaceAll(long, " word word", "\n// word word") + "\n": 1,
		"// Code:\n//\n//\t" + long + "\n":                                                 0,
		"// " + strings.Repeat("A word. x is another. ", 20) + "\n":                        0,
		"var _ = `" + long + "`\n":                                                         0,
	} {
		f, err := parse("maps/x.go", []byte("package x\n\n"+text))
		if err != nil {
			t.Fatal(err)
		}
		if got := longComments(f); len(got) != want {
			t.Errorf("%q: %d long sentences were found, want %d: %q", text, len(got), want, got)
		}
	}
}

var (
	inlineCode  = regexp.MustCompile("`[^`]*`")
	sentenceEnd = regexp.MustCompile(`[.!?]["”)*]*\s+["“(*` + "`" + `]*[A-Z` + "`" + `]`)
	item        = regexp.MustCompile(`^\s*(?:[-*]|\d+\.)\s`)
)

// lowerSentence is where a sentence of a comment begins with a name, as in "x is what …".
var lowerSentence = regexp.MustCompile(`([.!?])[ \n]+([a-z])`)

// longComments returns the sentences of a Go file's comments with too many words. Examples and shell lines in comments are left out.
func longComments(f *file) (problems []string) {
	for _, group := range f.ast.Comments {
		lines := strings.Split(group.Text(), "\n")
		for i, line := range lines {
			if strings.HasPrefix(line, "\t") {
				lines[i] = "" // an example
			}
		}
		// A capital marks the beginning for longSentences.
		text := lowerSentence.ReplaceAllStringFunc(strings.Join(lines, "\n"), strings.ToUpper)
		begin := f.fset.Position(group.Pos()).Line - 1
		virtual := &file{path: f.path, text: []byte(strings.Repeat("\n", begin) + text)}
		problems = append(problems, longSentences(virtual)...)
	}
	return problems
}

// longSentences returns the sentences of a document, outside of tables, headings and code, with too many words.
func longSentences(f *file) (problems []string) {
	text := fenced.ReplaceAllFunc(f.text, func(b []byte) []byte { return bytes.Repeat([]byte("\n"), bytes.Count(b, []byte("\n"))) })
	var paragraph []string
	begin := 0
	flush := func() {
		whole := inlineCode.ReplaceAllString(strings.Join(paragraph, " "), "`c`")
		paragraph = nil
		for whole != "" {
			sentence := whole
			if m := sentenceEnd.FindStringIndex(whole); m != nil {
				sentence, whole = whole[:m[1]-1], whole[m[1]-1:]
			} else {
				whole = ""
			}
			if n := len(strings.Fields(sentence)); n > maxWords {
				problems = append(problems, fmt.Sprintf("%s:%d: a sentence of %d words: %.60s…", f.path, begin, n, sentence))
			}
		}
	}
	for i, line := range strings.Split(string(text), "\n") {
		trimmed := strings.TrimSpace(line)
		if trimmed == "" || item.MatchString(line) || strings.HasPrefix(trimmed, "|") || strings.HasPrefix(trimmed, "#") {
			flush()
			begin = i + 1
		}
		if trimmed != "" && !strings.HasPrefix(trimmed, "|") && !strings.HasPrefix(trimmed, "#") {
			paragraph = append(paragraph, trimmed)
		}
	}
	flush()
	return problems
}
