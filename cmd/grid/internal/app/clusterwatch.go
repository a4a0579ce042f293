package app

import (
	"context"

	"github.com/urfave/cli/v2"

	"github.com/gridiron-io/gridiron/cmd/grid/internal/render"
	"github.com/gridiron-io/gridiron/sdk"
)

func (p *Process) clusterWatch() *cli.Command {
	return p.command(leaf{
		name: "watch", usage: "print the state of the cluster after each change", remote: true,
		details: "Each line is the document of status, with the members whose state has changed since the line before. It runs until it is " +
			"interrupted, which exits with 130. --timeout bounds only the time to connect.",
		run: func(ctx context.Context, inv *invocation) error { return inv.interruptible(ctx, inv.watchCluster) },
	})
}

// watchCluster prints the cluster's status until ctx ends.
func (inv *invocation) watchCluster(ctx context.Context) error {
	// --timeout bounds the connecting alone. The watch itself ends with an interrupt.
	connecting, cancel := context.WithTimeout(ctx, inv.conn.timeout)
	defer cancel()
	c, err := inv.connect(connecting)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()

	var out *render.Stream
	var before []sdk.Member
	for v, err := range c.WatchCluster(ctx) {
		if err != nil {
			return err
		}

		fields := statusFields(&v.Status)
		var columns []string
		var row []any
		for _, f := range fields {
			columns, row = append(columns, f.Name), append(row, f.Value)
		}

		// The first view changes nothing: it is where the changes begin.
		if out == nil {
			before = v.Members
			out = inv.out.Stream(append(columns, "changes"), []int{36, 8, 11}, "state")
		}

		if err := out.Write(append(row, memberChanges(before, v.Members))); err != nil {
			return err
		}
		before = v.Members
	}

	// The cause is the interrupt, which has an exit code of its own.
	return context.Cause(ctx)
}

// memberChanges returns the members whose state has changed. A new member has null as its state before. A member that is no longer known
// has null as its state now.
func memberChanges(before, now []sdk.Member) []any {
	changes := []any{}
	add := func(m *sdk.Member, from, to sdk.MemberState) {
		// Most members have not changed since the last view.
		if from != to {
			changes = append(changes, map[string]any{"id": m.ID, "name": m.Name, "from": orNull(string(from)), "to": orNull(string(to))})
		}
	}

	// A member that is not in the list has no state, which is the empty one.
	state := func(list []sdk.Member, id string) sdk.MemberState {
		for i := range list {
			if list[i].ID == id {
				return list[i].State
			}
		}
		return ""
	}

	for i := range now {
		add(&now[i], state(before, now[i].ID), now[i].State)
	}

	for i := range before {
		if state(now, before[i].ID) == "" {
			add(&before[i], before[i].State, "")
		}
	}

	return changes
}
