package member

import (
	"context"
	"fmt"

	"github.com/gridiron-io/gridiron/member/internal/bootstrap"
	"github.com/gridiron-io/gridiron/member/internal/clock"
	"github.com/gridiron-io/gridiron/member/internal/control"
	"github.com/gridiron-io/gridiron/member/internal/events"
	"github.com/gridiron-io/gridiron/member/internal/liveness"
	"github.com/gridiron-io/gridiron/member/internal/locate"
	"github.com/gridiron-io/gridiron/member/internal/mapconfig"
	"github.com/gridiron-io/gridiron/member/internal/memory"
	"github.com/gridiron-io/gridiron/member/internal/metadata"
	"github.com/gridiron-io/gridiron/member/internal/metrics"
	"github.com/gridiron-io/gridiron/member/internal/replicas"
	"github.com/gridiron-io/gridiron/member/internal/server"
	"github.com/gridiron-io/gridiron/member/internal/views"
	"github.com/gridiron-io/gridiron/partition/meta"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// room is a part of the member that has goroutines. They begin with its Start, and end with the context of that.
type room interface {
	// Wait waits for the goroutines. It may be called before Start.
	Wait()
}

// rooms are the parts that a member is composed of.
type rooms struct {
	server     *server.Server
	ports      *server.Ports
	clock      *clock.Clock
	clockGuard *clock.Guard
	memory     *memory.Rooms
	peers      *liveness.Peers
	locator    *locate.Locator
	meta       *metadata.Metadata
	mapConfigs *mapconfig.Configs
	replicas   *replicas.Replicas
	views      *views.Views
	control    *control.Control
	events     *events.Events
	metrics    *metrics.Metrics

	working []room // in the order in which they are waited for
}

// makeRooms makes all rooms but the events, which need the cluster's ID, and has none of them begin. The ports are there.
//
// Rooms need each other in circles: they get functions that look at m when they are called.
func (m *Member) makeRooms() (err error) {
	m.clock = clock.New(m.cfg.Mono, m.cfg.Wall)
	m.memory = memory.New(memory.Config{Member: m.id, Incarnation: m.incarnation, Limit: m.cfg.MaxMemory, SizesFor: liveness.PingTimeout,
		Leads: m.leads, Size: m.sizeOf})
	nats := events.External(m.cfg.NATS)
	m.natsDigest = nats.Digest()
	m.views = m.newViews()
	m.locator = m.newLocator()
	m.peers = m.newPeers()
	m.clockGuard = clock.NewGuard(clock.GuardConfig{Clock: m.clock, Log: m.log, Closing: m.isClosing, Release: m.disown, Changed: m.views.Notify})
	if err := m.makeTransports(); err != nil {
		return err
	}

	// The metadata need the transports, which need to know how peers are dialed.
	m.meta = m.newMetadata()
	m.mapConfigs = mapconfig.New(m.meta)
	m.replicas = m.newReplicas()
	m.metrics = metrics.New(metrics.Config{Provider: m.cfg.MeterProvider, Name: m.cfg.Name, Version: m.cfg.Version, Logger: m.log, Read: m.reading})
	if m.runner, err = bootstrap.NewRunner(m.bootstrapConfig()); err != nil {
		return fmt.Errorf("start: %w", err)
	}

	m.control = control.New(m.controlConfig())
	m.makeServer()
	// A room stands before those in which it begins something.
	m.working = []room{m.server, m.peers, m.meta, m.replicas, m.locator, m.views, m.clockGuard, m.control}
	return nil
}

// newViews returns what keeps the table.
func (m *Member) newViews() *views.Views {
	return views.New(views.Config{
		Metadata: m.metaView,
		Owner: func(p int) (epoch uint64, owner wire.ID, ok bool) {
			// The host comes late in a start, and views are made before it.
			host := m.dataHost()
			if host == nil {
				return 0, owner, false
			}
			epoch, owner, _ = host.Owner(p)
			return epoch, owner, true
		},
		Silent:  func(id wire.ID) bool { return m.peers.Silent(id) },
		Changed: m.viewChanged,
		Push:    func(table []byte) { m.server.Push(table) },
	})
}

// newLocator returns what finds members that are not where the metadata say.
func (m *Member) newLocator() *locate.Locator {
	return locate.New(locate.Config{
		Self: m.id, Addr: m.Addr(), Join: m.cfg.Join, Dir: m.cfg.DataDir, Logger: m.log, Cluster: m.clusterID, Metadata: m.metaView,
		Leader: func() uint64 { return m.meta.Leader() },
		Addrs:  func() []string { return m.store.Record().Addrs },
		Ask:    func(ctx context.Context, addr string) (bootstrap.Hello, error) { return m.runner.Ask(ctx, addr) },
		Peers:  func() locate.Peers { return m.peers }, Started: m.started.Load, Waiting: m.awaited, Abort: m.abort,
	})
}

// newReplicas returns what runs the replicas that the table gives to this member.
func (m *Member) newReplicas() *replicas.Replicas {
	return replicas.New(replicas.Config{Self: m.id, Incarnation: m.incarnation, Registry: m.dataReg, Logger: m.log, Commit: m.meta.Commit,
		Wake: func() { m.meta.Wake() }, Closing: m.isClosing})
}

// newPeers returns what knows of the other members, and of their life.
func (m *Member) newPeers() *liveness.Peers {
	return liveness.New(liveness.Config{
		Self: m.id, Incarnation: m.incarnation, Log: m.log, Clock: m.clock, Memory: m.memory, Locator: m.locator,
		NATS: m.natsDigest, View: m.metaView, Connect: m.dialMembersPort, Closing: m.isClosing,
		Meta: func() liveness.MetaGroup { return m.meta },
		Data: func() liveness.DataGroups {
			if host := m.dataHost(); host != nil {
				return host
			}
			// An interface that holds a nil host would not be nil.
			return nil
		},
		Claimed: m.views.Claimed,
		Changed: func() {
			m.views.Notify()
			m.events.NotifyRoutes()
		},
		Behind:  func() { m.clockGuard.Notify() },
		Doubted: func(by wire.ID) { m.meta.Doubt(by) },
	})
}

// newMetadata returns what deals with the metadata group. The transports are there.
func (m *Member) newMetadata() *metadata.Metadata {
	return metadata.New(metadata.Config{
		Self: m.id, Incarnation: m.incarnation, Starts: m.store.Starts(), Dir: m.cfg.DataDir, Addr: m.peerAddr(), Logger: m.log,
		Transport: m.metaNet, Registry: m.metaReg, Peers: m.peers,
		Registration: m.registration, Table: m.tableFrom, Waiting: m.wait, Started: m.started.Load, Closing: m.isClosing, Leaving: m.going.Load,
		Removed: m.stopRemoved, Followed: m.followed, At: m.at,
	})
}

// controlConfig is what the control of the cluster needs of this member.
func (m *Member) controlConfig() control.Config {
	patterns, _ := m.cfg.patterns() // Validate has looked at them
	return control.Config{
		Self: m.id, Clock: m.clock, Memory: m.memory, Peers: m.peers, Logger: m.log,
		Cluster: m.clusterID, ClusterName: m.cfg.ClusterName, Partitions: m.cfg.Partitions, Replicas: m.cfg.Replicas, Maps: patterns,
		InitialVoters: m.meta.InitialVoters, Participants: m.meta.Participants,
		RebuildDelay: m.cfg.RebuildDelay, Wall: m.cfg.Wall,
		View: m.metaView, Meta: m.meta, Host: m.dataHost, Used: m.ownMemory, Size: func(p int) int64 { return m.maps.Size(p) }, Owner: m.views.Owner,
		Closing: m.isClosing, Propose: m.meta.Commit, Voters: m.meta.Voters, At: m.at,
	}
}

// at is where a test may have the member die.
func (m *Member) at(when string, cmd meta.Command) {
	if f := m.cfg.FaultPoint; f != nil {
		f(m.ctx, fmt.Sprintf("%s %T", when, cmd))
	}
}
