package app

import (
	"context"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/gridiron-io/gridiron/cmd/grid/internal/render"
	"github.com/gridiron-io/gridiron/grid"
)

func (p *Process) versionCommand() *cli.Command {
	return p.command(leaf{
		name: "version", usage: "print the version of this program",
		run: func(_ context.Context, inv *invocation) error {
			commit, unknown := commitOf(debug.ReadBuildInfo())
			return inv.print(render.Record(
				render.Field{Name: "version", Value: grid.Version},
				render.Field{Name: "commit", Value: orNull(commit)},
				render.Field{Name: "go", Value: runtime.Version()},
				render.Field{Name: "os", Value: runtime.GOOS},
				render.Field{Name: "arch", Value: runtime.GOARCH},
				render.Field{Name: "commit_unknown", Value: orNull(unknown)},
			))
		},
	})
}

// pseudo matches a module version that Go makes of a commit: its time and the first 12 digits of its hash are at the end.
var pseudo = regexp.MustCompile(`[-.][0-9]{14}-([0-9a-f]{12})(\+incompatible)?(\+dirty)?$`)

// commitOf returns the commit that the program was built from, or why the commit is not known. A "+" follows the commit if files were
// changed before the build. A build in a checkout knows the whole commit. A build from the module cache knows its first 12 digits, from
// the module's version.
func commitOf(info *debug.BuildInfo, ok bool) (commit, unknown string) {
	if !ok {
		return "", "the program was built without information about its build"
	}

	var mark string
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			// The go command notes these when it builds in a checkout.
			commit = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			mark = "+"
		}
	}
	if commit != "" {
		return commit + mark, ""
	}

	// A pseudo-version ends with the commit.
	version := info.Main.Version
	if m := pseudo.FindStringSubmatch(version); m != nil {
		if strings.HasSuffix(version, "+dirty") {
			mark = "+"
		}
		return m[1] + mark, ""
	}
	if version == "" || version == "(devel)" {
		return "", "the program was built without it: with -buildvcs=false, or from files that are no checkout"
	}
	return "", "the program was built from release " + version + " in the module cache, which does not name it"
}
