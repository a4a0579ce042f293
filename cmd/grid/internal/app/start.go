package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/gridiron-io/gridiron/cmd/grid/internal/config"
	"github.com/gridiron-io/gridiron/cmd/grid/internal/headroom"
	"github.com/gridiron-io/gridiron/exec"
	"github.com/gridiron-io/gridiron/exec/builtin"
	"github.com/gridiron-io/gridiron/grid"
	"github.com/gridiron-io/gridiron/member/telemetry/export"
	"github.com/gridiron-io/gridiron/sdk"
)

// leaveTimeout bounds a graceful leave.
const leaveTimeout = 60 * time.Second

func (p *Process) startCommand() *cli.Command {
	flags := []cli.Flag{&cli.StringFlag{Name: "config", Aliases: []string{"c"}, Usage: "`FILE` in YAML; environment and flags override it (default: $GRID_CONFIG)"}}
	for _, f := range config.Flags() {
		if f.Bool {
			flags = append(flags, &cli.BoolFlag{Name: f.Name, Usage: f.Usage})
		} else {
			flags = append(flags, &cli.StringFlag{Name: f.Name, Usage: f.Usage})
		}
	}

	return p.command(leaf{
		name: "start", usage: "run a member", quiet: true, flags: flags,
		details: "It prints the address for clients on one line once the member is ready; logs go to standard error. The first SIGINT or SIGTERM " +
			"makes the member leave the cluster within a minute, the second ends it at once. Every setting SECTION.KEY of the configuration " +
			"file can also be given as GRID_SECTION_KEY in the environment.",
		run: func(ctx context.Context, inv *invocation) error {
			cfg, err := inv.memberConfig()
			if err != nil {
				return &failure{exitUsage, err}
			}
			return inv.serve(ctx, cfg)
		},
	})
}

// memberConfig returns the configuration that file, environment and flags make together.
func (inv *invocation) memberConfig() (config.Config, error) {
	var given []config.Given
	for _, f := range config.Flags() {
		switch {
		case !inv.flags.IsSet(f.Name):
		case f.Bool:
			given = append(given, config.Given{Flag: f.Name, Value: strconv.FormatBool(inv.flags.Bool(f.Name))})
		default:
			given = append(given, config.Given{Flag: f.Name, Value: inv.flags.String(f.Name)})
		}
	}

	// Mistakes in the environment and in the file are told together.
	cfg, err := config.Load(inv.setting("config", "GRID_CONFIG"), inv.LookupEnv, given)
	return cfg, errors.Join(config.CheckEnvironment(inv.environ(), false), err)
}

// serve runs a member until the process is interrupted.
func (inv *invocation) serve(ctx context.Context, cfg config.Config) error {
	ctx, stop := inv.untilInterrupted(ctx, nil)
	defer stop()

	log := inv.logger(cfg.Log.Level, cfg.Log.Format)

	limit := inv.limitMemory(os.DirFS("/"))
	if cfg.Limits.MaxMemory == 0 && limit > 0 {
		cfg.Limits.MaxMemory = limit / 100 * entriesShare
	}
	log.Debug("memory", "limit", limit, "entries", cfg.Limits.MaxMemory)

	// Who sets GOGC decides how much garbage may gather.
	if inv.env("GOGC") == "" {
		go headroom.Run(ctx, cfg.Limits.MaxMemory) // ends with ctx; owns the collector's settings
	}

	c, err := gridConfig(cfg)
	if err != nil {
		return err
	}
	c.Logger, c.Registry = log, builtinTasks()

	telemetry, err := export.Start(ctx, export.Config{Service: "gridiron", Version: grid.Version, Instance: c.Name, LookupEnv: inv.LookupEnv, Logger: log})
	if err != nil {
		return usagef("telemetry: %w", err)
	}
	defer inv.flush(ctx, telemetry.Shutdown, log)
	c.MeterProvider, c.TracerProvider, c.MetricsPage = telemetry.MeterProvider(), telemetry.TracerProvider(), telemetry.Page()

	if c.DataDir == "" {
		log.Warn("member has no data directory and no fixed name; its identity and metadata are temporary (set --name or --data-dir to keep them)")
	}

	m, err := grid.Start(ctx, c)
	if err != nil {
		// A start that an interrupt has ended is no failure of the member.
		if context.Cause(ctx) == errInterrupted {
			return errInterrupted
		}
		return startFailure(err)
	}

	if _, err := fmt.Fprintln(inv.Out, m.Addr()); err != nil {
		// Nobody can learn the address, so nobody can use the member.
		m.Kill()
		return fmt.Errorf("write the output: %w", err)
	}

	select {
	case <-m.Done():
		return failf(exitOther, "the member stopped by itself: %w", m.Err())
	case <-ctx.Done():
	}

	log.Info("leaving the cluster", "timeout", leaveTimeout.String())

	// What was measured until now goes out first, since leaving may take the whole minute.
	inv.flush(ctx, telemetry.Flush, log)

	// ctx has ended, but leaving must still take its time.
	leaving, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTimeout)
	defer cancel()
	if err := m.Close(leaving); err != nil {
		return fmt.Errorf("leave the cluster: %w", err)
	}
	return nil
}

