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
		name: "recover", usage: "continue the metadata at one member after most metadata voters are lost for good", remote: true, timeout: recoverTimeout,
		flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "lost", Usage: "`MEMBER` that is confirmed dead, an ID or a name; may be repeated"},
			&cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "do not ask"},
		},
		details: "For a cluster whose metadata group has lost its majority for good, such as the voting one of two members. Data is served " +
			"meanwhile, but nobody can join and nothing is repaired. --server is the one member that continues the metadata from its own copy; " +
			"it need not be ready. The lost members are confirmed dead from then on, as after \"grid cluster remove --force\". The recovery " +
			"takes ten seconds without a metadata leader. It exits with 4 if there is a leader or one can be elected, if a lost member answers, " +
			"if another member does not, or if another member knows more. On a terminal it asks first, unless --yes is given.",
		run: func(ctx context.Context, inv *invocation) error {
			lost := inv.flags.StringSlice("lost")
			switch {
			case len(lost) == 0:
				return usagef("--lost is missing: name each member that is lost for good")
			case len(inv.conn.servers) != 1:
				// Two members that both continue the metadata would make two clusters of one.
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
				// The cluster does not go on by itself here, as waitFor says: a recovery goes on only when it is asked again.
				if errors.As(err, &f) && f.code == exitTimeout || errors.Is(err, sdk.ErrTimeout) {
					return failf(exitTimeout, "recover: the time is up before it is done; run it again")
				}

				if err != nil {
					return err
				}
				return inv.print(render.Record(render.Field{Name: "generation", Value: r.Generation}))
			})
		},
	})
}
