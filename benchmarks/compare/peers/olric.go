package peers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/olric-data/olric"
	"github.com/olric-data/olric/config"
)

// OlricCommand is the first argument with which this program is a member of Olric; the others are OlricMember's.
const OlricCommand = "olric-member"

// olricCluster starts members with three synchronous copies, where there are three. They are this program.
func olricCluster(ctx context.Context, site *Site, members int) (*Cluster, error) {
	g, err := site.newGroup("olric", members)
	if err != nil {
		return nil, err
	}

	copies := min(members, 3)
	var seeds []string
	for i := range members {
		cmd := exec.Command(site.Self, OlricCommand, g.addr(i, 0), g.addr(i, 1), strconv.Itoa(copies), strings.Join(seeds, ","))
		p, err := g.launch(fmt.Sprintf("m%d", i), cmd)
		if err != nil {
			return g.failed(err)
		}
		// One after the other: members that start together may form clusters of their own.
		if _, err := p.WaitReady(ctx); err != nil {
			return g.failed(err)
		}
		seeds = append(seeds, g.addr(i, 1))
	}

	about := fmt.Sprintf("Olric 0.7.4, 271 partitions, %d synchronous copies; the last write by the clock wins", copies)
	c := g.cluster(about, copies, members)
	if err := g.poll(ctx, func() error { return olricReady(ctx, c) }); err != nil {
		return g.failed(err)
	}
	return c, nil
}

// olricReady returns an error unless every partition has as many owners as it is to have copies.
func olricReady(ctx context.Context, c *Cluster) error {
	client, err := newOlricClient(c.Addrs)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close(ctx) }()

	table, err := client.RoutingTable(ctx)
	if err != nil {
		return err
	}

	for id, route := range table {
		if len(route.PrimaryOwners) != 1 || len(route.ReplicaOwners) != c.Copies-1 {
			return fmt.Errorf("partition %d has %d owners and %d replicas", id, len(route.PrimaryOwners), len(route.ReplicaOwners))
		}
	}
	return nil
}

// OlricMember is a member of Olric until it gets SIGTERM. The arguments are its address for clients, that for members, the number of copies,
// and the addresses of members to join with commas between them. It prints its address once it is ready.
func OlricMember(args []string) error {
	if len(args) != 4 {
		return fmt.Errorf("%s: %d arguments, want 4", OlricCommand, len(args))
	}

	cfg := config.New("local")
	cfg.LogOutput, cfg.Logger = io.Discard, log.New(io.Discard, "", 0)
	var err error
	if cfg.BindAddr, cfg.BindPort, err = split(args[0]); err != nil {
		return err
	}

	m := cfg.MemberlistConfig
	if m.BindAddr, m.BindPort, err = split(args[1]); err != nil {
		return err
	}
	m.AdvertiseAddr, m.AdvertisePort = m.BindAddr, m.BindPort
	if cfg.ReplicaCount, err = strconv.Atoi(args[2]); err != nil {
		return err
	}
	if args[3] != "" {
		cfg.Peers = strings.Split(args[3], ",")
	}

	// The line tells the parent process that the member serves.
	cfg.Started = func() { fmt.Println(args[0]) }
	db, err := olric.New(cfg)
	if err != nil {
		return err
	}

	ended := make(chan error, 1)
	go func() { ended <- db.Start() }() // ends with Shutdown

	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)

	select {
	case err := <-ended:
		return err
	case <-stop:
	}

	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	return db.Shutdown(ctx)
}

func split(addr string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, err
	}
	port, err = strconv.Atoi(text)
	return host, port, err
}

func newOlricClient(addrs []string) (*olric.ClusterClient, error) {
	return olric.NewClusterClient(addrs, olric.WithLogger(log.New(io.Discard, "", 0)))
}

// olricClient is a map of Olric.
type olricClient struct {
	client *olric.ClusterClient
	m      olric.DMap
}

func connectOlric(_ context.Context, c *Cluster) (Client, error) {
	cfg := config.NewClient()
	cfg.PoolTimeout = time.Minute // a caller waits for a connection: the client does not pipeline
	client, err := olric.NewClusterClient(c.Addrs, olric.WithLogger(log.New(io.Discard, "", 0)), olric.WithConfig(cfg))
	if err != nil {
		return nil, err
	}

	m, err := client.NewDMap("compare")
	if err != nil {
		return nil, errors.Join(err, client.Close(context.Background()))
	}
	return &olricClient{client, m}, nil
}

// Set stores a value.
func (o *olricClient) Set(ctx context.Context, key string, value []byte) error {
	return o.m.Put(ctx, key, value)
}

// Get returns the value of a key.
func (o *olricClient) Get(ctx context.Context, key string) ([]byte, error) {
	answer, err := o.m.Get(ctx, key)
	if errors.Is(err, olric.ErrKeyNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return answer.Byte()
}

// SetAll stores values by one pipeline.
func (o *olricClient) SetAll(ctx context.Context, keys []string, values [][]byte) error {
	p, err := o.m.Pipeline()
	if err != nil {
		return err
	}
	defer p.Close()

	futures := make([]*olric.FuturePut, len(keys))
	for i, k := range keys {
		if futures[i], err = p.Put(ctx, k, values[i]); err != nil {
			return err
		}
	}

	if err := p.Exec(ctx); err != nil {
		return err
	}

	var errs []error
	for _, f := range futures {
		errs = append(errs, f.Result())
	}
	return errors.Join(errs...)
}

// GetAll reads values by one pipeline.
func (o *olricClient) GetAll(ctx context.Context, keys []string, each func(value []byte)) error {
	p, err := o.m.Pipeline()
	if err != nil {
		return err
	}
	defer p.Close()

	futures := make([]*olric.FutureGet, len(keys))
	for i, k := range keys {
		futures[i] = p.Get(ctx, k)
	}

	if err := p.Exec(ctx); err != nil {
		return err
	}

	for _, f := range futures {
		answer, err := f.Result()
		if errors.Is(err, olric.ErrKeyNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		v, err := answer.Byte()
		if err != nil {
			return err
		}
		each(v)
	}
	return nil
}

// Close closes the client.
func (o *olricClient) Close() error { return o.client.Close(context.Background()) }
