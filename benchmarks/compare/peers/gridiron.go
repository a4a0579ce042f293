package peers

import (
	"context"
	"errors"
	"fmt"

	"github.com/gridiron-io/gridiron/benchmarks"
	"github.com/gridiron-io/gridiron/benchmarks/proc"
	"github.com/gridiron-io/gridiron/sdk"
)

// gridiron returns how Gridiron is started with a number of partitions.
func gridiron(partitions int) func(context.Context, *Site, int) (*Cluster, error) {
	return func(ctx context.Context, site *Site, members int) (*Cluster, error) {
		if site.Grid == "" {
			return nil, fmt.Errorf("grid: %w", ErrAbsent)
		}

		cl, err := proc.Start(ctx, proc.Config{Binary: site.Grid, Members: members, Partitions: partitions})
		if err != nil {
			return nil, err
		}

		copies := min(members, 3)
		about := fmt.Sprintf("%d partitions, each a Raft group of %d; reads and writes are linearizable", partitions, copies)
		return &Cluster{About: about, Copies: copies, Addrs: cl.Addrs(), PIDs: cl.PIDs(), stop: cl.Close}, nil
	}
}

// gridironClient is a map of a grid, with its client.
type gridironClient struct {
	benchmarks.Store
	client *sdk.Client
	m      *sdk.Map[string, []byte]
}

func connectGridiron(ctx context.Context, c *Cluster) (Client, error) {
	client, err := sdk.Connect(ctx, c.Addrs, sdk.WithClientName("compare"))
	if err != nil {
		return nil, err
	}

	m, err := sdk.OpenMap[string, []byte](client, "compare")
	if err != nil {
		return nil, errors.Join(err, client.Close())
	}
	return &gridironClient{benchmarks.NewMapStore(m), client, m}, nil
}

// Close closes the client.
func (g *gridironClient) Close() error { return g.client.Close() }
