package lint

import (
	"reflect"
	"strings"
	"testing"
)

// rule is what every Go file of the module must keep.
type rule struct {
	name  string
	check func(f *file) []string
	// planted is a file in which the rule must find something, at the path that says what kind of file it is.
	path, planted string
	// allowed is a file at the same path in which it must find nothing.
	allowed string
}

var rules = []rule{
	{
		name: "go statements have a comment", check: goStatements,
		path:    "member/x.go",
		planted: "package x\n\nfunc f() {\n\tgo f()\n}\n",
		allowed: "package x\n\nfunc f() {\n\tgo f() // ends at once\n\t// It ends at once.\n\tgo f()\n\tgo g()\n}\n\n// g ends at once.\nfunc g() {}\n",
	},
	{
		name: "contexts begin at roots", check: contextRoots,
		path:    "maps/x.go",
		planted: "package x\n\nimport \"context\"\n\nvar ctx = context.Background()\n",
		allowed: "package x\n\nimport \"context\"\n\nfunc f(ctx context.Context) { _ = context.WithoutCancel(ctx) }\n",
	},
	{
		name: "no undecided context", check: contextRoots,
		path:    "member/x.go",
		planted: "package x\n\nimport c \"context\"\n\nfunc Start() { _ = c.TO" + "DO() }\n",
		allowed: "package x\n\nimport c \"context\"\n\nfunc Start() { _ = c.Background() }\n",
	},
	{
		name: "tests do not sleep", check: sleeps,
		path:    "maps/x_test.go",
		planted: "package x\n\nimport \"time\"\n\nfunc f() { time.Sleep(time.Millisecond) }\n",
		allowed: "package x\n\nimport (\n\t\"testing\"\n\t\"testing/synctest\"\n\t\"time\"\n)\n\nfunc TestX(t *testing.T) {\n\tsynctest.Test(t, func(*testing.T) { time.Sleep(time.Hour) })\n\tbubble(t, func() { time.Sleep(time.Hour) })\n}\n\nfunc bubble(t *testing.T, f func()) { synctest.Test(t, func(*testing.T) { f() }) }\n",
	},
	{
		name: "test packages do not sleep", check: sleeps,
		path:    "grid/gridtest/x.go",
		planted: "package x\n\nimport \"time\"\n\nfunc f() { time.Sleep(time.Millisecond) }\n",
		allowed: "package x\n\nimport \"time\"\n\nfunc f() { <-time.NewTicker(time.Millisecond).C }\n",
	},
	{
		name: "no test is skipped", check: skips,
		path:    "maps/x_test.go",
		planted: "package x\n\nimport \"testing\"\n\nfunc TestX(t *testing.T) { t.Skip(\"later\") }\n",
		allowed: "package x\n\nimport \"testing\"\n\nfunc TestX(t *testing.T) {\n\tif testing.Short() {\n\t\tt.Skip(\"takes long\")\n\t}\n}\n\nfunc act(t *rapid.T) { t.Skip(\"not now\") }\n",
	},
	{
		name: "files have at most 900 lines", check: fileLength,
		path:    "maps/x.go",
		planted: "package x\n" + strings.Repeat("\n// Filler.\n", 450),
		allowed: "package x\n" + strings.Repeat("\n// Filler.\n", 449),
	},
	{
		name: "structs have at most 25 fields", check: structFields,
		path:    "maps/x.go",
		planted: "package x\n\ntype x struct {\n\tsync.Mutex\n\tb, c int\n" + strings.Repeat("\t_ int\n", 23) + "}\n",
		allowed: "package x\n\ntype x struct {\n\tsync.Mutex\n\tb, c int\n" + strings.Repeat("\t_ int\n", 22) + "}\n\n" +
			"type xConfig struct {\n" + strings.Repeat("\t_ int\n", 26) + "}\n",
	},
	{
		name: "files are formatted", check: formatted,
		path:    "maps/x.go",
		planted: "package x\nvar  y = 1\n",
		allowed: "package x\n\nvar y = 1\n",
	},
	{
		name: "exported names have comments", check: docComments,
		path:    "maps/x.go",
		planted: "package x\n\ntype X struct{}\n",
		allowed: "package x\n\n// X is a thing.\ntype X struct{}\n\ntype y struct{}\n\nfunc (y) Z() {}\n",
	},
	{
		name: "pure packages have no clock", check: pure,
		path:    "maps/state/x.go",
		planted: "package x\n\nimport \"time\"\n\nvar y = time.Now()\n",
		allowed: "package x\n\nimport \"time\"\n\nvar y = time.UnixMilli(0).Add(time.Second)\n",
	},
	{
		name: "pure packages start no goroutines", check: pure,
		path:    "partition/meta/x.go",
		planted: "package x\n\nfunc f() {\n\tgo f() // ends at once\n}\n",
		allowed: "package x\n\nfunc f() { f() }\n",
	},
	{
		name: "pure packages draw no numbers", check: pure,
		path:    "partition/entry/x.go",
		planted: "package x\n\nimport \"math/rand/v2\"\n\nvar y = rand.Int()\n",
		allowed: "package x\n\nimport \"math\"\n\nvar y = math.Pi\n",
	},
	{
		name: "pure files have no locks", check: pure,
		path:    "member/internal/bootstrap/machine.go",
		planted: "package x\n\nimport \"sync\"\n\nvar mu sync.Mutex\n",
		allowed: "package x\n\nimport \"slices\"\n\nvar y = slices.Sort[[]int]\n",
	},
	{
		name: "operations are told apart by their descriptors", check: operationSwitches,
		path:    "member/x.go",
		planted: "package x\n\nimport \"" + modulePath + "/sdk/wire\"\n\nfunc f(op wire.Op) bool {\n\tswitch op {\n\tcase wire.OpGet, wire.OpSize:\n\t\treturn true\n\tcase wire.OpScan, wire.OpEvents, wire.OpPing:\n\t}\n\treturn false\n}\n",
		allowed: "package x\n\nimport \"" + modulePath + "/sdk/wire\"\n\nfunc f(op wire.Op) bool {\n\tswitch op {\n\tcase wire.OpGet, wire.OpSize:\n\t\treturn true\n\tcase wire.OpScan, wire.OpEvents:\n\t}\n\treturn false\n}\n",
	},
	{
		name: "imports go down", check: imports,
		path:    "partition/x.go",
		planted: "package x\n\nimport _ \"" + modulePath + "/maps\"\n",
		allowed: "package x\n\nimport _ \"" + modulePath + "/sdk/wire\"\n",
	},
	{
		name: "dragonboat is in partition alone", check: imports,
		path:    "member/internal/events/x.go",
		planted: "package x\n\nimport _ \"github.com/lni/dragonboat/v4/config\"\n",
		allowed: "package x\n\nimport _ \"github.com/nats-io/nats-server/v2/server\"\n",
	},
	{
		name: "nats-server is in member/internal/events alone", check: imports,
		path:    "grid/x.go",
		planted: "package x\n\nimport _ \"github.com/nats-io/nats-server/v2/server\"\n",
		allowed: "package x\n\nimport _ \"" + modulePath + "/member\"\n",
	},
	{
		name: "the OpenTelemetry SDK is in member/telemetry alone", check: imports,
		path:    "member/x.go",
		planted: "package x\n\nimport _ \"go.opentelemetry.io/otel/sdk/trace\"\n",
		allowed: "package x\n\nimport _ \"go.opentelemetry.io/otel/trace\"\n",
	},
	{
		name: "the state imports no context", check: imports,
		path:    "maps/state/x.go",
		planted: "package x\n\nimport _ \"context\"\n",
		allowed: "package x\n\nimport _ \"bytes\"\n",
	},
}

