// Package app owns the commands of the binary: what each takes, asks of the cluster, prints and exits with. What it prints
// goes through package render, what it is configured with through package config, and the order of its command line through
// package argv.
//
// A command writes its document to standard output once it has succeeded, and a failure is one line on standard error.
package app

import (
	"context"
	"io"
	"os"

	"github.com/urfave/cli/v2"

	"github.com/gridiron-io/gridiron/cmd/grid/internal/argv"
	"github.com/gridiron-io/gridiron/cmd/grid/internal/render"
)

// Process is what a run of the binary has to do with the world outside.
type Process struct {
	Args      []string // without the program's name
	In        io.Reader
	Out, Err  io.Writer
	LookupEnv func(string) (string, bool)
	Environ   func() []string // all variables, as "NAME=VALUE"; nil: none is looked at that nobody asks for by name
	Exit      func(code int)  // ends the process at once, for a second interrupt
}

// Run does what the command line says and returns the exit code. It returns soon after ctx has ended, or after the process
// was interrupted.
func (p *Process) Run(ctx context.Context) int {
	err := p.run(ctx)
	if err != nil {
		_, _ = io.WriteString(p.Err, "grid: "+oneLine(err)+"\n")
	}
	return exitCode(err)
}

func (p *Process) run(ctx context.Context) error {
	// A shell asks for completions at every key press, so nothing else is done before.
	if len(p.Args) > 0 && p.Args[0] == completeWord {
		return p.complete(p.Args[1:])
	}

	a := p.app()
	args, err := argv.Arrange(a, p.Args)
	if err != nil {
		return err
	}
	return a.RunContext(ctx, append([]string{a.Name}, args...))
}

// app returns the tree of commands.
func (p *Process) app() *cli.App {
	return &cli.App{
		Name:            "grid",
		Usage:           "an in-memory data grid: distributed maps and tasks, linearizable and replicated",
		HideHelpCommand: true,
		HideVersion:     true,
		Writer:          p.Out,
		ErrWriter:       p.Err,
		ExitErrHandler:  func(*cli.Context, error) {}, // Run decides
		OnUsageError:    usageError,
		Commands: []*cli.Command{
			p.startCommand(),
			p.devCommand(),
			p.demoCommand(),
			p.mapCommands(),
			p.execCommands(),
			p.clusterCommands(),
			p.benchCommand(),
			p.completionCommand(),
			p.versionCommand(),
		},
	}
}

// env returns an environment variable, "" if it is not set.
func (p *Process) env(name string) string {
	v, _ := p.LookupEnv(name)
	return v
}

// environ returns all variables of the environment.
func (p *Process) environ() []string {
	if p.Environ == nil {
		return nil
	}
	return p.Environ()
}

// printer returns a printer to standard output in the format of a name; "" is table on a terminal, else plain.
func (p *Process) printer(format string) (*render.Printer, error) {
	terminal := isTerminal(p.Out)
	out := &render.Printer{Out: p.Out, Format: render.Plain, Terminal: terminal}
	out.Color = terminal && p.env("NO_COLOR") == "" && p.env("TERM") != "dumb"

	switch {
	case format != "":
		f, err := render.ParseFormat(format)
		if err != nil {
			return nil, usagef("%v", err)
		}
		out.Format = f
	case terminal:
		out.Format = render.Table
	}
	return out, nil
}

// isTerminal reports whether a stream is a terminal: a character device other than the null device.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	if !ok {
		return false
	}

	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}

	// /dev/null is a character device too, but nobody looks at it.
	null, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(info, null)
}
