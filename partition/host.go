package partition

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lni/dragonboat/v4"
	"github.com/lni/dragonboat/v4/config"
	"github.com/lni/dragonboat/v4/raftio"
	sm "github.com/lni/dragonboat/v4/statemachine"
	"github.com/lni/goutils/random"
	"github.com/lni/vfs"

	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/partition/memlog"
	"github.com/gridiron-io/gridiron/partition/raftnet"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Bounds of the log that is kept for replicas that lag, and of the operations that wait to be applied.
const (
	logBytesPerReplica = 2 << 20
	logEntries         = 4096
	logBytesPerMember  = 256 << 20
	// pendingBytes bounds the operations of all partitions that were submitted and not yet applied.
	pendingBytes = 64 << 20
	// tendEvery is how often every replica is looked at without an event.
	tendEvery = 100 * time.Millisecond
)

// HostConfig describes a Host. All fields are required but for those marked optional.
type HostConfig struct {
	Member      wire.ID
	Incarnation wire.ID // also the name of the host among the hosts of the cluster
	Cluster     wire.ID
	Addr        string // of the members' port, as dragonboat wants to see one
	Partitions  int    // of the cluster
	Machines    Machines
	Transport   *raftnet.Transport
	Registry    *raftnet.Registry
	Now         func() int64 // cluster time in milliseconds
	MayOwn      func() bool  // optional; asked before ownership is taken
	OnOwner     func(partition int)
	OnApplied   func(partition int) // optional; operations were applied. Called by Raft's workers: must not block
	Logger      *slog.Logger
}

// Host holds the replicas of one member in memory mode: a dragonboat NodeHost with a log in the process. A Host is started
// once; a replica that it stopped never starts again.
type Host struct {
	cfg    HostConfig
	random *lockedRandom
	log    *memlog.DB
	logMax int64 // bytes of log that each replica may keep

	// gate is held for reading around every call of the NodeHost, and for writing to close it: the library sets its fields
	// to nil under calls that still run.
	gate struct {
		sync.RWMutex
		closed bool
		nh     *dragonboat.NodeHost
	}

	replicas    []atomic.Pointer[replica] // by partition
	publishedTo []atomic.Uint64           // by partition: position up to which this process has published events
	pending     atomic.Int64              // bytes submitted and not yet applied
	batches     atomic.Uint64
	readers     sync.WaitGroup // goroutines that serve reads

	wake struct {
		sync.Mutex
		dirty map[*replica]struct{}
		ch    chan struct{} // one slot
	}
	stop     chan struct{}
	stopped  sync.WaitGroup
	stopOnce sync.Once
}

// lockedRandom is the source that dragonboat wants for session identities, which are not used.
type lockedRandom = random.LockedRand

// Placement is one replica that a Host shall hold.
type Placement struct {
	Partition  int
	Generation uint64
	Replica    uint64
	Initial    map[uint64]wire.ID // replica IDs and incarnations with which the group is founded
	Preferred  bool               // this member shall own the partition first
}

// Start starts a host without replicas.
func Start(cfg HostConfig) (*Host, error) {
	h := &Host{cfg: cfg, random: newRandom(), log: memlog.New(), stop: make(chan struct{})}
	h.replicas = make([]atomic.Pointer[replica], cfg.Partitions)
	h.publishedTo = make([]atomic.Uint64, cfg.Partitions)
	h.wake.dirty = make(map[*replica]struct{})
	h.wake.ch = make(chan struct{}, 1)
	h.logMax = min(logBytesPerReplica, logBytesPerMember/int64(max(1, cfg.Partitions)))
	w := workers(cfg.Partitions)
	nh, err := newNodeHost(config.NodeHostConfig{
		DeploymentID:        DeploymentID(cfg.Cluster),
		NodeHostID:          cfg.Incarnation.String(),
		NodeHostDir:         "/gridiron",
		RTTMillisecond:      tickMillis,
		RaftAddress:         cfg.Addr,
		MaxReceiveQueueSize: maxReceiveQueue,
		MaxSendQueueSize:    maxSendQueue,
		RaftEventListener:   (*leaderEvents)(h),
		Expert: config.ExpertConfig{
			FS:                  vfs.NewMem(),
			LogDBFactory:        h.log.Factory(),
			TransportFactory:    cfg.Transport.Factory(),
			NodeRegistryFactory: cfg.Registry,
			LogDB:               config.LogDBConfig{Shards: w},
			Engine:              config.EngineConfig{ExecShards: w, CommitShards: 1, ApplyShards: w, SnapshotShards: 4, CloseShards: 4},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("start the host of the partitions: %w", err)
	}
	h.gate.nh = nh
	h.stopped.Add(1)
	go h.loop() // ends with stop; owns tending the replicas
	return h, nil
}

// newNodeHost turns a panic of the library at start into an error: its own checks of a directory or address panic.
func newNodeHost(cfg config.NodeHostConfig) (nh *dragonboat.NodeHost, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("dragonboat: %v", r)
		}
	}()
	return dragonboat.NewNodeHost(cfg)
}

