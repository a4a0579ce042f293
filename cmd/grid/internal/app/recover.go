package app

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/gridiron-io/gridiron/cmd/grid/internal/render"
	"github.com/gridiron-io/gridiron/sdk"
)

// recoverTimeout is the default of --timeout: nobody must lead the metadata for ten seconds first.
const recoverTimeout = time.Minute

func (p *Process) clusterRecover() *cli.Command {
	return p.command(leaf{
		name: "recover", usage: "recover the metadata at a member, where those who voted on them are lost for good", remote: true, timeout: recoverTimeout,
		flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "lost", Usage: "`MEMBER` that is confirmed dead, an ID or a name; may be repeated"},
			&cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "do not ask"},
		},
		details: "For a cluster whose members say that no member leads the metadata group, because so many of its voters are lost that there can never be a majority " +
			"again: of two members the one that votes. Data goes on meanwhile; nobody can join, and nothing is repaired. --server is the one member that recovers " +
			"the metadata with what it has of them; it need not be ready. The lost members are confirmed dead from then on, as after `grid cluster remove " +
			"--force`. It takes ten seconds, in which nobody must be found to lead, and exits with 4 where a leader is found or could be elected, a lost member " +
			"answers, a member that is not lost does not, or another member knows more and is the one to ask. On a terminal it asks first, unless told --yes.",
		run: func(ctx context.Context, inv *invocation) error {
			lost := inv.flags.StringSlice("lost")
			switch {
			case len(lost) == 0:
				return usagef("--lost is missing: which members are lost for good?")
			case len(inv.conn.servers) != 1:
				return usagef("--server: want the one member that recovers the metadata, not %d", len(inv.conn.servers))
			}
			if err := inv.confirm(ctx, fmt.Sprintf("Are %s confirmed dead? What only they have is lost.", strings.Join(lost, ", "))); err != nil {
				return err
			}
			return inv.interruptible(ctx, func(ctx context.Context) error {
				ctx, cancel := context.WithTimeout(ctx, inv.conn.timeout)
				defer cancel()
				var r sdk.Recovery
				err := inv.waitFor(ctx, "recover", func(ctx context.Context) (bool, string, error) {
					var err error
					r, err = sdk.RecoverCluster(ctx, inv.conn.servers[0], lost, append(inv.conn.options(), sdk.WithClientName("grid recover"))...)
					return r.Done, fmt.Sprintf("nobody must lead the metadata for %v more", r.Wait.Round(time.Second)), inv.conn.explain(err)
				})
				var f *failure
				if errors.As(err, &f) && f.code == exitTimeout || errors.Is(err, sdk.ErrTimeout) {
					return failf(exitTimeout, "recover: time is up before it is done; run it again")
				}
				if err != nil {
					return err
				}
				return inv.print(render.Record(render.Field{Name: "generation", Value: r.Generation}))
			})
		},
	})
}
