package member

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/trace"

	"github.com/gridiron-io/gridiron/exec"
	"github.com/gridiron-io/gridiron/maps"
	"github.com/gridiron-io/gridiron/maps/state"
	"github.com/gridiron-io/gridiron/member/clock"
	"github.com/gridiron-io/gridiron/member/founding"
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

	ctx    context.Context // ends when the member stops; parent of everything that it runs
	cancel context.CancelFunc
	wg     sync.WaitGroup // goroutines that end with ctx or with their connection
	phase  atomic.Int32

	store  *founding.Store
	runner *founding.Runner
	ports  *ports
	clock  *clock.Clock
	tracer trace.Tracer // nil: no spans

	cluster       atomic.Pointer[wire.ID]
	founders      []wire.ID       // with which the metadata group begins, by replica ID; nil if this member joined
	foundingSeats []founding.Seat // all who found the cluster together; nil if this member joined
	metaJoined    bool            // the metadata replica began as a learner

	dataNet, metaNet *raftnet.Transport
	dataReg, metaReg *raftnet.Registry
	meta             *partition.MetaHost
	host             *partition.Host
	hostReady        atomic.Bool // host may be read
	metaReady        atomic.Bool // meta may be read

	peers  *peers
	views  *views
	conns  conns
	maps   *maps.Service
	tasks  *exec.Service
	nats   *natsServer
	events *publisher
	nc     *nats.Conn
	client *sdk.Client
	http   *adminServer

	strangers chan struct{} // a slot for each connection that has not said who it is
	raw       rawConns

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
}

// Phases of a member's life.
const (
	phaseStarting int32 = iota
	phaseReady
	phaseClosing
)

// Start starts a member and returns when it is ready: part of a cluster, its replicas running, every partition owned. ctx
// bounds the start alone.
func Start(ctx context.Context, cfg Config) (_ *Member, err error) {
	cfg = cfg.WithDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	m := &Member{cfg: cfg, log: cfg.Logger, strangers: make(chan struct{}, maxStrangers)}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	m.watch.ch = make(chan struct{})
	m.clock = clock.System()
	m.views = newViews(m)
	m.peers = &peers{m: m}
	if cfg.TracerProvider != nil {
		m.tracer = cfg.TracerProvider.Tracer(tracerName)
	}
	telemetry.RaftLogs(cfg.Logger)
	defer func() {
		if err != nil {
			m.Kill()
		}
	}()
	// The start is bounded by ctx, and by the member being killed meanwhile.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(m.ctx, cancel)()

	if err := m.openStore(); err != nil {
		return nil, err
	}
	if m.ports, err = listen(&m.cfg); err != nil {
		return nil, err
	}
	if m.cfg.Name == "" {
		m.cfg.Name = defaultName(m.ports)
	}
	m.log = cfg.Logger.With("member", m.cfg.Name)
	if err := m.makeTransports(); err != nil {
		return nil, err
	}
	if m.runner, err = founding.NewRunner(m.foundingConfig()); err != nil {
		return nil, fmt.Errorf("start: %w", err)
	}
	m.wg.Add(2)
	go m.accept(m.ports.client, false) // ends when its listener is closed
	go m.accept(m.ports.peer, true)    // likewise
	if m.ports.http != nil {
		m.http = startAdmin(m, m.ports.http)
	}
	found, err := m.runner.Run(ctx)
	if err != nil {
		return nil, fmt.Errorf("found or join a cluster: %w", err)
	}
	if err := m.enter(ctx, found); err != nil {
		return nil, err
	}
	return m, nil
}

func defaultName(p *ports) string {
	hostname, err := os.Hostname()
	if err != nil {
		hostname = "member"
	}
	return fmt.Sprintf("%s-%d", hostname, p.client.Addr().(*net.TCPAddr).Port)
}

func (m *Member) openStore() error {
	if m.cfg.DataDir == "" {
		dir, err := os.MkdirTemp("", "gridiron-")
		if err != nil {
			return fmt.Errorf("make a temporary data directory: %w", err)
		}
		m.cfg.DataDir, m.tempDir = dir, true
	}
	store, err := founding.Open(m.cfg.DataDir, m.cfg.ClusterName)
	if err != nil {
		return fmt.Errorf("open the data directory: %w", err)
	}
	m.store, m.id = store, store.Member()
	_, _ = rand.Read(m.incarnation[:]) // never fails
	m.incarnation[6] = m.incarnation[6]&0x0f | 0x40
	m.incarnation[8] = m.incarnation[8]&0x3f | 0x80
	return nil
}