// DeploymentID returns the number by which Raft messages of one cluster are told from those of another.
func DeploymentID(cluster wire.ID) uint64 {
	r := wire.NewReader(cluster[:8])
	return r.U64() | 1
}

// raftConfig returns the settings of a group.
func raftConfig(shard, replicaID uint64) config.Config {
	return config.Config{
		ReplicaID: replicaID, ShardID: shard,
		ElectionRTT: electionTicks, HeartbeatRTT: heartbeatTicks,
		CheckQuorum: true, PreVote: true, OrderedConfigChange: true,
		SnapshotEntries: 0, CompactionOverhead: 1024, MaxInMemLogSize: 0,
		DisableAutoCompactions: true,
	}
}

// Found starts a replica of a group that is founded with it. A replica that runs already is left alone.
func (h *Host) Found(p Placement) error {
	if cur := h.replicas[p.Partition].Load(); cur != nil {
		if cur.shard == ShardOf(p.Generation, p.Partition) && cur.id == p.Replica {
			return nil
		}
		if err := h.Drop(context.Background(), p.Partition); err != nil {
			return err
		}
	}
	r := newReplica(h, p)
	initial := make(map[uint64]dragonboat.Target, len(p.Initial))
	for id, inc := range p.Initial {
		initial[id] = inc.String()
	}
	h.gate.RLock()
	defer h.gate.RUnlock()
	if h.gate.closed {
		return errClosed
	}
	h.replicas[p.Partition].Store(r)
	err := h.gate.nh.StartOnDiskReplica(initial, false, func(uint64, uint64) sm.IOnDiskStateMachine { return r },
		raftConfig(r.shard, r.id))
	if err != nil {
		h.replicas[p.Partition].CompareAndSwap(r, nil)
		return fmt.Errorf("start replica %d of partition %d: %w", p.Replica, p.Partition, err)
	}
	h.kick(r)
	return nil
}

