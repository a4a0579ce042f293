package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/gridiron-io/gridiron/cmd/grid/internal/render"
	"github.com/gridiron-io/gridiron/sdk"
)

const (
	// repairTimeout is the default of --timeout of commands that wait until replicas have moved.
	repairTimeout = 5 * time.Minute
	// repairLook is how often they look.
	repairLook = 250 * time.Millisecond
)

func (p *Process) clusterDrain() *cli.Command {
	return p.command(leaf{
		name: "drain", usage: "make the other members take over what a member holds, and wait", args: "MEMBER", least: 1, most: 1, quiet: true,
		remote: true, timeout: repairTimeout,
		details: "MEMBER is an ID or a name. The member still serves clients. It holds data again once it is restarted. The command exits with 4 if " +
			"no other member can hold its data. It exits with 6 when its time is up; the moves go on.",
		run: func(ctx context.Context, inv *invocation) error {
			member := inv.args[0]
			return inv.withClient(ctx, func(ctx context.Context, c *sdk.Client) error {
				return inv.waitFor(ctx, "drain "+member, func(ctx context.Context) (bool, string, error) {
					l, err := c.DrainMember(ctx, member)
					progress := fmt.Sprintf("%s holds %d replicas and owns %d partitions", member, l.Replicas, l.Owned)
					// A drain that cannot go on looks like a slow one. The status knows why replicas stay.
					if err == nil && !l.Done {
						if s, err := c.Cluster(ctx); err == nil {
							progress += because(&s)
						}
					}
					return l.Done, progress, err
				})
			})
		},
	})
}

func (p *Process) clusterRemove() *cli.Command {
	return p.command(leaf{
		name: "remove", usage: "remove a member that has left or died", args: "MEMBER", least: 1, most: 1, quiet: true, remote: true, timeout: repairTimeout,
		flags: []cli.Flag{
			&cli.BoolFlag{Name: "force", Usage: "the member is confirmed dead: remove it although it holds replicas, and give up what only it has"},
			&cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "do not ask"},
		},
		details: "MEMBER is an ID or a name. The command exits with 4 for a member that answers: drain it and stop it first. It also exits with 4 " +
			"for a silent member that holds replicas, unless --force says that the member is confirmed dead. Its replicas are then rebuilt from " +
			"others, and acknowledged writes that only it has are lost. If its process still runs, it stops as soon as it learns of the " +
			"removal. On a terminal --force asks first, unless --yes is given.",
		run: func(ctx context.Context, inv *invocation) error {
			member, force := inv.args[0], inv.flags.Bool("force")
			// Only force can lose data, so only force asks.
			if force {
				if err := inv.confirm(ctx, fmt.Sprintf("Is member %q confirmed dead? What only it has is lost.", member)); err != nil {
					return err
				}
			}
			return inv.withClient(ctx, func(ctx context.Context, c *sdk.Client) error {
				// After the first success the member may vanish between two looks, which is what was wanted.
				begun := false
				return inv.waitFor(ctx, "remove "+member, func(ctx context.Context) (bool, string, error) {
					l, err := c.RemoveMember(ctx, member, force)
					if begun && errors.Is(err, sdk.ErrNotFound) {
						return true, "", nil // the controller was faster
					}
					begun = begun || err == nil
					return l.Done, fmt.Sprintf("%d replicas of %s are still to be replaced", l.Replicas, member), err
				})
			})
		},
	})
}

func (p *Process) clusterRebalance() *cli.Command {
	return p.command(leaf{
		name: "rebalance", usage: "spread replicas and owners evenly, and wait", remote: true, timeout: repairTimeout,
		details: "The cluster does the same by itself within seconds of a change. The command exits with 6 when its time is up; the moves go on.",
		run: func(ctx context.Context, inv *invocation) error {
			return inv.withClient(ctx, func(ctx context.Context, c *sdk.Client) error {
				// Comparing the partitions before and after tells what was moved.
				before, err := c.Partitions(ctx)
				if err != nil {
					return err
				}

				balance := c.Rebalance
				var b sdk.Balance
				err = inv.waitFor(ctx, "rebalance", func(ctx context.Context) (bool, string, error) {
					var err error
					b, err = balance(ctx)
					// The first call has begun the moves. Further calls only look.
					balance = c.Balance
					if err != nil || b.Left > 0 {
						return false, fmt.Sprintf("%d partitions are not where they belong", b.Left), err
					}

					s, err := c.Cluster(ctx)
					// What finds no room is not waited for: the status tells of it.
					return s.Moves == 0 && (s.UnderReplicated == 0 || s.NoRoom > 0), fmt.Sprintf("%d moves are under way", s.Moves), err
				})
				if err != nil {
					return err
				}

				after, err := c.Partitions(ctx)
				if err != nil {
					return err
				}

				moves, transfers := moved(before, after)
				return inv.print(render.Record(render.Field{Name: "moves_made", Value: moves}, render.Field{Name: "transfers", Value: transfers},
					render.Field{Name: "replicas_min", Value: b.MinReplicas}, render.Field{Name: "replicas_max", Value: b.MaxReplicas},
					render.Field{Name: "owned_min", Value: b.MinOwned}, render.Field{Name: "owned_max", Value: b.MaxOwned}))
			})
		},
	})
}

// moved counts the replicas that are where none was before, and the partitions whose owner is another.
func moved(before, after []sdk.Partition) (replicas, owners int) {
	for i := range min(len(before), len(after)) {
		was := make(map[string]bool)
		for _, r := range before[i].Replicas {
			was[r] = true
		}
		for _, r := range after[i].Replicas {
			if !was[r] {
				replicas++
			}
		}

		if before[i].Owner != after[i].Owner {
			owners++
		}
	}
	return replicas, owners
}

// waitFor calls look until look reports that the command is done, look fails, or ctx ends. On a terminal it shows the progress on standard
// error. Once look has succeeded, the cluster works on by itself. From then on it is no failure if no member answers for a while, and the
// end of ctx is a time-out.
func (inv *invocation) waitFor(ctx context.Context, what string, look func(context.Context) (done bool, progress string, err error)) error {
	terminal, last := isTerminal(inv.Err), ""

	tick := time.NewTicker(repairLook)
	defer tick.Stop()
	for {
		// Each look has a time of its own, so that one member that hangs does not use up --timeout.
		call, cancel := context.WithTimeout(ctx, defaultTimeout)

		done, progress, err := look(call)
		cancel()

		begun := last != ""
		passes := begun && (ctx.Err() != nil || errors.Is(err, sdk.ErrUnavailable) || errors.Is(err, sdk.ErrTimeout))
		if done || err != nil && !passes {
			return err
		}

		// The last thing that is known is shown instead of the error, which passes.
		if err != nil {
			progress = last
		}

		// The same line is not repeated.
		shown := last == progress
		last = progress
		if terminal && !shown {
			if _, err := fmt.Fprintln(inv.Err, render.Escape(progress)); err != nil {
				return fmt.Errorf("write the progress: %w", err)
			}
		}

		select {
		case <-tick.C:
		case <-ctx.Done():
			return failf(exitTimeout, "%s: the time is up before it is done; the cluster goes on by itself: %s", what, progress)
		}
	}
}
