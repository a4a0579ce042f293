package member

import (
	"context"
	"fmt"
	"time"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// dispatch starts a request. It runs on the connection's reader and does not block; what takes long gets a goroutine.
func (m *Member) dispatch(c *conn, req *wire.Request, t *touched) {
	switch {
	case !req.Op.Known() || !c.peer && !req.Op.ForClients():
		c.Answer(req.ID, wire.CodeInvalid, []byte(fmt.Sprintf("operation %d is not known here", uint8(req.Op))))
		return
	case c.hello.Plane == wire.PlaneAdmin && req.Op != wire.OpRecover && req.Op != wire.OpPing:
		c.Answer(req.ID, wire.CodeInvalid, []byte(fmt.Sprintf("%v is not for this connection", req.Op)))
		return
	case c.peer && req.Op < 128:
		c.Answer(req.ID, wire.CodeInvalid, []byte("this is the members' port"))
		return
	case req.Op.IsRead():
		m.maps.Handle(req, m.traced((*readCaller)(c), req))
		return
	case req.Op.IsWrite():
		if m.maps.Handle(req, m.traced(c, req)) {
			t.add(int(req.Partition))
		}
		return
	}
	switch req.Op {
	case wire.OpPing:
		c.Answer(req.ID, wire.CodeOK, nil)
	case wire.OpTable:
		c.viewsSent.Store(true)
		id := req.ID
		m.upToDate(req, func() { c.Answer(id, wire.CodeOK, m.views.current.Load().bytes) })
	case wire.OpStatus:
		id := req.ID
		m.upToDate(req, func() {
			st := m.status()
			c.Answer(id, wire.CodeOK, wire.AppendStatus(nil, &st))
		})
	case wire.OpPartitions:
		c.Answer(req.ID, wire.CodeOK, wire.AppendPartitionInfos(nil, m.partitionInfos()))
	case wire.OpMaps:
		id := req.ID
		m.goOn(func() { c.Answer(id, wire.CodeOK, wire.AppendMapInfos(nil, m.maps.Maps())) })
	case wire.OpMapStats:
		name, err := wire.DecodeMapBody(req.Body)
		if err != nil {
			c.Answer(req.ID, wire.CodeInvalid, []byte(err.Error()))
			return
		}
		id, of := req.ID, string(name)
		m.goOn(func() {
			counts := m.maps.Counts(of)
			c.Answer(id, wire.CodeOK, wire.AppendMapCounts(nil, &counts))
		})
	case wire.OpInterest, wire.OpUninterest:
		m.dispatchInterest(c, req)
	case wire.OpTaskSubmit, wire.OpTaskWait, wire.OpTaskCancel, wire.OpTaskList:
		m.dispatchTask(c, req)
	case wire.OpSetMapConfig, wire.OpMapConfigs:
		m.dispatchMapConfig(c, req)
	case wire.OpDrainMember, wire.OpRemoveMember, wire.OpRebalance:
		m.dispatchAdmin(c, req.ID, wire.AdminBody{Op: req.Op, Body: req.Body}, m.administer)
	case wire.OpRecover:
		b, err := wire.DecodeRecoverBody(req.Body)
		if err != nil {
			c.Answer(req.ID, wire.CodeInvalid, []byte(err.Error()))
			return
		}
		id := req.ID
		m.goOn(func() { m.answerRecover(c, id, b.Lost) })
	case wire.OpMemberPing, wire.OpMemberDown, wire.OpMetaPropose, wire.OpMetaRead, wire.OpMetaJoin,
		wire.OpReplica, wire.OpMetaCaughtUp, wire.OpMetaLeave, wire.OpMetaLead, wire.OpAdmin:
		m.dispatchPeer(c, req)
	default:
		c.Answer(req.ID, wire.CodeInvalid, []byte(fmt.Sprintf("%v is not for callers", req.Op)))
	}
}

// upToDateFor bounds the wait of a request for the newest metadata: who asks how the cluster is wants an answer also where nobody leads.
const upToDateFor = 500 * time.Millisecond

// upToDate runs f, which answers a request. Where the request asks for that, f runs once this member knows what is committed in the
// metadata, or could not learn it in time.
func (m *Member) upToDate(req *wire.Request, f func()) {
	if len(req.Body) == 0 || m.meta == nil {
		f()
		return
	}
	m.goOn(func() {
		ctx, cancel := context.WithTimeout(m.ctx, upToDateFor)
		defer cancel()
		if err := m.meta.Barrier(ctx); err != nil {
			m.log.Debug("answered without the newest metadata", "err", err)
		}
		m.views.rebuild()
		f()
	})
}

// goOn runs f on a goroutine of the member's. f answers. It is called by the reader of a connection.
func (m *Member) goOn(f func()) {
	m.wg.Add(1)
	go func() { // ends with f, which is bounded by its call's deadline or the member's context
		defer m.wg.Done()
		f()
	}()
}

func (m *Member) dispatchInterest(c *conn, req *wire.Request) {
	name, err := wire.DecodeMapBody(req.Body)
	if err != nil {
		c.Answer(req.ID, wire.CodeInvalid, []byte(err.Error()))
		return
	}
	if c.interests == nil {
		c.interests = make(map[string]int)
	}
	n := string(name)
	if req.Op == wire.OpUninterest {
		if c.interests[n] > 0 {
			if c.interests[n]--; c.interests[n] == 0 {
				delete(c.interests, n)
			}
			m.events.uninterest(n)
		}
		c.Answer(req.ID, wire.CodeOK, nil)
		return
	}
	if c.interests[n] == 0 && len(c.interests) >= maxInterests {
		c.Answer(req.ID, wire.CodeOverloaded, []byte("too many maps listened to on one connection"))
		return
	}
	c.interests[n]++
	c.Answer(req.ID, wire.CodeOK, wire.AppendPositions(nil, m.events.interest(n)))
}

// maxInterests bounds the maps that one connection may listen to.
const maxInterests = 10_000

func (m *Member) dispatchTask(c *conn, req *wire.Request) {
	id := req.ID
	bad := func(err error) { c.Answer(id, wire.CodeInvalid, []byte(err.Error())) }
	switch req.Op {
	case wire.OpTaskList:
		c.Answer(id, wire.CodeOK, wire.AppendStrings(nil, m.tasks.Names()))
	case wire.OpTaskSubmit:
		b, err := wire.DecodeTaskBody(req.Body)
		if err != nil {
			bad(err)
			return
		}
		if b.Keyed {
			if int64(req.Partition) >= int64(m.partitions()) {
				bad(fmt.Errorf("partition %d of %d", req.Partition, m.partitions()))
				return
			}
			if m.host.Serving(int(req.Partition)) == 0 {
				c.Answer(id, wire.CodeMoved, wire.AppendMoved(nil, m.views.moved(int(req.Partition))))
				return
			}
		}
		// The service keeps what it is given: the body is copied, since the frame is reused.
		b.Arg = append([]byte(nil), b.Arg...)
		b.Key = append([]byte(nil), b.Key...)
		code, text := m.tasks.Submit(b)
		c.Answer(id, code, []byte(text))
	case wire.OpTaskCancel:
		ref, err := wire.DecodeTaskRef(req.Body)
		if err != nil {
			bad(err)
			return
		}
		var took byte
		if m.tasks.Cancel(ref.ID) {
			took = 1
		}
		c.Answer(id, wire.CodeOK, []byte{took})
	case wire.OpTaskWait:
		ref, err := wire.DecodeTaskRef(req.Body)
		if err != nil {
			bad(err)
			return
		}
		wait := taskWait(req.Deadline, m.clock.Now())
		m.goOn(func() {
			ctx, cancel := context.WithTimeout(m.ctx, wait)
			defer cancel()
			res := m.tasks.Wait(ctx, ref.ID)
			c.Answer(id, wire.CodeOK, wire.AppendTaskResult(nil, &res))
		})
	}
}

const (
	// maxTaskWait bounds one wait for a task's result; the caller asks again.
	maxTaskWait = 20 * time.Second
	// answerTime is what an answer gets to reach its caller before that one stops waiting.
	answerTime = 100 * time.Millisecond
)

// taskWait returns how long a call may wait for a task's result: its answer has to be there before the deadline, a cluster time
// in milliseconds as now is.
func taskWait(deadline, now int64) time.Duration {
	if deadline <= now {
		return 0
	}
	left := maxTaskWait + answerTime
	if ms := uint64(deadline) - uint64(now); ms < uint64(left/time.Millisecond) {
		left = time.Duration(ms) * time.Millisecond
	}
	return max(left-answerTime, left/2)
}

func (m *Member) dispatchPeer(c *conn, req *wire.Request) {
	id := req.ID
	switch req.Op {
	case wire.OpMemberPing:
		p, err := wire.DecodePingBody(req.Body)
		if err != nil {
			c.Answer(id, wire.CodeInvalid, []byte(err.Error()))
			return
		}
		res := m.pong(p)
		res.Unknown, res.NoMetaReplica = m.unknownPeer(c.hello.Member, c.hello.Incarnation)
		c.Answer(id, wire.CodeOK, wire.AppendPingResult(nil, &res))
	case wire.OpMemberDown:
		d, err := wire.DecodeDownBody(req.Body)
		if err != nil {
			c.Answer(id, wire.CodeInvalid, []byte(err.Error()))
			return
		}
		var down byte
		if d.Member != m.id && m.failover.isDown(d.Member, d.Incarnation) {
			down = 1
		}
		c.Answer(id, wire.CodeOK, []byte{down})
	case wire.OpReplica:
		b, err := wire.DecodeReplicaBody(req.Body)
		if err != nil {
			c.Answer(id, wire.CodeInvalid, []byte(err.Error()))
			return
		}
		m.goOn(func() { c.Answer(id, wire.CodeOK, wire.AppendReplicaResult(nil, m.replicaState(b))) })
	case wire.OpMetaCaughtUp:
		m.goOn(func() { m.answerMetaCaughtUp(c, id) })
	case wire.OpMetaLead:
		m.goOn(func() { m.answerMetaLead(c, id, c.hello.Member) })
	case wire.OpMetaLeave:
		if m.metaView() == nil {
			c.Answer(id, wire.CodeNotReady, []byte("this member has no metadata yet"))
		} else if err := m.voters.canSpare(c.hello.Member, c.hello.Incarnation); err != nil {
			c.Answer(id, wire.CodeNotReady, []byte(err.Error()))
		} else {
			c.Answer(id, wire.CodeOK, nil)
		}
	case wire.OpAdmin:
		b, err := wire.DecodeAdminBody(req.Body)
		if err != nil {
			c.Answer(id, wire.CodeInvalid, []byte(err.Error()))
			return
		}
		m.dispatchAdmin(c, id, b, m.administerHere)
	case wire.OpMetaRead:
		m.goOn(func() { m.answerMetaRead(c, id) })
	case wire.OpMetaPropose:
		cmd := append([]byte(nil), req.Body...)
		m.goOn(func() { m.answerMetaPropose(c, id, cmd) })
	case wire.OpMetaJoin:
		b, err := wire.DecodeJoinBody(append([]byte(nil), req.Body...))
		if err != nil {
			c.Answer(id, wire.CodeInvalid, []byte(err.Error()))
			return
		}
		m.goOn(func() { m.answerMetaJoin(c, id, c.hello.Member, b) })
	}
}
