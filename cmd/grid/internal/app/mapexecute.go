package app

import (
	"context"
	"errors"

	"github.com/urfave/cli/v2"

	"github.com/gridiron-io/gridiron/cmd/grid/internal/render"
	"github.com/gridiron-io/gridiron/sdk"
)

const executeDetails = "The owner of the key carries it out in one step, exactly once. ARG is JSON where it parses as JSON, else a string; - reads it " +
	"from standard input. Every member has increment, append, json-merge (also json-set), list-push, set-add, and compare-and-set, whose ARG is " +
	"[VERSION,VALUE]. The entry keeps its expiry. Exits with 3 if the owner has no such processor, and with 2 if it cannot work on ARG or on the value."

func (p *Process) mapExecute() *cli.Command { return p.execute("execute") }

func (p *Process) execOnKey() *cli.Command { return p.execute("on-key") }

// execute returns the command that runs a processor, under the name that it has in its group.
func (p *Process) execute(name string) *cli.Command {
	return p.command(mapLeaf(leaf{
		name: name, usage: "change an entry where it stands, and print the result", args: "MAP KEY PROCESSOR [ARG]", details: executeDetails, least: 3, most: 4,
		run: func(ctx context.Context, inv *invocation) error {
			processor := inv.args[2]
			if err := checkName(processor, "the processor's name"); err != nil {
				return err
			}

			// The argument may come from standard input, which may never end.
			var arg any
			if len(inv.args) == 4 {
				err := inv.interruptible(ctx, func(ctx context.Context) (err error) {
					arg, err = inv.valueOf(ctx, "argument", inv.args[3])
					return err
				})
				if err != nil {
					return err
				}
			}

			return inv.withMap(ctx, inv.args[0], func(ctx context.Context, m *sdk.Map[string, any]) error {
				result, err := sdk.ExecuteOnKey[any](ctx, m, inv.args[1], processor, arg)
				if errors.Is(err, sdk.ErrUnknownProcessor) {
					return failf(exitNotFound, "the owner of key %q has no processor %q", inv.args[1], processor)
				}
				if err != nil {
					return err
				}
				return inv.print(render.Record(render.Field{Name: "result", Value: result}).RawColumn("result"))
			})
		},
	}, 1))
}
