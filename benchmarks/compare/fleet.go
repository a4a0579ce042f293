package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gridiron-io/gridiron/benchmarks"
	"github.com/gridiron-io/gridiron/benchmarks/compare/peers"
)

const (
	// startTimeout bounds the start of one cluster.
	startTimeout = 2 * time.Minute
	// writeTimeout bounds one operation while keys are written.
	writeTimeout = time.Minute
)

// fleet is clusters that run, and the clients of them.
type fleet struct {
	say      func(format string, args ...any)
	clusters map[string]*peers.Cluster // by system
	running  []*runner
}

// runner is a peer that runs.
type runner struct {
	peer    peers.Peer
	cluster *peers.Cluster
	client  peers.Client
	size    int // of the values that are written; 0 before
}

// startFleet starts clusters of the peers, and connects to them. What is not on the machine, or does not start, is left out and told.
func startFleet(ctx context.Context, site *peers.Site, list []peers.Peer, members int, say func(string, ...any), skip func(peer, why string)) *fleet {
	f := &fleet{say: say, clusters: make(map[string]*peers.Cluster)}
	for _, p := range list {
		if ctx.Err() != nil {
			break
		}

		begin := time.Now()
		r, err := f.start(ctx, site, p, members)
		// A peer that is missing must not keep the others from being measured.
		if err != nil {
			say("%s is left out: %v", p.Name, err)
			skip(p.Name, err.Error())
			continue
		}
		f.running = append(f.running, r)
		say("%s: started in %.1f s: %s", p.Name, time.Since(begin).Seconds(), r.cluster.About)
	}
	return f
}

func (f *fleet) start(ctx context.Context, site *peers.Site, p peers.Peer, members int) (*runner, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()

	c := f.clusters[p.System]
	if c == nil {
		var err error
		if c, err = p.Start(ctx, site, members); err != nil {
			return nil, err
		}
		f.clusters[p.System] = c
	}

	client, err := p.Connect(ctx, c)
	if err != nil {
		return nil, err
	}
	return &runner{peer: p, cluster: c, client: client}, nil
}

// stop ends all clients and clusters.
func (f *fleet) stop() error {
	var errs []error
	for _, r := range f.running {
		if err := r.client.Close(); err != nil {
			errs = append(errs, fmt.Errorf("close the client of %s: %w", r.peer.Name, err))
		}
	}

	// Clients go first, or they would try to reach clusters that have ended.
	for name, c := range f.clusters {
		if err := c.Stop(); err != nil {
			errs = append(errs, fmt.Errorf("stop %s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// fill writes all keys with values of a size, unless they have it.
func (r *runner) fill(ctx context.Context, keys, size int) error {
	if r.size == size {
		return nil
	}

	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	l, err := benchmarks.NewLoad(r.client, benchmarks.Config{Keys: keys, ValueSize: size})
	if err != nil {
		return err
	}

	if err := l.Fill(ctx); err != nil {
		return err
	}

	// Only now: a fill that failed half-way is done again.
	r.size = size
	return nil
}
