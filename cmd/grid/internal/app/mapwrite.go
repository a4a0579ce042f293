package app

import (
	"context"

	"github.com/urfave/cli/v2"

	"github.com/gridiron-io/gridiron/cmd/grid/internal/render"
	"github.com/gridiron-io/gridiron/sdk"
)

const valueDetails = "VALUE is JSON where it parses as JSON, else a string; - reads it from standard input."

// write is what a write needs, read from the command line.
type write struct {
	key   string
	value any
	opts  []sdk.WriteOption
}

// expiryFlags are the flags of writes that can create an entry; replaceFlags are more, of those that can replace one.
func expiryFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "ttl", Usage: "the entry ends after `DURATION`, such as 30s; 0: never (default: the map's)"},
		&cli.StringFlag{Name: "max-idle", Usage: "the entry ends when not read or written for `DURATION`; 0: never (default: the map's)"},
	}
}

func replaceFlags() []cli.Flag {
	return append(expiryFlags(),
		&cli.BoolFlag{Name: "keep-ttl", Usage: "keep the expiry of an existing entry"},
		&cli.StringFlag{Name: "if-version", Usage: "write only if the entry has version `N`; else exit with 4"})
}

// write reads the write of a command with the arguments MAP KEY VALUE.
func (inv *invocation) write(ctx context.Context) (w write, err error) {
	w.key = inv.args[1]
	if inv.flags.IsSet("ttl") {
		d, err := parseTTL("--ttl", inv.flags.String("ttl"))
		if err != nil {
			return w, err
		}
		w.opts = append(w.opts, sdk.WithTTL(d))
	}

	if inv.flags.IsSet("max-idle") {
		d, err := parseTTL("--max-idle", inv.flags.String("max-idle"))
		if err != nil {
			return w, err
		}
		w.opts = append(w.opts, sdk.WithMaxIdle(d))
	}

	if inv.flags.Bool("keep-ttl") {
		// Only the two options above can be in the list so far.
		if len(w.opts) > 0 {
			return w, usagef("--keep-ttl contradicts --ttl and --max-idle; give one or the other")
		}
		w.opts = append(w.opts, sdk.KeepTTL())
	}

	if inv.flags.IsSet("if-version") {
		n, err := parseVersion("--if-version", inv.flags.String("if-version"), "grid map entry-view")
		if err != nil {
			return w, err
		}
		w.opts = append(w.opts, sdk.IfVersion(n))
	}

	// The value may come from standard input, which may never end.
	err = inv.interruptible(ctx, func(ctx context.Context) error {
		w.value, err = inv.value(ctx, inv.args[2])
		return err
	})
	return w, err
}

// writing returns the run of a command with the arguments MAP KEY VALUE.
func writing(f func(context.Context, *invocation, *sdk.Map[string, any], write) error) func(context.Context, *invocation) error {
	return func(ctx context.Context, inv *invocation) error {
		w, err := inv.write(ctx)
		if err != nil {
			return err
		}
		return inv.withMap(ctx, inv.args[0], func(ctx context.Context, m *sdk.Map[string, any]) error { return f(ctx, inv, m, w) })
	}
}

func (p *Process) mapSet() *cli.Command {
	return p.command(mapLeaf(leaf{
		name: "set", usage: "store a value, the fastest write", args: "MAP KEY VALUE", details: valueDetails, least: 3, most: 3, flags: replaceFlags(),
		run: writing(func(ctx context.Context, _ *invocation, m *sdk.Map[string, any], w write) error {
			return m.Set(ctx, w.key, w.value, w.opts...)
		}),
	}, 1))
}

func (p *Process) mapPut() *cli.Command {
	return p.command(mapLeaf(leaf{
		name: "put", usage: "store a value and print the previous one", args: "MAP KEY VALUE", details: valueDetails, least: 3, most: 3, flags: replaceFlags(),
		run: writing(func(ctx context.Context, inv *invocation, m *sdk.Map[string, any], w write) error {
			previous, existed, err := m.Put(ctx, w.key, w.value, w.opts...)
			if err != nil {
				return err
			}
			return inv.print(previousDocument(existed, previous))
		}),
	}, 1))
}

// previousDocument is what put, replace and remove print.
func previousDocument(existed bool, previous any) render.Document {
	return render.Record(render.Field{Name: "existed", Value: existed}, render.Field{Name: "previous", Value: previous}).RawColumn("previous")
}

func (p *Process) mapPutIfAbsent() *cli.Command {
	return p.command(mapLeaf(leaf{
		name: "put-if-absent", usage: "store a value if the key has none", args: "MAP KEY VALUE", least: 3, most: 3, flags: expiryFlags(),
		details: valueDetails + " If the key exists, its value is printed and the exit code is 4.",
		run: writing(func(ctx context.Context, inv *invocation, m *sdk.Map[string, any], w write) error {
			existing, existed, err := m.PutIfAbsent(ctx, w.key, w.value, w.opts...)
			if err != nil {
				return err
			}

			err = inv.print(render.Record(render.Field{Name: "stored", Value: !existed}, render.Field{Name: "existing", Value: existing}).RawColumn("existing"))
			if err == nil && existed {
				err = failf(exitConflict, "map %q already has the key %q", m.Name(), w.key)
			}
			return err
		}),
	}, 1))
}

func (p *Process) mapReplace() *cli.Command {
	return p.command(mapLeaf(leaf{
		name: "replace", usage: "store a value if the key has one, and print the previous one", args: "MAP KEY VALUE", least: 3, most: 3, flags: replaceFlags(),
		details: valueDetails + " A key that does not exist exits with 3.",
		run: writing(func(ctx context.Context, inv *invocation, m *sdk.Map[string, any], w write) error {
			previous, existed, err := m.Replace(ctx, w.key, w.value, w.opts...)
			return printPrevious(inv, previous, existed, err)
		}),
	}, 1))
}

// printPrevious prints the value that a key had before it was replaced or removed.
func printPrevious(inv *invocation, previous any, existed bool, err error) error {
	if err != nil {
		return err
	}
	if !existed {
		return noSuchKey(inv)
	}
	return inv.print(previousDocument(true, previous))
}

func (p *Process) mapRemove() *cli.Command {
	return p.command(mapLeaf(leaf{
		name: "remove", usage: "remove a key and print its value", args: "MAP KEY", least: 2, most: 2,
		details: "A key that does not exist exits with 3.",
		run: func(ctx context.Context, inv *invocation) error {
			return inv.withMap(ctx, inv.args[0], func(ctx context.Context, m *sdk.Map[string, any]) error {
				previous, existed, err := m.Remove(ctx, inv.args[1])
				return printPrevious(inv, previous, existed, err)
			})
		},
	}, 1))
}

func (p *Process) mapDelete() *cli.Command {
	return p.command(mapLeaf(leaf{
		name: "delete", usage: "delete keys and print how many there were", args: "MAP KEY…", least: 2, most: -1,
		details: "Exits with 3 if none of the keys exists.",
		run: func(ctx context.Context, inv *invocation) error {
			return inv.withMap(ctx, inv.args[0], func(ctx context.Context, m *sdk.Map[string, any]) error {
				n, err := m.DeleteAll(ctx, inv.args[1:]...)
				if err != nil {
					return err
				}

				if n == 0 {
					if len(inv.args) == 2 {
						return noSuchKey(inv)
					}
					return failf(exitNotFound, "map %q has none of the %d keys", m.Name(), len(inv.args)-1)
				}

				return inv.print(render.Record(render.Field{Name: "deleted", Value: n}))
			})
		},
	}, -1))
}
