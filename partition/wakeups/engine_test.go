package wakeups

import (
	"errors"
	"io"
	"reflect"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/lni/dragonboat/v4"
	"github.com/lni/dragonboat/v4/config"
	chantransport "github.com/lni/dragonboat/v4/plugin/chan"
	"github.com/lni/dragonboat/v4/raftio"
	sm "github.com/lni/dragonboat/v4/statemachine"
	"github.com/lni/vfs"
	"github.com/stretchr/testify/require"

	"github.com/gridiron-io/gridiron/partition/memlog"
)

const (
	workers  = 4
	patience = time.Minute
)

// It fails when the library's pin moves to a version that is built differently.
func TestTheLibraryIsKnown(t *testing.T) { require.NoError(t, Known()) }

func TestAnotherLayoutIsNotTouched(t *testing.T) {
	type iface = interface {
		GetPartitionID(shardID uint64) uint64
	}
	for name, other := range map[string]any{
		"a field more": struct {
			partitioner iface
			maps        []*readyShard
			channels    []chan struct{}
			count, more uint64
		}{},
		"fields in another order": struct {
			maps        []*readyShard
			partitioner iface
			channels    []chan struct{}
			count       uint64
		}{},
		"another name": struct {
			partitioner iface
			maps        []*readyShard
			wake        []chan struct{}
			count       uint64
		}{},
		"another kind of channel": struct {
			partitioner iface
			maps        []*readyShard
			channels    []chan bool
			count       uint64
		}{},
		"another number": struct {
			partitioner iface
			maps        []*readyShard
			channels    []chan struct{}
			count       int64
		}{},
		"a set of another kind": struct {
			partitioner iface
			maps        []*struct {
				mu    sync.Mutex
				ready map[uint64]bool
				maps  [2]map[uint64]bool
				index uint8
			}
			channels []chan struct{}
			count    uint64
		}{},
		"another lock": struct {
			partitioner iface
			maps        []*struct {
				mu    sync.RWMutex
				ready map[uint64]struct{}
				maps  [2]map[uint64]struct{}
				index uint8
			}
			channels []chan struct{}
			count    uint64
		}{},
		"no pointer": readyShard{},
	} {
		t.Run(name, func(t *testing.T) {
			require.Error(t, alike(reflect.TypeOf(other), reflect.TypeFor[workReady]()))
		})
	}
	require.NoError(t, alike(reflect.TypeFor[workReady](), reflect.TypeFor[workReady]()))
}

func TestWorkersThatDoNotFit(t *testing.T) {
	set, slot := &readyShard{}, make(chan struct{}, 1)
	for name, r := range map[string]*workReady{
		"none":            nil,
		"no worker":       {},
		"a set too few":   {count: 1, channels: []chan struct{}{slot}},
		"another channel": {count: 1, maps: []*readyShard{set}, channels: []chan struct{}{make(chan struct{})}},
		"no set":          {count: 1, maps: []*readyShard{nil}, channels: []chan struct{}{slot}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := r.lanes()
			require.Error(t, err)
		})
	}
}

// machine is a state machine that says when it is updated, and waits, until the test is over.
type machine struct {
	updating, goOn, over chan struct{}
	watch                func() (*Steps, error)
	steps                *Steps
}

func (m *machine) Open(<-chan struct{}) (uint64, error) {
	var err error
	m.steps, err = m.watch()
	return 0, err
}

func (m *machine) Update(entries []sm.Entry) ([]sm.Entry, error) {
	stop(m.updating, m.goOn, m.over)
	m.steps.Applied(len(entries))
	return entries, nil
}

func (m *machine) Lookup(any) (any, error)                            { return nil, nil }
func (m *machine) Sync() error                                        { return nil }
func (m *machine) PrepareSnapshot() (any, error)                      { return nil, errors.New("not used") }
func (m *machine) SaveSnapshot(any, io.Writer, <-chan struct{}) error { return errors.New("not used") }
func (m *machine) RecoverFromSnapshot(r io.Reader, done <-chan struct{}) error {
	return errors.New("not used")
}
func (m *machine) Close() error { return nil }

// stop says that a worker is here, and holds it up until it may go on or the test is over.
func stop(here chan<- struct{}, goOn, over <-chan struct{}) {
	select {
	case here <- struct{}{}:
	case <-over:
	}
	select {
	case <-goOn:
	case <-over:
	}
}

// transports makes the transport of a host that is alone.
type transports struct{}

func (transports) Create(cfg config.NodeHostConfig, m raftio.MessageHandler, c raftio.ChunkHandler) raftio.ITransport {
	return chantransport.NewChanTransport(cfg, m, c)
}

