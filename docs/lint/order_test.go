package lint

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// ordered are the packages in which nothing may depend on the order of a map: every replica, and every process that decides
// with the same knowledge, comes to the same result. Only what is named by pureFiles counts.
var ordered = []string{"maps/state", "partition/entry", "partition/meta", "partition/role", "member/internal/bootstrap"}

// anyOrder are functions with loops over maps that come to the same in any order, and why.
var anyOrder = map[string]string{
	"member/internal/bootstrap.Machine.hear": "finds the least by time and identity, of which there is one",
	"member/internal/bootstrap.sight.saw":    "removes what fits, each by itself",
	"member/internal/bootstrap.sight.at":     "finds the one member at an address: saw removes whoever was there before",
}

// TestMapOrder finds loops over maps by their types. A loop whose result does not depend on the order says so in a comment that
// has the word "order", on its line or the one before, or is in anyOrder. A loop that only gathers what is sorted next is known
// by the sort.
func TestMapOrder(t *testing.T) {
	exports := exported(t, ordered)
	for _, dir := range ordered {
		report(t, mapLoops(t, exports, dir))
	}

	dir := t.TempDir()
	planted := "package x\n\nfunc f(m map[int]int) (last int) {\n\tfor k := range m {\n\t\tlast = k\n\t}\n\t// In any order.\n\tfor k := range m {\n\t\tlast += k\n\t}\n\treturn last\n}\n"
	name := filepath.Join(dir, "x.go")
	if err := os.WriteFile(name, []byte(planted), 0o600); err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, name, nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	if got := loops(t, fset, exports, "x", []*ast.File{f}, func(string) bool { return true }); len(got) != 1 || !strings.Contains(got[0], ":4:") {
		t.Errorf("of two planted loops, one of them explained, these were found: %q", got)
	}
}

// exported returns the files of export data of packages and of all that they import.
func exported(t *testing.T, dirs []string) map[string]string {
	t.Helper()
	args := []string{"list", "-export", "-deps", "-json=ImportPath,Export"}
	for _, d := range dirs {
		args = append(args, "./"+d)
	}
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = root(t)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	files := make(map[string]string)
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct{ ImportPath, Export string }
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return files
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		files[p.ImportPath] = p.Export
	}
}

// mapLoops returns the loops over maps in the files of a package that are to be pure.
func mapLoops(t *testing.T, exports map[string]string, dir string) []string {
	t.Helper()
	top := root(t)
	cmd := exec.CommandContext(t.Context(), "go", "list", "-f", `{{join .GoFiles "\n"}}`, "./"+dir)
	cmd.Dir = top
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	fset := token.NewFileSet()
	var files []*ast.File
	for name := range strings.FieldsSeq(string(out)) {
		f, err := parser.ParseFile(fset, filepath.Join(top, filepath.FromSlash(dir), name), nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	return loops(t, fset, exports, modulePath+"/"+dir, files, func(name string) bool {
		rel := path.Join(dir, filepath.Base(name))
		return slices.Contains(pureFiles, dir) || slices.Contains(pureFiles, rel)
	})
}

// loops type-checks a package and returns its loops over maps, in the files that are wanted, whose order matters for all that
// one can see.
func loops(t *testing.T, fset *token.FileSet, exports map[string]string, pkg string, files []*ast.File, wanted func(name string) bool) (problems []string) {
	t.Helper()
	info := &types.Info{Types: make(map[ast.Expr]types.TypeAndValue)}
	cfg := types.Config{Importer: importer.ForCompiler(fset, "gc", func(p string) (io.ReadCloser, error) {
		name := exports[p]
		if name == "" {
			return nil, fmt.Errorf("no export data of %s", p)
		}
		return os.Open(name)
	})}
	if _, err := cfg.Check(pkg, fset, files, info); err != nil {
		t.Fatal(err)
	}
	for _, a := range files {
		name := fset.Position(a.Pos()).Filename
		if !wanted(name) {
			continue
		}
		f := &file{path: filepath.Base(name), fset: fset, ast: a}
		f.each(func(n ast.Node, around []ast.Node) {
			r, ok := n.(*ast.RangeStmt)
			if !ok {
				return
			}
			if _, ok := info.TypeOf(r.X).Underlying().(*types.Map); !ok || f.explained(r) || sortedNext(r, around) {
				return
			}
			if anyOrder[strings.TrimPrefix(pkg, modulePath+"/")+"."+enclosing(around)] != "" {
				return
			}
			problems = append(problems, fmt.Sprintf("%s:%d: a loop over a map in package %s, whose results must not depend on its order", f.path, f.line(r), pkg))
		})
	}
	return problems
}

// enclosing returns the name of the function around a node, with the type of a method.
func enclosing(around []ast.Node) string {
	for _, a := range slices.Backward(around) {
		if d, ok := a.(*ast.FuncDecl); ok {
			if r := receiver(d); r != "" {
				return r + "." + d.Name.Name
			}
			return d.Name.Name
		}
	}
	return ""
}

// explained reports whether a comment with the word "order" stands on a node's first line or ends on the one before.
func (f *file) explained(n ast.Node) bool {
	line := f.line(n)
	for _, c := range f.ast.Comments {
		if (f.fset.Position(c.Pos()).Line == line || f.fset.Position(c.End()).Line == line-1) && strings.Contains(c.Text(), "order") {
			return true
		}
	}
	return false
}

// sortedNext reports whether the statement after a loop sorts something: what the loop has gathered.
func sortedNext(r *ast.RangeStmt, around []ast.Node) bool {
	block, ok := around[len(around)-1].(*ast.BlockStmt)
	if !ok {
		return false
	}
	i := slices.IndexFunc(block.List, func(s ast.Stmt) bool { return s == ast.Stmt(r) })
	if i+1 >= len(block.List) {
		return false
	}
	e, ok := block.List[i+1].(*ast.ExprStmt)
	return ok && (calls(e.X, "slices", "Sort", "SortFunc", "SortStableFunc") || calls(e.X, "sort", "Slice", "Sort"))
}
