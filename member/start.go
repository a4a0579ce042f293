package member

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/gridiron-io/gridiron/maps"
	"github.com/gridiron-io/gridiron/maps/state"
	"github.com/gridiron-io/gridiron/member/internal/bootstrap"
	"github.com/gridiron-io/gridiron/member/internal/events"
	"github.com/gridiron-io/gridiron/member/internal/server"
	"github.com/gridiron-io/gridiron/member/telemetry"
	"github.com/gridiron-io/gridiron/partition"
	"github.com/gridiron-io/gridiron/partition/meta"
	"github.com/gridiron-io/gridiron/partition/raftnet"
	"github.com/gridiron-io/gridiron/sdk"
	"github.com/gridiron-io/gridiron/sdk/wire"
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

	m := &Member{cfg: cfg, log: cfg.Logger}

	// The member outlives the context of its start, which only bounds how long the start may take.
	m.ctx, m.cancel = context.WithCancel(context.Background())
	m.leaving, m.hurry = context.WithCancel(context.Background())
	ctx, m.abort = context.WithCancelCause(ctx)
	m.ended = make(chan struct{})
	m.watch.ch = make(chan struct{})

	telemetry.RaftLogs(cfg.Logger)
	// Whatever the start has begun by the time of an error is undone by Kill.
	defer func() {
		if err != nil {
			m.Kill()
		}
		m.abort(nil)
	}()
	// The lock of the directory comes first: it says clearly that the same member runs already.
	if err := m.openStore(); err != nil {
		return nil, err
	}

	if m.ports, err = server.Listen(m.portsConfig()); err != nil {
		return nil, err
	}
	if m.cfg.Name == "" {
		m.cfg.Name = defaultName(m.ports)
	}

	m.log = cfg.Logger.With("member", m.cfg.Name)
	if err := m.makeRooms(); err != nil {
		return nil, err
	}

	m.peers.Start(m.ctx)
	// Members that bootstrap ask each other, so this one answers before it has a cluster.
	m.server.Start(m.ctx)
	found, err := m.runner.Run(ctx)
	if err != nil {
		return nil, fmt.Errorf("bootstrap or join a cluster: %w", err)
	}
	if err := m.enter(ctx, found); err != nil {
		if cause := context.Cause(ctx); errors.Is(cause, bootstrap.ErrOtherCluster) {
			// A join address has answered only now. The cause says more than the end of the context.
			err = cause
		}
		return nil, errors.Join(err, m.Err())
	}

	// A removal before this store only aborts the start, and is found here. One after it kills the member.
	if m.started.Store(true); m.Err() != nil {
		return nil, m.Err()
	}

	// The others may have removed this member before it counted as started. This has the metadata looked at again.
	m.meta.Wake()
	return m, nil
}

func defaultName(p *server.Ports) string {
	hostname, err := os.Hostname()
	if err != nil {
		hostname = "member"
	}
	return fmt.Sprintf("%s-%d", hostname, p.ClientPort())
}

func (m *Member) portsConfig() server.PortsConfig {
	return server.PortsConfig{Listen: m.cfg.Listen, Advertise: m.cfg.Advertise, NoHTTP: m.cfg.NoHTTP, NoRoutes: m.cfg.NATS.URL != "", Wrap: m.cfg.Network.Listener,
		PeerOffset: peerOffset, RouteOffset: routeOffset, HTTPOffset: httpOffset}
}

func (m *Member) openStore() error {
	if m.cfg.DataDir == "" {
		// Without a directory the member has no past and no future: it is a new one at each start.
		dir, err := os.MkdirTemp("", "gridiron-")
		if err != nil {
			return fmt.Errorf("make a temporary data directory: %w", err)
		}
		m.cfg.DataDir, m.tempDir = dir, true
	}

	store, err := bootstrap.Open(m.cfg.DataDir, m.cfg.ClusterName)
	if err != nil {
		return fmt.Errorf("open the data directory: %w", err)
	}

	m.store, m.id = store, store.Member()
	// Each start is a process of its own to the others, even from the same directory.
	_, _ = rand.Read(m.incarnation[:]) // never fails
	m.incarnation[6] = m.incarnation[6]&0x0f | 0x40
	m.incarnation[8] = m.incarnation[8]&0x3f | 0x80
	return nil
}

