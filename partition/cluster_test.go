package partition

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/lni/dragonboat/v4/raftio"
	"github.com/stretchr/testify/require"

	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/partition/raftnet"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// signal wakes all who wait for something to be different.
type signal struct {
	mu sync.Mutex
	ch chan struct{}
}

func (s *signal) next() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch == nil {
		s.ch = make(chan struct{})
	}
	return s.ch
}

func (s *signal) notify() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch != nil {
		close(s.ch)
		s.ch = nil
	}
}

// testCluster is some hosts in one process, connected over loopback TCP, and the time that they share.
type testCluster struct {
	tb         testing.TB
	partitions int
	lease      time.Duration // of the owners
	changed    signal        // something was applied, or an owner changed
	start      time.Time
	ahead      atomic.Int64 // milliseconds by which cluster time is ahead of the clock

	addrs map[string]string // complete before anybody dials
	hosts []*testHost
}

// testHost is a host with its connections.
type testHost struct {
	*Host
	cluster  *testCluster
	id       wire.ID
	tr       *raftnet.Transport
	mute     atomic.Bool // nothing that it sends arrives, nor what is sent to it, and nobody notices
	mayOwn   atomic.Bool
	sendGate atomic.Pointer[stateSnapshotGate] // of state snapshots that are sent to it
}

// stateSnapshotGate holds state snapshots up.
type stateSnapshotGate struct {
	open  <-chan struct{}
	began chan struct{} // closed when there is one
	once  sync.Once
}

// holdStateSnapshots holds up the state snapshots that are sent to the host until resume is called. began is closed when there is one.
func (h *testHost) holdStateSnapshots() (began <-chan struct{}, resume func()) {
	open := make(chan struct{})
	g := &stateSnapshotGate{open: open, began: make(chan struct{})}
	h.sendGate.Store(g)
	return g.began, sync.OnceFunc(func() { close(open) })
}

// stateSnapshotConn carries a state snapshot, through the gate of whom it is for. It has all the time that the test takes.
type stateSnapshotConn struct {
	net.Conn
	to *testHost
}

func (c *stateSnapshotConn) SetWriteDeadline(time.Time) error { return nil }

func (c *stateSnapshotConn) Write(b []byte) (int, error) {
	if g := c.to.sendGate.Load(); g != nil {
		g.once.Do(func() { close(g.began) })
		<-g.open
	}
	return c.Conn.Write(b)
}

// muteConn loses whole writes, which are whole frames, while an end is mute.
type muteConn struct {
	net.Conn
	from, to *testHost
}

