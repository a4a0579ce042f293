package peers

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/bradfitz/gomemcache/memcache"
)

// memcachedWriters is how many goroutines set the values of a batch: the client has no command for many.
const memcachedWriters = 32

// memcached starts servers that know nothing of each other. The client spreads keys over them, and each is in one of them.
func memcached(ctx context.Context, site *Site, members int) (*Cluster, error) {
	server, err := site.program("memcached")
	if err != nil {
		return nil, err
	}

	out, err := exec.CommandContext(ctx, server, "-V").Output()
	if err != nil {
		return nil, err
	}

	g, err := site.newGroup("memcached", members)
	if err != nil {
		return nil, err
	}

	for i := range members {
		// As many connections as there may be callers, and as much memory as the largest number of entries takes.
		cmd := exec.Command(server, "-u", "nobody", "-l", "127.0.0.1", "-p", strconv.Itoa(g.port(i, 0)), "-U", "0", "-c", "8192", "-m", "4096")
		if _, err := g.launch(fmt.Sprintf("m%d", i), cmd); err != nil {
			return g.failed(err)
		}
	}

	if err := g.poll(ctx, func() error { return dialed(g.addrs(members)) }); err != nil {
		return g.failed(err)
	}
	return g.cluster(strings.TrimSpace(string(out))+", one copy, nothing survives the loss of a server", 1, members), nil
}

// memcachedClient is the servers.
type memcachedClient struct{ client *memcache.Client }

func connectMemcached(_ context.Context, c *Cluster) (Client, error) {
	client := memcache.New(c.Addrs...)
	client.MaxIdleConns, client.Timeout = 4096, 10*time.Second // a connection for each caller: the client does not pipeline
	return memcachedClient{client}, client.Ping()
}

// Set stores a value.
func (m memcachedClient) Set(_ context.Context, key string, value []byte) error {
	return m.client.Set(&memcache.Item{Key: key, Value: value})
}

// Get returns the value of a key.
func (m memcachedClient) Get(_ context.Context, key string) ([]byte, error) {
	item, err := m.client.Get(key)
	if errors.Is(err, memcache.ErrCacheMiss) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return item.Value, nil
}

// SetAll stores values one by one, many at a time.
func (m memcachedClient) SetAll(ctx context.Context, keys []string, values [][]byte) error {
	part := max(1, (len(keys)+memcachedWriters-1)/memcachedWriters)
	errs := make([]error, 0, memcachedWriters)
	var mu sync.Mutex // guards errs
	var wg sync.WaitGroup

	next := 0
	for list := range slices.Chunk(keys, part) {
		first := next
		next += len(list)
		wg.Go(func() {
			for i, k := range list {
				if err := m.Set(ctx, k, values[first+i]); err != nil {
					mu.Lock()
					errs = append(errs, err)
					mu.Unlock()
					return
				}
			}
		})
	}

	wg.Wait()
	return errors.Join(errs...)
}

// GetAll reads values by one command to each server.
func (m memcachedClient) GetAll(_ context.Context, keys []string, each func(value []byte)) error {
	items, err := m.client.GetMulti(keys)
	for _, item := range items {
		each(item.Value)
	}
	return err
}

// Close closes the connections.
func (m memcachedClient) Close() error { return m.client.Close() }