func (m *Member) makeTransports() (err error) {
	m.dataReg, m.metaReg = raftnet.NewRegistry(), raftnet.NewRegistry()
	m.dataNet, err = raftnet.New(raftnet.Config{Plane: wire.PlaneRaft, Dial: m.peers.DialIncarnation, Hosts: func(shard, replica uint64) bool {
		h := m.dataHost()
		return h != nil && h.Runs(shard, replica)
	}})
	if err != nil {
		return fmt.Errorf("start: %w", err)
	}

	// There is one metadata group, so it can afford every empty message. Its followers then hear of commits at once.
	m.metaNet, err = raftnet.New(raftnet.Config{Plane: wire.PlaneMeta, Dial: m.peers.DialMeta, KeepEmpty: true})
	if err != nil {
		return fmt.Errorf("start: %w", err)
	}
	return nil
}

func (m *Member) bootstrapConfig() bootstrap.Config {
	return bootstrap.Config{Store: m.store, Addr: m.Addr(), PeersAddr: m.peerAddr(), ClusterName: m.cfg.ClusterName,
		Expect: m.cfg.Expect, Join: m.cfg.Join, Dial: m.dialJoin, Members: m.clusterRef, Heard: m.locator.Heard, Logger: m.log}
}

// enter makes the member part of the cluster that it bootstrapped or found.
func (m *Member) enter(ctx context.Context, found bootstrap.Result) error {
	m.cluster.Store(&found.ClusterID)
	if err := m.locator.Begin(ctx); err != nil {
		return fmt.Errorf("start: %w", err)
	}

	m.locator.Start(m.ctx)

	// The registration names the port for routes, so the events begin before it.
	routeHost, routePort := m.ports.Route()
	ev, err := events.Open(events.Config{Self: m.id, Incarnation: m.incarnation, Cluster: found.ClusterID, RouteHost: routeHost,
		RoutePort: routePort, Now: m.clock.Now, Log: m.log, Peers: m.routePeers, External: events.External(m.cfg.NATS)})
	if err != nil {
		return err
	}

	// From here on stop ends the events too, whatever fails below.
	m.events = ev
	m.working = append(m.working, m.events)

	if err := m.meta.Enter(ctx, found); err != nil {
		return err
	}

	// There are metadata now, on which all of these work.
	m.views.Start(m.ctx)
	m.clockGuard.Start(m.ctx)
	m.meta.Start(m.ctx)
	m.control.Start(m.ctx)
	m.events.Start(m.ctx)

	// The controller creates the table for members that have registered.
	if err := m.meta.Register(ctx); err != nil {
		return err
	}
	// Without cluster time this member could stamp no command, and tell no entry that has expired.
	if err := m.await(ctx, "a clock", func() bool { return m.clock.IsSet() && m.metaView().Bootstrapped() }); err != nil {
		return err
	}
	if err := m.startData(); err != nil {
		return err
	}
	if err := m.await(ctx, "its replicas and every partition's owner", m.settled); err != nil {
		return err
	}

	m.awaitRoutes(ctx)
	return m.open(ctx)
}

// awaitRoutes waits until there is a route to every member that answers: before that, events of theirs would come late. One that
// falls silent is not waited for any longer, and nobody for ever.
func (m *Member) awaitRoutes(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, routesFor)
	defer cancel()
	// Without a route events are late and none is lost, so a start does not fail for that.
	if err := m.await(ctx, "its routes", m.events.RoutesComplete); err != nil && ctx.Err() != nil {
		hint := "is the port for routes open on both sides?"
		if m.cfg.NATS.URL != "" {
			hint = "is the NATS server reachable, and are the credentials right?"
		}
		m.log.Warn("there is no route for events to some members: their events come late; "+hint, "err", err)
	}
}

