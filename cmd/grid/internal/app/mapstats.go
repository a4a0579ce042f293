package app

import (
	"context"
	"maps"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/gridiron-io/gridiron/cmd/grid/internal/render"
	"github.com/gridiron-io/gridiron/sdk"
)

func (p *Process) mapStats() *cli.Command {
	return p.command(mapLeaf(leaf{
		name: "stats", usage: "print what is counted of a map", args: "MAP", least: 1, most: 1,
		flags: []cli.Flag{&cli.StringFlag{Name: "by", Usage: "one line for each `WHAT`: op or member"}},
		details: "Entries, bytes and locks are current. All else counts from the start of each member's process. Times are measured at the owners, " +
			"without the network.",
		run: func(ctx context.Context, inv *invocation) error {
			by := inv.flags.String("by")
			if inv.flags.IsSet("by") && by != "op" && by != "member" {
				return usagef("--by %q: want op or member", by)
			}

			return inv.withClient(ctx, func(ctx context.Context, c *sdk.Client) error {
				stats, err := c.MapStats(ctx, inv.args[0])
				if err != nil {
					return err
				}

				switch by {
				case "op":
					return inv.print(operations(&stats))
				case "member":
					rows := make([][]any, 0, len(stats.Members))
					// Sorted, so that two runs can be compared line by line.
					for _, id := range slices.Sorted(maps.Keys(stats.Members)) {
						counts := stats.Members[id]
						rows = append(rows, append([]any{id}, countValues(&counts)...))
					}
					return inv.print(render.Records(append([]string{"member"}, countColumns...), rows))
				}

				fields := []render.Field{{Name: "name", Value: stats.Name}}
				for i, v := range countValues(&stats.MapCounts) {
					fields = append(fields, render.Field{Name: countColumns[i], Value: v})
				}
				return inv.print(render.Record(fields...))
			})
		},
	}, 0))
}

// countColumns name what countValues returns.
var countColumns = []string{"entries", "bytes", "hits", "misses", "operations", "mean_us", "p50_us", "p99_us", "expirations", "evictions", "locks",
	"events", "remembered_bytes", "events_kept", "events_kept_bytes", "events_published", "events_repairs", "events_lost", "listeners", "expiry_lag_ms"}

func countValues(c *sdk.MapCounts) []any {
	var all sdk.OperationStats
	for _, o := range c.Operations {
		all = all.Plus(o)
	}
	values := append([]any{c.Entries, c.Bytes, c.Hits, c.Misses}, timeValues(all)...)
	return append(values, c.Expirations, c.Evictions, c.Locks, c.Events, c.Remembered, c.EventsKept, c.EventsKeptSize, c.Published,
		c.Repairs, c.Lost, c.Listeners, c.ExpiryLag.Milliseconds())
}

// timeValues returns count, mean, median and 99th percentile of an operation; null for times of none.
func timeValues(o sdk.OperationStats) []any {
	if o.Count == 0 {
		return []any{0, nil, nil, nil}
	}
	return []any{o.Count, o.Mean().Microseconds(), o.Quantile(0.5).Microseconds(), o.Quantile(0.99).Microseconds()}
}

func operations(stats *sdk.MapStats) render.Document {
	rows := make([][]any, 0, len(stats.Operations))
	for _, name := range slices.Sorted(maps.Keys(stats.Operations)) {
		rows = append(rows, append([]any{name}, timeValues(stats.Operations[name])...))
	}
	return render.Records([]string{"op", "count", "mean_us", "p50_us", "p99_us"}, rows)
}
