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
	cluster string        // name; "": whatever cluster is there
	named   string        // what gave the name
	timeout time.Duration // of the whole command, but for what it waits for without end
}

// remoteFlags are the flags of all commands that talk to a cluster.
func remoteFlags(timeout time.Duration) []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "server", Usage: "`HOST:PORT[,HOST:PORT]` of any members (default: $GRID_SERVER, else " + defaultServer + ")"},
		&cli.StringFlag{Name: "cluster-name", Usage: "`NAME` of the cluster that must be there (default: $GRID_CLUSTER_NAME, else cluster.name of the file $GRID_CONFIG, else any)"},
		&cli.StringFlag{Name: "timeout", Usage: "give up after `DURATION` (default: $GRID_TIMEOUT, else " + timeout.String() + ")"},
	}
}

// connection returns what the flags and the environment say; timeout is the default of --timeout.
func (inv *invocation) connection(timeout time.Duration) (connection, error) {
	c := connection{timeout: timeout}
	// Only likely mistakes count: other programs may have variables that begin alike.
	if err := config.CheckEnvironment(inv.environ(), true); err != nil {
		return c, usagef("%w", err)
	}

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

	if err := inv.nameCluster(&c); err != nil {
		return c, err
	}

	// The variable is a text like any other, so it is checked here and not by the flag's type.
	if text := inv.setting("timeout", "GRID_TIMEOUT"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil || d <= 0 {
			return c, usagef("--timeout %q: want a duration above zero such as 10s", text)
		}
		c.timeout = d
	}
	return c, nil
}

// nameCluster sets in c which cluster must be there, and which setting says so. Without such a setting any cluster will do.
func (inv *invocation) nameCluster(c *connection) (err error) {
	file := inv.env("GRID_CONFIG")
	switch {
	case inv.flags.IsSet("cluster-name"):
		c.cluster, c.named = inv.flags.String("cluster-name"), "--cluster-name says"
		if c.cluster == "" {
			// An empty flag says on purpose that any cluster will do.
			return nil
		}
	case inv.env("GRID_CLUSTER_NAME") != "":
		c.cluster, c.named = inv.env("GRID_CLUSTER_NAME"), "GRID_CLUSTER_NAME says, in place of --cluster-name"
	case file != "":
		if c.cluster, err = config.ClusterName(file); err != nil {
			return usagef("%w", err)
		}
		if c.named = "cluster.name says in " + file + ", in place of --cluster-name"; c.cluster == "" {
			return nil
		}
	default:
		return nil
	}
	return checkName(c.cluster, "the cluster's name")
}

// setting returns a flag's value, else that of an environment variable. A flag that is given counts even if it is empty.
func (inv *invocation) setting(flag, env string) string {
	if inv.flags.IsSet(flag) {
		return inv.flags.String(flag)
	}
	return inv.env(env)
}

// connect connects to the cluster. The caller closes the client.
func (inv *invocation) connect(ctx context.Context) (*sdk.Client, error) {
	// The command line stores whatever members take, so the client's own limit is the hard one.
	opts := append(inv.conn.options(), sdk.WithClientName("grid "+inv.flags.Command.Name), sdk.WithMaxValue(wire.MaxValueHard))
	c, err := sdk.Connect(ctx, inv.conn.servers, opts...)
	return c, inv.conn.explain(err)
}

// options returns what holds for whatever is asked of the cluster.
func (c *connection) options() []sdk.Option {
	opts := []sdk.Option{sdk.WithTimeout(c.timeout)}
	if c.cluster != "" {
		opts = append(opts, sdk.WithClusterName(c.cluster))
	}
	return opts
}

// explain turns an error about another cluster into one that names the setting which asked for this cluster.
func (c *connection) explain(err error) error {
	other, ok := errors.AsType[*sdk.OtherClusterError](err)
	if !ok || c.cluster == "" || other.Name == c.cluster {
		return err
	}
	// The library knows the names of both clusters, but not which setting asked for this cluster.
	return usagef("%v as %s", other, c.named)
}

// withClient calls f with a client, and with a context that ends with the command's timeout and when the process is
// interrupted.
func (inv *invocation) withClient(ctx context.Context, f func(context.Context, *sdk.Client) error) error {
	return inv.interruptible(ctx, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, inv.conn.timeout)
		defer cancel()

		// A long --timeout is for what the command waits for. Members that cannot be reached are reported sooner.
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
		m, err := sdk.OpenMap[string, any](c, name, sdk.WithCodec(shownCodec{}))
		if err != nil {
			return err
		}
		return f(ctx, m)
	})
}