// open lets clients in, the member's own first among them.
func (m *Member) open(ctx context.Context) error {
	if err := m.makeTasks(); err != nil {
		return err
	}

	// The others send clients here as soon as the metadata call this member ready. So the services are there before.
	m.provide()
	res, err := m.meta.Commit(ctx, &meta.SetState{ID: m.id, Incarnation: m.incarnation, State: meta.StateReady})
	if err != nil {
		return fmt.Errorf("report ready: %w", err)
	}
	if !res.OK() {
		return fmt.Errorf("report ready: %v: %s", res.Code, res.Text)
	}
	// Clients learn the members from the view, which follows the metadata with a delay.
	if err := m.await(ctx, "being seen as ready", func() bool {
		mb := m.metaView().Member(m.id)
		return mb != nil && mb.State == meta.StateReady && m.views.Table().Meta >= m.metaView().Version
	}); err != nil {
		return err
	}

	// A Close may have begun meanwhile, and goes on.
	m.phase.CompareAndSwap(phaseStarting, phaseReady)
	m.client, err = sdk.Connect(ctx, []string{m.Addr()}, m.clientOptions()...)
	if err != nil {
		return fmt.Errorf("connect to this member: %w", err)
	}

	// From here on tasks may ask for the client.
	if err := m.tasks.Start(m.ctx); err != nil {
		return fmt.Errorf("start the tasks: %w", err)
	}
	if err := m.metrics.Start(); err != nil {
		return err
	}

	mine, _ := m.cfg.patterns() // Validate has looked at them
	m.mapConfigs.Compare(mine, m.log)
	m.log.Info("ready", "addr", m.Addr(), "cluster", m.clusterID().String())
	return nil
}

// clientOptions returns the options of the member's own client.
func (m *Member) clientOptions() []sdk.Option {
	opts := []sdk.Option{sdk.WithClusterName(m.cfg.ClusterName), sdk.WithClientName(m.cfg.Name), sdk.WithMaxValue(m.cfg.MaxValue),
		sdk.WithDialer(m.cfg.Network.Dial)}
	// What the operator measures of the member holds for its own client too.
	if m.cfg.TracerProvider != nil {
		opts = append(opts, sdk.WithTracerProvider(m.cfg.TracerProvider))
	}
	if m.cfg.MeterProvider != nil {
		opts = append(opts, sdk.WithMeterProvider(m.cfg.MeterProvider))
	}
	return opts
}

// lease returns the lease that this member announces for the partitions that it owns; 0: none.
func (m *Member) lease() time.Duration {
	if m.cfg.Reads == sdk.ReadQuorum {
		return 0
	}
	return partition.DefaultLease
}

