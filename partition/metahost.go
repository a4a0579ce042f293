package partition

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lni/dragonboat/v4"
	"github.com/lni/dragonboat/v4/client"
	"github.com/lni/dragonboat/v4/config"
	"github.com/lni/dragonboat/v4/raftio"
	sm "github.com/lni/dragonboat/v4/statemachine"

	"github.com/gridiron-io/gridiron/partition/meta"
	"github.com/gridiron-io/gridiron/partition/raftgroup"
	"github.com/gridiron-io/gridiron/partition/raftnet"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// MetaShard returns the Raft group of a generation of the metadata. It lives in a NodeHost of its own.
func MetaShard(generation uint64) uint64 { return 1 + generation }

// MetaConfig describes the metadata host of a member. All fields are required.
type MetaConfig struct {
	Dir       string // on disk, also in memory mode
	Member    wire.ID
	Cluster   wire.ID
	Addr      string // of the members' port, as dragonboat wants to see one
	Transport *raftnet.Transport
	Registry  *raftnet.Registry
	Logger    *slog.Logger
}

// MetaHost holds this member's replica of the metadata group: on disk, in a NodeHost of its own, under the member's
// identity. Every member has one, as voter or learner, and reads the metadata from it.
type MetaHost struct {
	cfg  MetaConfig
	raft *raftgroup.Host
	at   atomic.Pointer[metaReplica] // the replica that runs; nil: none

	leader  metaLeader
	applied atomic.Uint64             // index of the newest command that was applied here
	view    atomic.Pointer[meta.View] // replaced under changed's lock
	changed struct {
		sync.Mutex
		ch chan struct{} // closed and replaced at every change
	}
	life     context.Context // ends with Close
	end      context.CancelFunc
	stopped  sync.WaitGroup
	stopOnce sync.Once
}

// metaReplica is a replica of the metadata.
type metaReplica struct {
	shard, id uint64
	session   *client.Session
}

// StartMeta starts the metadata host without its replica.
func StartMeta(cfg MetaConfig) (*MetaHost, error) {
	hostname, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("start the metadata host: %w", err)
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("start the metadata host: %w", err)
	}

	// The library refuses a directory that was written under another hostname.
	if err := adoptHostname(cfg.Dir, hostname); err != nil {
		return nil, err
	}

	m := &MetaHost{cfg: cfg}
	m.life, m.end = context.WithCancel(context.Background())
	m.raft = raftgroup.New(m.life)
	m.changed.ch = make(chan struct{})
	// View never returns nil, also before anything was applied.
	m.view.Store(meta.New().View())

	// The metadata are small and seldom written, so one shard of everything will do.
	db := config.GetTinyMemLogDBConfig()
	db.Shards = 1
	err = m.raft.Start(config.NodeHostConfig{
		DeploymentID:      DeploymentID(cfg.Cluster),
		NodeHostID:        cfg.Member.String(),
		NodeHostDir:       cfg.Dir,
		RTTMillisecond:    tickMillis,
		RaftAddress:       cfg.Addr,
		RaftEventListener: (*metaEvents)(m),
		Expert: config.ExpertConfig{
			TransportFactory:    cfg.Transport.Factory(),
			NodeRegistryFactory: cfg.Registry,
			LogDB:               db,
			Engine:              config.EngineConfig{ExecShards: 1, CommitShards: 1, ApplyShards: 1, SnapshotShards: 1, CloseShards: 1},
		},
	})
	if err != nil {
		m.end()
		return nil, fmt.Errorf("start the metadata host in %s: %w", cfg.Dir, err)
	}
	return m, nil
}

// MetaStart says how a member's metadata replica begins. A replica that is on disk already ignores Initial and Join.
type MetaStart struct {
	Generation uint64 // of the metadata
	Replica    uint64
	Initial    map[uint64]wire.ID // bootstrap: replica IDs and members of the first voters
	Join       bool               // the group exists, and knows this replica as a learner
	// Campaign is how long the replica waits without a leader before it asks to be elected, and again and again; 0: it
	// leaves that to its election timeout.
	Campaign time.Duration
}

// Has reports whether the directory holds a replica.
func (m *MetaHost) Has(generation, replica uint64) bool {
	nh, err := m.raft.Enter()
	if err != nil {
		return false
	}
	defer m.raft.Leave()
	return nh.HasNodeInfo(MetaShard(generation), replica)
}

