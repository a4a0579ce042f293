package app

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/gridiron-io/gridiron/cmd/grid/internal/render"
	"github.com/gridiron-io/gridiron/sdk"
	"github.com/gridiron-io/gridiron/sdk/predicate"
)

func (p *Process) mapEvict() *cli.Command {
	return p.command(mapLeaf(leaf{
		name: "evict", usage: "evict a key", args: "MAP KEY", least: 2, most: 2, quiet: true,
		details: "A missing key exits with 3.",
		run: func(ctx context.Context, inv *invocation) error {
			return inv.withMap(ctx, inv.args[0], func(ctx context.Context, m *sdk.Map[string, any]) error {
				existed, err := m.Evict(ctx, inv.args[1])
				if err == nil && !existed {
					err = noSuchKey(inv)
				}
				return err
			})
		},
	}, 1))
}

func (p *Process) mapTTL() *cli.Command {
	return p.command(mapLeaf(leaf{
		name: "ttl", usage: "print how long an entry will live, or set it", args: "MAP KEY [TTL]", least: 2, most: 3,
		details: "TTL is a duration from now, such as 30s. With 0 no TTL ends the entry, though its max-idle still may. Setting it counts as a use " +
			"of the entry. A missing key exits with 3.",
		run: func(ctx context.Context, inv *invocation) error {
			var ttl time.Duration
			set := len(inv.args) == 3
			if set {
				var err error
				if ttl, err = parseTTL("TTL", inv.args[2]); err != nil {
					return err
				}
			}

			key := inv.args[1]
			return inv.withMap(ctx, inv.args[0], func(ctx context.Context, m *sdk.Map[string, any]) error {
				if set {
					// Set first and read afterwards, so that the answer shows what holds now.
					found, err := m.SetTTL(ctx, key, ttl)
					if err != nil {
						return err
					}
					if !found {
						return noSuchKey(inv)
					}
				}

				view, found, err := m.EntryView(ctx, key)
				if err != nil {
					return err
				}
				if !found && !set { // with set, it was there and has ended since
					return noSuchKey(inv)
				}

				// Three answers: null for an entry without an end, 0 for one that has ended, else what is left.
				var remaining any
				switch {
				case !found:
					remaining = 0
				case !view.Expires.IsZero():
					remaining = view.Remaining.Milliseconds()
				}

				return inv.print(render.Record(render.Field{Name: "key", Value: key}, render.Field{Name: "remaining_ms", Value: remaining}).RawColumn("remaining_ms"))
			})
		},
	}, 1))
}

func (p *Process) mapClear() *cli.Command {
	return p.command(mapLeaf(leaf{
		name: "clear", usage: "remove all entries, or those that a predicate chooses", args: "MAP", least: 1, most: 1,
		flags: []cli.Flag{whereFlag("remove only the entries that match `PREDICATE`, and print how many")},
		details: "A predicate is as \"age > 30 AND name LIKE 'A%'\" or \"__key GLOB 'user:*'\". Entries that are written meanwhile may stay; " +
			"without --where none does that was there.",
		run: func(ctx context.Context, inv *invocation) error {
			where, err := inv.where()
			if err != nil {
				return err
			}

			return inv.withMap(ctx, inv.args[0], func(ctx context.Context, m *sdk.Map[string, any]) error {
				if where == nil {
					return m.Clear(ctx)
				}
				n, err := m.RemoveAll(ctx, where)
				if err != nil {
					return err
				}
				return inv.print(render.Record(render.Field{Name: "removed", Value: n}))
			})
		},
	}, 0))
}

func whereFlag(usage string) cli.Flag { return &cli.StringFlag{Name: "where", Usage: usage} }

// where returns the predicate that --where gives, nil if it is not given. No server is asked about a text that is no predicate.
func (inv *invocation) where() (sdk.Predicate, error) {
	if !inv.flags.IsSet("where") {
		return nil, nil
	}
	text := inv.flags.String("where")

	_, err := predicate.Parse(text)
	if syntax := (*predicate.SyntaxError)(nil); errors.As(err, &syntax) {
		return nil, usagef("--where is no predicate: %s", syntax.Problem())
	}
	// Any other error is about a bound, and says so.
	if err != nil {
		return nil, usagef("--where: %v", err)
	}
	return sdk.SQL(text), nil
}

func (p *Process) mapDestroy() *cli.Command {
	return p.command(mapLeaf(leaf{
		name: "destroy", usage: "remove all entries and the map itself", args: "MAP", least: 1, most: 1, quiet: true,
		flags:   []cli.Flag{&cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "do not ask"}},
		details: "On a terminal it asks first, unless --yes is given.",
		run: func(ctx context.Context, inv *invocation) error {
			name := inv.args[0]
			if err := inv.confirm(ctx, fmt.Sprintf("Destroy map %q with all its entries?", name)); err != nil {
				return err
			}

			return inv.withMap(ctx, name, func(ctx context.Context, m *sdk.Map[string, any]) error { return m.Destroy(ctx) })
		},
	}, 0))
}

// confirm asks on standard error and returns an error unless the answer on standard input is yes. It asks only on a terminal, and not if
// --yes was given.
func (inv *invocation) confirm(ctx context.Context, question string) error {
	// A script has nobody who could answer, and has said what it wants.
	if !isTerminal(inv.In) || inv.flags.Bool("yes") {
		return nil
	}
	return inv.interruptible(ctx, func(ctx context.Context) error {
		if _, err := fmt.Fprintf(inv.Err, "%s [y/N] ", render.Escape(question)); err != nil {
			return err
		}

		answer := make(chan string, 1)
		go func() { // left to the end of the process if nobody answers
			line, _ := bufio.NewReader(inv.In).ReadString('\n')
			answer <- strings.ToLower(strings.TrimSpace(line))
		}()

		select {
		case a := <-answer:
			if a == "y" || a == "yes" {
				return nil
			}
			return failf(exitOther, "not confirmed; nothing was changed")
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	})
}

func (p *Process) mapList() *cli.Command {
	return p.command(leaf{
		name: "ls", usage: "print the maps that hold entries, with their sizes", remote: true,
		run: func(ctx context.Context, inv *invocation) error {
			return inv.withClient(ctx, func(ctx context.Context, c *sdk.Client) error {
				maps, err := c.Maps(ctx)
				if err != nil {
					return err
				}

				rows := make([][]any, len(maps))
				for i, m := range maps {
					rows[i] = []any{m.Name, m.Entries, m.Bytes}
				}
				return inv.print(render.Records([]string{"name", "entries", "bytes"}, rows))
			})
		},
	})
}
