//go:build !race

// Under the race detector pools drop what they hold at random: there is nothing to measure.

package server

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/lni/dragonboat/v4/raftio"

	"github.com/gridiron-io/gridiron/maps"
	"github.com/gridiron-io/gridiron/partition"
	"github.com/gridiron-io/gridiron/partition/raftnet"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// socketStandIn is a connection that takes what is written and counts it.
type socketStandIn struct {
	net.Conn
	mu      sync.Mutex
	written int
}

func (s *socketStandIn) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.written += len(b)
	return len(b), nil
}
func (s *socketStandIn) SetWriteDeadline(time.Time) error { return nil }
func (s *socketStandIn) Close() error                     { return nil }

func (s *socketStandIn) total() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.written
}

// owningMaps returns the maps of a member that owns one partition alone.
func owningMaps(t testing.TB) *maps.Service {
	t.Helper()
	id := wire.ID(uuid.New())
	tr, err := raftnet.New(raftnet.Config{Plane: wire.PlaneRaft, Dial: func(context.Context, string, uint8) (net.Conn, error) {
		return nil, errors.New("there is nobody else")
	}})
	if err != nil {
		t.Fatal(err)
	}
	registry := raftnet.NewRegistry()
	registry.SetAll(map[raftio.NodeInfo]string{{ShardID: partition.ShardOf(1, 0), ReplicaID: 1}: id.String()})

	start := time.Now()
	now := func() int64 { return time.Since(start).Milliseconds() + 1_000_000 }
	host, err := partition.Start(partition.HostConfig{Member: id, Incarnation: id, Cluster: wire.ID{1}, Addr: "member.test:5702", Partitions: 1,
		Machines: maps.Machines{}, Transport: tr, Registry: registry, Now: now, Lease: partition.DefaultLease, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(host.Close)
	if err := host.StartReplica(partition.Placement{Partition: 0, Generation: 1, Replica: 1, Initial: map[uint64]wire.ID{1: id}, Preferred: true}); err != nil {
		t.Fatal(err)
	}
	await(t, "an owner", func() bool { return host.Serving(0) != 0 })

	s := maps.New(maps.Config{Host: host, Partitions: 1, Now: now, MaxValue: 1 << 20, Owner: func(int) wire.Moved { return wire.Moved{} },
		MapConfig: func([]byte) wire.MapConfig { return wire.DefaultMapConfig },
		Latency:   func(string, wire.Op) func(time.Duration) { return func(time.Duration) {} }})
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { s.Run(ctx) })
	t.Cleanup(func() {
		stop()
		running.Wait()
	})
	return s
}

// A Get under a lease is answered on the goroutine that has read it, and allocates nothing from the frame to the answer.
func TestGetAllocatesNothing(t *testing.T) {
	m := owningMaps(t)
	s := New(Config{SlowPeer: time.Second, Stamp: func() (int64, uint64) { return 1, 1 }, Logger: slog.New(slog.DiscardHandler)})
	s.Provide(Services{Partitions: 1, Maps: m})
	nc := &socketStandIn{}
	c := newConn(s, nc, wire.Hello{}, false)
	s.wg.Add(1)
	go c.write() // ends with the connection
	t.Cleanup(func() {
		c.close()
		s.wg.Wait()
	})

	frameOf := func(req wire.Request) []byte {
		req.ID, req.Deadline = 1, 1_050_000
		return wire.AppendRequest(nil, &req)[4:]
	}
	var touched touched
	do := func(frame []byte) (atOnce bool) {
		c.cork()
		if err := c.handle(frame, &touched); err != nil {
			t.Fatal(err)
		}
		atOnce = c.InFlight() == 0
		c.uncork()
		touched.flush(s.services.Load())
		return atOnce
	}
	key := []byte("key")
	set := frameOf(wire.Request{Op: wire.OpSet, Client: wire.ID{1}, Seq: 1, Lowest: 1,
		Body: wire.AppendWriteBody(nil, &wire.WriteBody{Map: []byte("a map"), Key: key, Value: make([]byte, 100)})})
	do(set)
	await(t, "the answer to the write", func() bool { return nc.total() > 0 })

	get := frameOf(wire.Request{Op: wire.OpGet, Body: wire.AppendKeyBody(nil, "a map", key)})
	before := nc.total()
	do(get)
	await(t, "the answer to a read", func() bool { return nc.total() > before+wire.AnswerHeader+100 })

	// On a busy machine the lease may end meanwhile: then a read waits for a majority, which is another path.
	for range 100 {
		under := true
		allocations := testing.AllocsPerRun(1000, func() { under = do(get) && under })
		if !under {
			await(t, "all answers", func() bool { return c.InFlight() == 0 })
			continue
		}
		if allocations > 0 {
			t.Errorf("a Get allocates %v times", allocations)
		}
		return
	}
	t.Error("no series of reads was made under one lease")
}