// Run starts the replica. REQUIRES: none runs.
func (m *MetaHost) Run(s MetaStart) error {
	nh, err := m.raft.Enter()
	if err != nil {
		return err
	}
	defer m.raft.Leave()

	at := &metaReplica{shard: MetaShard(s.Generation), id: s.Replica}
	at.session = client.NewNoOPSession(at.shard, newRandom())
	initial, join := targets(s.Initial), s.Join

	// What is on disk says who the first voters were. The library refuses a start that says otherwise.
	if nh.HasNodeInfo(at.shard, at.id) {
		initial, join = nil, false
	}

	cfg := raftConfig(at.shard, at.id, s.Join)
	// The metadata are small and on disk, so the library takes snapshots and cuts the log by itself.
	cfg.SnapshotEntries, cfg.CompactionOverhead = 512, 128
	cfg.DisableAutoCompactions = false

	// The library may tell of leaders before it returns, and events are taken for this replica only.
	m.at.Store(at)
	err = nh.StartReplica(initial, join, func(uint64, uint64) sm.IStateMachine {
		return &metaMachine{host: m, state: meta.New()}
	}, cfg)
	if err != nil {
		m.at.Store(nil)
		return fmt.Errorf("start metadata replica %d: %w", s.Replica, err)
	}

	if s.Campaign > 0 {
		m.stopped.Add(1)
		go m.campaign(at, s.Campaign) // ends with life or the replica, or when somebody leads
	}
	return nil
}

// View returns the metadata as this member has applied it. It is never nil and never changes.
func (m *MetaHost) View() *meta.View { return m.view.Load() }

// Changed returns a channel that is closed when the view is no longer the one that View returned before the call. Ask for
// the channel first, then for the view.
func (m *MetaHost) Changed() <-chan struct{} {
	m.changed.Lock()
	defer m.changed.Unlock()
	return m.changed.ch
}

// Wake makes Changed's channel close, as if the metadata had changed. It is for a caller that waits there and can do more now.
func (m *MetaHost) Wake() { m.wakeAll() }

// Learn makes v the view, unless the view is newer. v must be committed metadata of this group: a member whose replica does not hear of them has them
// from another.
func (m *MetaHost) Learn(v *meta.View) { m.publish(v) }

// publish makes v the view, unless the view is newer: a replica that takes the place of another begins with less than this member knows.
func (m *MetaHost) publish(v *meta.View) {
	m.changed.Lock()
	defer m.changed.Unlock()
	if v.Version < m.view.Load().Version {
		return
	}

	// An equal version is taken too: cluster time changes without counting in the version.
	m.view.Store(v)
	m.wakeLocked()
}

func (m *MetaHost) wakeAll() {
	m.changed.Lock()
	defer m.changed.Unlock()
	m.wakeLocked()
}

func (m *MetaHost) wakeLocked() {
	close(m.changed.ch)
	m.changed.ch = make(chan struct{})
}

// MetaReplica is a replica in a generation of the metadata group.
type MetaReplica struct{ Generation, Replica uint64 }

// Replica returns the replica that runs, zero if none does.
func (m *MetaHost) Replica() MetaReplica {
	if at := m.at.Load(); at != nil {
		return MetaReplica{at.shard - MetaShard(0), at.id}
	}
	return MetaReplica{}
}

// Propose commits a command and returns its result. It works on any replica of the group while a quorum of it lives. After
// an error the command may or may not have been executed; every command may be repeated.
func (m *MetaHost) Propose(ctx context.Context, cmd []byte) (meta.Result, error) {
	res, err := m.ask(ctx, func(nh *dragonboat.NodeHost, at *metaReplica, timeout time.Duration) (*dragonboat.RequestState, error) {
		return nh.Propose(at.session, cmd, timeout)
	})
	if err != nil {
		return meta.Result{}, fmt.Errorf("propose to the metadata group: %w", err)
	}
	return meta.DecodeResult(res.GetResult().Data)
}

// Barrier returns when this replica has applied everything that was committed before the call.
func (m *MetaHost) Barrier(ctx context.Context) error {
	_, err := m.ask(ctx, func(nh *dragonboat.NodeHost, at *metaReplica, timeout time.Duration) (*dragonboat.RequestState, error) {
		return nh.ReadIndex(at.shard, timeout)
	})
	if err != nil {
		return fmt.Errorf("read the metadata: %w", err)
	}
	return nil
}