func (m *Member) makeTransports() (err error) {
	m.dataReg, m.metaReg = raftnet.NewRegistry(), raftnet.NewRegistry()
	m.dataNet, err = raftnet.New(raftnet.Config{Plane: wire.PlaneRaft, Dial: m.peers.dialIncarnation, Hosts: func(shard, replica uint64) bool {
		h := m.dataHost()
		return h != nil && h.Runs(shard, replica)
	}})
	if err != nil {
		return fmt.Errorf("start: %w", err)
	}
	m.metaNet, err = raftnet.New(raftnet.Config{Plane: wire.PlaneMeta, Dial: m.peers.dialMeta, KeepEmpty: true})
	if err != nil {
		return fmt.Errorf("start: %w", err)
	}
	return nil
}

func (m *Member) foundingConfig() founding.Config {
	return founding.Config{Store: m.store, Addr: m.Addr(), PeersAddr: m.peerAddr(), ClusterName: m.cfg.ClusterName,
		Expect: m.cfg.Expect, Join: m.cfg.Join, Dial: m.dialJoin, Members: m.clusterRef, Logger: m.log}
}

// dialJoin connects to a client port for the join plane.
func (m *Member) dialJoin(ctx context.Context, addr string) (net.Conn, error) {
	nc, _, err := m.dialClientPort(ctx, addr, wire.PlaneJoin)
	return nc, err
}

func (m *Member) dialClientPort(ctx context.Context, addr string, plane wire.Plane) (net.Conn, wire.HelloAnswer, error) {
	var d net.Dialer
	nc, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, wire.HelloAnswer{}, err
	}
	_ = nc.SetDeadline(time.Now().Add(helloTimeout))
	defer context.AfterFunc(ctx, func() { _ = nc.SetDeadline(time.Unix(1, 0)) })()
	a, err := exchangeHello(nc, &wire.Hello{Version: wire.Version, Plane: plane, Cluster: m.cfg.ClusterName, Name: m.cfg.Name,
		Client: m.incarnation, Member: m.id, Incarnation: m.incarnation})
	if err != nil {
		_ = nc.Close()
		var r *refusal
		if errors.As(err, &r) && a.Cluster != "" && a.Cluster != m.cfg.ClusterName {
			return nil, a, &founding.OtherClusterError{Where: "member at " + addr, Want: m.cfg.ClusterName, Got: a.Cluster}
		}
		return nil, a, err
	}
	return nc, a, nc.SetDeadline(time.Time{})
}

// clusterRef tells others which cluster this member is in.
func (m *Member) clusterRef() founding.ClusterRef {
	v := m.metaView()
	if v == nil || !v.Founded() {
		return founding.ClusterRef{}
	}
	ref := founding.ClusterRef{ID: v.Cluster, Name: v.Name}
	for i := range v.Members {
		if mb := &v.Members[i]; mb.Live() {
			ref.Addrs = append(ref.Addrs, mb.Addr)
		}
	}
	return ref
}

// enter makes the member part of the cluster that it founded or found.
func (m *Member) enter(ctx context.Context, found founding.Result) error {
	m.cluster.Store(&found.ClusterID)
	var secret [16]byte
	_, _ = rand.Read(secret[:])
	password := hex.EncodeToString(secret[:])
	n, err := startNATS(found.ClusterID, m.ports.routeHost, m.ports.routePort, password, m.log)
	if err != nil {
		return err
	}
	m.nats = n
	if m.nc, err = n.publisher(password); err != nil {
		return err
	}
	if err := m.startMeta(ctx, found); err != nil {
		return err
	}
	m.wg.Add(3)
	go m.views.run() // ends with ctx
	go m.control()   // ends with ctx
	go m.follow()    // ends with ctx
	if err := m.register(ctx); err != nil {
		return err
	}
	if err := m.await(ctx, "a clock", func() bool { return m.clock.IsSet() && m.metaView().Founded() }); err != nil {
		return err
	}
	if err := m.startData(); err != nil {
		return err
	}
	if err := m.await(ctx, "its replicas and every partition's owner", m.settled); err != nil {
		return err
	}
	if err := m.startTasks(ctx); err != nil {
		return err
	}
	res, err := m.metaPropose(ctx, &meta.SetState{ID: m.id, Incarnation: m.incarnation, State: meta.StateReady})
	if err != nil {
		return fmt.Errorf("report ready: %w", err)
	}
	if !res.OK() {
		return fmt.Errorf("report ready: %v: %s", res.Code, res.Text)
	}
	if err := m.await(ctx, "to be seen as ready", func() bool {
		mb := m.metaView().Member(m.id)
		return mb != nil && mb.State == meta.StateReady && m.views.current.Load().view.Meta >= m.metaView().Version
	}); err != nil {
		return err
	}
	m.phase.CompareAndSwap(phaseStarting, phaseReady)
	m.log.Info("ready", "addr", m.Addr(), "cluster", found.ClusterID.String())
	m.client, err = sdk.Connect(ctx, []string{m.Addr()}, sdk.WithClusterName(m.cfg.ClusterName), sdk.WithClientName(m.cfg.Name))
	if err != nil {
		return fmt.Errorf("connect to this member: %w", err)
	}
	return nil
}

