package gridtest

import (
	"context"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/gridiron-io/gridiron/grid"
	"github.com/gridiron-io/gridiron/grid/internal/startoption"
	"github.com/gridiron-io/gridiron/member/porttest"
)

// start starts members, all at the same time but for their delays, and returns when they are ready.
func (c *Cluster) start(members []int, delay func(i int) time.Duration) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	errs := make([]error, len(members))
	var wg sync.WaitGroup
	for k, i := range members {
		// A member alone may wait for the others before it is ready, so they start at the same time.
		wg.Go(func() {
			if delay != nil {
				select {
				case <-time.After(delay(i)):
				case <-ctx.Done():
				}
			}
			errs[k] = c.startOne(ctx, i)
		})
	}

	// Fatalf may be called on the test's goroutine only.
	wg.Wait()
	for k, err := range errs {
		if err != nil {
			c.t.Fatalf("start member %d: %v", members[k], err)
		}
	}
}

// startOne starts a member on its port of the network.
func (c *Cluster) startOne(ctx context.Context, i int) error {
	c.mu.Lock()

	// A start may take long, so it runs without the lock.
	cfg := c.configs[i]
	c.mu.Unlock()

	port := c.network.Port(i)
	if host, p, err := net.SplitHostPort(cfg.Listen); err == nil {
		if base, err := strconv.Atoi(p); err == nil && base != 0 {
			port.Place(net.JoinHostPort(host, strconv.Itoa(base+routeOffset))) // the one listener that is not the member's own
		}
	}

	m, err := grid.StartWith(ctx, cfg, startoption.Network(port))
	if err != nil {
		return err
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	c.members[i] = m
	return nil
}

// routeOffset is how far a member's port for NATS routes is from its base port.
const routeOffset = 2

// Kill stops member i as a crash would: its connections are reset and nothing is transferred.
func (c *Cluster) Kill(i int) {
	c.t.Helper()
	c.Member(i)
	c.take(i).Kill()
}

// Stop makes member i leave the cluster in good order.
func (c *Cluster) Stop(i int) {
	c.t.Helper()
	c.Member(i)
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	if err := c.take(i).Close(ctx); err != nil {
		c.t.Fatalf("stop member %d: %v", i, err)
	}
}

// Restart starts members again that were killed or stopped, each from its directory and at its address, all at the same time. It
// stops those that still run first. It returns when they are ready. Each has its old identity; data in memory is gone.
func (c *Cluster) Restart(members ...int) {
	c.t.Helper()
	for _, i := range members {
		if c.Runs(i) {
			c.Stop(i)
		}
	}
	c.start(members, nil)
}

// Add starts one more member, which joins through the members that run. It returns the member's number once the member is ready.
func (c *Cluster) Add() int {
	c.t.Helper()
	var join []string
	for i, addr := range c.Addrs() {
		if c.Runs(i) {
			join = append(join, addr)
		}
	}
	if len(join) == 0 {
		c.t.Fatal("no member runs that another could join")
	}

	p, err := porttest.Take(1)
	if err != nil {
		c.t.Fatalf("add a member: %v", err)
	}

	// The port is taken until close, so no other test gets it while the member is down.
	c.ports = append(c.ports, p)

	i := c.configure(p.Addrs()[0], join, 0)
	c.start([]int{i}, nil)
	return i
}
