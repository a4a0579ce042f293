package partition

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lni/dragonboat/v4/config"
	"github.com/lni/dragonboat/v4/raftio"
	"github.com/lni/goutils/random"
	"github.com/lni/vfs"

	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/partition/memlog"
	"github.com/gridiron-io/gridiron/partition/raftgroup"
	"github.com/gridiron-io/gridiron/partition/wakeups"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

const (
	// pendingBytes bounds the operations of all partitions that were submitted and not yet applied.
	pendingBytes = 64 << 20
	// waitingBytes bounds the memory of what waits: the reads of all partitions that wait to be served, and what is held with Hold.
	waitingBytes = 64 << 20
	// readOverhead is what a read that waits counts for beside its own size.
	readOverhead = 64
	// snapshotWorkers bounds the logs that are trimmed and the state snapshots that are begun and have come, at a time.
	snapshotWorkers = 16 + 4
)

var errClosed = raftgroup.ErrClosed

// Host holds the replicas of one member in memory mode: a dragonboat NodeHost with a log in the process. A Host is started
// once; a replica that it stopped never starts again.
type Host struct {
	cfg    HostConfig
	random *lockedRandom
	log    *memlog.DB
	logMax int64 // bytes of log that each replica keeps at most
	// logBudget is how many bytes of log all replicas may keep together, for those that lag.
	logBudget atomic.Int64

	raft *raftgroup.Host

	// groups is held, by partition, by whoever starts or removes a replica: of one group there is one replica in a NodeHost at a
	// time.
	groups []group

	replicas     []atomic.Pointer[replica] // by partition
	publishedTo  []atomic.Uint64           // by partition: position up to which this process has published events
	readCounts   []readCounts              // by partition
	pending      atomic.Int64              // bytes submitted and not yet applied
	reading      atomic.Int64              // reads submitted and not yet served
	waiting      atomic.Int64              // bytes of these, and of what is held with Hold
	transferring atomic.Int64              // what the states that are given to their next generations hold besides themselves
	transferMax  int64                     // bounds it
	batches      atomic.Uint64

	stateSnapshots streams
	counts         hostCounts
	electing       atomic.Int64   // replicas that are looked at often
	readers        sync.WaitGroup // goroutines that serve reads

	wake struct {
		sync.Mutex
		dirty map[*replica]struct{}
		ch    chan struct{} // one slot
	}
	life     context.Context // ends with Close
	end      context.CancelFunc
	looping  sync.WaitGroup
	stopOnce sync.Once
}

// hostCounts is what a host counts over all partitions; see Load.
type hostCounts struct {
	elections, ownerChanges, suspends atomic.Uint64
}

// lockedRandom is the source that dragonboat wants for session identities, which are not used.
type lockedRandom = random.LockedRand

func newRandom() *lockedRandom { return random.NewLockedRand() }

// Start starts a host without replicas. After an error the caller closes the transport.
func Start(cfg HostConfig) (*Host, error) {
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("start the host of the partitions: %w", err)
	}

	h := newHost(cfg)
	// Before the NodeHost is made: from then on the transport needs to know where state snapshots come from.
	cfg.Transport.Carry((*carried)(h))

	// A step worker that has saved its round has nothing left to do, so a wake-up that is left over is taken back.
	h.log.OnSaved(h.raft.DropStep)

	// A program with another version of the library cannot take wake-ups back, which changes how many workers pay.
	w := workers(cfg.Partitions, wakeups.Known() == nil)
	err := h.raft.Start(config.NodeHostConfig{
		DeploymentID: DeploymentID(cfg.Cluster),
		NodeHostID:   cfg.Incarnation.String(),
		// Nothing of the partitions is on disk: the directory is only a name in the file system in memory.
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
			Engine:              config.EngineConfig{ExecShards: w, CommitShards: 1, ApplyShards: w, SnapshotShards: snapshotWorkers, CloseShards: 4},
		},
	})
	if err != nil {
		h.end()
		return nil, fmt.Errorf("start the host of the partitions: %w", err)
	}

	if err := h.raft.FindWorkers(); err != nil {
		cfg.Logger.Warn("the Raft library is not the version that this program was made for; writes take more CPU time (build with the version in go.mod)", "err", err)
	}

	h.looping.Add(1)
	go h.loop() // ends with life; owns reconciling the replicas
	return h, nil
}

