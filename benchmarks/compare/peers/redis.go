package peers

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"

	goredis "github.com/redis/go-redis/v9"
)

// slots is how many hash slots a Redis Cluster has.
const slots = 16384

// redisCluster starts as many primaries as members, each with one replica, which is Redis Cluster's usual shape.
func redisCluster(ctx context.Context, site *Site, members int) (*Cluster, error) {
	server, err := site.program("redis-server")
	if err != nil {
		return nil, err
	}

	g, err := site.newGroup("redis", 2*members)
	if err != nil {
		return nil, err
	}

	for i := range 2 * members {
		name := fmt.Sprintf("n%d", i)
		// What has no flag is as the server has it without a file, but nothing goes to disk.
		cmd := exec.Command(server, "--port", strconv.Itoa(g.port(i, 0)), "--bind", "127.0.0.1", "--dir", g.dir, "--save", "", "--appendonly", "no",
			"--cluster-enabled", "yes", "--cluster-config-file", name+".conf", "--cluster-port", strconv.Itoa(g.port(i, 1)))
		if _, err := g.launch(name, cmd); err != nil {
			return g.failed(err)
		}
	}

	nodes := make([]*goredis.Client, 2*members)
	for i, a := range g.ports.Addrs() {
		nodes[i] = goredis.NewClient(&goredis.Options{Addr: a})
		defer func() { _ = nodes[i].Close() }()
	}

	if err := formRedis(ctx, g, nodes, members); err != nil {
		return g.failed(err)
	}

	version, err := redisVersion(ctx, nodes[0])
	if err != nil {
		return g.failed(err)
	}
	about := fmt.Sprintf("Redis Cluster %s, %d primaries with a replica each, copies are asynchronous", version, members)
	return g.cluster(about, 2, members), nil
}

// formRedis makes servers a cluster: the first ones are primaries, the others their replicas.
func formRedis(ctx context.Context, g *group, nodes []*goredis.Client, primaries int) error {
	ids := make([]string, len(nodes))
	for i, n := range nodes {
		if err := g.poll(ctx, func() (err error) {
			ids[i], err = n.Do(ctx, "CLUSTER", "MYID").Text()
			return err
		}); err != nil {
			return err
		}
	}

	for i, n := range nodes {
		if i < primaries {
			if err := n.Do(ctx, "CLUSTER", "ADDSLOTSRANGE", i*slots/primaries, (i+1)*slots/primaries-1).Err(); err != nil {
				return err
			}
		}
		// Each server meets the first one. They tell each other of the rest.
		if i > 0 {
			if err := n.Do(ctx, "CLUSTER", "MEET", "127.0.0.1", g.port(0, 0), g.port(0, 1)).Err(); err != nil {
				return err
			}
		}
	}

	// A replica must have heard of its primary first.
	for i := primaries; i < len(nodes); i++ {
		if err := g.poll(ctx, func() error { return nodes[i].ClusterReplicate(ctx, ids[i-primaries]).Err() }); err != nil {
			return err
		}
	}

	// Replicas must have copied their primaries, or writes would be measured with no copy.
	for i, n := range nodes {
		if err := g.poll(ctx, func() error { return redisReady(ctx, n, len(nodes), i >= primaries) }); err != nil {
			return err
		}
	}
	return nil
}

// redisReady returns an error unless a server knows all others, and is in step with its primary if it is a replica.
func redisReady(ctx context.Context, n *goredis.Client, nodes int, replica bool) error {
	info, err := n.ClusterInfo(ctx).Result()
	if err != nil {
		return err
	}
	if !strings.Contains(info, "cluster_state:ok") || !strings.Contains(info, fmt.Sprintf("cluster_known_nodes:%d\r", nodes)) {
		return errors.New("the cluster is not formed")
	}
	if !replica {
		return nil
	}

	info, err = n.Info(ctx, "replication").Result()
	if err != nil {
		return err
	}
	if !strings.Contains(info, "master_link_status:up") {
		return errors.New("a replica is not in step")
	}
	return nil
}

func redisVersion(ctx context.Context, n *goredis.Client) (string, error) {
	info, err := n.Info(ctx, "server").Result()
	if err != nil {
		return "", err
	}
	_, rest, _ := strings.Cut(info, "redis_version:")
	version, _, _ := strings.Cut(rest, "\r\n")
	return version, nil
}
