package app

import (
	"context"
	"errors"
	"io/fs"

	"github.com/urfave/cli/v2"

	"github.com/gridiron-io/gridiron/cmd/grid/internal/render"
	"github.com/gridiron-io/gridiron/grid"
)

func (p *Process) clusterResetBootstrap() *cli.Command {
	return p.command(leaf{
		name: "reset-bootstrap", usage: "turn a member into a new one whose cluster was never bootstrapped",
		flags: []cli.Flag{
			&cli.StringFlag{Name: "data-dir", Usage: "`DIR` of the member, which must not run"},
			&cli.StringFlag{Name: "cluster-name", Usage: "`NAME` of the cluster that the member waits to bootstrap (default: $GRID_CLUSTER_NAME, else grid)"},
		},
		details: "For members whose bootstrap waits for a member that is lost for good. The member gets a new ID. It counts as one more member that " +
			"was started without data against the same addresses: --expect must be more than half of those. A directory without a member exits " +
			"with 3; one that belongs to a cluster, or whose member runs, exits with 4.",
		run: func(_ context.Context, inv *invocation) error {
			dir := inv.flags.String("data-dir")
			if dir == "" {
				return usagef("--data-dir is missing")
			}

			// The default is that of start, so that the same environment names the same cluster.
			name := inv.setting("cluster-name", "GRID_CLUSTER_NAME")
			if name == "" {
				name = "grid"
			}
			if err := checkName(name, "the cluster's name"); err != nil {
				return err
			}

			// Each reason has an exit code, so that a script can tell a wrong folder from a member that runs.
			id, err := grid.ResetBootstrap(dir, name)
			switch {
			case errors.Is(err, fs.ErrNotExist):
				return failf(exitNotFound, "there is no member in the data directory %q: %w", dir, err)
			case errors.Is(err, grid.ErrHasCluster), errors.Is(err, grid.ErrLocked):
				return failf(exitConflict, "%w", err)
			case errors.Is(err, grid.ErrOtherCluster):
				return failf(exitUsage, "%w", err)
			case err != nil:
				return err
			}

			return inv.print(render.Record(render.Field{Name: "id", Value: id}))
		},
	})
}

// clusterResetBootstrapOld is clusterResetBootstrap under the name that it had before 1.0. No help text shows it.
func (p *Process) clusterResetBootstrapOld() *cli.Command {
	c := p.clusterResetBootstrap()
	c.Name, c.Hidden = "reset-founding", true
	return c
}