func (c *muteConn) Write(b []byte) (int, error) {
	if c.from.mute.Load() || c.to.mute.Load() {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

// newCluster returns n hosts without replicas.
func newCluster(tb testing.TB, n, partitions int) *testCluster {
	tb.Helper()
	return newClusterOf(tb, n, partitions, DefaultLease)
}

func newClusterOf(tb testing.TB, n, partitions int, lease time.Duration) *testCluster {
	tb.Helper()
	c := &testCluster{tb: tb, partitions: partitions, lease: lease, start: time.Now(), addrs: map[string]string{}}
	for range n {
		c.hosts = append(c.hosts, c.newHost())
	}
	targets := make(map[raftio.NodeInfo]string)
	for p := range partitions {
		for i, h := range c.hosts {
			targets[raftio.NodeInfo{ShardID: ShardOf(1, p), ReplicaID: uint64(i + 1)}] = h.id.String()
		}
	}
	for _, h := range c.hosts {
		h.cfg.Registry.SetAll(targets)
	}
	return c
}

// newBootstrappedCluster returns n hosts that hold a replica of every partition, each owned by one of them in turn.
func newBootstrappedCluster(tb testing.TB, n, partitions int) *testCluster {
	tb.Helper()
	return newLeasedCluster(tb, n, partitions, DefaultLease)
}

// newLeasedCluster is newBootstrappedCluster with leases of another length.
func newLeasedCluster(tb testing.TB, n, partitions int, lease time.Duration) *testCluster {
	tb.Helper()
	c := newClusterOf(tb, n, partitions, lease)
	c.found()
	c.awaitPreferred()
	return c
}

// found starts all replicas, replica i+1 at host i. Partition p is to be owned by host p modulo their number.
func (c *testCluster) found() {
	c.tb.Helper()
	for p := range c.partitions {
		for i, h := range c.hosts {
			require.NoError(c.tb, h.StartReplica(c.placement(p, i)))
		}
	}
}

func (c *testCluster) placement(p, host int) Placement {
	initial := make(map[uint64]wire.ID)
	for i, h := range c.hosts {
		initial[uint64(i+1)] = h.id
	}
	return Placement{Partition: p, Generation: 1, Replica: uint64(host + 1), Initial: initial, Preferred: p%len(c.hosts) == host}
}

func (c *testCluster) now() int64 {
	return time.Since(c.start).Milliseconds() + c.ahead.Load() + 1_000_000
}

func (c *testCluster) newHost() *testHost {
	c.tb.Helper()
	h := &testHost{cluster: c, id: wire.ID(uuid.New())}
	h.mayOwn.Store(true)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(c.tb, err)
	c.addrs[h.id.String()] = l.Addr().String()
	h.tr, err = raftnet.New(raftnet.Config{Plane: wire.PlaneRaft, Dial: h.dial})
	require.NoError(c.tb, err)
	var serving sync.WaitGroup
	serving.Go(func() { h.accept(l, &serving) })
	h.Host, err = Start(HostConfig{
		Member: wire.ID(uuid.New()), Incarnation: h.id, Cluster: wire.ID{1}, Addr: "member.test:5702", Partitions: c.partitions,
		Machines: registerMachines{}, Transport: h.tr, Registry: raftnet.NewRegistry(), Now: c.now, Lease: c.lease, MayOwn: h.mayOwn.Load,
		OnOwner: func(int) { c.changed.notify() }, OnApplied: func(int) { c.changed.notify() },
		Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(c.tb, err)
	c.tb.Cleanup(func() {
		l.Close()
		h.Close()
		serving.Wait()
		require.Zero(c.tb, h.pending.Load(), "bytes that nobody gave back")
		require.Zero(c.tb, h.reading.Load(), "reads that nobody counted off")
		require.Zero(c.tb, h.waiting.Load(), "memory of reads that nobody counted off")
	})
	return h
}

func (h *testHost) accept(l net.Listener, serving *sync.WaitGroup) {
	for {
		nc, err := l.Accept()
		if err != nil {
			return
		}
		serving.Go(func() {
			var stream [1]byte
			if _, err := io.ReadFull(nc, stream[:]); err != nil {
				nc.Close()
				return
			}
			if err := h.tr.Serve(nc, wire.Hello{Plane: wire.PlaneRaft, Stream: stream[0]}); errors.Is(err, wire.ErrMalformed) {
				h.cluster.tb.Errorf("serve: %v", err)
			}
		})
	}
}

func (h *testHost) dial(ctx context.Context, target string, stream uint8) (net.Conn, error) {
	var to *testHost
	for _, o := range h.cluster.hosts {
		if o.id.String() == target {
			to = o
		}
	}
	if to == nil {
		return nil, fmt.Errorf("no host %s", target)
	}
	var d net.Dialer
	nc, err := d.DialContext(ctx, "tcp", h.cluster.addrs[target])
	if err != nil {
		return nil, err
	}
	if _, err := nc.Write([]byte{stream}); err != nil {
		nc.Close()
		return nil, err
	}
	if stream == raftnet.StreamChunks {
		return &stateSnapshotConn{&muteConn{nc, h, to}, to}, nil
	}
	return &muteConn{nc, h, to}, nil
}

// await waits until ok reports true, which it is asked at every change.
func (c *testCluster) await(what string, ok func() bool) {
	c.tb.Helper()
	c.poke(what, ok, func() {})
}

// poke is await that repeats an attempt to bring ok about, every 20 ms.
func (c *testCluster) poke(what string, ok func() bool, try func()) {
	c.tb.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		next := c.changed.next()
		if ok() {
			return
		}
		select {
		case <-next:
		case <-again.C:
			try()
		case <-deadline.C:
			c.tb.Fatalf("not in time: %s", what)
		}
	}
}

// server returns which host serves a partition, -1 if none does.
func (c *testCluster) server(p int) int {
	for i, h := range c.hosts {
		if h.Serving(p) != 0 {
			return i
		}
	}
	return -1
}

// elect has a host's replica elected and waits until it serves the partition.
func (c *testCluster) elect(p, host int) {
	c.tb.Helper()
	h := c.hosts[host]
	last, quiet, turn := uint64(0), 0, host
	c.poke(fmt.Sprintf("host %d serves partition %d", host, p), func() bool { return h.Serving(p) != 0 }, func() {
		st, _ := h.Status(p)
		if st.Term != last || st.Leader != 0 {
			last, quiet = st.Term, 0
		}
		if quiet++; quiet == 10 { // the candidate had the shorter log: now one after the other campaigns, candidates included
			quiet, turn = 0, turn+1
			at := turn % len(c.hosts)
			c.hosts[at].tr.Inject(ShardOf(1, p), uint64(at+1), 0, st.Term+1)
		} else if st.Leader != 0 {
			c.inject(p, host)
		}
	})
}

// inject has a host's replica campaign, once.
func (c *testCluster) inject(p, host int) {
	h := c.hosts[host]
	st, ok := h.Status(p)
	if ok && st.Leader != st.Replica {
		h.tr.Inject(ShardOf(1, p), st.Replica, st.Leader, st.Term)
	}
}

// settle waits until all replicas of a partition have applied the same, and returns it. Nobody may write meanwhile.
func (c *testCluster) settle(p int) *registers {
	c.tb.Helper()
	var last *registers
	c.await(fmt.Sprintf("the replicas of partition %d agree", p), func() bool {
		var first uint64
		for i, h := range c.hosts {
			st, _ := h.Status(p)
			if i == 0 {
				first = st.Applied
			} else if st.Applied != first {
				return false
			}
		}
		return c.server(p) >= 0
	})
	for i, h := range c.hosts {
		h.Inspect(p, func(m Machine) {
			if i > 0 {
				require.Equal(c.tb, last.Hash(), m.Hash(), "the same log, the same state")
			}
			last = m.(*registers)
		})
	}
	return last
}

// outcome is what a Completion was told.
type outcome struct {
	what Outcome
	res  entry.Result
}

// pendingOp is a Completion that fails the test if it is told twice.
type pendingOp struct {
	told atomic.Int32
	ch   chan outcome
}

func newPendingOp() *pendingOp { return &pendingOp{ch: make(chan outcome, 2)} }

func (c *pendingOp) Complete(o Outcome, r entry.Result) {
	if c.told.Add(1) > 1 {
		panic("an operation was completed twice")
	}
	c.ch <- outcome{o, r}
}

// wait returns what became of the operation.
func (c *pendingOp) wait(tb testing.TB) outcome {
	tb.Helper()
	select {
	case o := <-c.ch:
		return o
	case <-time.After(patience):
		tb.Fatal("an operation was never completed")
		return outcome{}
	}
}

// submit submits operations without flushing.
func (h *testHost) submit(p int, op *entry.Op) *pendingOp {
	c := newPendingOp()
	h.Submit(p, op, c)
	return c
}

// write writes a value, waits for the outcome and returns it.
func (h *testHost) write(p int, key, value uint64) outcome {
	c := h.submit(p, setOp(key, value, 0))
	h.Flush(p)
	return c.wait(h.cluster.tb)
}

// pendingRead reads one register.
type pendingRead struct {
	key   uint64
	value uint64
	at    ReadPoint
	tries int
	// commit is what the read wants in the log before it is made a second time; nil: nothing.
	commit *entry.Op
	size   int
	quorum bool
	run    func() // unless nil, called by Read
	ch     chan Outcome
	told   atomic.Int32
}

func (r *pendingRead) Read(m Machine, at ReadPoint) bool {
	s := m.(*registers)
	r.tries++
	if r.run != nil {
		r.run()
	}
	v := s.values[r.key]
	if r.commit != nil && r.tries == 1 {
		return false
	}
	if v.expires != 0 && v.expires <= at.Now && s.clock < v.expires {
		return false
	}
	r.value, r.at = v.value, at
	if v.expires != 0 && v.expires <= s.clock {
		r.value = 0
	}
	return true
}

// Untouched asks the registers.
func (r *pendingRead) Untouched(m Machine, since uint64, at ReadPoint) bool {
	s, ok := m.(*registers)
	return ok && s.untouched(r.key, since, at.Now)
}

func (r *pendingRead) Quorum() bool { return r.quorum }

func (r *pendingRead) Size() int { return r.size }

func (r *pendingRead) Commit() *entry.Op { return r.commit }

func (r *pendingRead) Fail(o Outcome) {
	if r.told.Add(1) > 1 {
		panic("a read was answered twice")
	}
	r.ch <- o
}

func (r *pendingRead) Finish() { r.Fail(Applied) }

// read reads a register and returns the outcome; Applied if it was read.
func (h *testHost) read(p int, key uint64) (uint64, Outcome) {
	r := h.startRead(p, key)
	o := r.wait(h.cluster.tb)
	return r.value, o
}

func (h *testHost) startRead(p int, key uint64) *pendingRead {
	r := &pendingRead{key: key, ch: make(chan Outcome, 2)}
	if !h.TryRead(p, r, h.Moment()) {
		h.Read(p, r)
	}
	return r
}

func (r *pendingRead) wait(tb testing.TB) Outcome {
	tb.Helper()
	select {
	case o := <-r.ch:
		return o
	case <-time.After(patience):
		tb.Fatal("a read was never answered")
		return 0
	}
}
