package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/gridiron-io/gridiron/cmd/grid/internal/render"
	"github.com/gridiron-io/gridiron/sdk"
)

// execCommands returns the group "exec".
func (p *Process) execCommands() *cli.Command {
	return group("exec", "run tasks on members, and processors on entries", p.execList(), p.execRun(), p.execOnKey())
}

func executorFlag() cli.Flag {
	return &cli.StringFlag{Name: "executor", Value: "default", Usage: "`NAME` of the executor"}
}

func (p *Process) execList() *cli.Command {
	return p.command(leaf{
		name: "ls", usage: "print the registered tasks with their members", remote: true, flags: []cli.Flag{executorFlag()},
		run: func(ctx context.Context, inv *invocation) error {
			executor := inv.flags.String("executor")
			if err := checkName(executor, "--executor"); err != nil {
				return err
			}
			return inv.withClient(ctx, func(ctx context.Context, c *sdk.Client) error {
				tasks, err := c.Executor(executor).Tasks(ctx)
				if err != nil {
					return err
				}

				rows := make([][]any, len(tasks))
				for i, t := range tasks {
					rows[i] = []any{t.Name, texts(t.Members)}
				}
				return inv.print(render.Records([]string{"name", "members"}, rows))
			})
		},
	})
}

func (p *Process) execRun() *cli.Command {
	return p.command(leaf{
		name: "run", usage: "run a task and print its results", args: "TASK [ARG]", least: 1, most: 2, remote: true,
		details: "ARG is JSON if it parses as JSON, else a string; - reads it from standard input. Results are a list with one element for each " +
			"member that ran the task. Exit codes: 1 if the task failed, 3 if no member has the task, the name or the tag. The task ends with --timeout.",
		flags: []cli.Flag{
			&cli.StringFlag{Name: "on", Value: "any", Usage: "`WHERE`: any, all, key=KEY for the key's owner, member=NAME or member=ID, tag=KEY:VALUE for every member with that tag"},
			executorFlag(),
		},
		run: runTask,
	})
}

// target says where a task runs.
type target struct {
	kind string // any, all, key, member or tag
	name string // of a key or a member; KEY:VALUE of a tag
}

func parseTarget(s string) (target, error) {
	kind, name, named := strings.Cut(s, "=")
	switch {
	case !named && (kind == "any" || kind == "all"), named && kind == "key":
		return target{kind, name}, checkKeys(name)
	case named && kind == "member":
		return target{kind, name}, checkName(name, "--on member=")
	case named && kind == "tag" && strings.Index(name, ":") > 0:
		return target{kind, name}, nil
	}
	return target{}, usagef("--on %q: want any, all, key=KEY, member=NAME or tag=KEY:VALUE", s)
}

func runTask(ctx context.Context, inv *invocation) error {
	task, executor := inv.args[0], inv.flags.String("executor")
	where, err := parseTarget(inv.flags.String("on"))
	if err == nil {
		err = checkName(task, "the task's name")
	}
	if err == nil {
		err = checkName(executor, "--executor")
	}
	if err != nil {
		return err
	}

	// The argument may come from standard input, which may never end.
	var arg any
	if len(inv.args) == 2 {
		err = inv.interruptible(ctx, func(ctx context.Context) error {
			arg, err = inv.valueOf(ctx, "argument", inv.args[1])
			return err
		})
		if err != nil {
			return err
		}
	}

	return inv.withClient(ctx, func(ctx context.Context, c *sdk.Client) error {
		outcomes, err := submission{c: c, ex: c.Executor(executor), task: task, arg: arg}.run(ctx, where)
		if err != nil {
			return err
		}

		failed, answered := judge(task, outcomes)

		// No member ran the task, so there are no results to print.
		if failed != nil && !answered {
			return failed
		}

		if err := inv.print(outcomeDocument(outcomes)); err != nil || failed == nil {
			return err
		}
		// The results that came are printed, and the exit code tells of the failure.
		return &failure{exitOther, failed}
	})
}

// outcome is what one member made of a task.
type outcome struct {
	member, name string
	result       any
	err          error
}

// text returns the outcome's error for people. For a task that failed, it returns only the task's own words.
func (o *outcome) text() string {
	if e, ok := errors.AsType[*sdk.Error](o.err); ok && e.Code == sdk.CodeTaskFailed {
		return e.Err.Error()
	}
	return o.err.Error()
}

// answered reports whether the task has run: it returned a result, or an error of its own.
func (o *outcome) answered() bool {
	e, ok := errors.AsType[*sdk.Error](o.err)
	return o.err == nil || ok && e.Code == sdk.CodeTaskFailed
}

// judge returns the failure of a task, nil if it failed nowhere, and whether any member answered: without an answer there is
// nothing to print. The failure's exit code is that of the first error.
func judge(task string, outcomes []outcome) (failed error, answered bool) {
	failures := 0
	var first *outcome
	for i := range outcomes {
		o := &outcomes[i]
		answered = answered || o.answered()
		if o.err == nil {
			continue
		}
		if failures++; first == nil {
			first = o
		}
	}

	if first == nil {
		return nil, answered
	}

	where := fmt.Sprintf("on %s", cmp.Or(first.name, first.member))
	if failures > 1 {
		where = fmt.Sprintf("on %d of %d members, %s", failures, len(outcomes), where)
	}
	return failf(exitCode(first.err), "task %q failed %s: %s", task, where, first.text()), answered
}

func outcomeDocument(outcomes []outcome) render.Document {
	rows := make([][]any, len(outcomes))
	for i, o := range outcomes {
		var text any
		if o.err != nil {
			text = o.text()
		}
		rows[i] = []any{o.member, orNull(o.name), o.result, text}
	}
	return render.Records([]string{"member", "name", "result", "error"}, rows).RawColumn("result")
}
