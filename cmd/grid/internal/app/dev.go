package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/urfave/cli/v2"

	"github.com/gridiron-io/gridiron/cmd/grid/internal/config"
	"github.com/gridiron-io/gridiron/sdk"
)

func (p *Process) devCommand() *cli.Command {
	return p.command(leaf{
		name: "dev", usage: "run a cluster in this process until it is interrupted", quiet: true,
		details: "It prints the members' addresses, one a line, once all of them serve. It leaves no files behind.",
		flags: []cli.Flag{
			&cli.StringFlag{Name: "members", Value: "3", Usage: "run `N` members, 1 to " + strconv.Itoa(maxLocal)},
			&cli.StringFlag{Name: "listen", Value: "127.0.0.1:5701", Usage: "`HOST:PORT` of the first member for clients; each further member is 10 above; port 0 means free ports"},
			&cli.StringFlag{Name: "partitions", Usage: "`N` partitions (default: 271)"},
			&cli.StringFlag{Name: "rebuild-delay", Usage: "rebuild the replicas of a member on others when it has been silent for `DURATION` (default: 10s)"},
			&cli.StringFlag{Name: "reads", Usage: "`POLICY` by which the members answer reads: lease, or quorum to ask a majority each time (default: lease)"},
			&cli.StringFlag{Name: "cluster-name", Value: "grid", Usage: "`NAME` of the cluster"},
			&cli.StringFlag{Name: "log-level", Value: "warn", Usage: "lowest `LEVEL` that is logged: debug, info, warn or error"},
			&cli.StringFlag{Name: "log-format", Value: config.FormatAuto, Usage: "`FORMAT` of logs: text, json, or auto"},
		},
		run: runDev,
	})
}

// devConfig returns what the command line of dev says.
func (inv *invocation) devConfig() (localConfig, error) {
	var cfg localConfig
	given := []config.Given{{Flag: "cluster-name", Value: inv.flags.String("cluster-name")}, {Flag: "listen", Value: inv.flags.String("listen")},
		{Flag: "log-level", Value: inv.flags.String("log-level")}, {Flag: "log-format", Value: inv.flags.String("log-format")}}
	for _, flag := range []string{"partitions", "rebuild-delay", "reads"} {
		if inv.flags.IsSet(flag) {
			given = append(given, config.Given{Flag: flag, Value: inv.flags.String(flag)})
		}
	}

	// The environment configures members that are started one by one, not this cluster.
	nothing := func(string) (string, bool) { return "", false }
	c, err := config.Load("", nothing, given)
	if err != nil {
		return cfg, &failure{exitUsage, err}
	}

	members, err := strconv.Atoi(inv.flags.String("members"))
	if err != nil || members < 1 || members > maxLocal {
		return cfg, usagef("--members %q: want 1 to %d", inv.flags.String("members"), maxLocal)
	}
	return localConfig{cluster: c.Cluster.Name, members: members, host: c.Listen.Host, port: c.Listen.Port, partitions: c.Cluster.Partitions,
		rebuildDelay: c.Cluster.RebuildDelay, reads: sdk.ReadPolicy(c.Cluster.Reads), log: inv.logger(c.Log.Level, c.Log.Format)}, nil
}

func runDev(ctx context.Context, inv *invocation) error {
	cfg, err := inv.devConfig()
	if err != nil {
		return err
	}

	// The folder is removed in every end of the program, also at a second interrupt.
	dir := removable{}
	defer dir.remove()
	ctx, stop := inv.untilInterrupted(ctx, dir.remove)
	defer stop()

	l, err := startLocal(ctx, cfg, dir.set)
	if err != nil {
		if context.Cause(ctx) == errInterrupted {
			return errInterrupted
		}
		return startFailure(err)
	}

	// Scripts wait for these lines, so they come only when all members serve.
	if _, err := fmt.Fprintln(inv.Out, strings.Join(l.addrs, "\n")); err != nil {
		return errors.Join(fmt.Errorf("write the output: %w", err), l.close())
	}

	<-ctx.Done()
	return l.close()
}

// removable is a directory that is removed in the end, also by an interrupt.
type removable struct{ name atomic.Pointer[string] }

func (r *removable) set(name string) { r.name.Store(&name) }

func (r *removable) remove() {
	if name := r.name.Load(); name != nil {
		_ = os.RemoveAll(*name)
	}
}
