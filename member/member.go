package member

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/otel/metric"

	"github.com/gridiron-io/gridiron/exec"
	"github.com/gridiron-io/gridiron/maps"
	"github.com/gridiron-io/gridiron/member/internal/bootstrap"
	"github.com/gridiron-io/gridiron/member/internal/clock"
	"github.com/gridiron-io/gridiron/member/internal/control"
	"github.com/gridiron-io/gridiron/member/internal/events"
	"github.com/gridiron-io/gridiron/member/internal/liveness"
	"github.com/gridiron-io/gridiron/member/internal/memory"
	"github.com/gridiron-io/gridiron/member/internal/server"
	"github.com/gridiron-io/gridiron/member/telemetry"
	"github.com/gridiron-io/gridiron/partition"
	"github.com/gridiron-io/gridiron/partition/meta"
	"github.com/gridiron-io/gridiron/partition/raftnet"
	"github.com/gridiron-io/gridiron/sdk"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Member is one running node. It is made by Start and ends with Close or Kill.
type Member struct {
	cfg         Config
	log         *slog.Logger
	id          wire.ID // of the data directory
	incarnation wire.ID // of this start
	tempDir     bool

	ctx     context.Context // ends when the member stops; parent of everything that it runs
	cancel  context.CancelFunc
	leaving context.Context // ends when a Close that is under way is not to wait for anything any more
	hurry   context.CancelFunc
	wg      sync.WaitGroup // goroutines that end with ctx or with their connection
	phase   atomic.Int32

	store      *bootstrap.Store
	runner     *bootstrap.Runner
	ports      *server.Ports
	server     *server.Server
	clock      *clock.Clock
	clockGuard *clock.Guard

	cluster       atomic.Pointer[wire.ID]
	initialVoters []wire.ID               // with which the metadata group begins, by replica ID; nil if this member joined
	participants  []bootstrap.Participant // all who bootstrap the cluster together; nil if this member joined
	metaJoined    bool                    // the metadata replica began as a learner

	dataNet, metaNet *raftnet.Transport
	dataReg, metaReg *raftnet.Registry
	meta             *partition.MetaHost
	host             *partition.Host
	hostReady        atomic.Bool // host may be read
	metaReady        atomic.Bool // meta may be read
	going            atomic.Bool // this member is about to leave: others take over what it has
	metaReleased     atomic.Bool // of that, the metadata group can do without it

	started  atomic.Bool             // Start has returned: from here on the metadata have this incarnation, unless it was given up
	doubting atomic.Bool             // a goroutine asks whether the cluster still counts this process among its members
	abort    context.CancelCauseFunc // ends Start
	removed  atomic.Pointer[error]   // why this member has stopped by itself; nil if it has not
	recovery recovery
	waiting  atomic.Pointer[string] // what Start waits for; nil: nothing that is worth saying

	peers     *liveness.Peers
	locator   *locator
	memory    *memory.Rooms
	control   *control.Control
	views     *views
	maps      *maps.Service
	tasks     *exec.Service
	events    *events.Events
	publisher *events.Publisher
	client    *sdk.Client
	metrics   metric.Registration // nil: nothing is measured

	owned struct {
		sync.Mutex
		list    []wire.Owned
		version uint64
	}
	watch struct {
		sync.Mutex
		ch chan struct{} // closed and replaced when the view changes
	}
	closeOnce sync.Once
	ended     chan struct{} // closed when everything of the member has ended
}

// ErrPortInUse is what Start's error wraps when a port of the member is taken.
var ErrPortInUse = server.ErrPortInUse

// Phases of a member's life.
const (
	phaseStarting int32 = iota
	phaseReady
	phaseClosing
)

