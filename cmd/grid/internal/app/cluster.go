package app

import (
	"context"

	"github.com/urfave/cli/v2"

	"github.com/gridiron-io/gridiron/cmd/grid/internal/render"
	"github.com/gridiron-io/gridiron/sdk"
)

// clusterCommands returns the group "cluster".
func (p *Process) clusterCommands() *cli.Command {
	return group("cluster", "see how the cluster is, and change who is in it", p.clusterStatus(), p.clusterMembers(), p.clusterPartitions(), p.clusterSafe(),
		p.clusterWatch(), p.clusterDrain(), p.clusterRemove(), p.clusterRebalance(), p.clusterRecover(), p.clusterResetBootstrap(), p.clusterResetBootstrapOld())
}

func (p *Process) clusterStatus() *cli.Command {
	return p.command(leaf{
		name: "status", usage: "print the state of the cluster", remote: true,
		run: func(ctx context.Context, inv *invocation) error {
			return inv.withClient(ctx, func(ctx context.Context, c *sdk.Client) error {
				s, err := c.Cluster(ctx)
				if err != nil {
					return err
				}
				return inv.print(render.Record(statusFields(&s)...))
			})
		},
	})
}

// statusFields returns a status as documents show it.
func statusFields(s *sdk.ClusterStatus) []render.Field {
	return []render.Field{
		{Name: "id", Value: s.ID},
		{Name: "name", Value: s.Name},
		{Name: "state", Value: s.State},
		{Name: "safe", Value: s.Safe},
		{Name: "tolerates", Value: s.Tolerates},
		{Name: "members", Value: s.Members},
		{Name: "ready", Value: s.Ready},
		{Name: "partitions", Value: s.Partitions},
		{Name: "replicas", Value: s.Replicas},
		{Name: "under_replicated", Value: s.UnderReplicated},
		{Name: "unavailable", Value: s.Unavailable},
		{Name: "lost", Value: s.Lost},
		{Name: "possible_data_loss", Value: s.PossibleDataLoss},
		{Name: "moves", Value: s.Moves},
		{Name: "metadata_led", Value: s.MetadataLed},
		{Name: "out_of_step", Value: s.OutOfStep},
		{Name: "clock_skew_ms", Value: s.ClockSkew.Milliseconds()},
		{Name: "no_room", Value: s.NoRoom},
		{Name: "reason", Value: orNull(s.Reason)},
		{Name: "versions", Value: texts(s.Versions)},
	}
}

func (p *Process) clusterMembers() *cli.Command {
	return p.command(leaf{
		name: "members", usage: "print the members", remote: true,
		run: func(ctx context.Context, inv *invocation) error {
			return inv.withClient(ctx, func(ctx context.Context, c *sdk.Client) error {
				members, err := c.Members(ctx)
				if err != nil {
					return err
				}

				rows := make([][]any, len(members))
				for i, m := range members {
					tags := make(map[string]any, len(m.Tags))
					for k, v := range m.Tags {
						tags[k] = v
					}
					rows[i] = []any{m.ID, m.Name, m.Addr, orNull(m.Zone), tags, string(m.State), orNull(m.Version)}
				}

				return inv.print(render.Records([]string{"id", "name", "addr", "zone", "tags", "state", "version"}, rows))
			})
		},
	})
}

func (p *Process) clusterPartitions() *cli.Command {
	return p.command(leaf{
		name: "partitions", usage: "print the partitions with their owners and replicas", remote: true,
		run: func(ctx context.Context, inv *invocation) error {
			return inv.withClient(ctx, func(ctx context.Context, c *sdk.Client) error {
				partitions, err := c.Partitions(ctx)
				if err != nil {
					return err
				}
				rows := make([][]any, len(partitions))
				for i, p := range partitions {
					rows[i] = []any{p.ID, orNull(p.Owner), texts(p.Replicas), p.Epoch, p.Index}
				}
				return inv.print(render.Records([]string{"id", "owner", "replicas", "epoch", "index"}, rows))
			})
		},
	})
}

func (p *Process) clusterSafe() *cli.Command {
	return p.command(leaf{
		name: "safe", usage: "exit with 0 if the cluster can lose one more member, else with 4", remote: true,
		run: func(ctx context.Context, inv *invocation) error {
			return inv.withClient(ctx, func(ctx context.Context, c *sdk.Client) error {
				s, err := c.Cluster(ctx)
				if err != nil {
					return err
				}

				// The status is printed in any case, so that a script that waits sees why.
				err = inv.print(render.Record(render.Field{Name: "safe", Value: s.Safe}, render.Field{Name: "tolerates", Value: s.Tolerates}))
				switch {
				case err != nil:
					return err
				case !s.Safe:
					return failf(exitConflict, "cluster %q is not safe: %d of %d partitions are under-replicated, %d unavailable, %d moves are under way%s",
						s.Name, s.UnderReplicated, s.Partitions, s.Unavailable, s.Moves, because(&s))
				case s.Tolerates < 1:
					return failf(exitConflict, "cluster %q with %d members cannot lose a member without an outage; add members", s.Name, s.Members)
				}
				return nil
			})
		},
	})
}

// because returns why missing replicas are not rebuilt, as the end of a sentence. It returns "" if there is no such reason.
func because(s *sdk.ClusterStatus) string {
	if s.Reason == "" {
		return ""
	}
	return ": " + s.Reason
}

// texts returns a list of strings as a value of a document.
func texts(list []string) []any {
	out := make([]any, len(list))
	for i, s := range list {
		out[i] = s
	}
	return out
}

// orNull returns what is printed for a text that may be missing.
func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}
