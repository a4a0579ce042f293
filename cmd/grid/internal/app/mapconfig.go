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
			&cli.StringFlag{Name: "near-cache", Usage: "`BOOL`: whether clients keep what they have read; any of the next flags means true where this was never set"},
			&cli.StringFlag{Name: "near-cache-max-entries", Usage: "a client keeps at most `N` entries, by default 10000"},
			&cli.StringFlag{Name: "near-cache-max-bytes", Usage: "a client keeps keys and values of at most `SIZE`; 0: no bound"},
			&cli.StringFlag{Name: "near-cache-ttl", Usage: "a client keeps an entry for at most `DURATION`; 0: as long as the entry lives"},
			&cli.StringFlag{Name: "near-cache-max-idle", Usage: "a client drops what it has not used for `DURATION`; 0: never"},
			&cli.StringFlag{Name: "near-cache-encoded", Usage: "`BOOL`: whether clients keep values encoded, and decode them at each use"},
			&cli.StringFlag{Name: "near-cache-negative", Usage: "`BOOL`: whether clients remember absent keys too"},
			&cli.StringFlag{Name: "near-cache-verify", Usage: "check a `SHARE` of the hits against the owner, by default 0.0001; 0: none"},
			&cli.StringFlag{Name: "events-max-entries", Usage: "each partition keeps `N` events for listeners that are behind, by default 1024"},
			&cli.StringFlag{Name: "events-max-bytes", Usage: "and at most `SIZE` of them, by default 64KB"},
			&cli.StringFlag{Name: "unset", Usage: "leave `FIELDS`, separated by commas, to other patterns: ttl, max_idle, eviction, max_entries, max_bytes, stats, reads, " +
				"near_cache with all about it, or one of it, such as near_cache_ttl, events_max_entries, events_max_bytes"},
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
	}{{"ttl", &change.TTL}, {"max-idle", &change.MaxIdle}, {"near-cache-ttl", &change.NearCacheTTL}, {"near-cache-max-idle", &change.NearCacheMaxIdle}} {
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

	for _, f := range []struct {
		flag, zero string
		to         **int64
	}{{"max-entries", "0 for no bound", &change.MaxEntries}, {"near-cache-max-entries", "1 or more", &change.NearCacheMaxEntries},
		{"events-max-entries", "1 or more", &change.EventsMaxEntries}} {
		if s, ok := given(f.flag); ok {
			n, bad := strconv.ParseInt(s, 10, 64)
			if bad != nil || n < 0 {
				return change, nil, usagef("--%s %q: want a whole number, %s", f.flag, s, f.zero)
			}
			*f.to = &n
		}
	}

	for _, f := range []struct {
		flag string
		to   **int64
	}{{"max-bytes", &change.MaxBytes}, {"near-cache-max-bytes", &change.NearCacheMaxBytes}, {"events-max-bytes", &change.EventsMaxBytes}} {
		if s, ok := given(f.flag); ok {
			n, bad := config.ParseBytes(s)
			if bad != nil {
				return change, nil, usagef("--%s %w", f.flag, bad)
			}
			*f.to = &n
		}
	}

	for _, f := range []struct {
		flag string
		to   **bool
	}{{"stats", &change.Stats}, {"near-cache", &change.NearCache}, {"near-cache-encoded", &change.NearCacheEncoded},
		{"near-cache-negative", &change.NearCacheNegative}} {
		if s, ok := given(f.flag); ok {
			b, bad := strconv.ParseBool(s)
			if bad != nil {
				return change, nil, usagef("--%s %q: want true or false", f.flag, s)
			}
			*f.to = &b
		}
	}

	if s, ok := given("near-cache-verify"); ok {
		share, bad := config.ParseShare(s)
		if bad != nil {
			return change, nil, usagef("--near-cache-verify %w", bad)
		}
		change.NearCacheVerify = &share
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

var patternColumns = []string{"pattern", "ttl_ms", "max_idle_ms", "eviction", "max_entries", "max_bytes", "stats", "reads", "near_cache", "events"}

// patternRow returns what is set for a pattern, null for what is not.
func patternRow(c *sdk.PatternConfig) []any {
	row := []any{c.Pattern, nil, nil, nil, nil, nil, nil, nil, nearCacheFields(c), eventFields(c)}
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

// nearCacheFields returns what is set of near caches for a pattern, null for nothing.
func nearCacheFields(c *sdk.PatternConfig) any {
	set := make(map[string]any)
	addSet(set, map[string]*bool{"enabled": c.NearCache, "encoded": c.NearCacheEncoded, "negative": c.NearCacheNegative})
	addSet(set, map[string]*int64{"max_entries": c.NearCacheMaxEntries, "max_bytes": c.NearCacheMaxBytes})
	addSet(set, map[string]*float64{"verify": c.NearCacheVerify})
	for name, d := range map[string]*time.Duration{"ttl_ms": c.NearCacheTTL, "max_idle_ms": c.NearCacheMaxIdle} {
		if d != nil {
			set[name] = d.Milliseconds()
		}
	}
	return setOrNull(set)
}

// eventFields returns what is set of events for a pattern, null for nothing.
func eventFields(c *sdk.PatternConfig) any {
	set := make(map[string]any)
	addSet(set, map[string]*int64{"max_entries": c.EventsMaxEntries, "max_bytes": c.EventsMaxBytes})
	return setOrNull(set)
}

// addSet adds those of the fields that are set.
func addSet[T any](set map[string]any, fields map[string]*T) {
	for name, v := range fields {
		if v != nil {
			set[name] = *v
		}
	}
}

func setOrNull(set map[string]any) any {
	if len(set) == 0 {
		return nil
	}
	return set
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

	return inv.print(render.Record(
		render.Field{Name: "name", Value: name},
		render.Field{Name: "patterns", Value: texts(s.Patterns)},
		render.Field{Name: "ttl_ms", Value: positive(s.TTL.Milliseconds())},
		render.Field{Name: "max_idle_ms", Value: positive(s.MaxIdle.Milliseconds())},
		render.Field{Name: "eviction", Value: string(s.Eviction)},
		render.Field{Name: "max_entries", Value: positive(s.MaxEntries)},
		render.Field{Name: "max_bytes", Value: positive(s.MaxBytes)},
		render.Field{Name: "stats", Value: s.Stats},
		render.Field{Name: "reads", Value: string(s.Reads)},
		render.Field{Name: "near_cache", Value: nearCache(s.NearCache)},
		render.Field{Name: "events", Value: map[string]any{"max_entries": s.EventsMaxEntries, "max_bytes": s.EventsMaxBytes}},
	))
}

// nearCache returns what the near caches of a map are like, null for none.
func nearCache(n *sdk.NearCacheConfig) any {
	if n == nil {
		return nil
	}
	return map[string]any{"max_entries": n.MaxEntries, "max_bytes": positive(n.MaxBytes), "ttl_ms": positive(n.TTL.Milliseconds()),
		"max_idle_ms": positive(n.MaxIdle.Milliseconds()), "encoded": n.Encoded, "negative": n.Negative, "verify": max(0, n.Verify)}
}

// positive returns n, or null for none.
func positive(n int64) any {
	if n == 0 {
		return nil
	}
	return n
}
