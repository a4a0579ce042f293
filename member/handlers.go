package member

import (
	"context"
	"net"
	"slices"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/gridiron-io/gridiron/member/internal/server"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// tracerName is the scope of the spans that this package makes.
const tracerName = "github.com/gridiron-io/gridiron/member"

// makeServer makes the server of the member's ports, and says which request goes where.
func (m *Member) makeServer() {
	// Without a provider the server makes no spans, and requests do not pay for them.
	var tracer trace.Tracer
	if m.cfg.TracerProvider != nil {
		tracer = m.cfg.TracerProvider.Tracer(tracerName)
	}

	m.server = server.New(server.Config{
		Ports: m.ports, ClusterName: m.cfg.ClusterName, HelloTimeout: m.cfg.HelloTimeout, SlowPeer: m.cfg.SlowPeer,
		MaxConnections: m.cfg.MaxConnections, Tracer: tracer, Logger: m.log,
		Identity: m.identity,
		Standing: func() server.Standing {
			return server.Standing{Ready: m.isReady(), Stopping: m.isClosing(), Metadata: m.metaView() != nil}
		},
		Stamp: func() (int64, uint64) { return m.clock.Agreed(), m.views.Version() },
		Planes: map[wire.Plane]func(net.Conn, *wire.Hello) error{
			wire.PlaneJoin:   func(nc net.Conn, _ *wire.Hello) error { return m.runner.Serve(nc) },
			wire.PlaneEvents: func(nc net.Conn, _ *wire.Hello) error { return server.Splice(nc, m.events.Connect) },
			wire.PlaneRaft:   func(nc net.Conn, h *wire.Hello) error { return m.dataNet.Serve(nc, *h) },
			wire.PlaneMeta:   func(nc net.Conn, h *wire.Hello) error { return m.metaNet.Serve(nc, *h) },
		},
		HTTP: server.HTTPConfig{Metrics: m.cfg.MetricsPage},
	})

	m.handleClients()
	m.handleMembers()
}

// identity is what this member says of itself in the answer to a hello.
func (m *Member) identity() wire.HelloAnswer {
	return wire.HelloAnswer{Cluster: m.cfg.ClusterName, ClusterID: m.clusterID(), Member: m.id, Incarnation: m.incarnation,
		MemberName: m.cfg.Name, Time: m.clock.Agreed(), Partitions: uint32(m.partitions())}
}

// provide lets clients reach what carries out their operations.
func (m *Member) provide() {
	m.server.Provide(server.Services{
		Partitions: m.partitions(), Maps: m.maps, Tasks: m.tasks, Events: m.publisher, Now: m.clock.Now,
		Owner: func(p int) (bool, wire.Moved) { return m.host.Serving(p) != 0, m.views.Owner(p) },
	})
}

// handleClients registers what clients may ask for besides maps, tasks and events.
func (m *Member) handleClients() {
	// A request is reused when its handler has returned. So what answers later keeps the ID alone.
	handle := m.server.Handle
	handle(wire.OpTable, func(c *server.Conn, req *wire.Request) {
		c.Subscribe()
		id := req.ID
		m.upToDate(c, req, func() { c.Answer(id, wire.CodeOK, m.views.Bytes()) })
	})

	handle(wire.OpStatus, func(c *server.Conn, req *wire.Request) {
		id := req.ID
		m.upToDate(c, req, func() {
			st := m.status()
			c.Answer(id, wire.CodeOK, wire.AppendStatus(nil, &st))
		})
	})

	handle(wire.OpPartitions, func(c *server.Conn, req *wire.Request) {
		c.Answer(req.ID, wire.CodeOK, wire.AppendPartitionInfos(nil, m.partitionInfos()))
	})

	// All partitions are looked at, which the reader of a connection must not wait for.
	handle(wire.OpMaps, func(c *server.Conn, req *wire.Request) {
		id := req.ID
		c.Later(func(context.Context) { c.Answer(id, wire.CodeOK, wire.AppendMapInfos(nil, m.maps.Maps())) })
	})

	handle(wire.OpMapStats, func(c *server.Conn, req *wire.Request) {
		name, err := wire.DecodeMapBody(req.Body)
		if err != nil {
			c.Answer(req.ID, wire.CodeInvalid, []byte(err.Error()))
			return
		}
		id, of := req.ID, string(name)
		c.Later(func(context.Context) {
			counts := m.maps.Counts(of)
			counts.Listeners = uint64(m.publisher.Listeners(of))
			c.Answer(id, wire.CodeOK, wire.AppendMapCounts(nil, &counts))
		})
	})

	handle(wire.OpMapConfigs, func(c *server.Conn, req *wire.Request) { later(c, req, m.mapConfigs.AnswerList) })
	handle(wire.OpSetMapConfig, func(c *server.Conn, req *wire.Request) {
		b, err := wire.DecodeSetMapConfigBody(req.Body)
		if err != nil {
			c.Answer(req.ID, wire.CodeInvalid, []byte(err.Error()))
			return
		}
		later(c, req, func(ctx context.Context) (wire.Code, []byte) { return m.mapConfigs.AnswerSet(ctx, b) })
	})

	// The leader of the metadata carries these out, which may take until it has committed something.
	for _, op := range [...]wire.Op{wire.OpDrainMember, wire.OpRemoveMember, wire.OpRebalance} {
		handle(op, func(c *server.Conn, req *wire.Request) {
			m.dispatchAdmin(c, req, wire.AdminBody{Op: req.Op, Body: req.Body}, m.control.Administer)
		})
	}

	// A recovery is asked of one member, which uses its own copy of the metadata. So it is not passed on.
	handle(wire.OpRecover, func(c *server.Conn, req *wire.Request) {
		b, err := wire.DecodeRecoverBody(req.Body)
		if err != nil {
			c.Answer(req.ID, wire.CodeInvalid, []byte(err.Error()))
			return
		}
		later(c, req, func(ctx context.Context) (wire.Code, []byte) { return m.meta.AnswerRecover(ctx, b.Lost) })
	})
}

// handleMembers registers what other members may ask for.
func (m *Member) handleMembers() {
	handle := m.server.Handle
	handle(wire.OpMemberPing, m.handleMemberPing)
	handle(wire.OpMemberDown, m.handleMemberDown)
	handle(wire.OpReplica, m.handleReplica)
	handle(wire.OpMetaCaughtUp, func(c *server.Conn, req *wire.Request) { later(c, req, m.meta.AnswerCaughtUp) })
	handle(wire.OpMetaLead, func(c *server.Conn, req *wire.Request) {
		later(c, req, func(ctx context.Context) (wire.Code, []byte) { return m.meta.AnswerLead(ctx, c.Hello().Member) })
	})
	handle(wire.OpMetaRead, func(c *server.Conn, req *wire.Request) {
		// The answer comes after the handler has returned, when the frame is used again.
		body := slices.Clone(req.Body)
		later(c, req, func(ctx context.Context) (wire.Code, []byte) { return m.meta.AnswerRead(ctx, body) })
	})
	handle(wire.OpMetaPropose, func(c *server.Conn, req *wire.Request) {
		cmd := slices.Clone(req.Body)
		later(c, req, func(ctx context.Context) (wire.Code, []byte) { return m.meta.AnswerPropose(ctx, cmd) })
	})
	handle(wire.OpMetaLeave, m.handleMetaLeave)
	handle(wire.OpMetaJoin, m.handleMetaJoin)
	handle(wire.OpAdmin, m.handleAdmin)
}

// A request for the newest metadata waits for a bounded time: who asks how the cluster is wants an answer also where nobody leads.
const (
	upToDateFor = 500 * time.Millisecond
	// ledUpToDateFor holds where somebody leads, who may only be busy. Clients ask another member after two seconds.
	ledUpToDateFor = 1500 * time.Millisecond
)

// upToDate runs f, which answers a request. Where the request asks for that, f runs once this member knows what is committed in the
// metadata, or could not learn it in time.
func (m *Member) upToDate(c *server.Conn, req *wire.Request, f func()) {
	if len(req.Body) == 0 || m.metaView() == nil {
		f()
		return
	}

	// The reader must not wait for the metadata group. Other requests of the connection come behind this one.
	c.Later(func(ctx context.Context) {
		patience := upToDateFor
		if m.metaLed() {
			patience = ledUpToDateFor
		}
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		// A picture that may be old is better than none: the operator may ask because nobody leads.
		if err := m.meta.Barrier(ctx); err != nil {
			m.log.Debug("answered without the newest metadata", "err", err)
		}
		// The table follows the metadata with a delay. The answer must show what the barrier has brought.
		m.views.Rebuild()
		f()
	})
}

// later answers a request by what do returns, on a goroutine of the server. do may use the body only if that was copied.
func later(c *server.Conn, req *wire.Request, do func(context.Context) (wire.Code, []byte)) {
	id := req.ID
	c.Later(func(ctx context.Context) {
		code, answer := do(ctx)
		c.Answer(id, code, answer)
	})
}

func (m *Member) handleMemberPing(c *server.Conn, req *wire.Request) {
	id := req.ID
	p, err := wire.DecodePingBody(req.Body)
	if err != nil {
		c.Answer(id, wire.CodeInvalid, []byte(err.Error()))
		return
	}
	res := m.pong(p)
	// The sender may have been removed from the cluster, and hear of it in no other way.
	res.Unknown, res.NoMetaReplica = m.meta.Unknown(c.Hello().Member, c.Hello().Incarnation)
	c.Answer(id, wire.CodeOK, wire.AppendPingResult(nil, &res))
}

func (m *Member) handleMemberDown(c *server.Conn, req *wire.Request) {
	id := req.ID
	d, err := wire.DecodeDownBody(req.Body)
	if err != nil {
		c.Answer(id, wire.CodeInvalid, []byte(err.Error()))
		return
	}

	// A member that answers this question runs, so it never calls itself down.
	var down byte
	if d.Member != m.id && m.peers.Down(d.Member, d.Incarnation) {
		down = 1
	}
	c.Answer(id, wire.CodeOK, []byte{down})
}

func (m *Member) handleReplica(c *server.Conn, req *wire.Request) {
	id := req.ID
	b, err := wire.DecodeReplicaBody(req.Body)
	if err != nil {
		c.Answer(id, wire.CodeInvalid, []byte(err.Error()))
		return
	}

	// The answer may wait for a read of the replica's group.
	c.Later(func(context.Context) {
		c.Answer(id, wire.CodeOK, wire.AppendReplicaResult(nil, m.control.ReplicaState(b)))
	})
}

func (m *Member) handleMetaLeave(c *server.Conn, req *wire.Request) {
	id := req.ID
	if m.metaView() == nil {
		c.Answer(id, wire.CodeNotReady, []byte("this member has no metadata yet"))
	} else if err := m.control.CanSpare(c.Hello().Member, c.Hello().Incarnation); err != nil {
		c.Answer(id, wire.CodeNotReady, []byte(err.Error()))
	} else {
		c.Answer(id, wire.CodeOK, nil)
	}
}

func (m *Member) handleAdmin(c *server.Conn, req *wire.Request) {
	id := req.ID
	b, err := wire.DecodeAdminBody(req.Body)
	if err != nil {
		c.Answer(id, wire.CodeInvalid, []byte(err.Error()))
		return
	}
	m.dispatchAdmin(c, req, b, m.control.AdministerHere)
}

func (m *Member) handleMetaJoin(c *server.Conn, req *wire.Request) {
	b, err := wire.DecodeJoinBody(slices.Clone(req.Body))
	if err != nil {
		c.Answer(req.ID, wire.CodeInvalid, []byte(err.Error()))
		return
	}
	later(c, req, func(ctx context.Context) (wire.Code, []byte) { return m.meta.AnswerJoin(ctx, c.Hello().Member, b) })
}

// adminFor bounds one operation of administration, within what a client waits for one member.
const adminFor = 1800 * time.Millisecond

// dispatchAdmin answers an operation of administration by what do returns. It copies the body.
func (m *Member) dispatchAdmin(c *server.Conn, req *wire.Request, b wire.AdminBody, do func(context.Context, wire.AdminBody) (wire.Code, []byte)) {
	b.Body = slices.Clone(b.Body)
	later(c, req, func(ctx context.Context) (wire.Code, []byte) {
		ctx, cancel := context.WithTimeout(ctx, adminFor)
		defer cancel()
		return do(ctx, b)
	})
}
