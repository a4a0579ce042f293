#!/usr/bin/env bash
# A Raft group of dragonboat v4 that shrinks to one voter while a read waits sends its learners no heartbeats any more.
#
# A leader with other voters confirms a read (ReadIndex) by heartbeats that name it. While one is not confirmed, every heartbeat names it, and
# those go to voters only. Where the other voter is removed meanwhile, nobody is left to confirm the read: the leader keeps it for ever, although
# the caller has long had its timeout. From then on learners hear of no leader and of no commit index. One that starts again cannot read, until
# something is written. A new term ends that. Without the read that waits, learners of the one voter are served as they should be.
#
# The network here loses just the heartbeats that would confirm the read, which any network may do.
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

	lossy      atomic.Bool   // heartbeats that confirm reads are lost on the way to the second host
	heartbeats atomic.Uint64 // sent to the third host
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
	return nil, errors.New("no snapshots here")
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
	kept := b
	kept.Requests = nil
	for _, m := range b.Requests {
		if m.Type == pb.Heartbeat && c.target == "host2" && m.Hint != 0 && c.n.lossy.Load() {
			continue
		}
		if m.Type == pb.Heartbeat && c.target == "host3" {
			c.n.heartbeats.Add(1)
		}
		kept.Requests = append(kept.Requests, m)
	}
	c.queue <- kept
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

func run(dir string, reads bool) {
	n := &network{hosts: make(map[string]raftio.MessageHandler)}
	start := func(nh *dragonboat.NodeHost, replica uint64, learns bool) error {
		initial := map[uint64]string{1: "host1", 2: "host2"}
		if learns {
			initial = nil
		}
		joins := learns && !nh.HasNodeInfo(1, replica)
		return nh.StartReplica(initial, joins, func(uint64, uint64) sm.IStateMachine { return nothing{} },
			config.Config{ShardID: 1, ReplicaID: replica, ElectionRTT: 200, HeartbeatRTT: 5, CheckQuorum: true, IsNonVoting: learns})
	}
	var hosts []*dragonboat.NodeHost
	for i := range 3 {
		addr := fmt.Sprintf("host%d", i+1)
		db := config.GetTinyMemLogDBConfig()
		db.Shards = 1
		nh, err := dragonboat.NewNodeHost(config.NodeHostConfig{NodeHostDir: filepath.Join(dir, addr), RTTMillisecond: 10, RaftAddress: addr,
			Expert: config.ExpertConfig{LogDB: db, TransportFactory: factory{n, addr}}})
		must(err)
		hosts = append(hosts, nh)
		if i < 2 {
			must(start(nh, uint64(i+1), false))
		}
	}
	one, two, three := hosts[0], hosts[1], hosts[2]

	until("the first leads", func(context.Context) error {
		if leader, _, ok, err := one.GetLeaderID(1); err == nil && ok && leader == 1 {
			return nil
		}
		_ = one.RequestLeaderTransfer(1, 1)
		return errors.New("it does not lead")
	})
	write := func(ctx context.Context) error {
		_, err := one.SyncPropose(ctx, one.GetNoOPSession(1), []byte("x"))
		return err
	}
	until("a write", write)
	until("a learner", func(ctx context.Context) error { return one.SyncRequestAddNonVoting(ctx, 1, 3, "host3", 0) })
	must(start(three, 3, true))
	until("the learner reads", func(ctx context.Context) error { _, err := three.SyncRead(ctx, 1, nil); return err })

	var read *dragonboat.RequestState
	if reads {
		n.lossy.Store(true)
		var err error
		read, err = one.ReadIndex(1, time.Second)
		must(err)
	}
	until("the second is removed", func(ctx context.Context) error { return one.SyncRequestDeleteReplica(ctx, 1, 2, 0) })
	_ = two.StopShard(1) // unless it has stopped by itself
	n.lossy.Store(false)
	_, term, _, err := one.GetLeaderID(1)
	must(err)
	if reads {
		result := <-read.ResultC()
		fmt.Println("a read that nobody can confirm times out:", result.Timeout())
	}

	must(three.StopShard(1))
	before := n.heartbeats.Load()
	until("the learner starts again", func(context.Context) error { return start(three, 3, true) })
	answered := false
	for end := time.Now().Add(4 * time.Second); time.Now().Before(end) && !answered; time.Sleep(100 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		_, err := three.SyncRead(ctx, 1, nil)
		answered = err == nil
		cancel()
	}
	fmt.Printf("one voter is left: the learner, started again, reads: %v; it is sent heartbeats: %v\n", answered, n.heartbeats.Load() > before)
	until("a write", write)
	if _, now, _, err := one.GetLeaderID(1); err != nil || now != term {
		panic(fmt.Sprintf("term %d has followed term %d, %v: the machine is too busy to show this", now, term, err))
	}
}

func main() {
	for _, name := range []string{"raft", "rsm", "transport", "grpc", "dragonboat", "logdb", "config", "settings", "utils", "order"} {
		logger.GetLogger(name).SetLevel(logger.CRITICAL)
	}
	dir, err := os.MkdirTemp("", "finding-")
	must(err)
	defer os.RemoveAll(dir)
	run(dir, os.Args[1] == "read") // the hosts end with the process
}
GO

go mod tidy >/dev/null 2>&1
go build -o finding .
for what in "without a read that waits" "with a read that waits"; do
	echo "$what"
	./finding "$([[ $what == with\ * ]] && echo read || echo none)" 2>err || { cat err >&2; exit 1; }
done >got
cat >want <<'TEXT'
without a read that waits
one voter is left: the learner, started again, reads: true; it is sent heartbeats: true
with a read that waits
a read that nobody can confirm times out: true
one voter is left: the learner, started again, reads: false; it is sent heartbeats: false
TEXT
cat got
diff want got