func (transports) Validate(string) bool { return true }

// leaders tells that a group has a leader.
type leaders chan struct{}

func (l leaders) LeaderUpdated(info raftio.LeaderInfo) {
	if info.LeaderID != 0 {
		l <- struct{}{}
	}
}

func await(t *testing.T, what string, ch <-chan struct{}) {
	t.Helper()
	select {
	case <-ch:
	case <-time.After(patience):
		t.Fatal("not seen: " + what)
	}
}

// What Find returns is what wakes the workers: of a group that becomes ready while its worker is held up, set and token are in the worker's
// own lane, and are left there. A token without a group is taken back.
func TestFind(t *testing.T) {
	const shard = 4097

	log := memlog.New()
	leads := make(leaders, 16)
	nh, err := dragonboat.NewNodeHost(config.NodeHostConfig{
		NodeHostDir: "/wakeups", RTTMillisecond: 10, RaftAddress: "wakeups.test:1",
		RaftEventListener: leads,
		Expert: config.ExpertConfig{
			FS: vfs.NewMem(), LogDBFactory: log.Factory(), TransportFactory: transports{},
			LogDB:  config.LogDBConfig{Shards: workers},
			Engine: config.EngineConfig{ExecShards: workers, CommitShards: 1, ApplyShards: workers, SnapshotShards: 1, CloseShards: 1},
		},
	})
	require.NoError(t, err)
	t.Cleanup(nh.Close)

	w, err := Find(nh)
	require.NoError(t, err)
	require.Len(t, w.step, workers)
	require.Len(t, w.apply, workers)

	m := &machine{updating: make(chan struct{}), goOn: make(chan struct{}), over: make(chan struct{})}
	asked := make(chan struct{}, 1)
	m.watch = func() (*Steps, error) {
		return Watch(nh, shard, func() bool {
			select {
			case asked <- struct{}{}:
			default:
			}
			return false
		})
	}
	t.Cleanup(func() { close(m.over) }) // before the host is closed, which waits for its workers
	initial := map[uint64]dragonboat.Target{1: nh.RaftAddress()}
	require.NoError(t, nh.StartOnDiskReplica(initial, false, func(uint64, uint64) sm.IOnDiskStateMachine { return m },
		config.Config{ShardID: shard, ReplicaID: 1, ElectionRTT: 10, HeartbeatRTT: 1, CheckQuorum: true}))
	session := nh.GetNoOPSession(shard)
	propose := func() {
		t.Helper()
		rs, err := nh.Propose(session, []byte("x"), patience)
		require.NoError(t, err)
		go func() { <-rs.ResultC() }()
	}
	await(t, "the leader of the group", leads)

	// The apply worker is in Update when the group becomes ready again.
	propose()
	await(t, "the first Update", m.updating)
	apply := &w.apply[shard%workers]
	propose()
	readySoon(t, apply, shard)
	w.DropApply(shard)
	require.Len(t, apply.token, 1, "the group is ready")
	m.goOn <- struct{}{}

	// A token is of no use where nothing is ready. The library may make the group ready once more by itself: then it is tried with another entry.
	for taken := false; !taken; m.goOn <- struct{}{} {
		await(t, "a later Update", m.updating)
		if !apply.has(shard) {
			select {
			case apply.token <- struct{}{}:
			default:
			}
			w.DropApply(shard)
			left := len(apply.token)
			if taken = !apply.has(shard); taken {
				require.Zero(t, left, "the token is taken back")
				continue
			}
		}
		propose()
	}

	// The step worker is at the end of a round.
	saving, step := make(chan struct{}), make(chan struct{})
	held := false
	log.OnSaved(func(worker uint64) {
		if worker-1 != shard%workers || held {
			return
		}
		held = true // one goroutine calls for each worker
		stop(saving, step, m.over)
	})
	await(t, "the step worker", saving)
	lane := &w.step[shard%workers]
	propose()
	readySoon(t, lane, shard)
	w.DropStep(shard%workers + 1)
	require.Len(t, lane.token, 1, "the group is ready")
	close(step)
	await(t, "the third Update", m.updating)
	m.goOn <- struct{}{}
	await(t, "the question whether a step is needed", asked)
}

// has reports whether a group is in the lane's set.
func (l *lane) has(shard uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ok := (*l.ready)[shard]
	return ok
}

// readySoon waits until a group is in a lane's set and its token has been sent.
func readySoon(t *testing.T, l *lane, shard uint64) {
	t.Helper()
	// The library tells nobody of it, so it is looked at again and again.
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); runtime.Gosched() {
		if l.has(shard) && len(l.token) == 1 {
			return
		}
	}
	t.Fatal("the group does not become ready in the lane")
}
