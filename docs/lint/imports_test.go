package lint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Families of packages outside the module.
const (
	dragonboat = "github.com/lni/dragonboat"
	pebble     = "github.com/cockroachdb/pebble"
	natsServer = "github.com/nats-io/nats-server"
	nats       = "github.com/nats-io"
	otel       = "go.opentelemetry.io/otel"
	otelSDK    = "go.opentelemetry.io/otel/sdk"
)

// layers say which packages of the module each may import, the most specific first: a request goes down, and no package
// reaches sideways. A folder may import itself and what is below it.
var layers = []struct {
	dir string
	may []string
}{
	{"sdk/wire", nil},
	{"sdk/codec", []string{"sdk/wire"}},
	{"sdk/predicate", []string{"sdk/wire", "sdk/codec"}},
	{"sdk/query", []string{"sdk/predicate", "sdk/wire", "sdk/codec"}},
	{"sdk/update", []string{"sdk/wire", "sdk/codec"}},
	{"sdk", nil},
	{"maps/internal/use", nil},
	{"maps/state", []string{"maps/internal/use", "partition/entry", "sdk/wire", "sdk/update"}},
	{"maps", []string{"partition", "sdk"}},
	{"exec", []string{"partition", "sdk"}},
	{"partition/entry", []string{"sdk/wire"}},
	{"partition/meta", []string{"sdk/wire"}},
	{"partition/cadence", nil},
	{"partition/memlog", nil},
	{"partition/raftgroup", []string{"partition/wakeups"}},
	{"partition/raftnet", []string{"sdk/wire"}},
	{"partition/wakeups", nil},
	{"partition/role", []string{"partition/entry", "sdk/wire"}},
	{"partition", []string{"sdk/wire", "sdk/codec"}},
	{"member/internal/clock", []string{"partition/cadence", "sdk/wire"}},
	{"member/internal/bootstrap", []string{"sdk/wire"}},
	{"member/internal/events", []string{"maps", "partition/cadence", "sdk/wire", "member/internal/tap"}},
	{"member/internal/harness", nil},
	{"member/internal/tap", nil},
	{"member/internal/liveness", []string{"member/internal/clock", "member/internal/memory", "member/internal/rpc", "partition/cadence", "partition/meta", "sdk/wire"}},
	{"member/telemetry", []string{"sdk/wire"}},
	{"member/internal/control", []string{"member/internal/clock", "member/internal/memory", "member/internal/rpc", "partition", "sdk"}},
	{"member/internal/locate", []string{"member/internal/bootstrap", "member/internal/liveness", "partition/cadence", "partition/meta", "sdk/wire"}},
	{"member/internal/mapconfig", []string{"partition/meta", "sdk/wire"}},
	{"member/internal/memory", []string{"partition/meta", "sdk/wire"}},
	{"member/internal/metadata", []string{"member/internal/bootstrap", "member/internal/rpc", "partition", "sdk/wire"}},
	{"member/internal/metrics", []string{"exec", "maps", "partition", "sdk"}},
	{"member/internal/replicas", []string{"partition", "sdk/wire"}},
	{"member/internal/views", []string{"partition/meta", "sdk/wire"}},
	{"member/internal/rpc", []string{"sdk/wire"}},
	{"member/internal/server", []string{"member/internal/rpc", "maps", "sdk/wire"}},
	{"member", []string{"maps", "exec", "partition", "sdk"}},
	{"grid", []string{"member", "maps", "exec", "sdk"}},
	{"cmd", []string{"benchmarks", "grid", "member/telemetry", "maps", "exec", "sdk"}}, // benchmarks: the load of "grid bench"
	{"benchmarks", []string{"grid", "member", "maps", "exec", "partition", "sdk"}},
	{"docs", nil},
}

// law is who never imports what, whatever the layers say.
var law = []struct {
	who        string   // a folder and all below it; "" is everything
	except     []string // folders, and all below them
	never      []string // an import path and all below it
	transitive bool     // also not by way of others
}{
	{who: "sdk", never: []string{dragonboat, pebble, natsServer, otelSDK, modulePath + "/cmd", modulePath + "/grid", modulePath + "/member",
		modulePath + "/maps", modulePath + "/exec", modulePath + "/partition", modulePath + "/benchmarks"}, transitive: true},
	{who: "maps/state", never: []string{"net", "os", "sync", "context", "math/rand", "crypto/rand", "time/tzdata"}},
	{who: "sdk/query", never: []string{"net", "os", "sync", "context", "math/rand", "crypto/rand"}},
	{who: "sdk/update", never: []string{"net", "os", "sync", "context", "time", "math/rand", "crypto/rand"}},
	{who: "maps/state", never: []string{nats, dragonboat, otel}, transitive: true},
	{who: "sdk/query", never: []string{nats, dragonboat, otel}, transitive: true},
	{who: "sdk/update", never: []string{nats, dragonboat, otel}, transitive: true},
	{who: "", except: []string{"partition", "member/telemetry"}, never: []string{dragonboat}},
	{who: "", except: []string{"member/internal/events"}, never: []string{natsServer}},
	{who: "", except: []string{"member/telemetry"}, never: []string{otelSDK}},
	{who: "sdk/wire", never: []string{otel}, transitive: true},
	{who: "sdk/codec", never: []string{otel}, transitive: true},
	{who: "docs", never: []string{modulePath}},
}

