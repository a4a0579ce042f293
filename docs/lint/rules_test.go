package lint

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/format"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// imported returns the name under which f knows a package, "" if it does not import it.
func (f *file) imported(pkg string) string {
	for _, s := range f.ast.Imports {
		if p, err := strconv.Unquote(s.Path.Value); err == nil && p == pkg {
			if s.Name != nil {
				return s.Name.Name
			}
			return path.Base(pkg)
		}
	}
	return ""
}

// calls reports whether n is a call of one of the named functions of a package that f knows under the given name.
func calls(n ast.Node, pkg string, names ...string) bool {
	call, ok := n.(*ast.CallExpr)
	if !ok || pkg == "" {
		return false
	}
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	x, ok := sel.X.(*ast.Ident)
	return ok && x.Name == pkg && slices.Contains(names, sel.Sel.Name)
}

// each calls visit for every node of a file, with the nodes around it, the outermost first.
func (f *file) each(visit func(n ast.Node, around []ast.Node)) {
	var stack []ast.Node
	ast.Inspect(f.ast, func(n ast.Node) bool {
		if n == nil {
			stack = stack[:len(stack)-1]
			return true
		}
		visit(n, stack)
		stack = append(stack, n)
		return true
	})
}

// commented reports whether a comment stands on a node's first line or ends on the line before it.
func (f *file) commented(n ast.Node) bool {
	line := f.line(n)
	for _, c := range f.ast.Comments {
		if f.fset.Position(c.Pos()).Line == line || f.fset.Position(c.End()).Line == line-1 {
			return true
		}
	}
	return false
}

// ending is how a comment says what ends a goroutine.
var ending = regexp.MustCompile(`\b(ends?|ended|stops?|until|outlives)\b`)

// goStatements: the one place that starts a goroutine says what ends it: beside the statement, or in the comment of the
// function that starts it or of the one that it runs.
func goStatements(f *file) (problems []string) {
	if f.isTest() {
		return nil
	}
	docs := make(map[string]string)
	for _, d := range f.ast.Decls {
		if d, ok := d.(*ast.FuncDecl); ok {
			docs[d.Name.Name] += d.Doc.Text()
		}
	}
	f.each(func(n ast.Node, around []ast.Node) {
		g, ok := n.(*ast.GoStmt)
		if !ok || f.commented(g) {
			return
		}
		var said string
		for _, a := range around {
			if d, ok := a.(*ast.FuncDecl); ok {
				said += d.Doc.Text()
			}
		}
		switch run := g.Call.Fun.(type) {
		case *ast.Ident:
			said += docs[run.Name]
		case *ast.SelectorExpr:
			said += docs[run.Sel.Name]
		}
		if !ending.MatchString(said) {
			problems = append(problems, f.problem(g, "a goroutine without a comment that says what ends it"))
		}
	})
	return problems
}

// roots are the functions outside of tests where a context may begin, or the folders of such functions, and why.
var roots = map[string]string{
	"cmd/grid.run":                            "the process begins here",
	"benchmarks/internal/standin.run":         "a process begins here",
	"benchmarks/failover.main":                "the process begins here",
	"benchmarks/memory.main":                  "the process begins here",
	"benchmarks/proc.Cluster.Close":           "it ends the members whatever becomes of the caller",
	"grid/gridtest":                           "the test is the root",
	"grid/gridtest/internal/cable.New":        "a network's life, which ends with its Close",
	"member.Start":                            "a member's life, which the start's context does not bound",
	"member/internal/server.httpServer.close": "the end of a member, which no caller's context shortens",
	"member/internal/server.listenPort":       "net.ListenConfig wants one; listening takes no time",
	"member/telemetry.raftLogger.out":         "dragonboat's loggers are given none",
	"partition.newHost":                       "a host's life, which ends with its Close",
	"partition.StartMeta":                     "a host's life, which ends with its Close",
	"sdk.Connect":                             "a client's life, which the connect's context does not bound",
	"sdk.Map.AddEntryListener":                "a listener outlives the context that it was made with, and ends with its subscription",
}

