package app

import (
	"context"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/gridiron-io/gridiron/cmd/grid/internal/render"
)

// leaf is a command that does something.
type leaf struct {
	name, usage string
	args        string // as help shows them
	details     string // help's description, may be empty
	least, most int    // how many arguments; most below 0: any number from least on
	flags       []cli.Flag
	quiet       bool          // it prints no document; where it talks to a cluster, it takes a format all the same, as all such commands do
	remote      bool          // it talks to a cluster
	timeout     time.Duration // of a remote command unless the user says so; 0: defaultTimeout
	run         func(context.Context, *invocation) error
}

// invocation is one run of a leaf. Its command line has been checked as far as the leaf describes it.
type invocation struct {
	*Process
	args  []string
	flags *cli.Context
	out   *render.Printer
	conn  connection // of remote commands
}

// command returns the leaf as cli has it.
func (p *Process) command(l leaf) *cli.Command {
	flags := append([]cli.Flag(nil), l.flags...)
	if l.timeout == 0 {
		l.timeout = defaultTimeout
	}

	if l.remote {
		flags = append(flags, remoteFlags(l.timeout)...)
	}

	// A command that prints nothing still has --output if it has connection flags: scripts may give it to all.
	formats := !l.quiet || l.remote
	if formats {
		flags = append(flags, &cli.StringFlag{Name: "output", Aliases: []string{"o"},
			Usage: "`FORMAT`: table, json, yaml, csv or raw (default: table on a terminal, else columns separated by tabs)"})
	}

	for _, f := range flags {
		if b, ok := f.(*cli.BoolFlag); ok {
			// The help would say "default: false" behind each switch.
			b.DisableDefaultText = true
		}
	}

	return &cli.Command{
		Name: l.name, Usage: l.usage, ArgsUsage: l.args, Description: l.details,
		HideHelpCommand: true, Flags: flags, OnUsageError: usageError,
		Action: func(c *cli.Context) error {
			inv := &invocation{Process: p, args: c.Args().Slice(), flags: c}
			if n := len(inv.args); n < l.least || l.most >= 0 && n > l.most {
				return usagef("wrong number of arguments: %d; usage: %s %s", n, c.Command.HelpName, orNone(l.args))
			}

			var err error
			if formats {
				if inv.out, err = p.printer(c.String("output")); err != nil {
					return err
				}
			}

			if l.remote {
				if inv.conn, err = inv.connection(l.timeout); err != nil {
					return err
				}
			}

			return l.run(c.Context, inv)
		},
	}
}

func orNone(args string) string {
	if args == "" {
		return "(no arguments)"
	}
	return args
}

// group returns a command that only has others.
func group(name, usage string, commands ...*cli.Command) *cli.Command {
	return &cli.Command{Name: name, Usage: usage, Subcommands: commands, HideHelpCommand: true, OnUsageError: usageError}
}

// interruptible calls f with a context that ends when the process is interrupted. What f returns then is errInterrupted.
func (inv *invocation) interruptible(ctx context.Context, f func(context.Context) error) error {
	ctx, stop := inv.untilInterrupted(ctx, nil)
	defer stop()

	err := f(ctx)
	if err != nil && context.Cause(ctx) == errInterrupted {
		return errInterrupted
	}
	return err
}

// print writes a document to standard output.
func (inv *invocation) print(d render.Document) error { return inv.out.Print(d) }