// Drop stops the replica of a partition for good and removes what it held.
func (h *Host) Drop(ctx context.Context, partition int) error {
	r := h.replicas[partition].Swap(nil)
	if r == nil {
		return nil
	}
	r.stop()
	h.gate.RLock()
	defer h.gate.RUnlock()
	if h.gate.closed {
		return errClosed
	}
	if err := h.gate.nh.StopReplica(r.shard, r.id); err != nil && !errors.Is(err, dragonboat.ErrShardNotFound) {
		return fmt.Errorf("stop replica %d of partition %d: %w", r.id, partition, err)
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := h.gate.nh.SyncRemoveData(ctx, r.shard, r.id); err != nil {
		return fmt.Errorf("remove replica %d of partition %d: %w", r.id, partition, err)
	}
	return nil
}

var errClosed = errors.New("the host is closed")

// Submit hands an operation to the partition's proposer; c is told what becomes of it. op's body is copied. Call Flush for
// the partition after the last operation at hand.
func (h *Host) Submit(partition int, op *entry.Op, c Completion) {
	r := h.replicas[partition].Load()
	if r == nil {
		c.Complete(Moved, entry.Result{})
		return
	}
	r.proposer.submit(op, c)
}

// Flush proposes what was submitted, unless enough entries are on their way: then it goes with the next.
func (h *Host) Flush(partition int) {
	if r := h.replicas[partition].Load(); r != nil {
		r.proposer.flush()
	}
}

// Read queues a linearizable read of a partition.
func (h *Host) Read(partition int, rd Reader) {
	r := h.replicas[partition].Load()
	if r == nil {
		rd.Fail(Moved)
		return
	}
	r.reads.submit(rd)
}

// View runs f on a partition's state as this process has applied it, under the read lock, and reports whether there is one.
// What f sees may be old. f must not block.
func (h *Host) View(partition int, f func(m Machine)) bool {
	r := h.replicas[partition].Load()
	if r == nil {
		return false
	}
	r.state.RLock()
	defer r.state.RUnlock()
	f(r.state.machine)
	return true
}

// Serving returns the epoch under which this process owns a partition now, or 0.
func (h *Host) Serving(partition int) uint64 {
	if r := h.replicas[partition].Load(); r != nil {
		return r.serving.Load()
	}
	return 0
}

// Owner returns the newest owner of a partition that this process has applied; a zero member if it was released, epoch 0
// if this process holds no replica.
func (h *Host) Owner(partition int) (epoch uint64, member, incarnation wire.ID) {
	if r := h.replicas[partition].Load(); r != nil {
		return r.owner()
	}
	return 0, wire.ID{}, wire.ID{}
}

// Runs reports whether this process runs a replica, and is not about to remove it.
func (h *Host) Runs(shard, replicaID uint64) bool {
	p := int(shard & 0xFFF)
	if p >= len(h.replicas) {
		return false
	}
	r := h.replicas[p].Load()
	return r != nil && r.shard == shard && r.id == replicaID
}

// ReplicaStatus is what a host says of one of its replicas.
type ReplicaStatus struct {
	Generation uint64
	Replica    uint64
	Leader     uint64 // replica ID; 0 if unknown
	Term       uint64
	Applied    uint64 // index
	LogEntries int
	LogBytes   int64
}

// Status returns the state of a partition's replica and whether there is one.
func (h *Host) Status(partition int) (ReplicaStatus, bool) {
	r := h.replicas[partition].Load()
	if r == nil {
		return ReplicaStatus{}, false
	}
	r.role.Lock()
	st := ReplicaStatus{Generation: r.shard >> 12, Replica: r.id, Leader: r.role.leader, Term: r.role.term}
	r.role.Unlock()
	st.Applied = r.applied.Load()
	st.LogEntries, st.LogBytes = h.log.Size(r.shard, r.id)
	return st, true
}

// SetPublished tells the host up to which position the events of a partition were published by this process; the next
// entry carries it.
func (h *Host) SetPublished(partition int, pos uint64) { h.publishedTo[partition].Store(pos) }

func (h *Host) published(partition int) uint64 { return h.publishedTo[partition].Load() }

// releaseStall is how long Release goes on without any partition being released: their groups have no quorum then.
const releaseStall = 500 * time.Millisecond

// Release gives up the ownership of every partition, in the log, and returns when that was applied, or no more of it comes
// about, or ctx ends. MayOwn must say no by then. It is the first part of leaving.
func (h *Host) Release(ctx context.Context) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	least, since := len(h.replicas)+1, time.Now()
	for {
		owned := 0
		for i := range h.replicas {
			if r := h.replicas[i].Load(); r != nil && r.releaseOwnership() {
				owned++
			}
		}
		if owned < least {
			least, since = owned, time.Now()
		}
		if owned == 0 || time.Since(since) > releaseStall {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// Close stops all replicas and the host. Operations that wait get NotProposed or Unknown. It may be called twice.
func (h *Host) Close() {
	h.stopOnce.Do(func() {
		close(h.stop)
		h.stopped.Wait()
		for i := range h.replicas {
			if r := h.replicas[i].Load(); r != nil {
				r.stop()
			}
		}
		h.readers.Wait()
		h.gate.Lock()
		h.gate.closed = true
		nh := h.gate.nh
		h.gate.Unlock()
		closeNodeHost(nh, h.cfg.Logger)
	})
}

// closeNodeHost closes a NodeHost, whose own errors at that point are panics.
func closeNodeHost(nh *dragonboat.NodeHost, log *slog.Logger) {
	defer func() {
		if r := recover(); r != nil {
			log.Error("closing the Raft host", "err", r)
		}
	}()
	nh.Close()
}

// admit reserves memory for an operation and reports whether there was any.
func (h *Host) admit(n int64) bool {
	if h.pending.Add(n) <= pendingBytes {
		return true
	}
	h.pending.Add(-n)
	return false
}

func (h *Host) release(n int64) { h.pending.Add(-n) }

func (h *Host) mayOwn() bool { return h.cfg.MayOwn == nil || h.cfg.MayOwn() }

func (h *Host) propose(r *replica, cmd []byte) (*dragonboat.RequestState, error) {
	h.gate.RLock()
	defer h.gate.RUnlock()
	if h.gate.closed {
		return nil, errClosed
	}
	return h.gate.nh.Propose(r.session, cmd, proposalTimeout)
}

// proposeControl proposes an Own or Release. What becomes of it is seen when it is applied.
func (h *Host) proposeControl(r *replica, cmd []byte) {
	if _, err := h.propose(r, cmd); err != nil && !errors.Is(err, errClosed) {
		r.log.Debug("a change of ownership was not proposed", "err", err)
	}
}

type readOutcome uint8

const (
	readReady  readOutcome = iota // the replica has applied all that was committed when the read began
	readAgain                     // no answer in time
	readFailed                    // this replica cannot tell
)

// readIndex waits until the replica has applied everything that was committed when it was called.
func (h *Host) readIndex(r *replica) readOutcome {
	h.gate.RLock()
	if h.gate.closed {
		h.gate.RUnlock()
		return readFailed
	}
	rs, err := h.gate.nh.ReadIndex(r.shard, readIndexTimeout)
	h.gate.RUnlock()
	if err != nil {
		if errors.Is(err, dragonboat.ErrSystemBusy) {
			return readAgain
		}
		return readFailed
	}
	res := <-rs.ResultC() // dragonboat answers every request within its timeout, or when the replica stops
	rs.Release()
	switch {
	case res.Completed():
		return readReady
	case res.Timeout():
		return readAgain
	default:
		return readFailed
	}
}

// nudge tells the local replica to campaign at once instead of waiting for its election timeout.
func (h *Host) nudge(r *replica) {
	r.role.Lock()
	term := r.role.term
	r.role.Unlock()
	h.cfg.Transport.Inject(r.shard, r.id, 0, term)
}

// ownerChanged tells the member that the owner of a partition is another.
func (h *Host) ownerChanged(r *replica, _ *ownership) {
	if h.cfg.OnOwner != nil {
		h.cfg.OnOwner(r.partition)
	}
}

// kick has a replica tended soon. It never blocks.
func (h *Host) kick(r *replica) {
	h.wake.Lock()
	h.wake.dirty[r] = struct{}{}
	h.wake.Unlock()
	select {
	case h.wake.ch <- struct{}{}:
	default:
	}
}

// loop tends the replicas: those that had an event at once, all of them every 100 ms.
func (h *Host) loop() {
	defer h.stopped.Done()
	tick := time.NewTicker(tendEvery)
	defer tick.Stop()
	for {
		select {
		case <-h.stop:
			return
		case <-h.wake.ch:
			h.wake.Lock()
			dirty := h.wake.dirty
			h.wake.dirty = make(map[*replica]struct{}, len(dirty))
			h.wake.Unlock()
			now := time.Now()
			for r := range dirty {
				r.tend(now)
			}
		case now := <-tick.C:
			for i := range h.replicas {
				if r := h.replicas[i].Load(); r != nil {
					r.tend(now)
					h.trimLog(r)
				}
			}
		}
	}
}

// trimLog has dragonboat drop the older half of a log that has grown beyond its bounds. The snapshot that it takes for that
// holds no data: in memory mode an image is made only when a replica needs one.
func (h *Host) trimLog(r *replica) {
	entries, bytes := h.log.Size(r.shard, r.id)
	if entries <= logEntries && bytes <= h.logMax {
		return
	}
	applied := r.applied.Load()
	keep := uint64(entries / 4)
	if applied <= keep {
		return
	}
	h.gate.RLock()
	defer h.gate.RUnlock()
	if h.gate.closed {
		return
	}
	opt := dragonboat.SnapshotOption{OverrideCompactionOverhead: true, CompactionIndex: applied - keep}
	if _, err := h.gate.nh.RequestSnapshot(r.shard, opt, 5*time.Second); err != nil && !errors.Is(err, dragonboat.ErrSystemBusy) {
		r.log.Warn("the log was not trimmed", "err", err, "entries", entries, "bytes", bytes)
	}
}

// sleep waits and reports whether the host still runs.
func (h *Host) sleep(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-h.stop:
		return false
	}
}

// leaderEvents receives dragonboat's leader events. It runs on a goroutine of dragonboat's that must not be held up.
type leaderEvents Host

var _ raftio.IRaftEventListener = (*leaderEvents)(nil)

// LeaderUpdated notes who was elected.
func (e *leaderEvents) LeaderUpdated(info raftio.LeaderInfo) {
	h := (*Host)(e)
	p := int(info.ShardID & 0xFFF)
	if p >= len(h.replicas) {
		return
	}
	if r := h.replicas[p].Load(); r != nil && r.shard == info.ShardID && r.id == info.ReplicaID {
		r.leaderChanged(info.LeaderID, info.Term)
	}
}

func newRandom() *lockedRandom { return random.NewLockedRand() }