// Start starts a member and returns when it is ready: part of a cluster, its replicas running, every partition owned. ctx
// bounds the start alone; when it ends, and after any other error, nothing of the member is left.
//
// Errors wrap ErrConfig, ErrPortInUse, ErrDataDir, ErrLocked (a running member holds the directory),
// ErrOtherCluster, ErrCorrupt, ErrRemoved (the cluster went on without this member's directory: started again it joins
// again) or ctx's error.
func Start(ctx context.Context, cfg Config) (_ *Member, err error) {
	cfg = cfg.WithDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("start: %w", err)
	}
	m := &Member{cfg: cfg, log: cfg.Logger, ended: make(chan struct{}),
		recovery: recovery{slot: make(chan struct{}, 1)}}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	m.leaving, m.hurry = context.WithCancel(context.Background())
	ctx, m.abort = context.WithCancelCause(ctx)
	m.watch.ch = make(chan struct{})
	m.clock = clock.New(cfg.Mono, cfg.Wall)
	m.views = newViews(m)
	m.locator = newLocator(m)
	telemetry.RaftLogs(cfg.Logger)
	defer func() {
		if err != nil {
			m.Kill()
		}
		m.abort(nil)
	}()
	if err := m.openStore(); err != nil {
		return nil, err
	}
	m.memory = memory.New(memory.Config{Member: m.id, Incarnation: m.incarnation, Limit: cfg.MaxMemory, SizesFor: liveness.PingTimeout,
		Leads: m.leads, Size: m.sizeOf})
	if m.ports, err = server.Listen(m.portsConfig()); err != nil {
		return nil, err
	}
	if m.cfg.Name == "" {
		m.cfg.Name = defaultName(m.ports)
	}
	m.log = cfg.Logger.With("member", m.cfg.Name)
	m.peers = m.newPeers()
	m.clockGuard = clock.NewGuard(clock.GuardConfig{Clock: m.clock, Log: m.log, Closing: m.isClosing, Release: m.disown, Changed: m.views.notify})
	if err := m.makeTransports(); err != nil {
		return nil, err
	}
	if m.runner, err = bootstrap.NewRunner(m.bootstrapConfig()); err != nil {
		return nil, fmt.Errorf("start: %w", err)
	}
	m.control = control.New(m.controlDeps())
	m.makeServer(m.ports)
	m.server.Start(m.ctx)
	found, err := m.runner.Run(ctx)
	if err != nil {
		return nil, fmt.Errorf("found or join a cluster: %w", err)
	}
	if err := m.enter(ctx, found); err != nil {
		if cause := context.Cause(ctx); errors.Is(cause, bootstrap.ErrOtherCluster) {
			err = cause // a join address has answered while it started
		}
		return nil, errors.Join(err, m.Err())
	}
	if m.started.Store(true); m.Err() != nil {
		return nil, m.Err()
	}
	m.meta.Wake() // the others may have given this member up meanwhile
	return m, nil
}

// ID returns the member's identity.
func (m *Member) ID() wire.ID { return m.id }

// Name returns the member's name.
func (m *Member) Name() string { return m.cfg.Name }

// Addr returns the address of the client port.
func (m *Member) Addr() string { return m.ports.Client() }

func (m *Member) peerAddr() string { return m.ports.Peer() }

// Client returns a client of the cluster in the member's process. It belongs to the member and ends with it.
func (m *Member) Client() *sdk.Client { return m.client }

func (m *Member) clusterID() wire.ID {
	if id := m.cluster.Load(); id != nil {
		return *id
	}
	return wire.ID{}
}

// partitions returns how many partitions the cluster has; 0 while that is not known.
func (m *Member) partitions() int {
	if v := m.metaView(); v != nil {
		return v.PartitionCount
	}
	return 0
}

// metaView returns the metadata as this member has applied it, nil before its replica runs.
func (m *Member) metaView() *meta.View {
	if !m.metaReady.Load() {
		return nil
	}
	return m.meta.View()
}

// dataHost returns the host of the partitions, nil before it runs.
func (m *Member) dataHost() *partition.Host {
	if !m.hostReady.Load() {
		return nil
	}
	return m.host
}

func (m *Member) isReady() bool   { return m.phase.Load() == phaseReady }
func (m *Member) isClosing() bool { return m.phase.Load() == phaseClosing }
