#!/usr/bin/env bash
# In dragonboat v4, snapshots that cannot be sent to a host hold back the messages of all Raft groups to it.
#
# The transport has one circuit breaker for each remote host. Connections for snapshots report their failures to it, and messages ask it whether they
# may go. A connection for messages that lives reports no success. So where a snapshot of one group is refused again and again, the breaker stays
# open, and lets messages of every other group pass less and less often, although their connection has no fault. Leaders look dead to their followers.
#
# The transport here is one of the library's plug-ins. It carries all messages, and refuses connections for snapshots, as a busy host may.
# Seen with github.com/lni/dragonboat/v4 v4.0.0-20250723143628-076c7f6497dc.
#
# Needs Go and a module proxy. Exits 0 while the behaviour is as described.
set -euo pipefail
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
cd "$dir"

cat >go.mod <<'MOD'
module finding

go 1.24

require github.com/lni/dragonboat/v4 v4.0.0-20250723143628-076c7f6497dc
MOD

cat >main.go <<'GO'
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lni/dragonboat/v4"
	"github.com/lni/dragonboat/v4/config"
	"github.com/lni/dragonboat/v4/logger"
	"github.com/lni/dragonboat/v4/raftio"
	pb "github.com/lni/dragonboat/v4/raftpb"
	sm "github.com/lni/dragonboat/v4/statemachine"
)

// network carries messages in the process, in order for each pair of hosts.
type network struct {
	mu    sync.Mutex
	hosts map[string]raftio.MessageHandler

	heartbeats atomic.Uint64 // of the first group, to the second host
	refused    atomic.Uint64 // connections for snapshots
}

type factory struct {
	n    *network
	addr string
}

func (f factory) Create(_ config.NodeHostConfig, h raftio.MessageHandler, _ raftio.ChunkHandler) raftio.ITransport {
	f.n.mu.Lock()
	defer f.n.mu.Unlock()
	f.n.hosts[f.addr] = h
	return &transport{f.n}
}
func (factory) Validate(string) bool { return true }

type transport struct{ n *network }

func (*transport) Name() string { return "memory" }
func (*transport) Start() error { return nil }
func (*transport) Close() error { return nil }
func (t *transport) GetSnapshotConnection(context.Context, string) (raftio.ISnapshotConnection, error) {
	t.n.refused.Add(1)
	return nil, errors.New("no snapshots now")
}
func (t *transport) GetConnection(_ context.Context, target string) (raftio.IConnection, error) {
	c := &conn{n: t.n, target: target, queue: make(chan pb.MessageBatch, 1024)}
	go func() {
		for b := range c.queue {
			t.n.mu.Lock()
			h := t.n.hosts[target]
			t.n.mu.Unlock()
			if h != nil {
				h(b)
			}
		}
	}()
	return c, nil
}

type conn struct {
	n      *network
	target string
	queue  chan pb.MessageBatch
}

func (c *conn) Close() { close(c.queue) }
func (c *conn) SendMessageBatch(b pb.MessageBatch) error {
	for _, m := range b.Requests {
		if m.Type == pb.Heartbeat && m.ShardID == 1 && c.target == "host2" {
			c.n.heartbeats.Add(1)
		}
	}
	b.Requests = append([]pb.Message(nil), b.Requests...)
	c.queue <- b
	return nil
}

type nothing struct{}

