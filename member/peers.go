package member

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/gridiron-io/gridiron/member/internal/memory"
	"github.com/gridiron-io/gridiron/member/internal/rpc"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

const (
	pingEvery = 100 * time.Millisecond
	// pingTimeout bounds one ping, with the dialing that it may take.
	pingTimeout = 400 * time.Millisecond
)

// peers are the other members as this one sees them: where they are, a connection to each, and what they said last. It owns
// one goroutine per member, which pings it.
type peers struct {
	m *Member

	mu    sync.Mutex                  // guards the following
	group map[wire.ID]wire.MetaMember // members with a place in the metadata group, from the time before the metadata can be read
	known map[wire.ID]*peer
}

func (p *peers) find(id wire.ID) *peer {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.known[id]
}

// addrOf returns the address of a member's port, as the metadata have it.
func (p *peers) addrOf(id wire.ID) (string, bool) {
	if v := p.m.metaView(); v != nil {
		if mb := v.Member(id); mb != nil {
			return mb.PeerAddr, true
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s, ok := p.group[id]
	return s.PeerAddr, ok
}

// whereabouts returns the address of a member's port: where it was found, else the one that is given.
func (p *peers) whereabouts(id wire.ID, given string) string {
	if at, ok := p.m.locator.locate(id); ok {
		return at.peerAddr
	}
	return given
}

// setMetaMembers tells where the members of the metadata group are until the metadata itself can be read.
func (p *peers) setMetaMembers(members []wire.MetaMember) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.group = make(map[wire.ID]wire.MetaMember, len(members))
	for _, s := range members {
		p.group[s.Member] = s
	}
}

// metaMembers returns what setMetaMembers was told.
func (p *peers) metaMembers() []wire.MetaMember {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Collect(maps.Values(p.group))
}

// metaMemberIDs returns the members that setMetaMembers named, without this one.
func (p *peers) metaMemberIDs() []wire.ID {
	p.mu.Lock()
	defer p.mu.Unlock()
	var ids []wire.ID
	for id := range p.group {
		if id != p.m.id {
			ids = append(ids, id)
		}
	}
	return ids
}

// dial connects to a member's port and exchanges hellos.
func (p *peers) dial(ctx context.Context, id wire.ID, plane wire.Plane, stream uint8) (net.Conn, wire.HelloAnswer, error) {
	if at, ok := p.m.locator.locate(id); ok {
		nc, a, err := p.dialAddr(ctx, id, at.peerAddr, plane, stream)
		if err == nil || p.m.ctx.Err() != nil {
			return nc, a, err
		}
		p.m.locator.lost(id, at)
		if ctx.Err() != nil {
			return nil, a, err
		}
	}
	addr, ok := p.addrOf(id)
	if !ok {
		return nil, wire.HelloAnswer{}, fmt.Errorf("dial member %v: its address is not known", id)
	}
	return p.dialAddr(ctx, id, addr, plane, stream)
}

// dialAddr is dial with an address. With an error, the answer tells who answered, if anybody did.
func (p *peers) dialAddr(ctx context.Context, id wire.ID, addr string, plane wire.Plane, stream uint8) (net.Conn, wire.HelloAnswer, error) {
	nc, err := p.m.cfg.Network.Dial(ctx, addr)
	if err != nil {
		return nil, wire.HelloAnswer{}, fmt.Errorf("dial member %v: %w", id, err)
	}
	h := wire.Hello{Version: wire.Version, Plane: plane, Cluster: p.m.cfg.ClusterName, ClusterID: p.m.clusterID(), Name: p.m.cfg.Name,
		Member: p.m.id, Incarnation: p.m.incarnation, Stream: stream}
	a, err := rpc.ExchangeHello(ctx, nc, &h, p.m.cfg.HelloTimeout)
	if err == nil && a.Member != id {
		p.m.locator.met(&a, addr) // whoever it is
		err = fmt.Errorf("member %v answers there", a.Member)
	}
	if err != nil {
		_ = nc.Close()
		return nil, a, fmt.Errorf("dial member %v at %s: %w", id, addr, err)
	}
	return nc, a, nil
}

// dialIncarnation connects to the process that is named by an incarnation, for the transport of the data partitions.
func (p *peers) dialIncarnation(ctx context.Context, target string, stream uint8) (net.Conn, error) {
	inc, err := wire.ParseID(target)
	if err != nil {
		return nil, err
	}
	var id wire.ID
	if v := p.m.metaView(); v != nil {
		for i := range v.Members {
			if v.Members[i].Incarnation == inc {
				id = v.Members[i].ID
			}
		}
	}
	if id.IsZero() {
		return nil, fmt.Errorf("dial incarnation %v: no member is at it", inc)
	}
	nc, a, err := p.dial(ctx, id, wire.PlaneRaft, stream)
	if err == nil && a.Incarnation != inc {
		_ = nc.Close()
		return nil, fmt.Errorf("dial incarnation %v: the member is at %v", inc, a.Incarnation)
	}
	return nc, err
}

// dialMeta connects to a member's metadata replica.
func (p *peers) dialMeta(ctx context.Context, target string, stream uint8) (net.Conn, error) {
	id, err := wire.ParseID(target)
	if err != nil {
		return nil, err
	}
	nc, _, err := p.dial(ctx, id, wire.PlaneMeta, stream)
	return nc, err
}

// update starts and ends the goroutines that ping, so that there is one for each other live member. It is called by follow
// alone.
func (p *peers) update() {
	v := p.m.metaView()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known == nil {
		p.known = make(map[wire.ID]*peer)
	}
	for i := range v.Members {
		mb := &v.Members[i]
		if mb.ID == p.m.id || !mb.Live() || p.known[mb.ID] != nil || p.m.isClosing() {
			continue
		}
		ctx, cancel := context.WithCancel(p.m.ctx)
		pr := newPeer(mb.ID, cancel, time.Now())
		p.known[mb.ID] = pr
		p.m.clock.Expect(mb.ID)
		p.m.wg.Add(1)
		go p.watch(ctx, pr) // ends when the member is no longer live, or with this one
	}
	for id, pr := range p.known {
		if mb := v.Member(id); mb == nil || !mb.Live() {
			pr.stop()
			delete(p.known, id)
			p.m.clock.Forget(id)
		}
	}
}

// watch sends heartbeats to a member until ctx ends. It owns the member's connection.
func (p *peers) watch(ctx context.Context, pr *peer) {
	defer p.m.wg.Done()
	defer pr.end()
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	for {
		began := time.Now()
		room := p.m.memory.Of(pr.id) // another one if a view that was older than this goroutine has had it dropped
		_, _, before, _ := pr.word()
		changed, err := p.ping(ctx, pr, room)
		if err != nil && ctx.Err() == nil {
			changed = pr.missed(began, time.Now(), err)
			if _, well := pr.state(); !well {
				room.Silent()
			}
		}
		if changed {
			p.m.views.notify()
			p.m.failover.noticed(pr.id, before)
			p.m.events.NotifyRoutes()
		}
		var ended <-chan struct{}
		if c := pr.live(); c != nil {
			ended = c.Done() // find out at once what is where the member was
		}
		select {
		case <-tick.C:
		case <-room.Wanted():
		case <-ended:
		case <-ctx.Done():
			return
		}
	}
}

// ping asks a member once how it is, and reports whether it is seen in another light than before. A connection that turns out
// to have ended is made again at once: what is found where the member was tells whether it is unreachable.
func (p *peers) ping(ctx context.Context, pr *peer, room *memory.Room) (changed bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	for {
		c, err := p.connection(ctx, pr)
		if err != nil {
			return false, err
		}
		pr.mu.Lock()
		body := wire.PingBody{Have: pr.said.Version, Sizes: time.Since(pr.sized) >= pingEvery && p.m.memory.WantSizes()}
		pr.mu.Unlock()
		room.Asking(time.Now())
		sent := p.m.clock.Mono()
		a, err := c.Call(ctx, wire.OpMemberPing, wire.AppendPingBody(nil, body))
		received := p.m.clock.Mono()
		if errors.Is(err, rpc.ErrClosed) {
			pr.drop(c)
			if ctx.Err() == nil {
				continue
			}
		}
		if err != nil {
			return false, err
		}
		said, err := wire.DecodePingResult(a.Body)
		if err != nil || a.Code != wire.CodeOK {
			return false, fmt.Errorf("ping: answered %v: %w", a.Code, errors.Join(err))
		}
		p.m.clock.Sample(pr.id, said.Clock, said.ClockSet, sent, received)
		if p.m.clock.IsBehind() {
			p.m.clockGuard.Notify()
		}
		if said.Unknown || said.NoMetaReplica {
			p.m.doubt(pr.id)
		}
		room.Answered(&said)
		if body.Sizes {
			p.m.memory.Sized(said.Sizes)
			pr.mu.Lock()
			pr.sized = time.Now()
			pr.mu.Unlock()
			said.Sizes = nil // they are kept elsewhere
		}
		changed, owned := pr.heard(&said, c.Hello().Incarnation, time.Now())
		if owned != nil {
			p.m.views.claim(pr.id, owned)
		}
		return changed, nil
	}
}

// connection returns the connection to a member, dialing where there is none.
func (p *peers) connection(ctx context.Context, pr *peer) (*rpc.Conn, error) {
	if c := pr.live(); c != nil {
		return c, nil
	}
	select {
	case pr.dialing <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-pr.dialing }()
	if c := pr.live(); c != nil {
		return c, nil
	}
	nc, a, err := p.dial(ctx, pr.id, wire.PlaneCalls, 0)
	if err != nil {
		return nil, err
	}
	c := rpc.New(nc, a)
	if !pr.adopt(c) {
		c.Close()
		return nil, rpc.ErrClosed
	}
	return c, nil
}

// silence returns for how long a member has not answered; 0 for this member and for one that only just became known.
func (p *peers) silence(id wire.ID) time.Duration {
	pr := p.find(id)
	if pr == nil {
		return 0
	}
	d, _ := pr.state()
	return d
}

// silent reports whether a member is suspect or unreachable.
func (p *peers) silent(id wire.ID) bool {
	pr := p.find(id)
	if pr == nil {
		return false
	}
	_, well := pr.state()
	return !well
}

// answers reports whether the process that a member is registered at has answered and goes on to.
func (p *peers) answers(id, incarnation wire.ID) bool {
	if id == p.m.id {
		return incarnation == p.m.incarnation
	}
	pr := p.find(id)
	if pr == nil {
		return false
	}
	_, _, from, ok := pr.word()
	_, well := pr.state()
	return ok && well && from == incarnation
}

// said returns what the process that a member is registered at answered last, and how long ago; false if it has not, or is
// silent.
func (p *peers) said(id, incarnation wire.ID) (wire.PingResult, time.Duration, bool) {
	pr := p.find(id)
	if pr == nil || !p.answers(id, incarnation) {
		return wire.PingResult{}, 0, false
	}
	said, ago, _, ok := pr.word()
	return said, ago, ok
}

// ask sends a call to a member.
func (p *peers) ask(ctx context.Context, id wire.ID, op wire.Op, body []byte) (wire.Answer, error) {
	if pr := p.find(id); pr != nil {
		c, err := p.connection(ctx, pr)
		if err != nil {
			return wire.Answer{}, err
		}
		return c.Call(ctx, op, body)
	}
	nc, a, err := p.dial(ctx, id, wire.PlaneCalls, 0)
	if err != nil {
		return wire.Answer{}, err
	}
	c := rpc.New(nc, a)
	defer c.Close()
	return c.Call(ctx, op, body)
}
