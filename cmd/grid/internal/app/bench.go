package app

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/gridiron-io/gridiron/benchmarks"
	"github.com/gridiron-io/gridiron/cmd/grid/internal/render"
	"github.com/gridiron-io/gridiron/sdk"
)

// benchCommand measures a cluster, or members that it starts itself and ends again.
func (p *Process) benchCommand() *cli.Command {
	return p.command(leaf{
		name: "bench", usage: "measure a cluster's operations, and what they cost", remote: true,
		details: "With --members it starts that many members, counts their CPU time, and stops them. Without it measures the cluster at --server, in " +
			"a map of its own, which it destroys. Without --rate the load is closed: each caller begins an operation when the previous one is " +
			"answered. With --rate it is open: operations begin at fixed times, and latencies count from those times. At most --callers " +
			"operations are under way; those that would exceed that are overruns.",
		flags: []cli.Flag{
			&cli.IntFlag{Name: "members", Usage: "start `N` members for the measurement"},
			&cli.IntFlag{Name: "partitions", Usage: "`N` partitions of these members, from 1 to 4096", DefaultText: "271"},
			&cli.StringFlag{Name: "op", Value: "set", Usage: "`OPERATION`: set, get, mixed, or add, which adds 1 to a number"},
			&cli.StringFlag{Name: "mix", Usage: "instead of --op: `WEIGHTS` such as get=80,set=20"},
			&cli.IntFlag{Name: "rate", Usage: "begin `N` operations per second; 0: each caller begins one when it is free"},
			&cli.IntSliceFlag{Name: "callers", Value: cli.NewIntSlice(64, 512), Usage: "one round for each `N` of concurrent callers"},
			&cli.StringFlag{Name: "keys", Value: "10000,uniform", Usage: "`N,WAY`: how many, and how they are drawn: uniform or " +
				"zipf[:THETA], THETA 0.99 unless given; either alone will do"},
			&cli.IntFlag{Name: "batch", Usage: "`N` keys of an operation, set or read at once; 0: one, by itself"},
			&cli.BoolFlag{Name: "cached", Usage: "read through a near cache with room for all keys"},
			&cli.IntFlag{Name: "size", Value: 100, Usage: "`BYTES` of a value"},
			&cli.IntFlag{Name: "listeners", Usage: "`N` listeners, each with a client of its own, hear of all writes: how long after the write began, and how many in a second"},
			&cli.DurationFlag{Name: "duration", Value: 10 * time.Second, Usage: "`DURATION` of a round"},
			&cli.DurationFlag{Name: "warm-up", Value: 2 * time.Second, Usage: "`DURATION` of the load before a round is measured"},
		},
		run: func(ctx context.Context, inv *invocation) error {
			c := inv.flags
			keys, theta, keysErr := benchmarks.ParseKeys(c.String("keys"))

			var mix benchmarks.Mix
			var mixErr error
			op := benchmarks.Op(c.String("op"))
			if c.IsSet("mix") {
				// --op has a default, which must not contradict --mix.
				if mix, mixErr = benchmarks.ParseMix(c.String("mix")); !c.IsSet("op") && mixErr == nil {
					op = ""
				}
			}

			o := benchmarks.Options{Members: c.Int("members"), Partitions: c.Int("partitions"), Config: benchmarks.Config{
				Op: op, Mix: mix, Rate: c.Int("rate"), Callers: c.IntSlice("callers"), Keys: keys, Batch: c.Int("batch"), Zipf: theta, ValueSize: c.Int("size"),
				NearCache: c.Bool("cached"), Listeners: c.Int("listeners"), Duration: c.Duration("duration"), WarmUp: c.Duration("warm-up"),
				Connect: func(ctx context.Context, servers []string) (*sdk.Client, error) {
					inv.conn.servers = servers
					return inv.connect(ctx)
				},
			}}

			// The values of add are numbers, so the default of --size is not for them.
			if o.Op == benchmarks.OpAdd && !c.IsSet("size") {
				o.ValueSize = 0
			}

			// The default of --server does not count as servers beside --members.
			if o.Members == 0 || c.IsSet("server") {
				o.Servers = inv.conn.servers
			}
			if err := errors.Join(keysErr, mixErr, o.WithDefaults().Validate()); err != nil {
				return usagef("%s", strings.ReplaceAll(err.Error(), "\n", "; "))
			}

			return inv.interruptible(ctx, func(ctx context.Context) error {
				result, err := benchmarks.Measure(ctx, o)
				if err != nil {
					return err
				}
				return inv.print(render.Records(benchmarks.Columns(), result.Rows()))
			})
		},
	})
}
