package member

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

const (
	pingEvery = 100 * time.Millisecond
	// suspectAfter is the silence after which a member is shown as suspect. It is shown and not acted on.
	suspectAfter = time.Second
)

// peers are the other members as this one sees them: where they are, a connection to each, and what they said last. It owns
// one goroutine per member, which pings it.
type peers struct {
	m *Member

	mu    sync.Mutex                // guards the following
	seats map[wire.ID]wire.MetaSeat // members with a place in the metadata group, from the time before the metadata can be read
	known map[wire.ID]*peer
}

// peer is one other member.
type peer struct {
	id   wire.ID
	stop context.CancelFunc

	mu    sync.Mutex // guards the following
	addr  string
	conn  *rpc
	last  time.Time       // of the last answer to a ping
	from  wire.ID         // incarnation that gave it
	said  wire.PingResult // what it was, with the newest list of what the member owns
	since time.Time       // when the member became known
}

// addrOf returns the address of a member's port.
func (p *peers) addrOf(id wire.ID) (string, bool) {
	if v := p.m.metaView(); v != nil {
		if mb := v.Member(id); mb != nil {
			return mb.PeerAddr, true
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s, ok := p.seats[id]
	return s.PeerAddr, ok
}

// setSeats tells where the members of the metadata group are until the metadata itself can be read.
func (p *peers) setSeats(seats []wire.MetaSeat) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seats = make(map[wire.ID]wire.MetaSeat, len(seats))
	for _, s := range seats {
		p.seats[s.Member] = s
	}
}

// dial connects to a member's port and exchanges hellos.
func (p *peers) dial(ctx context.Context, id wire.ID, plane wire.Plane, stream uint8) (net.Conn, wire.HelloAnswer, error) {
	addr, ok := p.addrOf(id)
	if !ok {
		return nil, wire.HelloAnswer{}, fmt.Errorf("dial member %v: its address is not known", id)
	}
	return p.dialAddr(ctx, id, addr, plane, stream)
}

func (p *peers) dialAddr(ctx context.Context, id wire.ID, addr string, plane wire.Plane, stream uint8) (net.Conn, wire.HelloAnswer, error) {
	var d net.Dialer
	nc, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, wire.HelloAnswer{}, fmt.Errorf("dial member %v: %w", id, err)
	}
	a, err := p.m.dialPeer(nc, plane, stream)
	if err == nil && !id.IsZero() && a.Member != id {
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
	v := p.m.metaView()
	i := -1
	if v != nil {
		for k := range v.Members {
			if v.Members[k].Incarnation == inc {
				i = k
			}
		}
	}
	if i < 0 {
		return nil, fmt.Errorf("dial incarnation %v: no member is at it", inc)
	}
	nc, a, err := p.dial(ctx, v.Members[i].ID, wire.PlaneRaft, stream)
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

// update starts and ends the goroutines that ping, so that there is one for each other live member.
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
		pr := &peer{id: mb.ID, stop: cancel, since: time.Now()}
		p.known[mb.ID] = pr
		p.m.wg.Add(1)
		go p.tend(ctx, pr) // ends when the member is no longer live, or with this one
	}
	for id, pr := range p.known {
		if mb := v.Member(id); mb == nil || !mb.Live() {
			pr.stop()
			delete(p.known, id)
			p.m.clock.Forget(id)
		}
	}
}