// ask makes a request and waits for its end. An answer can be lost for ever in the library, so the wait has an end of its
// own.
func (m *MetaHost) ask(ctx context.Context, request func(*dragonboat.NodeHost, *metaReplica, time.Duration) (*dragonboat.RequestState, error)) (dragonboat.RequestResult, error) {
	timeout := metaTimeout(ctx)
	at := m.at.Load()
	if at == nil {
		return dragonboat.RequestResult{}, errNoMetaReplica
	}

	nh, err := m.raft.Enter()
	if err != nil {
		return dragonboat.RequestResult{}, err
	}

	rs, err := request(nh, at, timeout+tickTime)
	// The answer is waited for outside of the gate, so that Close need not wait for it.
	m.raft.Leave()
	if err != nil {
		return dragonboat.RequestResult{}, err
	}

	lost := time.NewTimer(timeout + answerMargin)
	defer lost.Stop()

	select {
	case res := <-rs.ResultC():
		// Only a request that was answered goes back to the library, which may use it again.
		rs.Release()
		if !res.Completed() {
			return dragonboat.RequestResult{}, metaError(res)
		}
		return res, nil
	case <-lost.C:
		// The library has lost the answer. The command may have been executed.
		return dragonboat.RequestResult{}, context.DeadlineExceeded
	case <-ctx.Done():
		return dragonboat.RequestResult{}, ctx.Err()
	case <-m.life.Done():
		return dragonboat.RequestResult{}, errClosed
	}
}

// answerMargin is how long after its timeout a request may be answered still: the library counts in ticks.
const answerMargin = time.Second

// Close stops the replica and the host. It may be called twice.
func (m *MetaHost) Close() {
	m.stopOnce.Do(func() {
		m.end()
		// No candidacy begins after Shut, so the wait has an end.
		m.raft.Shut()
		m.stopped.Wait()
		m.raft.Close(m.cfg.Logger)
	})
}

func metaTimeout(ctx context.Context) time.Duration {
	// The library wants a timeout also where the caller has none.
	d := 5 * time.Second
	if t, ok := ctx.Deadline(); ok {
		d = min(d, time.Until(t))
	}

	return max(d, tickTime)
}

var (
	errNotReady      = errors.New("the metadata group has no leader")
	errNoMetaReplica = errors.New("this member has no replica of the metadata")
)

func metaError(res dragonboat.RequestResult) error {
	switch {
	case res.Timeout():
		return context.DeadlineExceeded
	case res.Dropped():
		return errNotReady
	case res.Terminated():
		return errClosed
	default:
		return errors.New("refused by the Raft group")
	}
}

// metaEvents receives dragonboat's leader events of the metadata group.
type metaEvents MetaHost

var _ raftio.IRaftEventListener = (*metaEvents)(nil)

// LeaderUpdated notes who was elected.
func (e *metaEvents) LeaderUpdated(info raftio.LeaderInfo) {
	m := (*MetaHost)(e)
	m.leader.Lock()
	// Events of a replica that was stopped for another one may still come. Quit first clears m.at and then what is known of the leader,
	// so m.at is read under the leader's lock.
	at := m.at.Load()
	if at == nil || info.ShardID != at.shard || info.ReplicaID != at.id {
		m.leader.Unlock()
		return
	}
	m.leader.updateLocked(info.LeaderID, info.Term)
	m.leader.Unlock()

	// Whoever waits for the metadata to change may also wait for a leader, and looks again.
	m.wakeAll()
}

// metaMachine is dragonboat's state machine of the metadata group around the pure state.
type metaMachine struct {
	host  *MetaHost
	state *meta.State
}

var _ sm.IStateMachine = (*metaMachine)(nil)

// Update applies one command. It never fails.
func (m *metaMachine) Update(e sm.Entry) (sm.Result, error) {
	res := m.state.Apply(e.Cmd)
	// Before the view: whoever sees the change finds an index that is no older.
	m.host.applied.Store(e.Index)
	m.host.publish(m.state.View())
	return sm.Result{Data: meta.AppendResult(nil, &res)}, nil
}

// Lookup is not used: readers take the published view.
func (m *metaMachine) Lookup(any) (any, error) { return nil, errors.New("not supported") }

// SaveSnapshot writes the state.
func (m *metaMachine) SaveSnapshot(w io.Writer, _ sm.ISnapshotFileCollection, _ <-chan struct{}) error {
	_, err := w.Write(meta.AppendSnapshot(nil, m.state.View()))
	return err
}

// RecoverFromSnapshot replaces the state.
func (m *metaMachine) RecoverFromSnapshot(r io.Reader, _ []sm.SnapshotFile, _ <-chan struct{}) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return fmt.Errorf("read the snapshot of the metadata: %w", err)
	}

	st, err := meta.DecodeSnapshot(b)
	if err != nil {
		return fmt.Errorf("read the snapshot of the metadata: %w", err)
	}

	m.state = st
	m.host.publish(st.View())
	return nil
}

// Close has nothing to free.
func (m *metaMachine) Close() error { return nil }