func TestRules(t *testing.T) {
	files := goFiles(t)
	done := make(map[uintptr]bool) // rules with several planted violations are one
	for _, r := range rules {
		if check := reflect.ValueOf(r.check).Pointer(); done[check] {
			continue
		} else {
			done[check] = true
		}
		t.Run(strings.ReplaceAll(r.name, " ", "-"), func(t *testing.T) {
			for _, f := range files {
				report(t, r.check(f))
			}
		})
	}
}

// TestRulesSee fails when a rule no longer finds what it is for, or finds what it should allow.
func TestRulesSee(t *testing.T) {
	for _, r := range rules {
		t.Run(strings.ReplaceAll(r.name, " ", "-"), func(t *testing.T) {
			bad, err := parse(r.path, []byte(r.planted))
			if err != nil {
				t.Fatal(err)
			}
			if len(r.check(bad)) == 0 {
				t.Error("the planted violation was not found")
			}
			good, err := parse(r.path, []byte(r.allowed))
			if err != nil {
				t.Fatal(err)
			}
			report(t, r.check(good))
		})
	}
}

// Every package says in one place what it owns.
func TestPackageComments(t *testing.T) {
	files := goFiles(t)
	report(t, packageComments(files))
	planted, err := parse("maps/y/y.go", []byte("package y\n"))
	if err != nil {
		t.Fatal(err)
	}
	if len(packageComments([]*file{planted})) == 0 {
		t.Error("a package without a comment was not found")
	}
}

// What speaks of the machine or the making of the project has no place in it.
func TestTexts(t *testing.T) {
	for _, f := range repository(t) {
		report(t, workplace(f))
	}
	for _, text := range []string{"// TO" + "DO: later", "FIX" + "ME", "see /ho" + "me/me/notes", "/ro" + "ot/go/pkg", "/wo" + "rk/main", "as in issue" + " #12"} {
		if len(workplace(&file{path: "docs/x.md", text: []byte(text)})) == 0 {
			t.Errorf("%q was not found", text)
		}
	}
}
