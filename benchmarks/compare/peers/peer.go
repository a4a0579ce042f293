package peers

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/gridiron-io/gridiron/benchmarks"
)

// ErrAbsent is what Start wraps where a system's program is not on the machine.
var ErrAbsent = errors.New("not installed")

// Client is a connection to a cluster.
type Client interface {
	benchmarks.Store
	Close() error
}

// Peer is a system and the client by which it is reached. Peers of one System share a cluster.
type Peer struct {
	Name   string // as flags and results have it
	System string
	Sizes  []int // numbers of members it can have; nil: any
	Most   int   // entries that it is asked to hold; 0: any number

	start   func(ctx context.Context, site *Site, members int) (*Cluster, error)
	connect func(ctx context.Context, c *Cluster) (Client, error)
}

// All are the peers there are, Gridiron first.
var All = []Peer{
	{Name: "gridiron-271", System: "gridiron-271", start: gridiron(271), connect: connectGridiron},
	{Name: "gridiron-24", System: "gridiron-24", start: gridiron(24), connect: connectGridiron},
	{Name: "hazelcast", System: "hazelcast", start: hazelcast, connect: connectHazelcast},
	{Name: "rueidis", System: "redis", start: redisCluster, connect: connectRueidis},
	{Name: "go-redis", System: "redis", start: redisCluster, connect: connectGoRedis},
	{Name: "olric", System: "olric", start: olricCluster, connect: connectOlric},
	{Name: "etcd", System: "etcd", Most: 200_000, start: etcd, connect: connectEtcd},
	{Name: "memcached", System: "memcached", start: memcached, connect: connectMemcached},
}

// Select returns the peers of a list of names with commas between them, in the order of All. Its error names all that it does not know.
func Select(names string) ([]Peer, error) {
	wanted := make(map[string]bool)
	for name := range strings.SplitSeq(names, ",") {
		wanted[strings.TrimSpace(name)] = true
	}

	// The order is that of All, whatever the order of the names was.
	var list []Peer
	var all []string
	for _, p := range All {
		if all = append(all, p.Name); wanted[p.Name] {
			list = append(list, p)
			delete(wanted, p.Name)
		}
	}

	var errs []error
	for name := range wanted {
		errs = append(errs, fmt.Errorf("peer %q: there are %s", name, strings.Join(all, ", ")))
	}
	return list, errors.Join(errs...)
}

// Start starts a cluster of the peer's system and returns once it is ready. ctx bounds only the start. On an error nothing is left running.
//
// Errors: ErrAbsent where a program is missing.
func (p Peer) Start(ctx context.Context, site *Site, members int) (*Cluster, error) {
	c, err := p.start(ctx, site, members)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", p.System, err)
	}
	return c, nil
}

// Connect connects to a cluster of the peer's system.
func (p Peer) Connect(ctx context.Context, c *Cluster) (Client, error) {
	client, err := p.connect(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("connect to %s by %s: %w", p.System, p.Name, err)
	}
	return client, nil
}

// Cluster is a cluster that runs.
type Cluster struct {
	About  string   // version and what it promises, for the result
	Copies int      // of an entry
	Addrs  []string // of members
	PIDs   []int    // of all its processes
	stop   func() error
}

// Stop ends the cluster and removes its files. It returns an error for what is left behind.
func (c *Cluster) Stop() error { return c.stop() }