// contextRoots: a context comes from the caller; only roots make one, and nobody an undecided one.
func contextRoots(f *file) (problems []string) {
	if f.isTest() {
		return nil
	}
	pkg := f.imported("context")
	f.each(func(n ast.Node, around []ast.Node) {
		if calls(n, pkg, "TO"+"DO") || calls(n, pkg, "Background") && roots[f.dir()+"."+enclosing(around)] == "" && roots[f.dir()] == "" {
			problems = append(problems, f.problem(n, "a context that begins here; take the caller's, or say in docs/lint why this is a root"))
		}
	})
	return problems
}

// testPackages are folders whose files are for tests though their names do not say so.
var testPackages = []string{"grid/gridtest", "sdk/internal/fakegrid", "member/porttest", "member/internal/harness", "member/internal/tap", "benchmarks"}

// sleeps: a test waits for what it waits for. Within synctest a sleep is a step of a fake clock, and allowed: in a function
// that is given to synctest.Test, or in one of a table that such a function calls.
func sleeps(f *file) (problems []string) {
	if !f.isTest() && !slices.ContainsFunc(testPackages, func(d string) bool { return under(f.dir(), d) }) {
		return nil
	}
	pkg, sync := f.imported("time"), f.imported("testing/synctest")
	fake := func(n ast.Node) bool { return calls(n, sync, "Test") || callsBubble(n) }
	f.each(func(n ast.Node, around []ast.Node) {
		if !calls(n, pkg, "Sleep") || slices.ContainsFunc(around, fake) {
			return
		}
		literal := slices.ContainsFunc(around, func(a ast.Node) bool { _, ok := a.(*ast.FuncLit); return ok })
		inBubble := false
		for _, a := range around {
			if d, ok := a.(*ast.FuncDecl); ok {
				ast.Inspect(d, func(m ast.Node) bool {
					inBubble = inBubble || fake(m)
					return true
				})
			}
		}
		if !literal || !inBubble {
			problems = append(problems, f.problem(n, "a test that sleeps"))
		}
	})
	return problems
}

// callsBubble reports whether n calls a function by the name that helpers around synctest.Test have.
func callsBubble(n ast.Node) bool {
	call, ok := n.(*ast.CallExpr)
	if !ok {
		return false
	}
	name, ok := call.Fun.(*ast.Ident)
	return ok && (name.Name == "bubble" || strings.HasSuffix(name.Name, "InBubble"))
}

// skips: a test runs or is not there. Those that take long may be left out of short runs.
func skips(f *file) (problems []string) {
	if !f.isTest() {
		return nil
	}
	f.each(func(n ast.Node, around []ast.Node) {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return
		}
		sel, ok := call.Fun.(*ast.SelectorExpr)
		if !ok || sel.Sel.Name != "Skip" && sel.Sel.Name != "Skipf" && sel.Sel.Name != "SkipNow" {
			return
		}
		if x, ok := sel.X.(*ast.Ident); !ok || !isTestingParameter(x.Name, around) {
			return
		}
		short := slices.ContainsFunc(around, func(a ast.Node) bool {
			s, ok := a.(*ast.IfStmt)
			return ok && calls(s.Cond, "testing", "Short")
		})
		if !short {
			problems = append(problems, f.problem(n, "a test that is skipped"))
		}
	})
	return problems
}

// isTestingParameter reports whether a name is a *testing.T, B or F, or a testing.TB, that the innermost function which has
// a parameter of the name was given. Actions of a model, which are given a *rapid.T, may skip themselves.
func isTestingParameter(name string, around []ast.Node) bool {
	for _, a := range slices.Backward(around) {
		var typ *ast.FuncType
		switch a := a.(type) {
		case *ast.FuncLit:
			typ = a.Type
		case *ast.FuncDecl:
			typ = a.Type
		default:
			continue
		}
		for _, field := range typ.Params.List {
			if !slices.ContainsFunc(field.Names, func(n *ast.Ident) bool { return n.Name == name }) {
				continue
			}
			t := field.Type
			if star, ok := t.(*ast.StarExpr); ok {
				t = star.X
			}
			sel, ok := t.(*ast.SelectorExpr)
			if !ok {
				return false
			}
			x, ok := sel.X.(*ast.Ident)
			return ok && x.Name == "testing"
		}
	}
	return false
}