// metaFile keeps which metadata replica the directory holds.
const metaFile = "meta-replica"

// startMeta starts the metadata replica: as a founder, as a learner that asks for its place, or as it was on disk.
func (m *Member) startMeta(ctx context.Context, found founding.Result) error {
	dir := filepath.Join(m.cfg.DataDir, "meta")
	if found.Founding != nil {
		m.foundingSeats = found.Founding.Seats
	}
	var seats []wire.MetaSeat
	start := partition.MetaStart{}
	if found.Founding != nil {
		for _, s := range found.Founding.Seats {
			seats = append(seats, wire.MetaSeat{Replica: s.ReplicaID, Member: s.Member, PeerAddr: s.PeersAddr})
		}
		start.Initial = make(map[uint64]wire.ID)
		for _, s := range found.Founding.Voters() {
			m.founders = append(m.founders, s.Member)
			start.Initial[s.ReplicaID] = s.Member
			if s.Member == m.id {
				start.Replica = s.ReplicaID
				start.Campaign = time.Duration(s.ReplicaID-1)*150*time.Millisecond + 20*time.Millisecond
			}
		}
	}
	last, err := loadSeats(m.cfg.DataDir)
	if err != nil {
		return err
	}
	if last != nil {
		seats = last
		start.Campaign *= 4 // somebody may lead already, and will say so within a heartbeat
		if len(start.Initial) > 1 {
			start.Campaign += 500 * time.Millisecond
		}
	}
	m.peers.setSeats(seats)
	m.meta, err = partition.StartMeta(partition.MetaConfig{Dir: dir, Member: m.id, Cluster: found.ClusterID, Addr: m.peerAddr(),
		Transport: m.metaNet, Registry: m.metaReg, Logger: m.log})
	if err != nil {
		return err
	}
	if start.Replica == 0 {
		m.metaJoined = true
		if start.Replica, err = m.metaSeat(ctx, found); err != nil {
			return err
		}
		start.Initial, start.Join = nil, true
	}
	for _, s := range seats {
		m.metaReg.Set(partition.MetaShard, s.Replica, s.Member.String())
	}
	kept, err := m.keptSeat()
	if err != nil {
		return err
	}
	if kept != 0 && !start.Join && !m.meta.Has(start.Replica) {
		// To begin again under the same replica ID would be to forget votes and acknowledgements that others rely on.
		return fmt.Errorf("the metadata in %s is gone, though this member had founded a cluster with it: remove the whole data directory %s to join anew", dir, m.cfg.DataDir)
	}
	if err := m.meta.Run(start); err != nil {
		return err
	}
	if kept == 0 && !start.Join {
		if err := m.keepSeat(start.Replica); err != nil {
			return err
		}
	}
	m.metaReady.Store(true)
	return nil
}

// keptSeat returns the metadata replica that the data directory says it holds; 0 if it says nothing.
func (m *Member) keptSeat() (uint64, error) {
	path := filepath.Join(m.cfg.DataDir, metaFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the place in the metadata group: %w", err)
	}
	r := wire.NewReader(b)
	if id := r.U64(); r.Done() == nil && id != 0 {
		return id, nil
	}
	return 0, fmt.Errorf("the data directory is damaged: %s", path)
}

// keepSeat writes what keptSeat reads.
func (m *Member) keepSeat(replica uint64) error {
	if err := os.WriteFile(filepath.Join(m.cfg.DataDir, metaFile), wire.AppendU64(nil, replica), 0o600); err != nil {
		return fmt.Errorf("keep the place in the metadata group: %w", err)
	}
	return nil
}

