package lint

import (
	"fmt"
	"go/ast"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// topLevel are the folders of the repository. There are no others: what is new belongs in one of them.
var topLevel = []string{"grid", "maps", "exec", "partition", "member", "cmd", "sdk", "benchmarks", "docs", "findings"}

func TestTopLevelFolders(t *testing.T) {
	entries, err := os.ReadDir(root(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		// What begins with a dot belongs to tools; bin holds what the Taskfile builds, and git ignores it.
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") && e.Name() != "bin" && !slices.Contains(topLevel, e.Name()) {
			t.Errorf("%s is no folder of the repository: %v", e.Name(), topLevel)
		}
	}
}

// pins are the versions that other code depends on to the commit: queue lengths are set by linkname in partition/settings.go,
// and a newer vfs does not compile with it.
var pins = map[string]string{
	"github.com/lni/dragonboat/v4": "v4.0.0-20250723143628-076c7f6497dc",
	"github.com/lni/vfs":           "v0.2.1-0.20220616104132-8852fd867376",
}

func TestModule(t *testing.T) {
	text := string(find(t, "go.mod").text)
	report(t, module(text))
	for name, planted := range map[string]string{
		"a replacement":   text + "\nreplace github.com/lni/dragonboat/v4 => ../dragonboat\n",
		"another version": strings.ReplaceAll(text, "076c7f6497dc", "076c7f6497dd"),
		"no pin":          "module x\n",
	} {
		if len(module(planted)) == 0 {
			t.Errorf("%s was not found", name)
		}
	}
}

var replaces = regexp.MustCompile(`(?m)^\s*replace\b`)

// module: replacements do not reach programs that embed a member, so there are none.
func module(text string) (problems []string) {
	if replaces.MatchString(text) {
		problems = append(problems, "go.mod: a replacement, which programs that embed a member would not see")
	}
	for mod, version := range pins {
		if !regexp.MustCompile(`(?m)^\s*(require )?` + regexp.QuoteMeta(mod+" "+version) + `(\s|$)`).MatchString(text) {
			problems = append(problems, fmt.Sprintf("go.mod: %s is not pinned to %s", mod, version))
		}
	}
	return problems
}

// TestRoots fails when a function or folder that may begin contexts is gone, or no longer begins any.
func TestRoots(t *testing.T) {
	begins := make(map[string]bool)
	for _, f := range goFiles(t) {
		f.each(func(n ast.Node, around []ast.Node) {
			if calls(n, f.imported("context"), "Background") {
				begins[f.dir()+"."+enclosing(around)], begins[f.dir()] = true, true
			}
		})
	}
	for name, why := range roots {
		if !begins[name] {
			t.Errorf("%s, a root of contexts (%s), begins none", name, why)
		}
	}
}

// TestBubbles makes sure that the helpers in which tests may sleep are what their names say.
func TestBubbles(t *testing.T) {
	for _, f := range goFiles(t) {
		for _, d := range f.ast.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Name.Name != "bubble" && !strings.HasSuffix(fn.Name.Name, "InBubble") {
				continue
			}
			found := false
			ast.Inspect(fn, func(n ast.Node) bool {
				found = found || calls(n, f.imported("testing/synctest"), "Test")
				return true
			})
			if !found {
				t.Error(f.problem(fn, "%s does not call synctest.Test", fn.Name.Name))
			}
		}
	}
}
