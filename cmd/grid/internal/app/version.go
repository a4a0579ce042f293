package app

import (
	"context"
	"runtime"
	"runtime/debug"

	"github.com/urfave/cli/v2"

	"github.com/gridiron-io/gridiron/cmd/grid/internal/render"
	"github.com/gridiron-io/gridiron/member"
)

func (p *Process) versionCommand() *cli.Command {
	return p.command(leaf{
		name: "version", usage: "print the version of this program",
		run: func(_ context.Context, inv *invocation) error {
			return inv.print(render.Record(
				render.Field{Name: "version", Value: member.Version},
				render.Field{Name: "commit", Value: orNull(commit())},
				render.Field{Name: "go", Value: runtime.Version()},
				render.Field{Name: "os", Value: runtime.GOOS},
				render.Field{Name: "arch", Value: runtime.GOARCH},
			))
		},
	})
}

// commit returns the commit that the program was built from, with "+" behind it where that had been changed, "" if unknown.
func commit() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	var revision, mark string
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			mark = "+"
		}
	}
	if revision == "" {
		return ""
	}
	return revision + mark
}