// maxLines is when a file has become several.
const maxLines = 900

func fileLength(f *file) []string {
	if n := bytes.Count(f.text, []byte("\n")); n > maxLines {
		return []string{fmt.Sprintf("%s: %d lines, at most %d", f.path, n, maxLines)}
	}
	return nil
}

// maxFields bounds the fields of a struct: what has more is several things.
const maxFields = 25

// manyFields are the ends of the names of structs that may have any number of fields: each is set once, by the one who makes the thing.
var manyFields = []string{"Config", "Settings", "Options", "Deps"}

// structFields: a struct that a reader can hold in their head. A struct within a struct counts by itself.
func structFields(f *file) (problems []string) {
	if f.isTest() {
		return nil
	}
	f.each(func(n ast.Node, around []ast.Node) {
		s, ok := n.(*ast.StructType)
		if !ok {
			return
		}

		name := "a struct without a name"
		if len(around) > 0 {
			if spec, ok := around[len(around)-1].(*ast.TypeSpec); ok {
				name = spec.Name.Name
			}
		}
		if slices.ContainsFunc(manyFields, func(end string) bool { return strings.HasSuffix(name, end) }) {
			return
		}

		fields := 0
		for _, list := range s.Fields.List {
			fields += max(1, len(list.Names)) // an embedded one has no name
		}
		if fields > maxFields {
			problems = append(problems, f.problem(n, "%s has %d fields, at most %d", name, fields, maxFields))
		}
	})
	return problems
}

func formatted(f *file) []string {
	out, err := format.Source(f.text)
	if err != nil || !bytes.Equal(out, f.text) {
		return []string{f.path + ": not as gofmt would have it"}
	}
	return nil
}

// docComments: what a package shows says what it promises. Constants and variables of a group share the group's comment, and
// methods of types that are not shown need none.
func docComments(f *file) (problems []string) {
	if f.isTest() || under(f.dir(), "benchmarks") || strings.Contains(f.path, "/internal/") {
		return nil
	}
	bad := func(n ast.Node, name string) {
		problems = append(problems, f.problem(n, "%s is exported and has no comment", name))
	}
	for _, d := range f.ast.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Name.IsExported() && d.Doc == nil && (d.Recv == nil || ast.IsExported(receiver(d))) {
				bad(d, d.Name.Name)
			}
		case *ast.GenDecl:
			for _, s := range d.Specs {
				switch s := s.(type) {
				case *ast.TypeSpec:
					if s.Name.IsExported() && s.Doc == nil && d.Doc == nil {
						bad(s, s.Name.Name)
					}
				case *ast.ValueSpec:
					if s.Names[0].IsExported() && s.Doc == nil && s.Comment == nil && d.Doc == nil && !d.Lparen.IsValid() {
						bad(s, s.Names[0].Name)
					}
				}
			}
		}
	}
	return problems
}

// receiver returns the name of a method's type, "" for a function.
func receiver(d *ast.FuncDecl) string {
	if d.Recv == nil || len(d.Recv.List) == 0 {
		return ""
	}
	t := d.Recv.List[0].Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.IndexListExpr:
			t = x.X
		case *ast.Ident:
			return x.Name
		default:
			return ""
		}
	}
}

// packageComments: each package has one comment, outside of tests.
func packageComments(files []*file) (problems []string) {
	has := make(map[string]bool)
	for _, f := range files {
		if f.isTest() {
			continue
		}
		doc := f.ast.Doc.Text()
		ok := strings.HasPrefix(doc, "Package "+f.ast.Name.Name+" ") || f.ast.Name.Name == "main" && strings.HasPrefix(doc, "Command ")
		has[f.dir()] = has[f.dir()] || ok
	}
	for dir, ok := range has {
		if !ok {
			problems = append(problems, dir+": no package comment that says what the package owns")
		}
	}
	slices.Sort(problems)
	return problems
}

