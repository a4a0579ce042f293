package peers

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// etcdBatch is the largest batch that the servers are told to take as one transaction.
const etcdBatch = 10_000

// etcd starts one cluster whose members all hold everything, and write it to disk before they answer.
func etcd(ctx context.Context, site *Site, members int) (*Cluster, error) {
	server, err := site.program("etcd")
	if err != nil {
		return nil, err
	}

	g, err := site.newGroup("etcd", members)
	if err != nil {
		return nil, err
	}
	var initial []string

	for i := range members {
		initial = append(initial, fmt.Sprintf("m%d=http://%s", i, g.addr(i, 1)))
	}
	for i := range members {
		name, clients, others := fmt.Sprintf("m%d", i), "http://"+g.addr(i, 0), "http://"+g.addr(i, 1)
		cmd := exec.Command(server, "--name", name, "--data-dir", name, "--listen-client-urls", clients, "--advertise-client-urls", clients,
			"--listen-peer-urls", others, "--initial-advertise-peer-urls", others, "--initial-cluster", strings.Join(initial, ","),
			"--max-txn-ops", fmt.Sprint(etcdBatch), "--log-level", "error")
		if _, err := g.launch(name, cmd); err != nil {
			return g.failed(err)
		}
	}

	var version string
	if err := g.poll(ctx, func() error { version, err = etcdReady(ctx, g.addrs(members)); return err }); err != nil {
		return g.failed(err)
	}
	about := fmt.Sprintf("etcd %s, every member holds everything, on disk with fsync; reads and writes are linearizable", version)
	return g.cluster(about, members, members), nil
}

func newEtcdClient(addrs []string) (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{Endpoints: addrs, DialTimeout: 5 * time.Second, Logger: zap.NewNop()})
}

// etcdReady returns the version of the cluster once all members answer and have a leader.
func etcdReady(ctx context.Context, addrs []string) (version string, err error) {
	client, err := newEtcdClient(addrs)
	if err != nil {
		return "", err
	}
	defer func() { _ = client.Close() }()

	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	for _, a := range addrs {
		status, err := client.Status(ctx, a)
		if err != nil {
			return "", err
		}
		// Without a leader nothing can be written, so the cluster is not ready.
		if status.Leader == 0 {
			return "", fmt.Errorf("%s knows no leader", a)
		}
		version = status.Version
	}
	return version, nil
}

// etcdClient is a key space of etcd.
type etcdClient struct{ client *clientv3.Client }

func connectEtcd(_ context.Context, c *Cluster) (Client, error) {
	client, err := newEtcdClient(c.Addrs)
	if err != nil {
		return nil, err
	}
	return etcdClient{client}, nil
}

// Set stores a value.
func (e etcdClient) Set(ctx context.Context, key string, value []byte) error {
	_, err := e.client.Put(ctx, key, string(value))
	return err
}

// Get returns the value of a key by a linearizable read.
func (e etcdClient) Get(ctx context.Context, key string) ([]byte, error) {
	answer, err := e.client.Get(ctx, key)
	if err != nil || len(answer.Kvs) == 0 {
		return nil, err
	}
	return answer.Kvs[0].Value, nil
}

// SetAll stores values by one transaction.
func (e etcdClient) SetAll(ctx context.Context, keys []string, values [][]byte) error {
	ops := make([]clientv3.Op, len(keys))
	for i, k := range keys {
		ops[i] = clientv3.OpPut(k, string(values[i]))
	}
	_, err := e.client.Txn(ctx).Then(ops...).Commit()
	return err
}

// GetAll reads values by one transaction.
func (e etcdClient) GetAll(ctx context.Context, keys []string, each func(value []byte)) error {
	ops := make([]clientv3.Op, len(keys))
	for i, k := range keys {
		ops[i] = clientv3.OpGet(k)
	}

	answer, err := e.client.Txn(ctx).Then(ops...).Commit()
	if err != nil {
		return err
	}

	for _, r := range answer.Responses {
		for _, kv := range r.GetResponseRange().GetKvs() {
			each(kv.Value)
		}
	}
	return nil
}

// Close closes the client.
func (e etcdClient) Close() error { return e.client.Close() }