// metaSeat returns the place in the metadata group of a member that did not found the cluster: what its directory says, or
// what the cluster gives it.
func (m *Member) metaSeat(ctx context.Context, found founding.Result) (uint64, error) {
	if id, err := m.keptSeat(); err != nil || id != 0 {
		return id, err
	}
	for {
		res, err := m.askToJoin(ctx, found.JoinAddrs)
		if err == nil {
			m.peers.setSeats(res.Seats)
			for _, s := range res.Seats {
				m.metaReg.Set(partition.MetaShard, s.Replica, s.Member.String())
			}
			return res.Replica, m.keepSeat(res.Replica)
		}
		if errors.Is(err, errRefused) {
			return 0, fmt.Errorf("join the cluster: %w", err)
		}
		m.log.Info("waiting for a place in the cluster", "err", err)
		select {
		case <-time.After(500 * time.Millisecond):
		case <-ctx.Done():
			return 0, fmt.Errorf("join the cluster: %w", errors.Join(ctx.Err(), err))
		}
	}
}

// askToJoin asks the members behind the given client addresses for a place in the metadata group.
func (m *Member) askToJoin(ctx context.Context, addrs []string) (wire.JoinResult, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var errs []error
	for _, addr := range addrs {
		nc, a, err := m.dialClientPort(ctx, addr, wire.PlaneCalls)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		c := newRPC(nc, a)
		ans, err := c.call(ctx, wire.OpTable, nil)
		c.close()
		if err != nil {
			errs = append(errs, err)
			continue
		}
		view, err := wire.DecodeView(ans.Body)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for i := range view.Members {
			mb := &view.Members[i]
			if mb.ID == m.id {
				continue
			}
			pc, pa, err := m.peers.dialAddr(ctx, mb.ID, mb.PeerAddr, wire.PlaneCalls, 0)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			r := newRPC(pc, pa)
			reg := &meta.Register{Registration: m.registration()}
			ans, err := r.call(ctx, wire.OpMetaJoin, meta.Append(nil, reg))
			r.close()
			switch {
			case err != nil:
			case ans.Code == wire.CodeConflict || ans.Code == wire.CodeInvalid || ans.Code == wire.CodeMemberLeft:
				return wire.JoinResult{}, fmt.Errorf("%w: %s", errRefused, ans.Body)
			case ans.Code != wire.CodeOK:
				err = fmt.Errorf("member %s: %v: %s", mb.Name, ans.Code, ans.Body)
			}
			if err != nil {
				errs = append(errs, err)
				continue
			}
			return wire.DecodeJoinResult(ans.Body)
		}
	}
	if len(errs) == 0 {
		errs = append(errs, errors.New("no member answers"))
	}
	return wire.JoinResult{}, errors.Join(errs...)
}

// errRefused is the error of a cluster that will not have this member as it is.
var errRefused = errors.New("refused")

// registration is what this member says of itself.
func (m *Member) registration() meta.Registration {
	return meta.Registration{ID: m.id, Name: m.cfg.Name, Incarnation: m.incarnation, Start: m.store.Starts(), Addr: m.Addr(),
		PeerAddr: m.peerAddr(), RouteAddr: routeAddr(m.ports.advertise, m.nats.routePort()), Zone: m.cfg.Zone, Tags: m.cfg.Tags, Version: m.cfg.Version}
}

// register announces this start of the member.
func (m *Member) register(ctx context.Context) error {
	reg := m.registration()
	for {
		cmd := &meta.Register{Registration: reg}
		if other := m.metaView().Named(reg.Name); other != nil && other.ID != m.id && m.gone(other) {
			cmd.Takeover = other.Incarnation
		}
		res, err := m.metaPropose(ctx, cmd)
		switch {
		case err != nil:
			return fmt.Errorf("register: %w", err)
		case res.OK():
			return nil
		case res.Code == wire.CodeNotReady:
			// The cluster is being founded: its first command is on its way.
		default:
			if other := m.metaView().Named(reg.Name); other != nil && other.ID != m.id && m.gone(other) {
				continue
			}
			return fmt.Errorf("register: %s", res.Text)
		}
		select {
		case <-time.After(metaRetry):
		case <-ctx.Done():
			return fmt.Errorf("register: %w", ctx.Err())
		}
	}
}

