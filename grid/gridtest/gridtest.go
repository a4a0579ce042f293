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
	delay      func(i int) time.Duration
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

// WithStartDelay makes member i start only after delay(i): members need not be started in any order.
func WithStartDelay(delay func(i int) time.Duration) Option {
	return option(func(o *options) { o.delay = delay })
}

// Cluster is a running cluster. Members count from 0. Its methods fail the test themselves; like the test's own FailNow they
// belong on the test's goroutine.
type Cluster struct {
	t       testing.TB
	client  *sdk.Client
	addrs   []string
	configs []grid.Config

	mu      sync.Mutex // guards the following
	members []*grid.Member
}

// New starts a cluster of n members and returns when it is safe. It ends with the test.
func New(t testing.TB, n int, opts ...Option) *Cluster {
	t.Helper()
	o := options{partitions: 24, replicas: 3}
	for _, opt := range opts {
		opt.apply(&o)
	}
	addrs := reserve(t, n)
	cl := &Cluster{t: t, addrs: addrs, members: make([]*grid.Member, n)}
	for i := range n {
		cfg := grid.Config{Name: fmt.Sprintf("m%d", i), Listen: addrs[i], DataDir: t.TempDir(), Partitions: o.partitions,
			Replicas: o.replicas, NoHTTP: true, Registry: o.registry, Logger: o.logger}
		if n > 1 {
			cfg.Join, cfg.Expect = addrs, n
		}
		if o.configure != nil {
			o.configure(i, &cfg)
		}
		cl.configs = append(cl.configs, cfg)
	}
	t.Cleanup(cl.close)
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	cl.start(all, o.delay)
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	c, err := sdk.Connect(ctx, addrs, sdk.WithClusterName(cl.clusterName()), sdk.WithClientName("gridtest"))
	if err != nil {
		t.Fatalf("connect to the cluster: %v", err)
	}
	cl.client = c
	cl.WaitSafe()
	return cl
}

// clusterName returns the name under which the members were configured.
func (c *Cluster) clusterName() string {
	if len(c.configs) == 0 || c.configs[0].ClusterName == "" {
		return "grid"
	}
	return c.configs[0].ClusterName
}

// start starts members, all at the same time but for their delays, and returns when they are ready.
func (c *Cluster) start(members []int, delay func(i int) time.Duration) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	errs := make([]error, len(members))
	var wg sync.WaitGroup
	for k, i := range members {
		wg.Go(func() {
			if delay != nil {
				select {
				case <-time.After(delay(i)):
				case <-ctx.Done():
				}
			}
			m, err := grid.Start(ctx, c.configs[i])
			errs[k] = err
			if err == nil {
				c.mu.Lock()
				c.members[i] = m
				c.mu.Unlock()
			}
		})
	}
	wg.Wait()
	for k, err := range errs {
		if err != nil {
			c.t.Fatalf("start member %d: %v", members[k], err)
		}
	}
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
	for i := range c.members {
		if m := c.take(i); m != nil {
			wg.Go(m.Kill)
		}
	}
	wg.Wait()
}

// take returns member i, which then is no longer among those that run; nil if it does not run.
func (c *Cluster) take(i int) *grid.Member {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.members[i]
	c.members[i] = nil
	return m
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

// Kill stops member i as a crash would: its connections are reset and nothing is handed over.
func (c *Cluster) Kill(i int) {
	c.t.Helper()
	c.Member(i)
	c.take(i).Kill()
}

// Stop has member i leave in good order.
func (c *Cluster) Stop(i int) {
	c.t.Helper()
	c.Member(i)
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	if err := c.take(i).Close(ctx); err != nil {
		c.t.Fatalf("stop member %d: %v", i, err)
	}
}

// Restart starts members again that were killed or stopped, each at its address and from its directory, all at the same time; one
// that still runs is stopped first. It returns when they are ready.
func (c *Cluster) Restart(members ...int) {
	c.t.Helper()
	for _, i := range members {
		c.mu.Lock()
		runs := c.members[i] != nil
		c.mu.Unlock()
		if runs {
			c.Stop(i)
		}
	}
	c.start(members, nil)
}

// WaitSafe waits until every partition has an owner and all the replicas that it shall have, and nothing moves. The members
// learn of one another's state within a tenth of a second: it is asked as often in a row as there are members, who answer in turn.
func (c *Cluster) WaitSafe() {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for agree := 0; ; {
		st, err := c.client.Cluster(ctx)
		if err == nil && st.Safe && st.Ready == st.Members {
			if agree++; agree >= st.Members {
				return
			}
			continue
		}
		agree = 0
		select {
		case <-tick.C:
		case <-ctx.Done():
			c.t.Fatalf("the cluster is not safe: %+v, %v", st, err)
		}
	}
}
