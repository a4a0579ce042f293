package lint

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// modulePath is what go.mod says.
const modulePath = "github.com/gridiron-io/gridiron"

// file is one file of the repository.
type file struct {
	path string // from the root, with slashes
	text []byte

	// Of Go files alone.
	fset *token.FileSet
	ast  *ast.File
}

// dir returns the folder of the file; "." for the root.
func (f *file) dir() string { return path.Dir(f.path) }

// isGo reports whether f is Go source.
func (f *file) isGo() bool { return f.ast != nil }

// isTest reports whether f is compiled for tests alone.
func (f *file) isTest() bool { return strings.HasSuffix(f.path, "_test.go") }

// line returns the line of a node.
func (f *file) line(n ast.Node) int { return f.fset.Position(n.Pos()).Line }

// problem says what is wrong at a node.
func (f *file) problem(n ast.Node, format string, args ...any) string {
	return fmt.Sprintf("%s:%d: %s", f.path, f.line(n), fmt.Sprintf(format, args...))
}

// parse makes a file of source text. Text that does not parse is an error.
func parse(name string, text []byte) (*file, error) {
	f := &file{path: name, text: text}
	if !strings.HasSuffix(name, ".go") {
		return f, nil
	}
	f.fset = token.NewFileSet()
	var err error
	f.ast, err = parser.ParseFile(f.fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
	return f, err
}

// root returns the repository's folder: the nearest one upwards that has a go.mod.
func root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatal("no go.mod upwards of the test's folder")
		}
		dir = up
	}
}

// textual are the kinds of files whose text the rules look at.
var textual = []string{".go", ".md", ".yml", ".yaml", ".txt", ".mod"}

var load = sync.OnceValues(func() ([]*file, error) {
	dir, err := filepath.Abs("../..")
	if err != nil {
		return nil, err
	}
	var files []*file
	err = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			if rel == ".git" || rel == "bin" || strings.HasSuffix(rel, "testdata/rapid") || strings.HasSuffix(rel, "testdata/fuzz") {
				return fs.SkipDir
			}
			return nil
		}
		if !slices.Contains(textual, path.Ext(rel)) && rel != ".ci/run" && rel != ".gitignore" && rel != "LICENSE" {
			return nil
		}
		text, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		f, err := parse(rel, text)
		if err != nil {
			return err
		}
		files = append(files, f)
		return nil
	})
	return files, err
})

// repository returns all files with text, in the order of their paths. They are shared and must not be changed.
func repository(t testing.TB) []*file {
	t.Helper()
	files, err := load()
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// goFiles returns the Go files of the module: not those of modules of their own below it, nor what testdata holds.
func goFiles(t testing.TB) []*file {
	t.Helper()
	all := repository(t)
	var others []string // folders of other modules
	for _, f := range all {
		if path.Base(f.path) == "go.mod" && f.path != "go.mod" {
			others = append(others, f.dir()+"/")
		}
	}
	var list []*file
	for _, f := range all {
		other := slices.ContainsFunc(others, func(d string) bool { return strings.HasPrefix(f.path, d) })
		if f.isGo() && !other && !strings.Contains(f.path, "testdata/") {
			list = append(list, f)
		}
	}
	return list
}

// find returns the file of a path, which must be there.
func find(t testing.TB, name string) *file {
	t.Helper()
	for _, f := range repository(t) {
		if f.path == name {
			return f
		}
	}
	t.Fatalf("there is no %s", name)
	return nil
}

// report fails the test with what is wrong.
func report(t *testing.T, problems []string) {
	t.Helper()
	for _, p := range problems {
		t.Error(p)
	}
}

// under reports whether a folder is the given one or below it.
func under(dir, top string) bool { return dir == top || strings.HasPrefix(dir, top+"/") }

// lineOf returns the number of the line in which a match begins.
func lineOf(text []byte, offset int) int { return bytes.Count(text[:offset], []byte("\n")) + 1 }