// gone reports whether nobody answers any more where a member was.
func (m *Member) gone(mb *meta.Member) bool {
	ctx, cancel := context.WithTimeout(m.ctx, 2*time.Second)
	defer cancel()
	nc, a, err := m.peers.dialAddr(ctx, mb.ID, mb.PeerAddr, wire.PlaneCalls, 0)
	if err != nil {
		return true
	}
	_ = nc.Close()
	return a.Incarnation != mb.Incarnation
}

func (m *Member) startData() (err error) {
	n := m.partitions()
	m.host, err = partition.Start(partition.HostConfig{
		Member: m.id, Incarnation: m.incarnation, Cluster: m.clusterID(), Addr: m.peerAddr(), Partitions: n,
		Machines: maps.Machines{Limits: state.Limits{}}, Transport: m.dataNet, Registry: m.dataReg, Now: m.clock.Now,
		MayOwn: func() bool { return m.clock.IsSet() && !m.isClosing() },
		OnOwner: func(p int) {
			m.views.ownerChanged(p)
			m.events.applied(p)
		},
		OnApplied: func(p int) { m.events.applied(p) },
		Logger:    m.log,
	})
	if err != nil {
		return err
	}
	m.events = newPublisher(m, n, m.nc)
	m.maps = maps.New(maps.Config{Host: m.host, Partitions: n, Now: m.clock.Now, Owner: m.views.moved, MaxValue: m.cfg.MaxValue})
	m.hostReady.Store(true)
	m.wg.Add(1)
	go m.events.run() // ends with ctx
	m.meta.Wake()     // follow starts the replicas that the table gives us
	return nil
}

// settled reports whether the member can be counted on: the table exists, its replicas run, and every partition has an owner
// that lives.
func (m *Member) settled() bool {
	v := m.metaView()
	if len(v.Table) == 0 {
		return false
	}
	for p := range v.Table {
		mine, ok := v.Table[p].Replica(m.id)
		if ok && mine.Incarnation == m.incarnation && !m.host.Runs(partition.ShardOf(v.Table[p].Generation, p), mine.ID) {
			return false
		}
		moved := m.views.moved(p)
		if moved.Owner == m.id && m.host.Serving(p) == 0 {
			return false // this member's process before this one
		}
		if moved.Owner.IsZero() || m.peers.silent(moved.Owner) || moved.Epoch>>44 < v.Table[p].Generation {
			return false
		}
	}
	return true
}

// await waits until ok reports true. It is asked at every change of the view and of the metadata.
func (m *Member) await(ctx context.Context, what string, ok func() bool) error {
	for {
		m.watch.Lock()
		ch := m.watch.ch
		m.watch.Unlock()
		changed := m.meta.Changed()
		if ok() {
			return nil
		}
		select {
		case <-ch:
		case <-changed:
		case <-m.clock.Ready():
			select { // ready once, ready for ever: from now on wait for the others, or a moment
			case <-ch:
			case <-changed:
			case <-time.After(50 * time.Millisecond):
			case <-ctx.Done():
			}
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			return fmt.Errorf("wait for %s: %w", what, ctx.Err())
		}
	}
}

func (m *Member) viewChanged() {
	m.watch.Lock()
	close(m.watch.ch)
	m.watch.ch = make(chan struct{})
	m.watch.Unlock()
	if v := m.metaView(); v != nil && m.nats != nil {
		var routes []string
		for i := range v.Members {
			if mb := &v.Members[i]; mb.ID != m.id && mb.Live() && mb.RouteAddr != "" {
				routes = append(routes, mb.RouteAddr)
			}
		}
		m.nats.setRoutes(routes)
	}
}

// ID returns the member's identity.
func (m *Member) ID() wire.ID { return m.id }

// Name returns the member's name.
func (m *Member) Name() string { return m.cfg.Name }

// Addr returns the address of the client port.
func (m *Member) Addr() string { return m.ports.addr(m.ports.client) }

func (m *Member) peerAddr() string { return m.ports.addr(m.ports.peer) }

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

func (m *Member) metaView() *meta.View {
	if !m.metaReady.Load() {
		return nil
	}
	return m.meta.View()
}

func (m *Member) dataHost() *partition.Host {
	if !m.hostReady.Load() {
		return nil
	}
	return m.host
}

func (m *Member) isReady() bool   { return m.phase.Load() == phaseReady }
func (m *Member) isClosing() bool { return m.phase.Load() == phaseClosing }
