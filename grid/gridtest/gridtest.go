// Package gridtest runs real clusters inside a test process: members on loopback ports, with everything that they have in
// production but the disk space. Use it instead of mocks.
//
//	cl := gridtest.New(t, 3)
//	users, err := sdk.OpenMap[string, string](cl.Client(), "users")
//	...
//	cl.Kill(0)
package gridtest

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/exec"
	"github.com/gridiron-io/gridiron/grid"
	"github.com/gridiron-io/gridiron/sdk"
)

// startTimeout bounds how long a cluster may take to be founded, and WaitSafe.
const startTimeout = 60 * time.Second

// Option changes how New makes a cluster.
type Option interface{ apply(*options) }

type option func(*options)

func (o option) apply(c *options) { o(c) }

type options struct {
	partitions int
	replicas   int
	registry   *exec.Registry
	logger     *slog.Logger
	configure  func(i int, cfg *grid.Config)
}

// WithPartitions sets the number of partitions; by default 24, which start faster than a product's 271.
func WithPartitions(n int) Option { return option(func(o *options) { o.partitions = n }) }

// WithReplicas sets the number of replicas of each partition; by default 3.
func WithReplicas(n int) Option { return option(func(o *options) { o.replicas = n }) }

// WithRegistry gives all members the same tasks.
func WithRegistry(r *exec.Registry) Option { return option(func(o *options) { o.registry = r }) }

// WithLogger takes the members' logs; by default there are none.
func WithLogger(l *slog.Logger) Option { return option(func(o *options) { o.logger = l }) }

// WithConfig lets a test change the Config of member i before it starts.
func WithConfig(f func(i int, cfg *grid.Config)) Option {
	return option(func(o *options) { o.configure = f })
}

// Cluster is a running cluster. Members count from 0. Its methods fail the test themselves.
type Cluster struct {
	t       testing.TB
	client  *sdk.Client
	mu      sync.Mutex // guards the following
	members []*grid.Member
	addrs   []string
}

// New starts a cluster of n members and returns when it is safe. It ends with the test.
func New(t testing.TB, n int, opts ...Option) *Cluster {
	t.Helper()
	o := options{partitions: 24, replicas: 3}
	for _, opt := range opts {
		opt.apply(&o)
	}
	addrs := reserve(t, n)
	cl := &Cluster{t: t, members: make([]*grid.Member, n), addrs: addrs}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		cfg := grid.Config{Name: fmt.Sprintf("m%d", i), Listen: addrs[i], DataDir: t.TempDir(), Partitions: o.partitions,
			Replicas: o.replicas, NoHTTP: true, Registry: o.registry, Logger: o.logger}
		if n > 1 {
			cfg.Join, cfg.Expect = addrs, n
		}
		if o.configure != nil {
			o.configure(i, &cfg)
		}
		wg.Go(func() { cl.members[i], errs[i] = grid.Start(ctx, cfg) })
	}
	t.Cleanup(cl.close)
	wg.Wait()
	for i, err := range errs {
		if err != nil {
			t.Fatalf("start member %d: %v", i, err)
		}
	}
	c, err := sdk.Connect(ctx, addrs, sdk.WithClientName("gridtest"))
	if err != nil {
		t.Fatalf("connect to the cluster: %v", err)
	}
	cl.client = c
	cl.WaitSafe()
	return cl
}

// reserve finds base ports whose followers are free too. Another process can still take one before the member does; ports
// are taken far from the ephemeral range, so that only another such test could.
func reserve(t testing.TB, n int) []string {
	t.Helper()
	addrs := make([]string, 0, n)
	for base := nextBase(); len(addrs) < n; base = nextBase() {
		if base > 32000 {
			t.Fatal("no free ports")
		}
		if free(base) && free(base+1) && free(base+2) {
			addrs = append(addrs, fmt.Sprintf("127.0.0.1:%d", base))
		}
	}
	return addrs
}

func free(port int) bool {
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return false
	}
	return l.Close() == nil
}

// close ends the cluster with the test.
func (c *Cluster) close() {
	if c.client != nil {
		_ = c.client.Close()
	}
	var wg sync.WaitGroup
	for _, m := range c.members {
		if m != nil {
			wg.Go(m.Kill)
		}
	}
	wg.Wait()
}

// Client returns a client of no particular member. It outlives them all.
func (c *Cluster) Client() *sdk.Client { return c.client }

// Addr returns the address of member i for clients.
func (c *Cluster) Addr(i int) string { return c.addrs[i] }

// Addrs returns the addresses of all members, also of those that were killed.
func (c *Cluster) Addrs() []string { return append([]string(nil), c.addrs...) }

// Member returns member i.
func (c *Cluster) Member(i int) *grid.Member {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if i < 0 || i >= len(c.members) || c.members[i] == nil {
		c.t.Fatalf("there is no member %d", i)
	}
	return c.members[i]
}

// Kill stops member i as a crash would: its connections are cut and nothing is handed over.
func (c *Cluster) Kill(i int) {
	c.t.Helper()
	m := c.Member(i)
	c.mu.Lock()
	c.members[i] = nil
	c.mu.Unlock()
	m.Kill()
}

// WaitSafe waits until every partition has an owner and all the replicas that it shall have, and nothing moves.
func (c *Cluster) WaitSafe() {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		st, err := c.client.Cluster(ctx)
		if err == nil && st.Safe && st.Ready == st.Members {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			c.t.Fatalf("the cluster is not safe: %+v, %v", st, err)
		}
	}
}
