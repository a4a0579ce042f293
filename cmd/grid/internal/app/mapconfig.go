package app

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/gridiron-io/gridiron/cmd/grid/internal/config"
	"github.com/gridiron-io/gridiron/cmd/grid/internal/render"
	"github.com/gridiron-io/gridiron/sdk"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

func (p *Process) mapConfig() *cli.Command {
	return p.command(leaf{
		name: "config", usage: "print the configuration of maps, or change it for all members", args: "[MAP|PATTERN]", least: 0, most: 1, remote: true,
		flags: []cli.Flag{
			&cli.StringFlag{Name: "ttl", Usage: "expire entries that are written without a TTL after `DURATION`; 0: never"},
			&cli.StringFlag{Name: "max-idle", Usage: "expire entries that are not read or written for `DURATION`; 0: never"},
			&cli.StringFlag{Name: "eviction", Usage: "`POLICY` that chooses entries to evict when the map reaches its bound: lru, lfu or none"},
			&cli.StringFlag{Name: "max-entries", Usage: "each member owns at most `N` entries; 0: no bound"},
			&cli.StringFlag{Name: "max-bytes", Usage: "each member owns entries of at most `SIZE`, such as 1048576, 512MB or 2GB; 0: no bound"},
			&cli.StringFlag{Name: "stats", Usage: "`BOOL`: whether operations are counted"},
			&cli.StringFlag{Name: "reads", Usage: "`POLICY` by which owners answer reads: lease, or quorum to ask a majority each time"},
			&cli.StringFlag{Name: "unset", Usage: "leave `FIELDS`, separated by commas, to other patterns: ttl, max_idle, eviction, max_entries, max_bytes, stats, reads"},
			&cli.BoolFlag{Name: "drop", Usage: "remove the configuration of the pattern"},
		},
		details: "Without an argument it prints all configured patterns, the most specific first. With a map's name it prints the resulting " +
			"configuration of the map. With a pattern, which has * ? [ or \\ in it, it prints the configuration of the pattern, or exits with " +
			"3. With flags it changes the configuration of the name or pattern, at once and for all members.",
		run: func(ctx context.Context, inv *invocation) error {
			change, unset, err := inv.mapChange()
			if err != nil {
				return err
			}

			drop := inv.flags.Bool("drop")
			changes := change != (sdk.MapConfig{}) || len(unset) > 0
			// Contradictions are told before a connection is made.
			switch {
			case len(inv.args) == 0 && (changes || drop):
				return usagef("a change needs the name of a map, or a pattern")
			case changes && drop:
				return usagef("--drop removes the whole configuration; give no other flags with it")
			case len(inv.args) == 0:
				return inv.printMapConfigs(ctx)
			}

			pattern := inv.args[0]
			if err := checkMap(pattern); err != nil {
				return err
			}

			return inv.withClient(ctx, func(ctx context.Context, c *sdk.Client) error {
				switch {
				case drop:
					if existed, err := c.DropMapConfig(ctx, pattern); err != nil || existed {
						return err
					}
					return failf(exitNotFound, "nothing is set for %q", pattern)
				case changes:
					if err := c.SetMapConfig(ctx, pattern, change, unset...); err != nil {
						return err
					}
				}

				// After a change the result is shown, so that it is seen which patterns decide now.
				if !strings.ContainsAny(pattern, `*?[\`) {
					return inv.printMapSettings(ctx, c, pattern)
				}
				return inv.printPattern(ctx, c, pattern, changes)
			})
		},
	})
}

// mapChange returns what flags say.
func (inv *invocation) mapChange() (change sdk.MapConfig, unset []sdk.MapField, err error) {
	// A flag that is set to zero is another thing than a flag that is not given.
	given := func(flag string) (string, bool) { return inv.flags.String(flag), inv.flags.IsSet(flag) }
	for _, f := range []struct {
		flag string
		to   **time.Duration
	}{{"ttl", &change.TTL}, {"max-idle", &change.MaxIdle}} {
		if s, ok := given(f.flag); ok {
			d, err := parseTTL("--"+f.flag, s)
			if err != nil {
				return change, nil, err
			}
			*f.to = &d
		}
	}

	if s, ok := given("eviction"); ok {
		if _, err := wire.ParseEvictionPolicy(s); err != nil {
			return change, nil, usagef("--eviction %q: want lru, lfu or none", s)
		}
		change.Eviction = new(sdk.EvictionPolicy(s))
	}

	if s, ok := given("max-entries"); ok {
		n, bad := strconv.ParseInt(s, 10, 64)
		if bad != nil || n < 0 {
			return change, nil, usagef("--max-entries %q: want a whole number, 0 for no bound", s)
		}
		change.MaxEntries = &n
	}

	if s, ok := given("max-bytes"); ok {
		n, bad := config.ParseBytes(s)
		if bad != nil {
			return change, nil, usagef("--max-bytes %w", bad)
		}
		change.MaxBytes = &n
	}

	if s, ok := given("stats"); ok {
		b, bad := strconv.ParseBool(s)
		if bad != nil {
			return change, nil, usagef("--stats %q: want true or false", s)
		}
		change.Stats = &b
	}

	if s, ok := given("reads"); ok {
		if _, err := wire.ParseReadPolicy(s); err != nil {
			return change, nil, usagef("--reads %q: want lease or quorum", s)
		}
		change.Reads = new(sdk.ReadPolicy(s))
	}

	if s, ok := given("unset"); ok {
		for name := range strings.SplitSeq(s, ",") {
			// Both spellings are taken: flags have dashes, and fields have underscores.
			unset = append(unset, sdk.MapField(strings.ReplaceAll(strings.TrimSpace(name), "-", "_")))
		}
	}
	return change, unset, nil
}

var patternColumns = []string{"pattern", "ttl_ms", "max_idle_ms", "eviction", "max_entries", "max_bytes", "stats", "reads"}

// patternRow returns what is set for a pattern, null for what is not.
func patternRow(c *sdk.PatternConfig) []any {
	row := []any{c.Pattern, nil, nil, nil, nil, nil, nil, nil}
	if c.TTL != nil {
		row[1] = c.TTL.Milliseconds()
	}
	if c.MaxIdle != nil {
		row[2] = c.MaxIdle.Milliseconds()
	}
	if c.Eviction != nil {
		row[3] = string(*c.Eviction)
	}
	if c.MaxEntries != nil {
		row[4] = *c.MaxEntries
	}
	if c.MaxBytes != nil {
		row[5] = *c.MaxBytes
	}
	if c.Stats != nil {
		row[6] = *c.Stats
	}
	if c.Reads != nil {
		row[7] = string(*c.Reads)
	}
	return row
}

func (inv *invocation) printMapConfigs(ctx context.Context) error {
	return inv.withClient(ctx, func(ctx context.Context, c *sdk.Client) error {
		list, err := c.MapConfigs(ctx)
		if err != nil {
			return err
		}

		rows := make([][]any, len(list))
		for i := range list {
			rows[i] = patternRow(&list[i])
		}
		return inv.print(render.Records(patternColumns, rows))
	})
}

// printPattern prints what is set for a pattern. After a change that left nothing it prints nothing.
func (inv *invocation) printPattern(ctx context.Context, c *sdk.Client, pattern string, changed bool) error {
	list, err := c.MapConfigs(ctx)
	if err != nil {
		return err
	}

	for i := range list {
		if list[i].Pattern == pattern {
			fields := make([]render.Field, len(patternColumns))
			for j, v := range patternRow(&list[i]) {
				fields[j] = render.Field{Name: patternColumns[j], Value: v}
			}
			return inv.print(render.Record(fields...))
		}
	}

	if changed {
		return nil
	}
	return failf(exitNotFound, "nothing is set for %q", pattern)
}

// printMapSettings prints the configuration of a map, null for what it does not have.
func (inv *invocation) printMapSettings(ctx context.Context, c *sdk.Client, name string) error {
	s, err := c.MapConfig(ctx, name)
	if err != nil {
		return err
	}

	orNone := func(n int64) any {
		if n == 0 {
			return nil
		}
		return n
	}

	return inv.print(render.Record(
		render.Field{Name: "name", Value: name},
		render.Field{Name: "patterns", Value: texts(s.Patterns)},
		render.Field{Name: "ttl_ms", Value: orNone(s.TTL.Milliseconds())},
		render.Field{Name: "max_idle_ms", Value: orNone(s.MaxIdle.Milliseconds())},
		render.Field{Name: "eviction", Value: string(s.Eviction)},
		render.Field{Name: "max_entries", Value: orNone(s.MaxEntries)},
		render.Field{Name: "max_bytes", Value: orNone(s.MaxBytes)},
		render.Field{Name: "stats", Value: s.Stats},
		render.Field{Name: "reads", Value: string(s.Reads)},
	))
}
