package liveness

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
	"github.com/gridiron-io/gridiron/partition/cadence"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

const (
	// PingEvery is how often each member is pinged.
	PingEvery = 100 * time.Millisecond
	// PingTimeout bounds one ping, with the dialing that it may take.
	PingTimeout = 400 * time.Millisecond
)

// Peers are the other members as this one sees them: where they are, a connection to each, and what they said last. It owns
// one goroutine per member, which pings it.
type Peers struct {
	cfg      Config
	life     context.Context // of Start: parent of all goroutines
	wg       sync.WaitGroup
	failover *failover

	mu    sync.Mutex                  // guards the following
	group map[wire.ID]wire.MetaMember // members with a place in the metadata group, from the time before the metadata can be read
	known map[wire.ID]*peer

	stopped bool
}

// New returns Peers that know nobody yet.
func New(cfg Config) *Peers {
	p := &Peers{cfg: cfg}
	p.failover = &failover{peers: p}
	return p
}

// Start lets the members that Update names be pinged, until ctx ends. Nobody is dialed before.
func (p *Peers) Start(ctx context.Context) { p.life = ctx }

// Wait waits until all goroutines have ended. The context of Start has ended. An Update that comes later does nothing.
func (p *Peers) Wait() {
	p.mu.Lock()
	p.stopped = true // nobody adds to wg from here on
	p.mu.Unlock()

	p.wg.Wait()
}

func (p *Peers) find(id wire.ID) *peer {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.known[id]
}

// addrOf returns the address of a member's port, as the metadata have it.
func (p *Peers) addrOf(id wire.ID) (string, bool) {
	if v := p.cfg.View(); v != nil {
		if mb := v.Member(id); mb != nil {
			return mb.PeerAddr, true
		}
	}

	// Before the metadata can be read, the members of the metadata group are known from the directory or the bootstrap.
	p.mu.Lock()
	defer p.mu.Unlock()
	s, ok := p.group[id]
	return s.PeerAddr, ok
}

// Whereabouts returns the address of a member's port: where the locator found the member, else the given address.
func (p *Peers) Whereabouts(id wire.ID, given string) string {
	if at, ok := p.cfg.Locator.Locate(id); ok {
		return at.PeerAddr
	}
	return given
}

// SetMetaMembers tells where the members of the metadata group are until the metadata itself can be read.
func (p *Peers) SetMetaMembers(members []wire.MetaMember) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.group = make(map[wire.ID]wire.MetaMember, len(members))
	for _, s := range members {
		p.group[s.Member] = s
	}
}

// MetaMembers returns what SetMetaMembers was told.
func (p *Peers) MetaMembers() []wire.MetaMember {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Collect(maps.Values(p.group))
}

// MetaMemberIDs returns the members that SetMetaMembers named, without this one.
func (p *Peers) MetaMemberIDs() []wire.ID {
	p.mu.Lock()
	defer p.mu.Unlock()
	var ids []wire.ID
	for id := range p.group {
		// This member would only ask itself.
		if id != p.cfg.Self {
			ids = append(ids, id)
		}
	}
	return ids
}

// dial connects to a member's port and exchanges hellos.
func (p *Peers) dial(ctx context.Context, id wire.ID, plane wire.Plane, stream uint8) (net.Conn, wire.HelloAnswer, error) {
	if at, ok := p.cfg.Locator.Locate(id); ok {
		nc, a, err := p.DialAddr(ctx, id, at.PeerAddr, plane, stream)
		if err == nil || p.life.Err() != nil {
			return nc, a, err
		}

		// It moved again, or the claim was false: what the metadata say is tried next, if there is time.
		p.cfg.Locator.Lost(id, at)
		if ctx.Err() != nil {
			return nil, a, err
		}
	}

	addr, ok := p.addrOf(id)
	if !ok {
		return nil, wire.HelloAnswer{}, fmt.Errorf("dial member %v: its address is not known", id)
	}
	return p.DialAddr(ctx, id, addr, plane, stream)
}

// DialAddr is Dial with an address. With an error, the answer tells who answered, if anybody did.
func (p *Peers) DialAddr(ctx context.Context, id wire.ID, addr string, plane wire.Plane, stream uint8) (net.Conn, wire.HelloAnswer, error) {
	nc, a, err := p.cfg.Connect(ctx, addr, plane, stream)
	if err == nil && a.Member != id {
		// Another member has taken the address. Whoever looks for that member will find it here.
		p.cfg.Locator.Met(&a, addr)
		err = fmt.Errorf("member %v answers there", a.Member)
		_ = nc.Close()
	}

	if err != nil {
		return nil, a, fmt.Errorf("dial member %v at %s: %w", id, addr, err)
	}
	return nc, a, nil
}

