package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/gridiron-io/gridiron/benchmarks/internal/standin"
	"github.com/gridiron-io/gridiron/benchmarks/proc"
	"github.com/gridiron-io/gridiron/sdk"
)

const (
	// awaitFor bounds each wait for the cluster.
	awaitFor = 3 * time.Minute
	// lookEvery is how often the cluster is asked how it is, while it is not measured.
	lookEvery = 50 * time.Millisecond
	// balanceFor bounds the wait for owners that are spread evenly; what is measured then says how many partitions it was about.
	balanceFor = 60 * time.Second
)

// cluster is a cluster of processes with the one client that is measured, and another that asks how it is.
type cluster struct {
	*proc.Cluster
	measured, asks *sdk.Client
	sight          *sight
	partitions     int
}

// start starts members with further flags, and waits until the cluster has all replicas.
func (o *options) start(ctx context.Context, members int, args ...string) (_ *cluster, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}

	cl := &cluster{sight: newSight(), partitions: o.partitions}
	dir := ""
	if o.dir != "" {
		if dir, err = os.MkdirTemp(o.dir, "cluster-"); err != nil {
			return nil, err
		}
	}

	if o.profiles != "" {
		args = append(args, "--cpu-profile", o.profiles)
	}

	cl.Cluster, err = proc.Start(ctx, proc.Config{Binary: self, Env: standin.Env(), Members: members, Partitions: o.partitions, Dir: dir, Args: args})
	if err != nil {
		return nil, err
	}

	defer func() {
		if err != nil {
			cl.close()
		}
	}()

	// Two clients: questions about the state must not warm up the connections that are measured.
	if cl.measured, err = sdk.Connect(ctx, cl.Addrs(), sdk.WithClientName("failover"), sdk.WithDialer(cl.sight.dial)); err != nil {
		return nil, err
	}
	if cl.asks, err = sdk.Connect(ctx, cl.Addrs(), sdk.WithClientName("status")); err != nil {
		return nil, err
	}

	return cl, cl.whole(ctx, members)
}

// close ends the cluster. Its errors are no part of a measurement.
func (cl *cluster) close() {
	for _, c := range []*sdk.Client{cl.measured, cl.asks} {
		if c != nil {
			_ = c.Close()
		}
	}
	_ = cl.Close()
}

// await waits until a member says of the cluster what is wanted.
func (cl *cluster) await(ctx context.Context, within time.Duration, what string, ok func(*sdk.ClusterStatus) bool) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		s, err := cl.asks.Cluster(ctx)
		if err == nil && ok(&s) {
			return nil
		}

		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for a cluster that is %s: %w; it is %+v, %w", what, context.Cause(ctx), s, err)
		}
	}
}

// whole waits until all replicas are there.
func (cl *cluster) whole(ctx context.Context, members int) error {
	return cl.await(ctx, awaitFor, "whole", func(s *sdk.ClusterStatus) bool { return s.Safe && s.Members == members && s.Ready == members })
}

// owners returns the partitions of each member, by its number.
func (cl *cluster) owners(ctx context.Context) (map[int][]int, []sdk.Partition, error) {
	list, err := cl.asks.Partitions(ctx)
	if err != nil {
		return nil, nil, err
	}

	owned := make(map[int][]int)
	for i := range cl.Addrs() {
		// Partitions name their owners by ID, and this program names members by address.
		id, err := cl.id(ctx, i)
		if err != nil {
			return nil, nil, err
		}

		for _, p := range list {
			if p.Owner == id {
				owned[i] = append(owned[i], p.ID)
			}
		}
	}
	return owned, list, nil
}

// profile begins or ends the CPU profiles of all members that run, if any are wanted.
func (o *options) profile(cl *cluster, sig syscall.Signal) error {
	if o.profiles == "" {
		return nil
	}

	for i := range cl.Addrs() {
		select {
		case <-cl.Exited(i):
			continue
		default:
		}
		if err := cl.Signal(i, sig); err != nil {
			return err
		}
	}
	return nil
}

// id returns the ID of a member.
func (cl *cluster) id(ctx context.Context, i int) (string, error) {
	members, err := cl.asks.Members(ctx)
	if err != nil {
		return "", err
	}

	for _, m := range members {
		if m.Addr == cl.Addr(i) {
			return m.ID, nil
		}
	}
	return "", fmt.Errorf("no member at %s", cl.Addr(i))
}

// most waits for a while until the owners are spread evenly, and returns the member that owns most, and what.
func (cl *cluster) most(ctx context.Context, members int) (member int, partitions []int, err error) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for began := time.Now(); ; {
		owned, _, err := cl.owners(ctx)
		if err != nil {
			return 0, nil, err
		}

		partitions = nil
		for i, list := range owned {
			if len(list) > len(partitions) {
				member, partitions = i, list
			}
		}

		// A few more than its share is as even as owners get. After a while any spread will do.
		if len(partitions) <= cl.partitions/members+2 && len(partitions) > 0 || time.Since(began) > balanceFor {
			return member, partitions, nil
		}

		select {
		case <-tick.C:
		case <-ctx.Done():
			return 0, nil, ctx.Err()
		}
	}
}

// noticed returns when a member first wrote to its log, after a moment, that others are elected for one that is down.
func (cl *cluster) noticed(after time.Time) (first time.Time, err error) {
	for i := range cl.Addrs() {
		logs, err := cl.Logs(i)
		if err != nil {
			return first, err
		}

		for in := bufio.NewScanner(strings.NewReader(logs)); in.Scan(); {
			line, ok := strings.CutPrefix(in.Text(), "time=")
			if !ok || !strings.Contains(line, "member down; electing other leaders") {
				continue
			}

			stamp, _, _ := strings.Cut(line, " ")
			at, err := time.Parse(time.RFC3339Nano, stamp)
			// The log has milliseconds.
			if err == nil && !at.Before(after.Truncate(time.Millisecond)) && (first.IsZero() || at.Before(first)) {
				first = at
			}
		}
	}
	return first, nil
}
