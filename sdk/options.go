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

// Option changes how [Connect] connects and what the client does.
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

// WithClusterName names the cluster to connect to. A member of another one is refused: ErrInvalid, and in it an
// [OtherClusterError] with the name of the cluster that is there. Without this option the client takes the cluster of the member
// that answers first, and from then on no other.
func WithClusterName(name string) Option {
	return clientOption(func(c *clientConfig) error {
		if name == "" || len(name) > 255 {
			return fmt.Errorf("WithClusterName: a name has 1 to 255 bytes, this one %d", len(name))
		}
		c.cluster = name
		return nil
	})
}

// WithClusterID is for clients that must never take one cluster for another of the same name: id is that of [ClusterStatus]. Connect to
// another one is ErrInvalid, with an [OtherClusterError] in it.
//
// A cluster whose members all lost their data directories, and that was bootstrapped again, has another ID. A client without this option
// goes over to it once no member of the cluster that it knew answers any more: writes under way end in ErrUnknownOutcome, listeners hear
// of LOST, locks are lost. With this option, and where the new cluster has another number of partitions, all calls from then on fail with
// ErrInvalid and an OtherClusterError, which has both IDs, until a member of the old cluster is back.
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

// WithClientName gives the client a name for the members' logs.
func WithClientName(name string) Option {
	return clientOption(func(c *clientConfig) error {
		if len(name) > 255 {
			return fmt.Errorf("WithClientName: a name has at most 255 bytes, this one %d", len(name))
		}
		c.name = name
		return nil
	})
}

// WithTimeout bounds calls whose context has no deadline; 10 seconds unless given.
func WithTimeout(d time.Duration) Option {
	return clientOption(func(c *clientConfig) error {
		if d <= 0 {
			return fmt.Errorf("WithTimeout: %v is not above zero", d)
		}
		c.timeout = d
		return nil
	})
}

// WithMaxValue sets the largest value that is sent, in encoded bytes, for clusters that are configured for larger ones
// than 1 MB. Members have the last word. It is at most 4 MB.
func WithMaxValue(bytes int) Option {
	return clientOption(func(c *clientConfig) error {
		if bytes < 1 || bytes > wire.MaxValueHard {
			return fmt.Errorf("WithMaxValue: %d is not between 1 and %d", bytes, wire.MaxValueHard)
		}
		c.maxValue = bytes
		return nil
	})
}

// WithTLS makes the client speak TLS, also on connections of WithDialer. Where cfg has no ServerName, the host of the
// member's address is used. The config is cloned.
func WithTLS(cfg *tls.Config) Option {
	return clientOption(func(c *clientConfig) error {
		if cfg == nil {
			return errors.New("WithTLS: the config is nil")
		}
		c.tls = cfg.Clone()
		return nil
	})
}

// WithLogger makes the client log what happens to its connections. Without it, nothing is logged.
func WithLogger(l *slog.Logger) Option {
	return clientOption(func(c *clientConfig) error {
		if l == nil {
			return errors.New("WithLogger: the logger is nil")
		}
		c.logger = l
		return nil
	})
}

// WithTracerProvider makes each call a span, and sends the trace on to the member. Without it, nothing is traced.
func WithTracerProvider(p trace.TracerProvider) Option {
	return clientOption(func(c *clientConfig) error {
		if p == nil {
			return errors.New("WithTracerProvider: the provider is nil")
		}
		c.tracers = p
		return nil
	})
}

// WithDialer replaces how connections are made. dial must return when its context ends; addr is one of [Connect]'s or what
// a member announced for itself.
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
