package lint

import (
	"bytes"
	"fmt"
	"go/ast"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// documents returns the repository's texts in Markdown.
func documents(t *testing.T) []*file {
	t.Helper()
	var list []*file
	for _, f := range repository(t) {
		if strings.HasSuffix(f.path, ".md") && !strings.Contains(f.path, "testdata/") {
			list = append(list, f)
		}
	}
	if len(list) < 5 {
		t.Fatalf("%d documents were found; there are more", len(list))
	}
	return list
}

var (
	link      = regexp.MustCompile(`\]\(([^)#\s]+)(#[^)]*)?\)`)
	codePath  = regexp.MustCompile("`((?:grid|maps|exec|partition|member|cmd|sdk|benchmarks|docs)(?:/[A-Za-z0-9_.-]+)+)`")
	testNamed = regexp.MustCompile("`((?:Test|Fuzz|Benchmark)[A-Z][A-Za-z0-9]*)`")
)

// TestDocuments fails when a document points at what is not there: a file, a folder, a test.
func TestDocuments(t *testing.T) {
	top := root(t)
	tests := testNames(t)
	for _, f := range documents(t) {
		report(t, deadReferences(f, tests, func(p string) bool {
			_, err := os.Stat(filepath.Join(top, filepath.FromSlash(p)))
			return err == nil
		}))
	}
	planted := &file{path: "docs/x.md", text: []byte("[a](gone.md) `maps/gone.go` `TestThatIsNowhere`")}
	if got := deadReferences(planted, tests, func(string) bool { return false }); len(got) != 3 {
		t.Errorf("of three planted references these were found: %q", got)
	}
}

var fenced = regexp.MustCompile("(?s)```.*?```")

func deadReferences(f *file, tests map[string]bool, there func(string) bool) (problems []string) {
	text := fenced.ReplaceAllFunc(f.text, func(b []byte) []byte { return bytes.Repeat([]byte("\n"), bytes.Count(b, []byte("\n"))) })
	each := func(re *regexp.Regexp, check func(s string) string) {
		for _, m := range re.FindAllSubmatchIndex(text, -1) {
			if what := check(string(text[m[2]:m[3]])); what != "" {
				problems = append(problems, fmt.Sprintf("%s:%d: %s", f.path, lineOf(text, m[0]), what))
			}
		}
	}
	each(link, func(s string) string {
		if strings.Contains(s, "://") || there(path.Join(f.dir(), s)) {
			return ""
		}
		return "a link to " + s + ", which is not there"
	})
	each(codePath, func(s string) string {
		dir, last := path.Split(s)
		if name, _, ok := strings.Cut(last, "."); ok && !slices.Contains(textual, path.Ext(last)) {
			last = name // what follows is declared in the package
		}
		if there(dir + last) {
			return ""
		}
		return s + " is not there"
	})
	each(testNamed, func(s string) string {
		if tests[s] {
			return ""
		}
		return "there is no " + s
	})
	return problems
}

// testNames returns the names of all test functions.
func testNames(t *testing.T) map[string]bool {
	t.Helper()
	names := make(map[string]bool)
	for _, f := range repository(t) {
		if !f.isGo() || !f.isTest() {
			continue
		}
		for _, d := range f.ast.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil {
				names[fn.Name.Name] = true
			}
		}
	}
	return names
}

// product reports whether a file is part of what members and clients run.
func product(f *file) bool {
	return !f.isTest() && !under(f.dir(), "benchmarks") && !under(f.dir(), "docs") && !under(f.dir(), "sdk/internal/fakegrid") &&
		!under(f.dir(), "grid/gridtest") && !under(f.dir(), "member/internal/harness")
}

