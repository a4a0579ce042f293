package member

import (
	"log/slog"
	"sync"

	execsvc "github.com/gridiron-io/gridiron/exec/service"
	"github.com/gridiron-io/gridiron/maps"
	"github.com/gridiron-io/gridiron/member/internal/events"
	"github.com/gridiron-io/gridiron/member/internal/metadata"
	"github.com/gridiron-io/gridiron/member/internal/server"
	"github.com/gridiron-io/gridiron/partition/meta"
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

	rooms

	maps      *maps.Service
	tasks     *execsvc.Service
	publisher *events.Publisher
	client    *sdk.Client

	owned struct {
		sync.Mutex
		list    []wire.Owned
		version uint64
	}
}

// ErrPortInUse is what Start's error wraps when a port of the member is taken.
var ErrPortInUse = server.ErrPortInUse

// ErrDataDir is what Start's error wraps when the data directory is not what the member left there: metadata that is gone, or an old copy.
var ErrDataDir = metadata.ErrDataDir

// ID returns the member's identity.
func (m *Member) ID() wire.ID { return m.id }

// Name returns the member's name.
func (m *Member) Name() string { return m.cfg.Name }

// Addr returns the address of the client port.
func (m *Member) Addr() string { return m.ports.Client() }

func (m *Member) peerAddr() string { return m.ports.Peer() }

// metaView returns the metadata as this member has applied them; nil before its replica runs.
func (m *Member) metaView() *meta.View { return m.meta.View() }

// partitions returns how many partitions the cluster has; 0 while that is not known.
func (m *Member) partitions() int {
	if v := m.metaView(); v != nil {
		return v.PartitionCount
	}
	return 0
}

// Client returns a client of the cluster in the member's process. It belongs to the member and ends with it.
func (m *Member) Client() *sdk.Client { return m.client }