// DialIncarnation connects to the process that is named by an incarnation, for the transport of the data partitions.
func (p *Peers) DialIncarnation(ctx context.Context, target string, stream uint8) (net.Conn, error) {
	inc, err := wire.ParseID(target)
	if err != nil {
		return nil, err
	}

	var id wire.ID
	if v := p.cfg.View(); v != nil {
		// The transport names processes, and addresses belong to members.
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
	// A later start of the member has other replicas: Raft messages for this one must not reach them.
	if err == nil && a.Incarnation != inc {
		_ = nc.Close()
		return nil, fmt.Errorf("dial incarnation %v: the member is at %v", inc, a.Incarnation)
	}

	return nc, err
}

// DialMeta connects to a member's metadata replica.
func (p *Peers) DialMeta(ctx context.Context, target string, stream uint8) (net.Conn, error) {
	id, err := wire.ParseID(target)
	if err != nil {
		return nil, err
	}
	nc, _, err := p.dial(ctx, id, wire.PlaneMeta, stream)
	return nc, err
}

// Update starts and ends the goroutines that ping, so that there is one for each other live member. It is called by one
// goroutine.
func (p *Peers) Update() {
	v := p.cfg.View()
	p.mu.Lock()
	defer p.mu.Unlock()
	// Wait has begun, after which nothing may be added to wg.
	if p.stopped {
		return
	}
	if p.known == nil {
		p.known = make(map[wire.ID]*peer)
	}

	for i := range v.Members {
		mb := &v.Members[i]
		// A member that closes begins to watch nobody.
		if mb.ID == p.cfg.Self || !mb.Live() || p.known[mb.ID] != nil || p.cfg.Closing() {
			continue
		}

		ctx, cancel := context.WithCancel(p.life)
		pr := newPeer(mb.ID, cancel, time.Now())
		p.known[mb.ID] = pr
		p.cfg.Clock.Expect(mb.ID)
		p.wg.Add(1)
		go p.watch(ctx, pr) // ends when the member is no longer live, or with this one
	}

	for id, pr := range p.known {
		// Its clock must no longer count in the median of the clocks.
		if mb := v.Member(id); mb == nil || !mb.Live() {
			pr.stop()
			delete(p.known, id)
			p.cfg.Clock.Forget(id)
		}
	}
}

// watch sends heartbeats to a member until ctx ends. It owns the member's connection.
func (p *Peers) watch(ctx context.Context, pr *peer) {
	defer p.wg.Done()
	defer pr.end()
	tick := time.NewTimer(cadence.Next(PingEvery))
	defer tick.Stop()
	for {
		began := time.Now()
		// Looked up each time: a view older than this goroutine may have had the room dropped, and another made.
		room := p.cfg.Memory.Of(pr.id)
		_, _, before, _ := pr.word()

		changed, err := p.ping(ctx, pr, room)
		if err != nil && ctx.Err() == nil {
			changed = pr.missed(began, time.Now(), err)
			if _, well := pr.state(); !well {
				room.Silent() // writes do not wait for the memory of a member that may be dead
			}
		}

		if changed {
			p.cfg.Changed()
			p.failover.noticed(pr.id, before)
		}

		// A connection that ends is the first sign of a crash. The next ping finds out at once what is where the member was.
		var ended <-chan struct{}
		if c := pr.live(); c != nil {
			ended = c.Done()
		}

		select {
		case <-tick.C:
			tick.Reset(cadence.Next(PingEvery))
		case <-room.Wanted():
			// A write waits to hear how much memory the member has left.
		case <-ended:
		case <-ctx.Done():
			return
		}
	}
}

// ping asks a member once how it is, and reports whether it is seen in another light than before. A connection that turns out
// to have ended is made again at once: what is found where the member was tells whether it is unreachable.
func (p *Peers) ping(ctx context.Context, pr *peer, room *memory.Room) (changed bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, PingTimeout)
	defer cancel()
	for {
		c, err := p.connection(ctx, pr)
		if err != nil {
			return false, err
		}

		pr.mu.Lock()
		// Lists that the member has told already, and sizes that nobody wants, are left out of its answer.
		body := wire.PingBody{Have: pr.said.Version, Sizes: time.Since(pr.sized) >= PingEvery && p.cfg.Memory.WantSizes()}
		pr.mu.Unlock()
		room.Asking(time.Now())

		// The sample of the peer's clock is uncertain by half of the time between these two readings.
		sent := p.cfg.Clock.Mono()
		a, err := c.Call(ctx, wire.OpMemberPing, wire.AppendPingBody(nil, body))
		received := p.cfg.Clock.Mono()
		if errors.Is(err, rpc.ErrClosed) {
			// It may have been another start's connection. Only a fresh one tells what listens there now.
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

		p.cfg.Clock.Sample(pr.id, said.Clock, said.ClockSet, sent, received)
		if p.cfg.Clock.IsBehind() {
			p.cfg.Behind()
		}

		// A member without a metadata replica hears in no other way that it was removed.
		if said.Unknown || said.NoMetaReplica {
			p.cfg.Doubted(pr.id)
		}

		room.Answered(&said)
		if body.Sizes {
			p.cfg.Memory.Sized(said.Sizes)
			pr.mu.Lock()
			pr.sized = time.Now()
			pr.mu.Unlock()
			said.Sizes = nil // they are kept elsewhere
		}

		// The incarnation is that of the connection, since the process cannot change behind it.
		before, _, _, _ := pr.word()
		changed, owned := pr.heard(&said, c.Hello().Incarnation, time.Now())
		if owned != nil {
			p.cfg.Claimed(pr.id, owned)
		}
		p.compareNATS(pr.id, before.NATS, said.NATS)

		return changed, nil
	}
}

// connection returns the connection to a member, dialing where there is none.
func (p *Peers) connection(ctx context.Context, pr *peer) (*rpc.Conn, error) {
	if c := pr.live(); c != nil {
		return c, nil
	}

	select {
	case pr.dialing <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}

	defer func() { <-pr.dialing }()

	// Another caller may have connected while this one waited for the slot.
	if c := pr.live(); c != nil {
		return c, nil
	}

	// One caller dials, and the others use its connection: a member that is down is not dialed by many at once.
	nc, a, err := p.dial(ctx, pr.id, wire.PlaneCalls, 0)
	if err != nil {
		return nil, err
	}

	c := rpc.New(nc, a)
	// The member was given up meanwhile, and nobody would close the connection.
	if !pr.adopt(c) {
		c.Close()
		return nil, rpc.ErrClosed
	}
	return c, nil
}

// Silence returns for how long a member has not answered; 0 for this member and for one that only just became known.
func (p *Peers) Silence(id wire.ID) time.Duration {
	pr := p.find(id)
	if pr == nil {
		return 0
	}
	d, _ := pr.state()
	return d
}

// Silent reports whether a member is suspect or unreachable.
func (p *Peers) Silent(id wire.ID) bool {
	pr := p.find(id)
	if pr == nil {
		return false
	}
	_, well := pr.state()
	return !well
}

// Answers reports whether the process that a member is registered at has answered and goes on to.
func (p *Peers) Answers(id, incarnation wire.ID) bool {
	// This process answers itself. An earlier or later start of this member does not.
	if id == p.cfg.Self {
		return incarnation == p.cfg.Incarnation
	}
	pr := p.find(id)
	if pr == nil {
		return false
	}
	_, _, from, ok := pr.word()
	_, well := pr.state()
	return ok && well && from == incarnation
}

// Said returns what the process that a member is registered at answered last, and how long ago; false if it has not, or is
// silent.
func (p *Peers) Said(id, incarnation wire.ID) (wire.PingResult, time.Duration, bool) {
	pr := p.find(id)
	if pr == nil || !p.Answers(id, incarnation) {
		return wire.PingResult{}, 0, false
	}
	said, ago, _, ok := pr.word()
	return said, ago, ok
}

// Ask sends a call to a member.
func (p *Peers) Ask(ctx context.Context, id wire.ID, op wire.Op, body []byte) (wire.Answer, error) {
	if pr := p.find(id); pr != nil {
		// Questions share the connection of the heartbeats, so an answer costs no dialing.
		c, err := p.connection(ctx, pr)
		if err != nil {
			return wire.Answer{}, err
		}
		return c.Call(ctx, op, body)
	}

	// A member that is not pinged yet has no lasting connection.
	nc, a, err := p.dial(ctx, id, wire.PlaneCalls, 0)
	if err != nil {
		return wire.Answer{}, err
	}

	c := rpc.New(nc, a)
	defer c.Close()
	return c.Call(ctx, op, body)
}

// Reached reports whether a member answers, whichever start of it.
func (p *Peers) Reached(id wire.ID) bool {
	pr := p.find(id)
	if pr == nil {
		return false
	}
	_, _, _, spoke := pr.word()
	_, well := pr.state()
	return spoke && well
}

// Word returns what a member said last, how long ago, and which of its incarnations did; false if it never said anything.
func (p *Peers) Word(id wire.ID) (said wire.PingResult, ago time.Duration, from wire.ID, ok bool) {
	if pr := p.find(id); pr != nil {
		return pr.word()
	}
	return said, 0, from, false
}