// tend keeps a connection to a member and pings it.
func (p *peers) tend(ctx context.Context, pr *peer) {
	defer p.m.wg.Done()
	defer pr.drop()
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	for {
		p.ping(ctx, pr)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (p *peers) ping(ctx context.Context, pr *peer) {
	ctx, cancel := context.WithTimeout(ctx, suspectAfter)
	defer cancel()
	c, err := p.connection(ctx, pr)
	if err != nil {
		p.m.views.refreshSuspects()
		return
	}
	pr.mu.Lock()
	have := pr.said.Version
	pr.mu.Unlock()
	sent := p.m.clock.Mono()
	a, err := c.call(ctx, wire.OpMemberPing, wire.AppendPingBody(nil, wire.PingBody{Have: have}))
	received := p.m.clock.Mono()
	if err != nil {
		if errors.Is(err, errConnClosed) {
			pr.drop()
		}
		p.m.views.refreshSuspects()
		return
	}
	said, err := wire.DecodePingResult(a.Body)
	if err != nil || a.Code != wire.CodeOK {
		return
	}
	p.m.clock.Sample(pr.id, said.Clock, said.ClockSet, sent, received)
	pr.mu.Lock()
	if !said.Changed {
		said.Owned = pr.said.Owned
	}
	wasSilent := time.Since(pr.last) > suspectAfter
	pr.said, pr.last, pr.from = said, time.Now(), c.answer.Incarnation
	pr.mu.Unlock()
	if said.Changed {
		p.m.views.claim(pr.id, said.Owned)
	}
	if wasSilent {
		p.m.views.refreshSuspects()
	}
}

// connection returns the connection to a member, dialing where there is none.
func (p *peers) connection(ctx context.Context, pr *peer) (*rpc, error) {
	pr.mu.Lock()
	c := pr.conn
	pr.mu.Unlock()
	if c != nil {
		select {
		case <-c.done:
		default:
			return c, nil
		}
	}
	nc, a, err := p.dial(ctx, pr.id, wire.PlaneCalls, 0)
	if err != nil {
		return nil, err
	}
	c = newRPC(nc, a)
	pr.mu.Lock()
	if pr.conn != nil && pr.conn.answer.Incarnation != a.Incarnation {
		pr.said = wire.PingResult{}
	}
	pr.conn = c
	pr.mu.Unlock()
	return c, nil
}

func (pr *peer) drop() {
	pr.mu.Lock()
	c := pr.conn
	pr.conn, pr.said.Version = nil, 0
	pr.mu.Unlock()
	if c != nil {
		c.close()
	}
}

// silence returns for how long a member has not answered; 0 for this member and for one that only just became known.
func (p *peers) silence(id wire.ID) time.Duration {
	p.mu.Lock()
	pr := p.known[id]
	p.mu.Unlock()
	if pr == nil {
		return 0
	}
	pr.mu.Lock()
	defer pr.mu.Unlock()
	return time.Since(latest(pr.last, pr.since))
}

// answers reports whether the process that a member is registered at has answered lately.
func (p *peers) answers(id, incarnation wire.ID) bool {
	if id == p.m.id {
		return incarnation == p.m.incarnation
	}
	p.mu.Lock()
	pr := p.known[id]
	p.mu.Unlock()
	if pr == nil {
		return false
	}
	pr.mu.Lock()
	defer pr.mu.Unlock()
	return pr.from == incarnation && time.Since(pr.last) <= suspectAfter
}

// silent reports whether a member has not answered for longer than suspectAfter.
func (p *peers) silent(id wire.ID) bool { return p.silence(id) > suspectAfter }

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// said returns what a member answered last, and whether it has.
func (p *peers) said(id wire.ID) (wire.PingResult, bool) {
	p.mu.Lock()
	pr := p.known[id]
	p.mu.Unlock()
	if pr == nil {
		return wire.PingResult{}, false
	}
	pr.mu.Lock()
	defer pr.mu.Unlock()
	return pr.said, !pr.last.IsZero()
}

// ask sends a call to a member.
func (p *peers) ask(ctx context.Context, id wire.ID, op wire.Op, body []byte) (wire.Answer, error) {
	p.mu.Lock()
	pr := p.known[id]
	p.mu.Unlock()
	if pr != nil {
		c, err := p.connection(ctx, pr)
		if err != nil {
			return wire.Answer{}, err
		}
		return c.call(ctx, op, body)
	}
	nc, a, err := p.dial(ctx, id, wire.PlaneCalls, 0)
	if err != nil {
		return wire.Answer{}, err
	}
	c := newRPC(nc, a)
	defer c.close()
	return c.call(ctx, op, body)
}

// seatsFile keeps where the members of the metadata group were last, so that a member that starts again finds them.
const seatsFile = "peers"

func loadSeats(dir string) ([]wire.MetaSeat, error) {
	b, err := os.ReadFile(filepath.Join(dir, seatsFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the list of members: %w", err)
	}
	seats, err := wire.DecodeMetaSeats(b)
	if err != nil {
		return nil, fmt.Errorf("read the list of members in %s: %w", dir, err)
	}
	return seats, nil
}

// saveSeats writes the list if it has changed, and returns what is on disk now.
func saveSeats(dir string, old, seats []wire.MetaSeat) ([]wire.MetaSeat, error) {
	if slices.Equal(old, seats) {
		return old, nil
	}
	tmp := filepath.Join(dir, seatsFile+".new")
	if err := os.WriteFile(tmp, wire.AppendMetaSeats(nil, seats), 0o600); err != nil {
		return old, fmt.Errorf("write the list of members: %w", err)
	}
	if err := os.Rename(tmp, filepath.Join(dir, seatsFile)); err != nil {
		return old, fmt.Errorf("write the list of members: %w", err)
	}
	return seats, nil
}