func (m *Member) startData() (err error) {
	n := m.partitions()
	m.publisher = m.events.NewPublisher(n)
	m.host, err = partition.Start(partition.HostConfig{
		Member: m.id, Incarnation: m.incarnation, Cluster: m.clusterID(), Addr: m.peerAddr(), Partitions: n,
		Machines: maps.Machines{Limits: state.Limits{}, Dropped: m.publisher.Dropped()}, Transport: m.dataNet, Registry: m.dataReg, Now: m.clock.Now,
		Lease:      m.lease(),
		MayOwn:     func() bool { return m.clock.IsSet() && !m.clock.IsBehind() && !m.isClosing() },
		Transferee: m.transferee,
		OnOwner: func(p int) {
			m.views.OwnerChanged(p)
			m.maps.OwnerChanged(p)
			m.publisher.Applied(p)
			m.maps.Touched(p)
		},
		OnApplied: func(p int) {
			m.publisher.Applied(p)
			m.maps.Touched(p)
		},
		Logger: m.log,
	})
	if err != nil {
		return err
	}

	latency, err := m.metrics.Latency(m.ctx)
	if err != nil {
		return err
	}

	m.maps = maps.New(maps.Config{Host: m.host, Partitions: n, Now: m.clock.Now, Owner: m.views.Owner, MaxValue: m.cfg.MaxValue,
		MapConfig: m.mapConfigs.Of, EventBounds: m.mapConfigs.EventBounds, Latency: latency, MaxMemory: m.cfg.MaxMemory, ClockConfirmed: m.clock.Confirmed, Dropped: m.publisher.Dropped(),
		Owners: m.memory.Share, Expected: m.memory.Expected, Room: m.memory.Admit})
	m.maps.Start()
	// From here on replicas are started. Their callbacks use the maps and the publisher, which are there now.
	m.hostReady.Store(true)
	m.replicas.Start(m.ctx, m.host)
	m.events.Publish(m.ctx, m.publisher, m.maps)

	// The mover comes after the host, whose groups it changes.
	m.control.StartMover(n)

	m.wg.Add(1)
	go m.reconcileMaps() // ends with m.ctx
	m.meta.Wake()        // the replicas that the table gives us are started
	return nil
}

// reconcileMaps looks after the maps' entries that this member owns.
func (m *Member) reconcileMaps() {
	defer m.wg.Done()
	m.maps.Run(m.ctx)
}

// settled reports whether the member can be counted on. The table exists, and the replicas here run and have caught up. No partition lacks a replica
// that this member could hold, and every partition has an owner that lives.
func (m *Member) settled() bool {
	v := m.metaView()
	if len(v.Table) == 0 {
		return false
	}

	holders := 0
	for i := range v.Members {
		if mb := &v.Members[i]; mb.Live() && !mb.Lite && mb.State != meta.StateDraining {
			holders++
		}
		if mb := &v.Members[i]; mb.Live() && !m.peers.Answers(mb.ID, mb.Incarnation) && !m.peers.Silent(mb.ID) {
			// The member has neither answered nor failed to. Its replicas may still count, or not.
			return false
		}
	}

	// A cluster that is short of memory may lack replicas for ever. A start must not wait for those.
	lacking, noRoom := uint32(0), m.replicasWithoutRoom(v)
	for p := range v.Table {
		t := &v.Table[p]
		mine, ok := t.Replica(m.id)
		switch ok = ok && mine.Incarnation == m.incarnation; {
		case t.StoppedForRecovery, ok && !m.host.Runs(partition.ShardOf(t.Generation, p), mine.ID), ok && mine.Role == meta.RoleLearner:
			return false
		case !ok && !m.cfg.Lite && v.LiveVoters(t) < min(v.ReplicasWanted, holders):
			// It lacks a replica that this member can hold, unless it has not the memory.
			if lacking++; lacking > noRoom {
				return false
			}
		}

		owner := m.views.Owner(p)
		if wire.Stamp(owner.Epoch).Generation() < t.Generation || !v.Runs(t, owner.Owner) {
			// Nobody owns the partition, or a process does that has ended.
			return false
		}
		// The owner may be known and still not serve: its replica has not caught up, or the member has fallen silent.
		if owner.Owner == m.id && m.host.Serving(p) == 0 || m.peers.Silent(owner.Owner) {
			return false
		}
	}

	return true
}

// await waits until ok reports true. It is asked at every change of the view and of the metadata.
func (m *Member) await(ctx context.Context, what string, ok func() bool) error {
	m.wait(what)
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	for {
		m.watch.Lock()
		// Both channels are taken before the question, so that no change between question and wait is missed.
		ch := m.watch.ch
		m.watch.Unlock()
		changed := m.meta.Changed()
		if ok() {
			return nil
		}

		// Silence changes no view and no metadata, so the tick asks as well.
		select {
		case <-ch:
		case <-changed:
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", what, ctx.Err())
		}
	}
}
