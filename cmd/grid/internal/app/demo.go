package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/gridiron-io/gridiron/cmd/grid/internal/config"
	"github.com/gridiron-io/gridiron/sdk"
)

const (
	demoMembers = 3
	demoEntries = 10_000
	demoTimeout = 90 * time.Second // of the whole story
)

func (p *Process) demoCommand() *cli.Command {
	return p.command(leaf{
		name: "demo", usage: "show and check what a cluster does, with three members in this process", quiet: true,
		details: "Each step says what it does and why, does it, and checks the result. The demo takes free ports and leaves nothing behind.",
		flags:   []cli.Flag{&cli.StringFlag{Name: "log-level", Usage: "show the members' logs from `LEVEL` on: debug, info, warn or error"}},
		run:     runDemo,
	})
}

func runDemo(ctx context.Context, inv *invocation) error {
	log := slog.New(slog.DiscardHandler)
	if text := inv.flags.String("log-level"); inv.flags.IsSet("log-level") {
		level, err := config.ParseLevel(text)
		if err != nil {
			return usagef("--log-level: %w", err)
		}
		log = inv.logger(level, config.FormatAuto)
	}

	// The folder is removed in every end of the program, also at a second interrupt.
	var dir removable
	defer dir.remove()
	ctx, stop := inv.untilInterrupted(ctx, dir.remove)
	defer stop()

	d := &demo{inv: inv, log: log, dir: &dir}
	ctx, cancel := context.WithTimeout(ctx, demoTimeout)
	defer cancel()

	err := d.run(ctx)
	if context.Cause(ctx) == errInterrupted {
		err = errInterrupted
	}

	// The farewell is true only if nothing failed and the cluster has been closed.
	if err = errors.Join(err, d.close()); err == nil {
		err = d.say("That is all. The cluster is gone, and nothing is left of it.\n")
	}
	return err
}

// demo is the story while it is told.
type demo struct {
	inv     *invocation
	log     *slog.Logger
	dir     *removable
	l       *local
	c       *sdk.Client
	numbers *sdk.Map[string, int64]
}

// demoStep is one part of the story.
type demoStep struct {
	title, why string
	// run does it, checks it, and returns what came of it.
	run func(context.Context) (string, error)
}

// run tells the story to its end, or to the first thing that is not as promised.
func (d *demo) run(ctx context.Context) error {
	steps := d.steps()
	for i, s := range steps {
		if err := d.say("%d. %s\n   %s\n", i+1, s.title, indented(s.why)); err != nil {
			return err
		}

		begun := time.Now()
		result, err := s.run(ctx)
		if err != nil {
			return fmt.Errorf("step %d of %d, %q: %w", i+1, len(steps), s.title, err)
		}

		if err := d.say("   => %s (%v)\n\n", indented(result), time.Since(begun).Round(time.Millisecond)); err != nil {
			return err
		}
	}
	return nil
}

// indented returns a text whose later lines stand below its first one.
func indented(text string) string { return strings.ReplaceAll(text, "\n", "\n   ") }

func (d *demo) say(format string, args ...any) error {
	if _, err := fmt.Fprintf(d.inv.Out, format, args...); err != nil {
		return fmt.Errorf("write the output: %w", err)
	}
	return nil
}

func (d *demo) close() error {
	var errs []error
	if d.c != nil {
		errs = append(errs, d.c.Close())
	}
	if d.l != nil {
		errs = append(errs, d.l.close())
	}
	return errors.Join(errs...)
}
