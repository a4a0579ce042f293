package maps

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/lni/dragonboat/v4/raftio"

	"github.com/gridiron-io/gridiron/maps/state"
	"github.com/gridiron-io/gridiron/partition"
	"github.com/gridiron-io/gridiron/partition/raftnet"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// patience is how long a test waits for what must come.
const patience = 30 * time.Second

// owner is a member that owns all partitions alone, as far as its Service can tell, with a clock that can be moved on.
type owner struct {
	*Service
	t     testing.TB
	host  *partition.Host
	start time.Time
	ahead atomic.Int64 // milliseconds

	mu      sync.Mutex
	configs map[string]wire.MapConfig
	seq     uint64
}

// newOwner starts an owner of so many partitions, with its upkeep; edit changes the configuration.
func newOwner(t testing.TB, partitions int, edit ...func(*Config)) *owner {
	t.Helper()
	o := &owner{t: t, start: time.Now(), configs: map[string]wire.MapConfig{}}
	id := wire.ID(uuid.New())
	tr, err := raftnet.New(raftnet.Config{Plane: wire.PlaneRaft, Dial: func(context.Context, string, uint8) (net.Conn, error) {
		return nil, errors.New("there is nobody else")
	}})
	if err != nil {
		t.Fatal(err)
	}
	registry := raftnet.NewRegistry()
	targets := make(map[raftio.NodeInfo]string)
	for p := range partitions {
		targets[raftio.NodeInfo{ShardID: partition.ShardOf(1, p), ReplicaID: 1}] = id.String()
	}
	registry.SetAll(targets)
	o.host, err = partition.Start(partition.HostConfig{Member: id, Incarnation: id, Cluster: wire.ID{1}, Addr: "member.test:5702",
		Partitions: partitions, Machines: Machines{}, Transport: tr, Registry: registry, Now: o.now, Lease: partition.DefaultLease, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.host.Close)
	for p := range partitions {
		if err := o.host.StartReplica(partition.Placement{Partition: p, Generation: 1, Replica: 1, Initial: map[uint64]wire.ID{1: id}, Preferred: true}); err != nil {
			t.Fatal(err)
		}
	}
	o.await("all partitions are owned", func() bool {
		for p := range partitions {
			if o.host.Serving(p) == 0 {
				return false
			}
		}
		return true
	})
	cfg := Config{Host: o.host, Partitions: partitions, Now: o.now, MaxValue: 1 << 20, MapConfig: o.configOf,
		Owner: func(int) wire.Moved { return wire.Moved{} }}
	for _, f := range edit {
		f(&cfg)
	}
	o.Service = New(cfg)
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { o.Run(ctx) })
	t.Cleanup(func() {
		stop()
		running.Wait()
	})
	return o
}

func (o *owner) now() int64 { return time.Since(o.start).Milliseconds() + o.ahead.Load() + 1_000_000 }

func (o *owner) configOf(name []byte) wire.MapConfig {
	o.mu.Lock()
	defer o.mu.Unlock()
	if c, ok := o.configs[string(name)]; ok {
		return c
	}
	return wire.DefaultMapConfig
}

func (o *owner) configure(name string, c wire.MapConfig) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.configs[name] = c
}

// await waits until ok reports true.
func (o *owner) await(what string, ok func() bool) {
	o.t.Helper()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	deadline := time.After(patience)
	for !ok() {
		select {
		case <-again.C:
		case <-deadline:
			o.t.Fatalf("not in time: %s", what)
		}
	}
}

// answer is what a caller was told.
type answer struct {
	code wire.Code
	body []byte
}

// answers is a caller that waits for one answer.
type answers chan answer

func (a answers) Answer(_ uint64, code wire.Code, body []byte) {
	a <- answer{code, append([]byte(nil), body...)}
}

