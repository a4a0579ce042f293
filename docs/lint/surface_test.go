package lint

import (
	"fmt"
	"go/importer"
	"go/token"
	"go/types"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
)

// public are the packages that programs import.
var public = []string{"sdk", "sdk/codec", "grid", "grid/gridtest", "exec"}

// unnamed are names of public packages that programs cannot write down in full, and why that does no harm.
var unnamed = map[string]string{
	"grid.Option":     "only package gridtest makes one",
	"grid.NATSConfig": "it is the name by which programs make one",
}

// TestPublicSurface: a program can name every type that it meets in a public package without importing another of the module.
func TestPublicSurface(t *testing.T) {
	load := typesOf(t, public)
	s := surface{may: func(path string) bool {
		inner, ok := strings.CutPrefix(path, modulePath+"/")
		return !ok || slices.Contains(public, inner)
	}}
	for _, dir := range public {
		p, err := load.Import(modulePath + "/" + dir)
		if err != nil {
			t.Fatal(err)
		}
		s.check(p)
	}
	report(t, s.problems)
	if s.looked < 300 {
		t.Errorf("%d declarations were looked at; the public packages have more", s.looked)
	}
	for name, why := range unnamed {
		if !slices.Contains(s.excused, name) {
			t.Errorf("%s is excused, because %s, and needs no excuse", name, why)
		}
	}
}

// TestPublicSurfaceSees fails when the check no longer finds what it is for.
func TestPublicSurfaceSees(t *testing.T) {
	hidden := types.NewPackage(modulePath+"/sdk/wire", "wire")
	code := types.NewNamed(types.NewTypeName(token.NoPos, hidden, "Code", nil), types.Typ[types.Int], nil)
	own := types.NewPackage(modulePath+"/sdk", "sdk")
	private := types.NewNamed(types.NewTypeName(token.NoPos, own, "private", nil), types.Typ[types.Int], nil)
	for name, typ := range map[string]types.Type{
		"a type of another package": code,
		"within others":             types.NewMap(types.Typ[types.String], types.NewSlice(types.NewPointer(code))),
		"a field":                   types.NewStruct([]*types.Var{types.NewField(token.NoPos, own, "Code", code, false)}, nil),
		"a parameter": types.NewSignatureType(nil, nil, nil,
			types.NewTuple(types.NewParam(token.NoPos, own, "c", code)), nil, false),
		"an unexported type": private,
	} {
		p := types.NewPackage(modulePath+"/sdk", "sdk")
		p.Scope().Insert(types.NewVar(token.NoPos, p, "X", typ))
		s := surface{may: func(path string) bool { return path == p.Path() }}
		if s.check(p); len(s.problems) != 1 {
			t.Errorf("%s: found %q", name, s.problems)
		}
	}

	fields := []*types.Var{types.NewField(token.NoPos, own, "code", code, false)}
	own.Scope().Insert(types.NewVar(token.NoPos, own, "X", types.NewStruct(fields, nil)))
	s := surface{may: func(path string) bool { return path == own.Path() }}
	s.check(own)
	report(t, s.problems)
}

// typesOf returns an importer that knows some packages of the module, and all that they import, from the compiler's output.
func typesOf(t *testing.T, dirs []string) types.Importer {
	t.Helper()
	args := []string{"-export", "-deps", "-json=ImportPath,Export"}
	for _, d := range dirs {
		args = append(args, "./"+d)
	}

	at := make(map[string]string)
	goList(t, func(p struct{ ImportPath, Export string }) { at[p.ImportPath] = p.Export }, args...)
	return importer.ForCompiler(token.NewFileSet(), "gc", func(path string) (io.ReadCloser, error) { return os.Open(at[path]) })
}

// surface collects what is wrong with the exported declarations of packages.
type surface struct {
	may      func(path string) bool // whether programs import a package
	looked   int
	excused  []string
	problems []string
}

// check looks at all that a package exports.
func (s *surface) check(p *types.Package) {
	for _, name := range p.Scope().Names() {
		o := p.Scope().Lookup(name)
		if !o.Exported() {
			continue
		}
		where := p.Name() + "." + name

		declared, ok := o.(*types.TypeName)
		if !ok {
			s.looked++
			s.use(where, o.Type())
			continue
		}

		switch typ := declared.Type().(type) {
		case *types.Alias:
			s.looked++
			s.use(where, typ.Rhs())
		case *types.Named:
			s.looked++
			s.params(where, typ.TypeParams())
			s.structure(where, typ.Underlying())
			for m := range typ.Methods() {
				if m.Exported() {
					s.looked++
					s.use(where+"."+m.Name(), m.Type())
				}
			}
		}
	}
}

// use looks at a type as it stands in a declaration.
func (s *surface) use(where string, t types.Type) {
	switch t := t.(type) {
	case *types.Named:
		s.name(where, t.Obj())
		for arg := range t.TypeArgs().Types() {
			s.use(where, arg)
		}
	case *types.Alias:
		s.name(where, t.Obj())
		for arg := range t.TypeArgs().Types() {
			s.use(where, arg)
		}
	default:
		s.structure(where, t)
	}
}

// structure looks at what a type is made of: what a program can reach of it.
func (s *surface) structure(where string, t types.Type) {
	switch t := t.(type) {
	case *types.Pointer:
		s.use(where, t.Elem())
	case *types.Slice:
		s.use(where, t.Elem())
	case *types.Array:
		s.use(where, t.Elem())
	case *types.Chan:
		s.use(where, t.Elem())
	case *types.Map:
		s.use(where, t.Key())
		s.use(where, t.Elem())
	case *types.Signature:
		s.params(where, t.TypeParams())
		for v := range t.Params().Variables() {
			s.use(where, v.Type())
		}
		for v := range t.Results().Variables() {
			s.use(where, v.Type())
		}
	case *types.Struct:
		for f := range t.Fields() {
			if f.Exported() {
				s.use(where+"."+f.Name(), f.Type())
			}
		}
	case *types.Interface:
		for m := range t.ExplicitMethods() {
			if m.Exported() {
				s.use(where+"."+m.Name(), m.Type())
			}
		}
		for e := range t.EmbeddedTypes() {
			s.use(where, e)
		}
	case *types.Union:
		for term := range t.Terms() {
			s.use(where, term.Type())
		}
	}
}

// params looks at the constraints of type parameters.
func (s *surface) params(where string, list *types.TypeParamList) {
	for p := range list.TypeParams() {
		s.use(where, p.Constraint())
	}
}

// name reports a name that a program cannot write.
func (s *surface) name(where string, o *types.TypeName) {
	if o.Pkg() == nil || o.Exported() && s.may(o.Pkg().Path()) {
		return
	}
	if unnamed[where] != "" {
		s.excused = append(s.excused, where)
		return
	}
	s.problems = append(s.problems, fmt.Sprintf("%s: a program cannot name %s.%s", where, o.Pkg().Path(), o.Name()))
}
