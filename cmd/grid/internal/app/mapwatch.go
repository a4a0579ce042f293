package app

import (
	"context"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/gridiron-io/gridiron/sdk"
)

func (p *Process) mapWatch() *cli.Command {
	return p.command(mapLeaf(leaf{
		name: "watch", usage: "print the changes of entries as they happen", args: "MAP", least: 1, most: 1,
		details: "It runs until it is interrupted, which exits with 130. --timeout bounds only the time to connect. With --where an update shows as ADDED where it " +
			"brings an entry into what matches, and as REMOVED where it takes one out.",
		flags: []cli.Flag{
			&cli.StringFlag{Name: "key", Usage: "only the changes of `KEY`"},
			whereFlag("only the changes of entries that match `PREDICATE`, such as \"age > 30\""),
			&cli.StringFlag{Name: "from", Usage: "first the events since the one with `TOKEN`"},
			&cli.BoolFlag{Name: "without-values", Usage: "leave out old and new values"},
			&cli.BoolFlag{Name: "expiry-changes", Usage: "also report an entry whose TTL was set, as UPDATED"},
		},
		run: func(ctx context.Context, inv *invocation) error {
			opts, err := inv.listenerOptions()
			if err != nil {
				return err
			}
			return inv.interruptible(ctx, func(ctx context.Context) error { return inv.watch(ctx, opts) })
		},
	}, 0))
}

// listenerOptions returns what the flags of watch say.
func (inv *invocation) listenerOptions() ([]sdk.ListenerOption, error) {
	var opts []sdk.ListenerOption
	if inv.flags.IsSet("key") {
		key := inv.flags.String("key")
		if err := checkKeys(key); err != nil {
			return nil, err
		}
		opts = append(opts, sdk.OnKey(key))
	}

	where, err := inv.where()
	if err != nil {
		return nil, err
	}
	if where != nil {
		opts = append(opts, sdk.Matching(where))
	}

	if inv.flags.IsSet("from") {
		token := inv.flags.String("from")
		if token == "" {
			return nil, usagef("--from is empty: want the token of an event, as map watch prints it")
		}
		opts = append(opts, sdk.From(sdk.ResumeToken(token)))
	}

	if inv.flags.Bool("without-values") {
		opts = append(opts, sdk.WithoutValues())
	}
	if inv.flags.Bool("expiry-changes") {
		opts = append(opts, sdk.WithExpiryChanges())
	}
	return opts, nil
}

// watch prints events until ctx ends.
func (inv *invocation) watch(ctx context.Context, opts []sdk.ListenerOption) error {
	connecting, cancel := context.WithTimeout(ctx, inv.conn.timeout)
	defer cancel()
	c, err := inv.connect(connecting)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()

	// The codec shows whatever values there are, since other programs have written them.
	m, err := sdk.OpenMap[any, any](c, inv.args[0], sdk.WithCodec(shownCodec{}))
	if err != nil {
		return err
	}

	out := inv.out.Stream([]string{"kind", "key", "old", "new", "version", "time", "token"}, []int{8, 16, 24, 24, 20, 24}, "new")
	for e, err := range m.Watch(ctx, opts...) {
		if err != nil {
			return err
		}

		row := []any{string(e.Kind), e.Key, e.Old, e.New, e.Version, instant(e.Time), orNull(string(e.Token))}
		// A value that was left out must not look like one that never was.
		if !e.Omitted {
			err = out.Write(row)
		} else {
			err = out.WriteFlagged(row, "values_left_out", withoutValues(e.Kind, row))
		}
		if err != nil {
			return err
		}
	}

	return context.Cause(ctx)
}

// withoutValues returns the row of an event whose values were left out, with a word in the place of each missing value.
func withoutValues(kind sdk.EventKind, row []any) []any {
	const old, now, text = 2, 3, "(left out)"
	row = slices.Clone(row)

	// Which events have a new value, and which an old one.
	switch kind {
	case sdk.EventAdded, sdk.EventUpdated, sdk.EventLoaded:
		if row[now] == nil {
			row[now] = text
		}
	}
	switch kind {
	case sdk.EventAdded, sdk.EventLoaded:
	default:
		if row[old] == nil {
			row[old] = text
		}
	}

	return row
}