// isOrBelow reports whether an import path is another or below it.
func isOrBelow(p, top string) bool { return p == top || strings.HasPrefix(p, top+"/") }

// imports: what a file imports itself. It looks at every file, whatever system or tag it is for.
func imports(f *file) (problems []string) {
	if f.isTest() {
		return nil
	}
	for _, s := range f.ast.Imports {
		p, err := strconv.Unquote(s.Path.Value)
		if err != nil {
			return []string{f.problem(s, "%v", err)}
		}
		for _, why := range forbidden(f.dir(), p, false) {
			problems = append(problems, f.problem(s, "imports %s: %s", p, why))
		}
	}
	return problems
}

// forbidden returns why a package may not import another; with transitive, why not even by way of others.
func forbidden(dir, p string, transitive bool) (why []string) {
	if inner, ok := strings.CutPrefix(p, modulePath+"/"); ok && !transitive {
		for _, l := range layers {
			if under(dir, l.dir) {
				if !under(inner, l.dir) && !slices.ContainsFunc(l.may, func(m string) bool { return under(inner, m) }) {
					why = append(why, fmt.Sprintf("%s imports of the module only itself and %v", l.dir, l.may))
				}
				break
			}
		}
	}
	for _, l := range law {
		if l.who != "" && !under(dir, l.who) || transitive && !l.transitive ||
			slices.ContainsFunc(l.except, func(e string) bool { return under(dir, e) }) {
			continue
		}
		for _, n := range l.never {
			if isOrBelow(p, n) {
				why = append(why, fmt.Sprintf("%s never imports %s", or(l.who, "what is elsewhere"), n))
			}
		}
	}
	return why
}

func or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// listed is a package as go list tells it.
type listed struct {
	ImportPath string
	Imports    []string
}

// list returns the packages of the module and all that they import, by path.
func list(t *testing.T) map[string]listed {
	t.Helper()
	all := make(map[string]listed)
	goList(t, func(p listed) { all[p.ImportPath] = p }, "-deps", "-json=ImportPath,Imports", "./...")
	return all
}

// goList calls f for each package that go list tells of in JSON.
func goList[P any](t *testing.T, f func(P), args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list"}, args...)...)
	cmd.Dir = root(t)
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list: %v\n%s", err, exit.Stderr)
		}
		t.Fatal(err)
	}

	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p P
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		f(p)
	}
}

// TestTransitiveImports holds the rows of the law that reach through other packages.
func TestTransitiveImports(t *testing.T) {
	graph := list(t)
	checked := 0
	for p := range graph {
		dir, ok := strings.CutPrefix(p, modulePath+"/")
		if !ok {
			continue
		}
		checked++
		report(t, transitive(graph, dir))
	}
	if checked < 10 {
		t.Errorf("%d packages were looked at; the module has more", checked)
	}
	planted := map[string]listed{
		modulePath + "/sdk":       {Imports: []string{"example.org/a"}},
		"example.org/a":           {Imports: []string{dragonboat + "/v4/raftpb"}},
		dragonboat + "/v4/raftpb": {},
	}
	if got := transitive(planted, "sdk"); len(got) != 1 || !strings.Contains(got[0], "example.org/a") {
		t.Errorf("an import by way of another was reported as %q", got)
	}
}

// transitive returns what a package must not import and does, by way of whatever others.
func transitive(graph map[string]listed, dir string) (problems []string) {
	start := modulePath + "/" + dir
	via := map[string]string{start: ""}
	for queue := []string{start}; len(queue) > 0; queue = queue[1:] {
		for _, next := range graph[queue[0]].Imports {
			if _, seen := via[next]; seen {
				continue
			}
			via[next] = queue[0]
			for _, why := range forbidden(dir, next, true) {
				chain := next
				for at := queue[0]; at != ""; at = via[at] {
					chain = at + " > " + chain
				}
				problems = append(problems, fmt.Sprintf("%s: %s", why, chain))
			}
			queue = append(queue, next)
		}
	}
	return problems
}
