// Package gridtest runs real clusters inside a test process. Use it instead of mocks: the members are those of production, on
// loopback ports.
//
//	cl := gridtest.New(t, 3)
//	users, err := sdk.OpenMap[string, string](cl.Client(), "users")
//	...
//	cl.Kill(0)
//
// A test can crash members (Kill), make them leave (Stop), start them again (Restart), and add further ones (Add). It can cut their
// network (Isolate, Cut) until Heal.
package gridtest

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/exec"
	"github.com/gridiron-io/gridiron/grid"
	"github.com/gridiron-io/gridiron/grid/gridtest/internal/cable"
	"github.com/gridiron-io/gridiron/member/porttest"
	"github.com/gridiron-io/gridiron/sdk"
)

// startTimeout bounds how long a cluster may take to be bootstrapped, and WaitSafe.
const startTimeout = 3 * time.Minute

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

// WithPartitions sets the number of partitions. The default is 24, which start faster than the 271 of a Config.
func WithPartitions(n int) Option { return option(func(o *options) { o.partitions = n }) }

// WithReplicas sets the number of replicas of each partition. The default is 3.
func WithReplicas(n int) Option { return option(func(o *options) { o.replicas = n }) }

// WithRegistry gives all members the same tasks. The default is none.
func WithRegistry(r *exec.Registry) Option { return option(func(o *options) { o.registry = r }) }

// WithLogger receives the members' logs. The default discards them.
func WithLogger(l *slog.Logger) Option { return option(func(o *options) { o.logger = l }) }

// WithConfig lets f change the Config of member i before it starts.
func WithConfig(f func(i int, cfg *grid.Config)) Option {
	return option(func(o *options) { o.configure = f })
}

// WithStartDelay makes New start member i only after delay(i), since members may start in any order.
func WithStartDelay(delay func(i int) time.Duration) Option {
	return option(func(o *options) { o.delay = delay })
}

// Cluster is a running cluster. Members count from 0. Its methods fail the test themselves. Like FailNow, call them on the
// test's goroutine.
type Cluster struct {
	t       testing.TB
	client  *sdk.Client
	opts    options
	network *cable.Network
	ports   []*porttest.Set // of members that were added

	mu      sync.Mutex // guards the following, by member
	addrs   []string
	configs []grid.Config
	members []*grid.Member // nil where one does not run
}

// New starts a cluster of n members and returns when it is safe. It stops with the test. The test fails if the cluster is not safe
// within three minutes.
func New(t testing.TB, n int, opts ...Option) *Cluster {
	t.Helper()
	o := options{partitions: 24, replicas: 3}
	for _, opt := range opts {
		opt.apply(&o)
	}

	c := &Cluster{t: t, opts: o, network: cable.New()}

	// What is registered first is undone last: the directories, and the ports, are given up once the members have ended.
	_ = t.TempDir()
	addrs := porttest.Addrs(t, n)
	t.Cleanup(c.close)

	all := make([]int, n)
	for i := range all {
		if n == 1 {
			all[i] = c.configure(addrs[i], nil, 0) // it is alone and asks nobody
			continue
		}
		all[i] = c.configure(addrs[i], addrs, n)
	}

	c.start(all, o.delay)
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()

	client, err := sdk.Connect(ctx, addrs, sdk.WithClusterName(c.clusterName()), sdk.WithClientName("gridtest"))
	if err != nil {
		t.Fatalf("connect to the cluster: %v", err)
	}
	c.client = client

	c.WaitSafe()
	return c
}

// configure makes the Config of one more member and returns its number.
func (c *Cluster) configure(addr string, join []string, expect int) int {
	c.t.Helper()
	i := len(c.configs)
	cfg := grid.Config{Name: fmt.Sprintf("m%d", i), Listen: addr, DataDir: c.t.TempDir(), Partitions: c.opts.partitions,
		Replicas: c.opts.replicas, NoHTTP: true, Registry: c.opts.registry, Logger: c.opts.logger, Join: join, Expect: expect}

	// The test has the last word on each member's Config.
	if c.opts.configure != nil {
		c.opts.configure(i, &cfg)
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	c.addrs = append(c.addrs, addr)
	c.configs = append(c.configs, cfg)
	c.members = append(c.members, nil)
	return i
}

// clusterName returns the name under which the members were configured.
func (c *Cluster) clusterName() string {
	if len(c.configs) == 0 || c.configs[0].ClusterName == "" {
		return "grid"
	}
	return c.configs[0].ClusterName
}

// close ends the cluster with the test.
func (c *Cluster) close() {
	if c.client != nil {
		_ = c.client.Close()
	}
	var wg sync.WaitGroup
	for i := range c.members {
		// Kill and not Close: nobody needs the data any more, and moving it would take long.
		if m := c.take(i); m != nil {
			wg.Go(m.Kill)
		}
	}

	wg.Wait()

	// The network goes last, so that no member meets its end.
	c.network.Close()

	for _, p := range c.ports {
		p.Release()
	}
}

// take returns member i and takes it from the running members; nil if it does not run.
func (c *Cluster) take(i int) *grid.Member {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.members[i]
	c.members[i] = nil
	return m
}

// Client returns a client of the whole cluster, tied to no member. It works until the test ends.
func (c *Cluster) Client() *sdk.Client { return c.client }

// Size returns how many members the cluster has ever had. Their numbers are below it.
func (c *Cluster) Size() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.members)
}

// Addr returns the client address of member i.
func (c *Cluster) Addr(i int) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.addrs[i]
}

// Addrs returns the client addresses of all members, whether or not they run.
func (c *Cluster) Addrs() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.addrs)
}

// Runs reports whether member i runs: it was neither killed nor stopped, or it was started again.
func (c *Cluster) Runs(i int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return i >= 0 && i < len(c.members) && c.members[i] != nil
}

// Member returns member i. It fails the test if the member does not run.
func (c *Cluster) Member(i int) *grid.Member {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if i < 0 || i >= len(c.members) || c.members[i] == nil {
		c.t.Fatalf("member %d does not run", i)
	}
	return c.members[i]
}

// WaitSafe waits until every partition has an owner and all its replicas, and nothing moves: for three minutes at most.
func (c *Cluster) WaitSafe() {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()

	// Members learn of one another's state within a tenth of a second, and answer in turn. As many answers in a row as there are members
	// must agree.
	for agree := 0; ; {
		st, err := c.client.Cluster(ctx)
		if err == nil && st.Safe && st.Ready == st.Members {
			if agree++; agree >= st.Members {
				return
			}
			continue
		}

		// The members do not agree yet, so the count begins again.
		agree = 0
		select {
		case <-tick.C:
		case <-ctx.Done():
			c.t.Fatalf("the cluster is not safe: %+v, %v", st, err)
		}
	}
}