// flushTimeout bounds how long metrics and spans are sent at the end.
const flushTimeout = 5 * time.Second

// flush sends the telemetry that is left at the end.
func (inv *invocation) flush(ctx context.Context, send func(context.Context) error, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
	defer cancel()
	if err := send(ctx); err != nil {
		log.Warn("some metrics or spans were not sent before the stop (check the exporter's address)", "err", err)
	}
}

// gridConfig returns the member's configuration. Its data directory is empty only where the member has neither a directory
// nor a name that would be the same after a restart.
func gridConfig(cfg config.Config) (grid.Config, error) {
	c := grid.Config{
		Name: cfg.Member.Name, ClusterName: cfg.Cluster.Name, Listen: net.JoinHostPort(cfg.Listen.Host, strconv.Itoa(cfg.Listen.Port)),
		Advertise: cfg.Listen.Advertise, Zone: cfg.Member.Zone, Tags: cfg.Member.Tags, DataDir: cfg.Storage.Dir,
		Durability: cfg.Storage.Durability, Join: cfg.Cluster.Join, Expect: cfg.Cluster.Expect, Partitions: cfg.Cluster.Partitions,
		Replicas: cfg.Cluster.Replicas, RebuildDelay: cfg.Cluster.RebuildDelay, Reads: sdk.ReadPolicy(cfg.Cluster.Reads), Lite: cfg.Member.Lite, MaxValue: cfg.Limits.MaxValue, MaxMemory: cfg.Limits.MaxMemory,
		Insecure: cfg.Listen.Insecure, NATS: grid.NATSConfig(cfg.NATS),
		Maps: cfg.Maps, Executors: cfg.Executors,
	}

	// The name must be the same after a restart, for it leads to the data directory. With a free port no such name can be made.
	if c.Name == "" && cfg.Listen.Port != 0 {
		host, err := os.Hostname()
		if err != nil {
			host = "member"
		}
		c.Name = host + "-" + strconv.Itoa(cfg.Listen.Port)
	}

	if c.DataDir == "" && c.Name != "" {
		dir, err := grid.DefaultDataDir(c.ClusterName, c.Name)
		if err != nil {
			return c, err
		}
		c.DataDir = dir
	}
	return c, nil
}

// builtinTasks returns a registry of the tasks that the binary brings along.
func builtinTasks() *exec.Registry {
	reg := exec.NewRegistry()
	builtin.Register(reg)
	return reg
}

// startFailure returns the error of a member that did not start. It tells all that is wrong with a configuration, and says only once that
// the configuration is invalid.
func startFailure(err error) error {
	if !errors.Is(err, grid.ErrConfig) {
		return failf(exitOther, "%w", err)
	}

	prefix := grid.ErrConfig.Error() + ": "
	return usagef("%s%s", prefix, strings.ReplaceAll(err.Error(), prefix, ""))
}