// TestLocks compares docs/LOCKS.md with the mutexes that there are.
func TestLocks(t *testing.T) {
	want := make(map[string]bool)
	for _, f := range goFiles(t) {
		if product(f) {
			for _, name := range mutexes(f) {
				want[name] = true
			}
		}
	}
	compare(t, "docs/LOCKS.md", want, regexp.MustCompile("(?m)^\\| `([a-z][a-z/]*\\.[A-Za-z.]+)`"), "a mutex")

	planted, err := parse("maps/x.go", []byte("package x\n\nimport \"sync\"\n\ntype a struct {\n\tb struct{ sync.Mutex }\n\tc *sync.RWMutex\n}\n\nvar d struct{ e sync.Mutex }\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got := mutexes(planted); !slices.Equal(got, []string{"maps.a.b", "maps.a.c", "maps.d.e"}) {
		t.Errorf("of three planted mutexes these were found: %q", got)
	}
}

// compare fails the test for every name that is in one of a document's table and the code only.
func compare(t *testing.T, document string, code map[string]bool, row *regexp.Regexp, what string) {
	t.Helper()
	text := find(t, document).text
	listed := make(map[string]bool)
	for _, m := range row.FindAllSubmatch(text, -1) {
		listed[string(bytes.Join(m[1:], []byte(" ")))] = true
	}
	var problems []string
	for name := range code {
		if !listed[name] {
			problems = append(problems, fmt.Sprintf("%s: no row for %s, %s in the code", document, name, what))
		}
	}
	for name := range listed {
		if !code[name] {
			problems = append(problems, fmt.Sprintf("%s: a row for %s, which is not %s in the code", document, name, what))
		}
	}
	slices.Sort(problems)
	report(t, problems)
}

// mutexes returns the fields and variables of a file that are mutexes, as folder.Type.field. A mutex that is embedded in an
// unnamed struct has the name of the field that holds the struct.
func mutexes(f *file) (names []string) {
	pkg := f.imported("sync")
	if pkg == "" {
		return nil
	}
	var walk func(prefix string, t ast.Expr)
	walk = func(prefix string, t ast.Expr) {
		switch t := t.(type) {
		case *ast.StarExpr:
			walk(prefix, t.X)
		case *ast.SelectorExpr:
			if x, ok := t.X.(*ast.Ident); ok && x.Name == pkg && (t.Sel.Name == "Mutex" || t.Sel.Name == "RWMutex") {
				names = append(names, prefix)
			}
		case *ast.StructType:
			for _, field := range t.Fields.List {
				if len(field.Names) == 0 {
					walk(prefix, field.Type)
				}
				for _, n := range field.Names {
					walk(prefix+"."+n.Name, field.Type)
				}
			}
		}
	}
	for _, d := range f.ast.Decls {
		d, ok := d.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, s := range d.Specs {
			switch s := s.(type) {
			case *ast.TypeSpec:
				walk(f.dir()+"."+s.Name.Name, s.Type)
			case *ast.ValueSpec:
				for _, n := range s.Names {
					walk(f.dir()+"."+n.Name, s.Type)
				}
			}
		}
	}
	return names
}

// unlisted are folders, and all below them, whose packages need no row of their own in docs/ARCHITECTURE.md, and why.
var unlisted = map[string]string{
	"cmd/grid/internal":       "parts of the binary",
	"benchmarks/internal":     "parts of the benchmarks",
	"docs/examples":           "examples of what programs do",
	"sdk/internal/fakegrid":   "for tests",
	"member/internal/harness": "for tests",
	"member/porttest":         "for tests",
	"partition/leasesim":      "a simulation, for tests",
}

var (
	responsibilities = regexp.MustCompile(`(?m)^\|[^|\n]*\|([^|\n]*)\|[^|\n]*\|$`)
	packageName      = regexp.MustCompile("`([a-z][a-z0-9/]*)`")
)

// TestArchitectureTable fails for a package without a row in the table of docs/ARCHITECTURE.md, and for a row without a package.
func TestArchitectureTable(t *testing.T) {
	text := string(find(t, "docs/ARCHITECTURE.md").text)
	begin := strings.Index(text, "| layer | package | responsibility |")
	if begin < 0 {
		t.Fatal("docs/ARCHITECTURE.md has no table of packages")
	}
	table, _, _ := strings.Cut(text[begin:], "\n\n")
	listed := make(map[string]bool)
	for _, row := range responsibilities.FindAllStringSubmatch(table, -1) {
		for _, name := range packageName.FindAllStringSubmatch(row[1], -1) {
			listed[name[1]] = true
		}
	}
	there := make(map[string]bool)
	for _, f := range goFiles(t) {
		if f.dir() != "." && !f.isTest() && !slices.ContainsFunc(slices.Collect(maps.Keys(unlisted)), func(d string) bool { return under(f.dir(), d) }) {
			there[f.dir()] = true
		}
	}
	for dir := range there {
		if !listed[dir] {
			t.Errorf("docs/ARCHITECTURE.md: no row for package %s", dir)
		}
	}
	for name := range listed {
		if !there[name] && name != "docs/lint" {
			t.Errorf("docs/ARCHITECTURE.md: a row for %s, which is no package", name)
		}
	}
	if len(listed) < 15 {
		t.Errorf("%d packages were found in the table; it has more", len(listed))
	}
}

// TestGoroutines compares docs/GOROUTINES.md with the places that start goroutines.
func TestGoroutines(t *testing.T) {
	want := make(map[string]bool)
	for _, f := range goFiles(t) {
		if product(f) {
			for _, name := range starts(f) {
				want[name] = true
			}
		}
	}
	compare(t, "docs/GOROUTINES.md", want, regexp.MustCompile("(?m)^\\| `([a-z][a-z/]*\\.[A-Za-z.]+)` \\| `([A-Za-z.]+)`"), "a start of a goroutine")

	planted, err := parse("maps/x.go", []byte("package x\n\nfunc (a *A) f() {\n\tgo a.g()\n\twg.Go(func() {})\n}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got := starts(planted); !slices.Equal(got, []string{"maps.A.f a.g", "maps.A.f func"}) {
		t.Errorf("of two planted goroutines these were found: %q", got)
	}
}

// starts returns the places of a file that start goroutines, each as the function that does it and what it starts.
func starts(f *file) (names []string) {
	f.each(func(n ast.Node, around []ast.Node) {
		var run ast.Expr
		switch n := n.(type) {
		case *ast.GoStmt:
			run = n.Call.Fun
		case *ast.CallExpr:
			if sel, ok := n.Fun.(*ast.SelectorExpr); ok && sel.Sel.Name == "Go" && len(n.Args) == 1 {
				run = n.Args[0]
			}
		}
		if run != nil {
			names = append(names, f.dir()+"."+enclosing(around)+" "+spelled(run))
		}
	})
	return names
}

// spelled returns a path of names as it stands in the source, or "func".
func spelled(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return spelled(e.X) + "." + e.Sel.Name
	default:
		return "func"
	}
}

var goBlock = regexp.MustCompile("(?s)```go\n(package main\n.*?)```")

// TestReadmeProgram runs the program that README.md shows; in short runs it is compiled only.
func TestReadmeProgram(t *testing.T) {
	m := goBlock.FindSubmatch(find(t, "README.md").text)
	if m == nil {
		t.Fatal("README.md shows no program")
	}
	name := filepath.Join(t.TempDir(), "main.go")
	if err := os.WriteFile(name, m[1], 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := parse("main.go", m[1])
	if err != nil {
		t.Fatal(err)
	}
	report(t, formatted(f))
	args, want := []string{"run", name}, "Ada true\n"
	if testing.Short() {
		args, want = []string{"vet", name}, ""
	}
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = root(t)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", args[0], err, out)
	}
	if string(out) != want {
		t.Errorf("go %s: printed %q, want %q", args[0], out, want)
	}
}
