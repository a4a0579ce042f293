package sdk

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Option changes how [Connect] connects and how the client works.
type Option interface{ applyClient(*clientConfig) error }

type clientOption func(*clientConfig) error

func (o clientOption) applyClient(c *clientConfig) error { return o(c) }

// clientConfig is what the options say.
type clientConfig struct {
	cluster   string  // name; "": whatever cluster is found
	clusterID wire.ID // zero: whatever cluster is found, and its successor
	name      string
	timeout   time.Duration
	maxValue  int
	tls       *tls.Config
	logger    *slog.Logger
	tracers   trace.TracerProvider // nil: no tracing
	meters    metric.MeterProvider // nil: nothing is measured
	dial      func(context.Context, string) (net.Conn, error)

	silence, pongWait time.Duration // of rpc.Config; zero: its own
}

func newClientConfig(opts []Option) (clientConfig, error) {
	c := clientConfig{timeout: 10 * time.Second, maxValue: wire.MaxValue, logger: slog.New(slog.DiscardHandler), dial: dialTCP}
	var errs []error
	for _, o := range opts {
		if o == nil {
			// All contradictions are reported together, so that one run of the program shows them.
			errs = append(errs, errors.New("a nil option"))
			continue
		}
		errs = append(errs, o.applyClient(&c))
	}
	return c, errors.Join(errs...)
}

// dialTCP reaches a member's client port; 5701 where addr names none.
func dialTCP(ctx context.Context, addr string) (net.Conn, error) {
	var addrErr *net.AddrError
	if _, _, err := net.SplitHostPort(addr); errors.As(err, &addrErr) && addrErr.Err == "missing port in address" {
		addr = net.JoinHostPort(addr, "5701")
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp", addr)
}

// WithClusterName names the cluster to connect to. Connect fails with ErrInvalid and an [OtherClusterError] if a member belongs
// to another cluster. Without this option the client takes the cluster of the first member that answers, and from then on no
// other.
func WithClusterName(name string) Option {
	return clientOption(func(c *clientConfig) error {
		if name == "" || len(name) > 255 {
			return fmt.Errorf("WithClusterName: a name has 1 to 255 bytes, this one %d", len(name))
		}
		c.cluster = name
		return nil
	})
}

// WithClusterID ties the client to the one cluster with this ID, which [ClusterStatus] shows. Connect fails with ErrInvalid and
// an [OtherClusterError] if a member belongs to another cluster.
//
// A cluster has a new ID if all its members lost their data directories and it was bootstrapped again. A client without this
// option moves to the new cluster once no member of the old one answers. Writes under way then end in ErrUnknownOutcome,
// listeners get a LOST event, and locks are lost.
//
// A client with this option does not move: all its calls fail with ErrInvalid and an OtherClusterError, which has both IDs,
// until a member of the old cluster is back. The same happens to every client if the new cluster has another number of
// partitions.
func WithClusterID(id string) Option {
	return clientOption(func(c *clientConfig) error {
		parsed, err := wire.ParseID(id)
		if err != nil || parsed.IsZero() {
			return fmt.Errorf("WithClusterID: %q is not the ID of a cluster", id)
		}
		c.clusterID = parsed
		return nil
	})
}

// WithClientName names the client in the members' logs.
func WithClientName(name string) Option {
	return clientOption(func(c *clientConfig) error {
		if len(name) > 255 {
			return fmt.Errorf("WithClientName: a name has at most 255 bytes, this one %d", len(name))
		}
		c.name = name
		return nil
	})
}

// WithTimeout bounds calls whose context has no deadline. The default is 10 seconds.
func WithTimeout(d time.Duration) Option {
	return clientOption(func(c *clientConfig) error {
		if d <= 0 {
			return fmt.Errorf("WithTimeout: %v is not above zero", d)
		}
		c.timeout = d
		return nil
	})
}

// WithMaxValue sets the largest encoded value that the client sends, in bytes: by default 1 MB, at most 4 MB. Raise it for a
// cluster whose members have a larger limits.max_value. Members still enforce their own limit.
func WithMaxValue(bytes int) Option {
	return clientOption(func(c *clientConfig) error {
		if bytes < 1 || bytes > wire.MaxValueHard {
			return fmt.Errorf("WithMaxValue: %d is not between 1 and %d", bytes, wire.MaxValueHard)
		}
		c.maxValue = bytes
		return nil
	})
}

// WithTLS makes the client speak TLS, also on connections of [WithDialer]. If cfg has no ServerName, the host of the member's
// address is used. The client clones cfg.
func WithTLS(cfg *tls.Config) Option {
	return clientOption(func(c *clientConfig) error {
		if cfg == nil {
			return errors.New("WithTLS: the config is nil")
		}
		c.tls = cfg.Clone()
		return nil
	})
}

// WithLogger makes the client log the events of its connections. The default is no log.
func WithLogger(l *slog.Logger) Option {
	return clientOption(func(c *clientConfig) error {
		if l == nil {
			return errors.New("WithLogger: the logger is nil")
		}
		c.logger = l
		return nil
	})
}

// WithTracerProvider makes each call a span and sends the trace on to the member. The default is no tracing.
func WithTracerProvider(p trace.TracerProvider) Option {
	return clientOption(func(c *clientConfig) error {
		if p == nil {
			return errors.New("WithTracerProvider: the provider is nil")
		}
		c.tracers = p
		return nil
	})
}

// WithDialer replaces how connections are made. addr is one of [Connect]'s addresses or one that a member announced. dial is
// called from several goroutines, and must return when its context ends.
func WithDialer(dial func(ctx context.Context, addr string) (net.Conn, error)) Option {
	return clientOption(func(c *clientConfig) error {
		if dial == nil {
			return errors.New("WithDialer: the function is nil")
		}
		c.dial = dial
		return nil
	})
}

// MapOption changes how [OpenMap] opens a map.
type MapOption interface{ applyMap(*mapConfig) error }

type mapOption func(*mapConfig) error

func (o mapOption) applyMap(c *mapConfig) error { return o(c) }
