package lint

import (
	"bytes"
	"fmt"
	"go/ast"
	"path"
	"regexp"
	"strings"
	"testing"
)

// declared are the names that the repository's Go code gives, by the folders' last elements.
type declared struct {
	packages map[string]map[string]bool // names of each package, and Type.member
	anywhere map[string]bool            // the same without the package, and members without their type
}

// declaredNames returns all names that are declared outside of functions.
func declaredNames(files []*file) declared {
	all := declared{packages: make(map[string]map[string]bool), anywhere: make(map[string]bool)}
	for _, f := range files {
		pkg := path.Base(f.dir())
		if all.packages[pkg] == nil {
			all.packages[pkg] = make(map[string]bool)
		}
		add := func(name, member string) {
			whole := name
			if member != "" {
				whole += "." + member
				all.anywhere[member] = true
			}
			all.packages[pkg][whole], all.anywhere[whole] = true, true
		}
		for _, d := range f.ast.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if r := receiver(d); r != "" {
					add(r, d.Name.Name)
				} else {
					add(d.Name.Name, "")
				}
			case *ast.GenDecl:
				for _, s := range d.Specs {
					switch s := s.(type) {
					case *ast.ValueSpec:
						for _, n := range s.Names {
							add(n.Name, "")
						}
					case *ast.TypeSpec:
						add(s.Name.Name, "")
						ast.Inspect(s.Type, func(n ast.Node) bool {
							if field, ok := n.(*ast.Field); ok {
								for _, n := range field.Names {
									add(s.Name.Name, n.Name)
								}
							}
							return true
						})
					}
				}
			}
		}
	}
	return all
}

// othersNames are names that documents quote from elsewhere, and whose they are.
var othersNames = map[string]string{
	"SaveSnapshot": "dragonboat's",
	"MyString":     "an example's",
}

var (
	quoted       = regexp.MustCompile("`([^`\n]+)`")
	ofPackage    = regexp.MustCompile(`^(?:[a-z][a-z0-9]*/)*([a-z][a-z0-9]*)\.([A-Z]\w*(?:\.[A-Z]\w*)?)(?:\(.*)?$`)
	ofType       = regexp.MustCompile(`^([A-Z]\w*\.[A-Z]\w*)(?:\(.*)?$`)
	severalWords = regexp.MustCompile(`^([A-Za-z][a-z]+[A-Z]\w*)(?:\(.*)?$`)
)

// undeclared returns the Go names that a document quotes and nothing declares.
func undeclared(f *file, all declared) (problems []string) {
	text := fenced.ReplaceAllFunc(f.text, func(b []byte) []byte { return bytes.Repeat([]byte("\n"), bytes.Count(b, []byte("\n"))) })
	for _, m := range quoted.FindAllSubmatchIndex(text, -1) {
		name := string(text[m[2]:m[3]])
		ok := true
		if p := ofPackage.FindStringSubmatch(name); p != nil && all.packages[p[1]] != nil {
			ok = all.packages[p[1]][p[2]]
		} else if p := ofType.FindStringSubmatch(name); p != nil {
			ok = all.anywhere[p[1]]
		} else if p := severalWords.FindStringSubmatch(name); p != nil {
			ok = all.anywhere[p[1]] || othersNames[p[1]] != ""
		}
		if !ok {
			problems = append(problems, fmt.Sprintf("%s:%d: there is no %s", f.path, lineOf(text, m[0]), name))
		}
	}
	return problems
}

// TestQuotedNames fails when a document argues with a name that the code does not have. The changelog may name what was.
func TestQuotedNames(t *testing.T) {
	all := declaredNames(goFiles(t))
	for _, f := range documents(t) {
		if f.path != "docs/CHANGELOG.md" {
			report(t, undeclared(f, all))
		}
	}
	for name, want := range map[string]int{
		"sdk.Client": 0, "sdk.Client.Now": 0, "Client.Now": 0, "partition.Host.Nowhere": 1, "sdk.Nowhere(x)": 1, "Client.Nowhere": 1,
		"ErrNowhere": 1, "serveNowhere": 1, "WithFence": 0, "serveBatch": 0, "time.Nowhere": 0, "maps/state.Nowhere": 1, "cluster.name": 0, "METADATA_LOST": 0,
	} {
		if got := undeclared(&file{path: "docs/x.md", text: []byte("It is `" + name + "`.")}, all); len(got) != want {
			t.Errorf("%s: found %q, want %d", name, got, want)
		}
	}
}

var (
	linkToPart = regexp.MustCompile(`\]\(([^)#\s]*)#([^)\s]+)\)`)
	headings   = regexp.MustCompile(`(?m)^#+ (.*)$`)
	unanchored = regexp.MustCompile(`[^a-z0-9 _-]`)
)

// anchors returns the parts of a document to which links can lead.
func anchors(text []byte) map[string]bool {
	all := make(map[string]bool)
	for _, m := range headings.FindAllSubmatch(text, -1) {
		all[strings.ReplaceAll(unanchored.ReplaceAllString(strings.ToLower(string(m[1])), ""), " ", "-")] = true
	}
	return all
}

// deadParts returns the links of a document to a part of one of the documents that has no such part.
func deadParts(f *file, texts map[string][]byte) (problems []string) {
	for _, m := range linkToPart.FindAllSubmatchIndex(f.text, -1) {
		name, part := string(f.text[m[2]:m[3]]), string(f.text[m[4]:m[5]])
		text := f.text
		if name != "" {
			var ok bool
			if text, ok = texts[path.Join(f.dir(), name)]; !ok {
				continue // elsewhere, or reported as not there
			}
		}
		if !anchors(text)[part] {
			problems = append(problems, fmt.Sprintf("%s:%d: a link to #%s of %s, which has no such part", f.path, lineOf(f.text, m[0]), part, or(name, f.path)))
		}
	}
	return problems
}

// TestLinksToParts fails when a link leads to a heading that a document does not have.
func TestLinksToParts(t *testing.T) {
	texts := make(map[string][]byte)
	for _, f := range documents(t) {
		texts[f.path] = f.text
	}
	for _, f := range documents(t) {
		report(t, deadParts(f, texts))
	}
	planted := &file{path: "docs/x.md", text: []byte("# The life of a `Put`\n[a](#the-life-of-a-put) [b](#gone) [c](../README.md#gone) [d](../README.md#limits)\n")}
	if got := deadParts(planted, texts); len(got) != 2 {
		t.Errorf("of two planted links these were found: %q", got)
	}
}
