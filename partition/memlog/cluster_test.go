package memlog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lni/dragonboat/v4"
	"github.com/lni/dragonboat/v4/config"
	"github.com/lni/dragonboat/v4/logger"
	chantransport "github.com/lni/dragonboat/v4/plugin/chan"
	"github.com/lni/dragonboat/v4/raftio"
	sm "github.com/lni/dragonboat/v4/statemachine"
	"github.com/lni/vfs"
	"github.com/stretchr/testify/require"
	"github.com/vmihailenco/msgpack/v5"
	"go.uber.org/goleak"
)

func init() {
	for _, name := range []string{"dragonboat", "raft", "raftpb", "rsm", "transport", "logdb", "config", "settings", "tan", "order", "server", "utils"} {
		logger.GetLogger(name).SetLevel(logger.CRITICAL)
	}
}

// The life of a group whose logs are in memory. It is bootstrapped by three NodeHosts and written to, and its logs are
// compacted after snapshots that hold no data. A fourth replica catches up from a streamed state snapshot and then from the
// log. At last a replica is removed with its data.
func TestCluster(t *testing.T) {
	leaks := goleak.IgnoreCurrent()
	t.Cleanup(func() {
		if !t.Failed() {
			goleak.VerifyNone(t, leaks)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)

	hosts := map[uint64]*host{}
	initial := map[uint64]dragonboat.Target{}
	for id := range uint64(4) {
		h := startHost(t, id+1)
		hosts[h.id] = h
		if h.id <= 3 {
			initial[h.id] = h.nh.RaftAddress()
		}
	}
	one, two, three, four := hosts[1], hosts[2], hosts[3], hosts[4]

	for id := range initial {
		hosts[id].startReplica(t, initial, false)
	}
	want := map[string]string{}
	put := func(from, to int) {
		for i := from; i < to; i++ {
			key, value := fmt.Sprintf("key-%d", i%100), fmt.Sprintf("value-%d", i)
			one.propose(ctx, t, key+"="+value)
			want[key] = value
		}
	}
	put(0, 300)
	for _, h := range []*host{one, two, three} {
		require.Equal(t, want, h.read(ctx, t))
		n, bytes := h.db.Size(shard, h.id)
		require.Greater(t, n, 300)
		require.Greater(t, bytes, int64(300*(entryBytes+16)))
		require.Equal(t, bytes, h.db.TotalBytes())
	}

	// Snapshots of an on-disk state machine are records only; they are there to trim the log.
	for _, h := range []*host{one, two, three} {
		before := h.db.TotalBytes()
		index, err := h.nh.SyncRequestSnapshot(ctx, shard, dragonboat.SnapshotOption{OverrideCompactionOverhead: true, CompactionOverhead: 10})
		require.NoError(t, err)
		h.await(ctx, t, "the log's compaction", func(e any) bool {
			c, ok := e.(logCompacted)
			return ok && c.Index == index-10
		})
		n, bytes := h.db.Size(shard, h.id)
		require.GreaterOrEqual(t, n, 10)
		require.Less(t, n, 100)
		require.Less(t, bytes, before/2)
		_, _, err = h.db.Tail(shard, h.id, index-10)
		require.ErrorIs(t, err, ErrCompacted)
		ss, err := h.db.GetSnapshot(shard, h.id)
		require.NoError(t, err)
		require.Equal(t, index, ss.Index)
		require.True(t, ss.Dummy)
		h.checkLogReader(t)
	}

	// The late replica needs entries that nobody has any more.
	require.NoError(t, one.nh.SyncRequestAddNonVoting(ctx, shard, four.id, four.nh.RaftAddress(), 0))
	four.startReplica(t, nil, true)
	four.await(ctx, t, "the state snapshot", func(e any) bool {
		r, ok := e.(snapshotRecovered)
		return ok && r.Index > 0
	})
	ss, err := four.db.GetSnapshot(shard, four.id)
	require.NoError(t, err)
	require.NotZero(t, ss.Index)
	require.False(t, ss.Dummy)
	put(300, 400)
	require.Equal(t, want, four.read(ctx, t))
	require.Equal(t, 1, four.machine.stateSnapshots())
	four.checkLogReader(t)

	// After a read on each, all have applied the same, and their logs say the same about it.
	for _, h := range hosts {
		require.Equal(t, want, h.read(ctx, t))
		mine, _, err := h.db.Tail(shard, h.id, ss.Index+1)
		require.NoError(t, err)
		others, _, err := one.db.Tail(shard, one.id, ss.Index+1)
		require.NoError(t, err)
		require.GreaterOrEqual(t, len(mine), 100)
		require.Equal(t, others[:100], mine[:100])
	}

	require.NoError(t, one.nh.SyncRequestDeleteReplica(ctx, shard, three.id, 0))
	if err := three.nh.StopReplica(shard, three.id); err != nil {
		require.ErrorIs(t, err, dragonboat.ErrShardNotFound, "it heard of its removal before")
	}
	require.NoError(t, three.nh.SyncRemoveData(ctx, shard, three.id))
	require.False(t, three.nh.HasNodeInfo(shard, three.id))
	require.Zero(t, three.db.TotalBytes())
	_, _, err = three.db.Tail(shard, three.id, 1)
	require.ErrorIs(t, err, ErrNoReplica)

	put(400, 450)
	require.Equal(t, want, two.read(ctx, t))
	require.Equal(t, want, four.read(ctx, t))
}

// host is a NodeHost on a log of its own.
type host struct {
	id      uint64
	db      *DB
	nh      *dragonboat.NodeHost
	machine *machine

	mu      sync.Mutex
	events  []any
	changed chan struct{} // closed and replaced with each event
}

// startHost starts a NodeHost that has nothing on a disk and no port.
func startHost(t *testing.T, id uint64) *host {
	t.Helper()
	h := &host{id: id, db: New(), machine: &machine{data: map[string]string{}}, changed: make(chan struct{})}
	cfg := config.NodeHostConfig{
		NodeHostDir:         "/data",
		RTTMillisecond:      50,
		RaftAddress:         fmt.Sprintf("%s-%d", t.Name(), id),
		RaftEventListener:   h,
		SystemEventListener: h,
		Expert:              config.ExpertConfig{FS: vfs.NewMem(), LogDBFactory: h.db.Factory(), TransportFactory: channels{}},
	}
	nh, err := dragonboat.NewNodeHost(cfg)
	require.NoError(t, err)
	t.Cleanup(nh.Close)
	h.nh = nh
	return h
}

func (h *host) startReplica(t *testing.T, initial map[uint64]dragonboat.Target, learner bool) {
	t.Helper()
	cfg := config.Config{
		ShardID: shard, ReplicaID: h.id, ElectionRTT: 20, HeartbeatRTT: 2, CheckQuorum: true, PreVote: true, IsNonVoting: learner, WaitReady: true,
	}
	create := func(uint64, uint64) sm.IOnDiskStateMachine { return h.machine }
	require.NoError(t, h.nh.StartOnDiskReplica(initial, initial == nil, create, cfg))
}

func (h *host) propose(ctx context.Context, t *testing.T, cmd string) {
	t.Helper()
	h.untilLed(ctx, t, func(ctx context.Context) error {
		_, err := h.nh.SyncPropose(ctx, h.nh.GetNoOPSession(shard), []byte(cmd))
		return err
	})
}

// read returns the state at h after all that was applied anywhere before.
func (h *host) read(ctx context.Context, t *testing.T) (data map[string]string) {
	t.Helper()
	h.untilLed(ctx, t, func(ctx context.Context) error {
		v, err := h.nh.SyncRead(ctx, shard, nil)
		if err == nil {
			data = v.(map[string]string)
		}
		return err
	})
	return data
}

// untilLed calls f again as long as it fails for want of a leader: after a timeout at once, else after the next event.
func (h *host) untilLed(ctx context.Context, t *testing.T, f func(context.Context) error) {
	t.Helper()
	for {
		_, changed := h.seen()
		attempt, cancel := context.WithTimeout(ctx, 3*time.Second)
		err := f(attempt)
		cancel()
		switch {
		case err == nil:
			return
		case !dragonboat.IsTempError(err):
			require.NoError(t, err)
		case !errors.Is(err, dragonboat.ErrTimeout):
			select {
			case <-changed:
			case <-ctx.Done():
			}
		}
		require.NoError(t, ctx.Err(), "the last error was %v", err)
	}
}

// await returns once there was an event that is wanted.
func (h *host) await(ctx context.Context, t *testing.T, what string, wanted func(any) bool) {
	t.Helper()
	for {
		events, changed := h.seen()
		for _, e := range events {
			if wanted(e) {
				return
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("replica %d has waited for %s; events: %v", h.id, what, events)
		}
	}
}

// checkLogReader compares the range that dragonboat believes in with what the log holds.
func (h *host) checkLogReader(t *testing.T) {
	t.Helper()
	reader, err := h.nh.GetLogReader(shard)
	require.NoError(t, err)
	first, _ := reader.GetRange()
	ents, _, err := h.db.Tail(shard, h.id, first)
	require.NoError(t, err)
	if len(ents) > 0 {
		require.Equal(t, first, ents[0].Index)
	}
	_, _, err = h.db.Tail(shard, h.id, first-1)
	require.ErrorIs(t, err, ErrCompacted)
}

func (h *host) seen() ([]any, <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.events, h.changed
}

func (h *host) saw(e any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, e)
	close(h.changed)
	h.changed = make(chan struct{})
}

// The events that tests wait for have types; the others are only counted.
type (
	logCompacted      raftio.EntryInfo
	snapshotRecovered raftio.SnapshotInfo
)

func (h *host) LeaderUpdated(e raftio.LeaderInfo)             { h.saw(e) }
func (h *host) NodeHostShuttingDown()                         {}
func (h *host) NodeUnloaded(e raftio.NodeInfo)                { h.saw(e) }
func (h *host) NodeDeleted(e raftio.NodeInfo)                 { h.saw(e) }
func (h *host) NodeReady(e raftio.NodeInfo)                   { h.saw(e) }
func (h *host) MembershipChanged(e raftio.NodeInfo)           { h.saw(e) }
func (h *host) ConnectionEstablished(e raftio.ConnectionInfo) { h.saw(e) }
func (h *host) ConnectionFailed(e raftio.ConnectionInfo)      { h.saw(e) }
func (h *host) SendSnapshotStarted(e raftio.SnapshotInfo)     { h.saw(e) }
func (h *host) SendSnapshotCompleted(e raftio.SnapshotInfo)   { h.saw(e) }
func (h *host) SendSnapshotAborted(e raftio.SnapshotInfo)     { h.saw(e) }
func (h *host) SnapshotReceived(e raftio.SnapshotInfo)        { h.saw(e) }
func (h *host) SnapshotRecovered(e raftio.SnapshotInfo)       { h.saw(snapshotRecovered(e)) }
func (h *host) SnapshotCreated(e raftio.SnapshotInfo)         { h.saw(e) }
func (h *host) SnapshotCompacted(e raftio.SnapshotInfo)       { h.saw(e) }
func (h *host) LogCompacted(e raftio.EntryInfo)               { h.saw(logCompacted(e)) }
func (h *host) LogDBCompacted(e raftio.EntryInfo)             { h.saw(e) }

// channels is the transport between NodeHosts of one process, with any name for an address.
type channels struct{}

func (channels) Create(cfg config.NodeHostConfig, m raftio.MessageHandler, c raftio.ChunkHandler) raftio.ITransport {
	return chantransport.NewChanTransport(cfg, m, c)
}

func (channels) Validate(string) bool { return true }

// machine is a map in memory that presents itself as an on-disk state machine which has nothing yet. A command is key=value.
type machine struct {
	mu        sync.Mutex
	data      map[string]string
	recovered int
}

func (m *machine) Open(<-chan struct{}) (uint64, error) { return 0, nil }
func (m *machine) Sync() error                          { return nil }
func (m *machine) Close() error                         { return nil }

func (m *machine) Update(ents []sm.Entry) ([]sm.Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range ents {
		key, value, ok := strings.Cut(string(ents[i].Cmd), "=")
		if !ok {
			return nil, fmt.Errorf("command %q at %d", ents[i].Cmd, ents[i].Index)
		}
		m.data[key] = value
	}
	return ents, nil
}

func (m *machine) Lookup(any) (any, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.data), nil
}

func (m *machine) PrepareSnapshot() (any, error) { return m.Lookup(nil) }

func (m *machine) SaveSnapshot(view any, w io.Writer, _ <-chan struct{}) error {
	return msgpack.NewEncoder(w).Encode(view)
}

func (m *machine) RecoverFromSnapshot(r io.Reader, _ <-chan struct{}) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.recovered++
	m.data = map[string]string{}
	return msgpack.NewDecoder(r).Decode(&m.data)
}

// stateSnapshots returns how many state snapshots were recovered from.
func (m *machine) stateSnapshots() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.recovered
}