func (nothing) Update(sm.Entry) (sm.Result, error)                                           { return sm.Result{}, nil }
func (nothing) Lookup(any) (any, error)                                                      { return nil, nil }
func (nothing) SaveSnapshot(io.Writer, sm.ISnapshotFileCollection, <-chan struct{}) error    { return nil }
func (nothing) RecoverFromSnapshot(io.Reader, []sm.SnapshotFile, <-chan struct{}) error      { return nil }
func (nothing) Close() error                                                                 { return nil }

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// until repeats f until it succeeds.
func until(what string, f func(context.Context) error) {
	end := time.Now().Add(time.Minute)
	for {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		err := f(ctx)
		cancel()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			panic(fmt.Sprintf("%s: %v", what, err))
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// heartbeatsIn returns how many heartbeats come in some time.
func (n *network) heartbeatsIn(d time.Duration) uint64 {
	before := n.heartbeats.Load()
	time.Sleep(d)
	return n.heartbeats.Load() - before
}

func run(dir string) {
	n := &network{hosts: make(map[string]raftio.MessageHandler)}
	start := func(nh *dragonboat.NodeHost, shard, replica uint64, initial map[uint64]string) {
		cfg := config.Config{ShardID: shard, ReplicaID: replica, ElectionRTT: 2000, HeartbeatRTT: 5}
		if shard == 2 {
			// It soon has nothing but a snapshot for a replica that comes later.
			cfg.ElectionRTT, cfg.SnapshotEntries, cfg.CompactionOverhead = 20, 10, 1
		}
		cfg.IsNonVoting = len(initial) == 0
		must(nh.StartReplica(initial, cfg.IsNonVoting, func(uint64, uint64) sm.IStateMachine { return nothing{} }, cfg))
	}
	var hosts []*dragonboat.NodeHost
	for i := range 2 {
		addr := fmt.Sprintf("host%d", i+1)
		db := config.GetTinyMemLogDBConfig()
		db.Shards = 1
		nh, err := dragonboat.NewNodeHost(config.NodeHostConfig{NodeHostDir: filepath.Join(dir, addr), RTTMillisecond: 10, RaftAddress: addr,
			Expert: config.ExpertConfig{LogDB: db, TransportFactory: factory{n, addr}}})
		must(err)
		hosts = append(hosts, nh)
	}
	one, two := hosts[0], hosts[1]

	// The first group has a voter on each host, and its leader on the first. The second group begins on the first host alone.
	start(one, 1, 1, map[uint64]string{1: "host1"})
	start(one, 2, 1, map[uint64]string{1: "host1"})
	write := func(shard uint64) {
		until("a write", func(ctx context.Context) error {
			_, err := one.SyncPropose(ctx, one.GetNoOPSession(shard), []byte("x"))
			return err
		})
	}
	write(1)
	until("a second voter", func(ctx context.Context) error {
		err := one.SyncRequestAddReplica(ctx, 1, 2, "host2", 0)
		if errors.Is(err, dragonboat.ErrRejected) { // the try before was made after all
			return nil
		}
		return err
	})
	must(two.StartReplica(nil, true, func(uint64, uint64) sm.IStateMachine { return nothing{} },
		config.Config{ShardID: 1, ReplicaID: 2, ElectionRTT: 2000, HeartbeatRTT: 5}))
	write(1)
	for range 50 {
		write(2)
	}

	healthy := n.heartbeatsIn(5 * time.Second)
	until("a learner", func(ctx context.Context) error {
		err := one.SyncRequestAddNonVoting(ctx, 2, 2, "host2", 0)
		if errors.Is(err, dragonboat.ErrRejected) {
			return nil
		}
		return err
	})
	start(two, 2, 2, nil)
	until("a snapshot that is refused", func(context.Context) error {
		if n.refused.Load() == 0 {
			return errors.New("none was sent")
		}
		return nil
	})
	time.Sleep(10 * time.Second)
	refused := n.heartbeatsIn(15*time.Second) / 3

	fmt.Fprintf(os.Stderr, "heartbeats of the first group in 5 s: %d, then %d; snapshots of the second refused: %d\n", healthy, refused, n.refused.Load())
	fmt.Println("heartbeats of the first group come:", healthy > 20)
	fmt.Println("while a snapshot of the second is refused, fewer than half of them come:", refused < healthy/2)
}

func main() {
	for _, name := range []string{"raft", "rsm", "transport", "grpc", "dragonboat", "logdb", "config", "settings", "utils", "order"} {
		logger.GetLogger(name).SetLevel(logger.CRITICAL)
	}
	dir, err := os.MkdirTemp("", "finding-")
	must(err)
	defer os.RemoveAll(dir)
	run(dir) // the hosts end with the process
}
GO

go mod tidy >/dev/null 2>&1
go run . >got 2>err || { cat err >&2; exit 1; }
tail -1 err
cat >want <<'TEXT'
heartbeats of the first group come: true
while a snapshot of the second is refused, fewer than half of them come: true
TEXT
cat got
diff want got
