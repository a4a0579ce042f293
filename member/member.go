package member

import (
	"log/slog"
	"sync"

	"go.opentelemetry.io/otel/metric"

	execsvc "github.com/gridiron-io/gridiron/exec/service"
	"github.com/gridiron-io/gridiron/maps"
	"github.com/gridiron-io/gridiron/member/internal/clock"
	"github.com/gridiron-io/gridiron/member/internal/control"
	"github.com/gridiron-io/gridiron/member/internal/events"
	"github.com/gridiron-io/gridiron/member/internal/liveness"
	"github.com/gridiron-io/gridiron/member/internal/memory"
	"github.com/gridiron-io/gridiron/member/internal/server"
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
	tasks      *execsvc.Service
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

// ID returns the member's identity.
func (m *Member) ID() wire.ID { return m.id }

// Name returns the member's name.
func (m *Member) Name() string { return m.cfg.Name }

// Addr returns the address of the client port.
func (m *Member) Addr() string { return m.ports.Client() }

func (m *Member) peerAddr() string { return m.ports.Peer() }

// Client returns a client of the cluster in the member's process. It belongs to the member and ends with it.
func (m *Member) Client() *sdk.Client { return m.client }
