package app

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/gridiron-io/gridiron/cmd/grid/internal/config"
	"github.com/gridiron-io/gridiron/sdk"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

const (
	defaultServer  = "127.0.0.1:5701"
	defaultTimeout = 10 * time.Second
)

// connection says how to reach a cluster.
type connection struct {
	servers []string
	cluster string
	timeout time.Duration // of the whole command, but for what it waits for without end
}

// remoteFlags are the flags of all commands that talk to a cluster.
func remoteFlags(timeout time.Duration) []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "server", Usage: "`HOST:PORT[,HOST:PORT]` of any members (default: $GRID_SERVER, else " + defaultServer + ")"},
		&cli.StringFlag{Name: "cluster-name", Usage: "`NAME` of the cluster (default: $GRID_CLUSTER_NAME, else grid)"},
		&cli.StringFlag{Name: "timeout", Usage: "give up after `DURATION` (default: $GRID_TIMEOUT, else " + timeout.String() + ")"},
	}
}

// connection returns what the flags and the environment say; timeout is what holds if they say nothing of it.
func (inv *invocation) connection(timeout time.Duration) (connection, error) {
	c := connection{cluster: "grid", timeout: timeout}
	server := inv.setting("server", "GRID_SERVER")
	if server == "" {
		server = defaultServer
	}
	for _, addr := range strings.Split(server, ",") {
		addr = strings.TrimSpace(addr)
		if _, _, err := config.ParseAddress(addr); err != nil {
			return c, usagef("--server: %w", err)
		}
		c.servers = append(c.servers, addr)
	}
	if name := inv.setting("cluster-name", "GRID_CLUSTER_NAME"); name != "" {
		if err := checkName(name, "the cluster's name"); err != nil {
			return c, err
		}
		c.cluster = name
	}
	if text := inv.setting("timeout", "GRID_TIMEOUT"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil || d <= 0 {
			return c, usagef("--timeout %q: want a duration above zero such as 10s", text)
		}
		c.timeout = d
	}
	return c, nil
}

// setting returns a flag's value, else that of an environment variable. A flag that is given counts though it is empty.
func (inv *invocation) setting(flag, env string) string {
	if inv.flags.IsSet(flag) {
		return inv.flags.String(flag)
	}
	return inv.env(env)
}

// connect connects to the cluster. The caller closes the client.
func (inv *invocation) connect(ctx context.Context) (*sdk.Client, error) {
	return sdk.Connect(ctx, inv.conn.servers, sdk.WithClusterName(inv.conn.cluster), sdk.WithClientName("grid "+inv.flags.Command.Name),
		sdk.WithTimeout(inv.conn.timeout), sdk.WithMaxValue(wire.MaxValueHard))
}

// withClient calls f with a client, and with a context that ends with the command's timeout and when the process is
// interrupted.
func (inv *invocation) withClient(ctx context.Context, f func(context.Context, *sdk.Client) error) error {
	return inv.interruptible(ctx, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, inv.conn.timeout)
		defer cancel()
		connecting, cancel := context.WithTimeout(ctx, min(inv.conn.timeout, defaultTimeout))
		defer cancel()
		c, err := inv.connect(connecting)
		if err != nil {
			return err
		}
		return errors.Join(f(ctx, c), c.Close())
	})
}

// withMap is withClient for a command on one map.
func (inv *invocation) withMap(ctx context.Context, name string, f func(context.Context, *sdk.Map[string, any]) error) error {
	return inv.withClient(ctx, func(ctx context.Context, c *sdk.Client) error {
		m, err := sdk.OpenMap[string, any](c, name)
		if err != nil {
			return err
		}
		return f(ctx, m)
	})
}