// newHost returns a host without its NodeHost.
func newHost(cfg HostConfig) *Host {
	h := &Host{cfg: cfg, random: newRandom(), log: memlog.New()}
	h.life, h.end = context.WithCancel(context.Background())
	h.raft = raftgroup.New(h.life)

	h.replicas = make([]atomic.Pointer[replica], cfg.Partitions)
	h.publishedTo = make([]atomic.Uint64, cfg.Partitions)
	h.readCounts = make([]readCounts, cfg.Partitions)
	h.groups = make([]group, cfg.Partitions)

	// Each stream that sends has put something into the channel, so its length bounds them.
	h.stateSnapshots.slots = make(chan struct{}, stateSnapshotsAtOnce)
	h.stateSnapshots.byReplica = make(map[streamKey]*stream)
	h.wake.dirty = make(map[*replica]struct{})
	// One slot is enough: for each token the loop takes all replicas that were entered.
	h.wake.ch = make(chan struct{}, 1)

	h.transferMax = transferBytes
	h.logBudget.Store(logBytesPerMember)
	h.logMax = logShareOf(logBytesPerMember, cfg.Partitions)
	return h
}

// Submit hands an operation to the partition's proposer; c is told what becomes of it. op's body is copied. Call Flush for
// the partition after the last operation at hand.
func (h *Host) Submit(partition int, op *entry.Op, c Completion) {
	r := h.replicas[partition].Load()
	if r == nil {
		// Without a replica this process cannot own the partition, so the operation was certainly not executed.
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

// Read queues a linearizable read of a partition. It is made on another goroutine: under the lease if there is one, and else after a
// majority was asked. TryRead is the way without a queue.
func (h *Host) Read(partition int, rd Reader) {
	r := h.replicas[partition].Load()
	if r == nil {
		rd.Fail(Moved)
		return
	}
	r.reads.submit(rd)
}

// Inspect runs f on a partition's state as this process has applied it, under the read lock, and reports whether there is one.
// What f sees may be old. f must not block.
func (h *Host) Inspect(partition int, f func(m Machine)) bool {
	r := h.replicas[partition].Load()
	if r == nil {
		return false
	}
	r.state.RLock()
	defer r.state.RUnlock()

	if r.state.machine == nil {
		// The replica is being removed, and its state was freed.
		return false
	}
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

// AnswersIn returns for how long this process must not tell anybody what stands in a partition that it owns: owners before it may still read
// under their leases, and know less.
func (h *Host) AnswersIn(partition int) time.Duration {
	if r := h.replicas[partition].Load(); r != nil {
		return max(0, r.leaseWait())
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
	return h.find(shard, replicaID) != nil
}

// find returns a replica that runs, or nil.
func (h *Host) find(shard, replicaID uint64) *replica {
	_, p := partitionOf(shard)
	if p >= len(h.replicas) {
		// The number comes from other processes as well, and may name a partition that this cluster does not have.
		return nil
	}
	if r := h.replicas[p].Load(); r != nil && r.shard == shard && r.id == replicaID {
		return r
	}
	return nil
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
	generation, _ := partitionOf(r.shard)
	st := ReplicaStatus{Generation: generation, Replica: r.id, Applied: r.applied.Load()}
	st.Leader, st.Term = r.leader()
	st.LogEntries, st.LogBytes = h.log.Size(r.shard, r.id)
	return st, true
}

// SetPublished tells the host up to which position the events of a partition were published by this process; the next
// entry carries it.
func (h *Host) SetPublished(partition int, pos uint64) { h.publishedTo[partition].Store(pos) }

func (h *Host) published(partition int) uint64 { return h.publishedTo[partition].Load() }

// releaseStall is how long Release goes on without any partition being released: their groups have no quorum then.
const releaseStall = 500 * time.Millisecond

// Release gives up the ownership of every partition, in the log. It returns when that was applied, when no more of it comes
// about, or when ctx ends. MayOwn must say no by then. Release is the first part of leaving.
func (h *Host) Release(ctx context.Context) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()

	least, since := len(h.replicas)+1, time.Now()
	for {
		owned := 0
		for i := range h.replicas {
			if r := h.replicas[i].Load(); r != nil && r.giveUp() {
				owned++
			}
		}

		// Groups that have a quorum release within milliseconds. What is left after a stall has none, and would not release at all.
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
		case <-h.life.Done():
			return
		}
	}
}

// Close stops all replicas and the host. Operations that wait get NotProposed or Unknown. It may be called twice.
func (h *Host) Close() {
	h.stopOnce.Do(func() {
		// Whoever removes a replica waits for the library. End that first, and let nobody start another replica.
		h.end()
		for i := range h.groups {
			h.groups[i].Lock()
			h.groups[i].closed = true
			h.groups[i].Unlock()
		}

		// No replica is reconciled any more while the replicas stop.
		h.looping.Wait()
		for i := range h.replicas {
			if r := h.replicas[i].Load(); r != nil {
				r.stop()
			}
		}

		// Readers call the NodeHost. The states are freed last: the NodeHost may still apply entries until it is closed.
		h.readers.Wait()
		h.raft.Close(h.cfg.Logger)
		h.free()
	})
}

// free frees all states. The NodeHost is closed: what it starts may run on for a while, and know its replicas.
func (h *Host) free() {
	for i := range h.groups {
		g := &h.groups[i]
		g.Lock()
		// A replica that is leaving is in no list any more, and may still have its state.
		for _, r := range [...]*replica{h.replicas[i].Load(), g.leaving} {
			if r != nil {
				r.free()
			}
		}
		g.leaving, g.keptState = nil, nil
		g.Unlock()
	}
}

// admit reserves memory for an operation and reports whether there was any.
func (h *Host) admit(n int64) bool {
	// First reserved and then compared: two callers together never pass the bound.
	if h.pending.Add(n) <= pendingBytes {
		return true
	}
	h.pending.Add(-n)
	return false
}

func (h *Host) release(n int64) { h.pending.Add(-n) }

// Hold reserves memory for what waits on the member, and reports whether there was any. Reads have theirs from the same budget. Each
// Hold that succeeds needs a Free.
func (h *Host) Hold(n int64) bool {
	if h.waiting.Add(n) <= waitingBytes {
		return true
	}

	// There is no room, so the reservation goes back at once.
	h.waiting.Add(-n)
	return false
}

// Free gives back what Hold has reserved.
func (h *Host) Free(n int64) { h.waiting.Add(-n) }

// leaseMillis returns the largest lease that this process announces as an owner, in milliseconds.
func (h *Host) leaseMillis() uint32 { return uint32(h.cfg.Lease / time.Millisecond) }

func (h *Host) mayOwn() bool { return h.cfg.MayOwn == nil || h.cfg.MayOwn() }

// ownerChanged tells the member that the owner of a partition is another, or that this process began or ceased to serve.
func (h *Host) ownerChanged(partition int) {
	if h.cfg.OnOwner != nil {
		h.cfg.OnOwner(partition)
	}
}

// leaderEvents receives dragonboat's leader events. It runs on a goroutine of dragonboat's that must not be held up.
type leaderEvents Host

var _ raftio.IRaftEventListener = (*leaderEvents)(nil)

// LeaderUpdated notes who was elected.
func (e *leaderEvents) LeaderUpdated(info raftio.LeaderInfo) {
	if r := (*Host)(e).find(info.ShardID, info.ReplicaID); r != nil {
		// An event without a leader tells that the group has lost its leader, which is no election.
		if info.LeaderID != 0 {
			r.host.counts.elections.Add(1)
		}
		r.leaderChanged(info.LeaderID, info.Term)
	}
}
