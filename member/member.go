package member

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

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
	"github.com/gridiron-io/gridiron/sdk"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Member is one running node. It is made by Start and ends with Close or Kill. It is a composition: its rooms do the work, and are told
// by functions what they need of each other.
type Member struct {
	cfg Config
	log *slog.Logger

	origin
	lifetime
	groups
	departure

	server     *server.Server
	ports      *server.Ports
	clock      *clock.Clock
	clockGuard *clock.Guard
	peers      *liveness.Peers
	locator    *locator
	memory     *memory.Rooms
	control    *control.Control
	views      *views
	maps       *maps.Service
	tasks      *exec.Service
	events     *events.Events
	publisher  *events.Publisher
	client     *sdk.Client
	metrics    metric.Registration // nil: nothing is measured

	owned struct {
		sync.Mutex
		list    []wire.Owned
		version uint64
	}
}

// ErrPortInUse is what Start's error wraps when a port of the member is taken.
var ErrPortInUse = server.ErrPortInUse

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

	m := &Member{cfg: cfg, log: cfg.Logger}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	m.leaving, m.hurry = context.WithCancel(context.Background())
	ctx, m.abort = context.WithCancelCause(ctx)
	m.ended = make(chan struct{})
	m.watch.ch = make(chan struct{})
	m.recovery.slot = make(chan struct{}, 1)

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
		return nil, fmt.Errorf("bootstrap or join a cluster: %w", err)
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