// pureFiles are the packages, and the files of others, whose results depend on their arguments alone.
var pureFiles = []string{
	"maps/state", "partition/entry", "partition/meta", "partition/role", "sdk/predicate", "sdk/query", "sdk/update", "sdk/wire",
	"member/internal/bootstrap/machine.go", "member/internal/bootstrap/record.go", "member/internal/bootstrap/effects.go", "member/internal/bootstrap/proposal.go",
	"member/internal/bootstrap/message.go", "member/internal/bootstrap/sight.go", "member/internal/bootstrap/waiting.go", "member/internal/bootstrap/address_book.go",
}

// impure are packages that bring in a clock, chance, other goroutines or the world.
var impure = []string{"context", "crypto/rand", "io/fs", "math/rand", "math/rand/v2", "net/http", "os", "os/exec", "path/filepath",
	"sync", "sync/atomic", "syscall"}

// pure: no clock, no chance, no goroutine, no lock, no I/O. Duration and Time as values are allowed, asking for the time is
// not.
func pure(f *file) (problems []string) {
	if f.isTest() || !slices.ContainsFunc(pureFiles, func(p string) bool { return f.path == p || f.dir() == p }) {
		return nil
	}
	for _, p := range impure {
		if f.imported(p) != "" {
			problems = append(problems, fmt.Sprintf("%s: imports %s and is to be pure", f.path, p))
		}
	}
	pkg := f.imported("time")
	f.each(func(n ast.Node, _ []ast.Node) {
		switch n.(type) {
		case *ast.GoStmt, *ast.SelectStmt, *ast.ChanType, *ast.SendStmt:
			problems = append(problems, f.problem(n, "a goroutine or a channel in what is to be pure"))
		}
		if calls(n, pkg, "Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker") {
			problems = append(problems, f.problem(n, "a clock in what is to be pure"))
		}
	})
	return problems
}

// told are words and paths that speak of a machine or of work not done. They are put together from parts, so that this file
// keeps the rule too.
var told = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X|HA` + `CK)\b|` +
	`(^|[\s"'(=` + "`" + `])/(ho` + `me|ro` + `ot|Use` + `rs|wo` + `rk)/|[A-Z]:\\Use` + `rs\\|` +
	`(?i:\b(iss` + `ue|tic` + `ket|pull req` + `uest) #?[0-9]+)`)

// workplace: the project speaks of itself alone.
func workplace(f *file) (problems []string) {
	for _, m := range told.FindAllIndex(f.text, -1) {
		problems = append(problems, fmt.Sprintf("%s:%d: %q has no place here", f.path, lineOf(f.text, m[0]), strings.TrimSpace(string(f.text[m[0]:m[1]]))))
	}
	return problems
}

// maxOperationCases is how many operations one switch may name: so many are a few operations of one family.
const maxOperationCases = 4

// operationSwitches: no switch names many operations. What differs from one operation to the next stands in its descriptor, or in a table
// that its family fills; a switch would have to be found and changed for each operation that is added. Tests may have such switches, and so
// may the cluster that the tests of the SDK run against: both are second opinions, which must not look at the descriptors.
func operationSwitches(f *file) (problems []string) {
	if f.isTest() || under(f.dir(), "sdk/internal/fakegrid") {
		return nil
	}
	ast.Inspect(f.ast, func(n ast.Node) bool {
		s, ok := n.(*ast.SwitchStmt)
		if !ok {
			return true
		}
		named := 0
		for _, clause := range s.Body.List {
			for _, e := range clause.(*ast.CaseClause).List {
				if isOperation(f, e) {
					named++
				}
			}
		}
		if named > maxOperationCases {
			problems = append(problems, f.problem(s, "a switch over %d operations: say in their descriptors what differs", named))
		}
		return true
	})
	return problems
}

// isOperation reports whether an expression is the code of an operation.
func isOperation(f *file, e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.Ident:
		return f.dir() == "sdk/wire" && operationName.MatchString(e.Name)
	case *ast.SelectorExpr:
		from, ok := e.X.(*ast.Ident)
		return ok && from.Name == "wire" && operationName.MatchString(e.Sel.Name)
	}
	return false
}

var operationName = regexp.MustCompile(`^Op[A-Z]`)
