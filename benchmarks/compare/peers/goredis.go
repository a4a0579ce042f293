package peers

import (
	"context"
	"errors"

	goredis "github.com/redis/go-redis/v9"
)

// goRedisClient is a Redis Cluster by go-redis with its automatic pipelining, on the face whose calls block.
type goRedisClient struct {
	client *goredis.ClusterClient
	auto   *goredis.AutoPipeliner
}

func connectGoRedis(_ context.Context, c *Cluster) (Client, error) {
	client := goredis.NewClusterClient(&goredis.ClusterOptions{Addrs: c.Addrs})
	auto, err := client.AutoPipeline()
	if err != nil {
		return nil, errors.Join(err, client.Close())
	}
	return &goRedisClient{client, auto}, nil
}

// Set stores a value.
func (g *goRedisClient) Set(ctx context.Context, key string, value []byte) error {
	return g.auto.Set(ctx, key, value, 0).Err()
}

// Get returns the value of a key.
func (g *goRedisClient) Get(ctx context.Context, key string) ([]byte, error) {
	v, err := g.auto.Get(ctx, key).Bytes()
	if errors.Is(err, goredis.Nil) {
		return nil, nil
	}
	return v, err
}

// SetAll stores values by one pipeline.
func (g *goRedisClient) SetAll(ctx context.Context, keys []string, values [][]byte) error {
	_, err := g.client.Pipelined(ctx, func(p goredis.Pipeliner) error {
		for i, k := range keys {
			p.Set(ctx, k, values[i], 0)
		}
		return nil
	})
	return err
}

// GetAll reads values by one pipeline.
func (g *goRedisClient) GetAll(ctx context.Context, keys []string, each func(value []byte)) error {
	answers, err := g.client.Pipelined(ctx, func(p goredis.Pipeliner) error {
		for _, k := range keys {
			p.Get(ctx, k)
		}
		return nil
	})

	// A pipeline reports the first missing key as its error. That is no failure here.
	if err != nil && !errors.Is(err, goredis.Nil) {
		return err
	}

	for _, a := range answers {
		v, err := a.(*goredis.StringCmd).Bytes()
		if err == nil {
			each(v)
		} else if !errors.Is(err, goredis.Nil) {
			return err
		}
	}
	return nil
}

// Close closes the client.
func (g *goRedisClient) Close() error { return errors.Join(g.auto.Close(), g.client.Close()) }