// start sends a request to the partition of a key and returns where its answer comes.
func (o *owner) begin(p int, op wire.Op, body []byte) answers {
	o.t.Helper()
	a := make(answers, 2)
	req := &wire.Request{ID: 1, Op: op, Partition: uint32(p), Deadline: o.now() + 30_000, Body: body}
	if op.IsWrite() {
		o.mu.Lock()
		o.seq++
		req.Client, req.Seq, req.Lowest = wire.ID{1}, o.seq, 1
		o.mu.Unlock()
	}
	if o.Handle(req, a, o.Moment()) {
		o.host.Flush(p)
	}
	return a
}

func (o *owner) wait(a answers) answer {
	o.t.Helper()
	select {
	case got := <-a:
		return got
	case <-time.After(patience):
		o.t.Fatal("a request was never answered")
		return answer{}
	}
}

// call sends a request that must be answered with CodeOK, and returns the answer's body.
func (o *owner) call(p int, op wire.Op, body []byte) []byte {
	o.t.Helper()
	got := o.wait(o.begin(p, op, body))
	if got.code != wire.CodeOK {
		o.t.Fatalf("%v: %v %s", op, got.code, got.body)
	}
	return got.body
}

// place returns the partition in which the tests keep a key.
func (o *owner) place(key string) int {
	h := 0
	for _, c := range []byte(key) {
		h = h*31 + int(c)
	}
	return h % o.cfg.Partitions
}

// set writes a value.
func (o *owner) set(name, key, value string, edit ...func(*wire.WriteOptions)) wire.WriteResult {
	o.t.Helper()
	w := wire.WriteBody{Map: []byte(name), Key: []byte(key), Value: []byte(value)}
	for _, f := range edit {
		f(&w.WriteOptions)
	}
	r, err := wire.DecodeWriteResult(o.call(o.place(key), wire.OpSet, wire.AppendWriteBody(nil, &w)))
	if err != nil {
		o.t.Fatal(err)
	}
	return r
}

// get reads a value, "" where there is none.
func (o *owner) get(name, key string) string {
	o.t.Helper()
	r, err := wire.DecodeGetResult(o.call(o.place(key), wire.OpGet, wire.AppendKeyBody(nil, name, []byte(key))))
	if err != nil {
		o.t.Fatal(err)
	}
	return string(r.Value)
}

// remove deletes a key.
func (o *owner) remove(name, key string) {
	o.t.Helper()
	o.call(o.place(key), wire.OpDelete, wire.AppendWriteBody(nil, &wire.WriteBody{Map: []byte(name), Key: []byte(key)}))
}

// view reads the entry's view.
func (o *owner) view(name, key string) wire.EntryViewResult {
	o.t.Helper()
	r, err := wire.DecodeEntryViewResult(o.call(o.place(key), wire.OpEntryView, wire.AppendKeyBody(nil, name, []byte(key))))
	if err != nil {
		o.t.Fatal(err)
	}
	return r
}

// stored returns the entry as the log has it, without being one of its readers.
func (o *owner) stored(name, key string) (v state.Entry, ok bool) {
	o.host.Inspect(o.place(key), func(m partition.Machine) { v, ok = stateOf(m).Get([]byte(name), []byte(key)) })
	return v, ok
}

// stats sums what the partitions say of a map.
func (o *owner) stats(name string) (sum state.MapStats) {
	for p := range o.cfg.Partitions {
		o.host.Inspect(p, func(m partition.Machine) {
			s := stateOf(m).Stats([]byte(name))
			sum.Entries += s.Entries
			sum.Held += s.Held
			sum.Bytes += s.Bytes
			sum.Expired += s.Expired
			sum.Evicted += s.Evicted
		})
	}
	return sum
}

func ttl(ms uint64) func(*wire.WriteOptions) {
	return func(o *wire.WriteOptions) { o.Flags, o.TTL = o.Flags|wire.WriteTTL, ms }
}

func maxIdle(ms uint64) func(*wire.WriteOptions) {
	return func(o *wire.WriteOptions) { o.Flags, o.MaxIdle = o.Flags|wire.WriteMaxIdle, ms }
}

func keepTTL(o *wire.WriteOptions) { o.Flags |= wire.WriteKeepTTL }
