package sdk

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gridiron-io/gridiron/sdk/internal/rpc"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Client is a connection to a cluster. [Connect] makes it and Close ends it. It is safe for concurrent use.
//
// Its goroutines are a reader and a writer for each connected member, and sometimes one that watches a context; one for each connection being
// made; one that writes for callers; and one that keeps time. All end with Close.
type Client struct {
	id       wire.ID // names the client in its calls; with a call's seq it is the call's identity
	cfg      clientConfig
	addrs    []string
	clock    *clock
	tracer   *tracer // nil: no tracing
	meter    *meter  // nil: nothing is measured
	seq      atomic.Uint64
	writes   atomic.Pointer[[]outstanding] // by partition; set with the first table
	events   func() *eventHub              // makes the hub at its first call
	loads    flights                       // of GetOrLoad
	nears    atomic.Pointer[nearCaches]    // nil: there are none, and nobody pays for them
	nearOnce sync.Once                     // followNearConfigs runs

	table    atomic.Pointer[table]             // nil until the first view
	replaced atomic.Pointer[OtherClusterError] // the cluster that has replaced the client's own, to which the client must not go; nil: none
	changed  broadcast                         // signals a change of the table, of a connection, or of replaced
	asked    atomic.Int64                      // when tables were last asked for
	turn     atomic.Uint32                     // spreads calls that any member may answer

	batcher *rpc.Batcher    // writes the next requests of callers that were answered together
	life    context.Context // ends with Close; work for the client as a whole, such as dialing, runs under it
	end     context.CancelFunc
	wg      sync.WaitGroup // all goroutines

	// mu comes before the mutexes of peers and connections; none is held while other code is called.
	mu struct {
		sync.Mutex
		closed     bool
		seeding    bool  // the addresses given to Connect are being tried
		seededFrom int64 // when the last try without success began
		peers      map[wire.ID]*peer
		succession succession
	}
}

// Close ends the client's connections and waits for its goroutines. Calls under way end in ErrClosed, or in ErrUnknownOutcome,
// which then also is ErrClosed, if a write may have been executed. Later calls end in ErrClosed. Further calls of Close do
// nothing.
func (c *Client) Close() error {
	c.mu.Lock()

	// From here on spawn starts nothing, and adopt closes the connections that it is given.
	c.mu.closed = true
	peers := make([]*peer, 0, len(c.mu.peers))
	for _, p := range c.mu.peers {
		peers = append(peers, p)
	}
	c.mu.Unlock()

	// Dials and waits for a member run under life, so they end here.
	c.end()

	// A call that was sent waits for its connection and does not watch life, so its connection must fail.
	for _, p := range peers {
		if conn := p.conn.Load(); conn != nil {
			conn.Fail(ErrClosed)
		}
	}

	// Calls between two attempts wait for a change.
	c.changed.signal()

	c.wg.Wait()
	return nil
}

// spawn runs f in a goroutine that Close waits for; f must return soon after c.life has ended. It reports
// false, having done nothing, once the client is closed.
func (c *Client) spawn(f func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.mu.closed {
		c.wg.Go(f)
	}
	return !c.mu.closed
}

// anyLive reports whether there is a connection to any member.
func (c *Client) anyLive() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.mu.peers {
		if p.live() != nil {
			return true
		}
	}
	return false
}

// onView takes in a table that a member sent. It runs on the connection's reader.
func (c *Client) onView(conn *rpc.Conn, body []byte) {
	v, err := wire.DecodeTable(body)
	if err == nil && len(v.Partitions) > wire.MaxPartitions {
		err = fmt.Errorf("%w: %d partitions", wire.ErrMalformed, len(v.Partitions))
	}
	if err != nil {
		// What comes on this connection cannot be trusted any more, so the member is dialed again.
		conn.Fail(fmt.Errorf("table: %w", err))
		return
	}

	// From here on Tick asks for a table only when an answer announces a later one.
	conn.Saw(v.Version)
	if len(v.Partitions) == 0 { // the cluster is being bootstrapped
		return
	}

	c.mu.Lock()
	cur := c.table.Load()
	if cur == nil {
		cur = &table{}
		writes := make([]outstanding, len(v.Partitions))
		c.writes.Store(&writes)
	} else if v.Cluster == c.mu.succession.chosen {
		// The hello may have said 0 partitions. Keys lie elsewhere under another number, so the client must not go over.
		if len(v.Partitions) != len(cur.routes) {
			c.mu.Unlock()
			c.stay(&OtherClusterError{Addr: "the cluster's address", Name: v.Name, ID: v.Cluster.String(), WantName: cur.name, WantID: cur.cluster.String()})
			conn.Fail(errGone)
			return
		}

		fresh, gone := c.goOverLocked(v)
		c.mu.Unlock()
		c.cfg.logger.Warn("gridiron: the cluster was bootstrapped again, and the client goes on with the new one", "old", cur.cluster, "new", v.Cluster)
		c.revised(fresh, gone)
		return
	} else if v.Cluster != cur.cluster || len(v.Partitions) != len(cur.routes) {
		c.mu.Unlock()
		conn.Fail(fmt.Errorf("table: %w: cluster %v with %d partitions, not %v with %d", wire.ErrMalformed,
			v.Cluster, len(v.Partitions), cur.cluster, len(cur.routes)))
		return
	}

	next, changed := cur.merge(v, func(m *wire.MemberInfo) *peer { return c.peerLocked(m.ID) })
	if !changed {
		c.mu.Unlock()
		return
	}

	// A table with the same Meta has the same members: only owners have changed.
	var fresh, gone []*peer
	if next.meta != cur.meta || len(cur.members) == 0 {
		fresh, gone = c.reviseLocked(next)
	}

	c.table.Store(next)
	c.mu.Unlock()
	c.revised(fresh, gone)
}

// revised does what a table with other members asks for.
func (c *Client) revised(fresh, gone []*peer) {
	// A member that is no longer in the table may still answer, but nothing that it says counts any more.
	for _, p := range gone {
		if conn := p.conn.Load(); conn != nil {
			conn.Fail(errGone)
		}
	}

	// Dialing ahead of the first call keeps the dial out of that call's time.
	for _, p := range fresh {
		c.dial(p)
	}

	c.changed.signal()
}

// errGone ends connections to a member that the others no longer count among them.
var errGone = errors.New("no longer a member")

// reviseLocked brings the peers in line with t's members. It returns those that are to be connected and those that are
// no longer members. REQUIRES c.mu.
func (c *Client) reviseLocked(t *table) (fresh, gone []*peer) {
	for i := range t.members {
		m := &t.members[i]
		p := c.peerLocked(m.ID)
		p.mu.Lock()
		p.mu.announced, p.mu.gone = m.Addr, false
		p.mu.Unlock()

		// A member that has left or died would only cost dials that fail.
		if s := MemberState(m.State); p.live() == nil && s != MemberLeft && s != MemberDead {
			fresh = append(fresh, p)
		}
	}

	owners := make(map[*peer]bool)
	for _, r := range t.routes {
		owners[r.owner] = true
	}
	for id, p := range c.mu.peers {
		// Still a member: dealt with above.
		if t.member(id) != nil {
			continue
		}
		p.mu.Lock()
		p.mu.gone = true
		p.mu.Unlock()
		gone = append(gone, p)
		// Routes still point to an owner, so it stays until another owner is known.
		if !owners[p] {
			delete(c.mu.peers, id)
		}
	}
	return fresh, gone
}

// moved takes in the answer of a member that does not own the partition. It reports whether the answer names an owner.
func (c *Client) moved(partition int, body []byte) (owned bool) {
	m, err := wire.DecodeMoved(body)
	if err != nil {
		return false
	}

	c.mu.Lock()
	cur := c.table.Load()
	var owner *peer
	if cur.member(m.Owner) != nil { // otherwise its address is not known until a table tells it
		owner = c.peerLocked(m.Owner)
	}

	// An answer that names no owner is news too: the partition has none in that epoch.
	next, changed := cur, false
	if owner != nil || m.Owner.IsZero() {
		next, changed = cur.mergeOwner(partition, m.Epoch, owner)
	}
	if changed {
		c.table.Store(next)
	}
	c.mu.Unlock()

	if changed {
		c.changed.signal()
	}
	return !m.Owner.IsZero()
}

// refresh is called when a call did not find the owner where the table says. It asks a member other than suspect for its table,
// and connects to members without a connection. However many calls ask, it acts once in five milliseconds.
func (c *Client) refresh(suspect *peer) {
	now, last := c.clock.now(), c.asked.Load()
	if now-last < int64(firstBackoff) || !c.asked.CompareAndSwap(last, now) {
		return
	}

	t := c.table.Load()
	c.mu.Lock()
	peers := make([]*peer, 0, len(c.mu.peers))
	for _, p := range c.mu.peers {
		peers = append(peers, p)
	}
	seed := !c.mu.seeding
	c.mu.Unlock()

	var ask *rpc.Conn
	live := false

	// Each round begins at another peer, so that the questions spread over the members.
	skip := int(c.turn.Add(1)) % max(len(peers), 1)
	for i := range peers {
		p := peers[(i+skip)%len(peers)]
		conn := p.live()
		if conn == nil {
			if m := t.member(p.id); m != nil && MemberState(m.State) != MemberLeft && MemberState(m.State) != MemberDead {
				c.dial(p)
			}
			continue
		}
		live = true
		// The call has just failed at the suspect. It is asked only if no other member is connected.
		if ask == nil || p != suspect {
			ask = conn
		}
	}

	if ask != nil {
		ask.AskTable(now)
	}

	// The announced addresses may be out of reach from here, so the addresses given to Connect are tried as well.
	if !live && seed {
		c.reseed()
	}
}

// askTables asks all connected members for their tables.
func (c *Client) askTables() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.mu.peers {
		if conn := p.live(); conn != nil {
			conn.AskTable(c.clock.now())
		}
	}
}

// seekSuccessor reports whether another cluster was seen lately at the cluster's addresses. The client must then find out which of
// the two exists.
func (c *Client) seekSuccessor() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &c.mu.succession
	return len(s.seen) > 0 && c.clock.now()-s.last <= int64(sightingsLast)
}

// ownAnswer is how long calls wait for a member that has lost their partition. After that the new owner is asked. Most such members
// answer that they are no longer the owner, but a silent one does not.
const ownAnswer = 150 * time.Millisecond

// keepTime is the goroutine that ends calls whose time is up and notices members that have fallen silent. If an owner that was
// replaced does not answer, it sends the calls to the new owner. It ends with the client.
func (c *Client) keepTime() {
	// A call whose time is up ends at a tick, so a client with a short timeout ticks more often.
	tick := time.NewTicker(min(max(c.cfg.timeout/10, 5*time.Millisecond), 100*time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-c.life.Done():
			return
		case <-tick.C:
		}

		// Connections are gathered first, since Tick may call Fail, which calls OnClose, and no lock is held while other code is
		// called.
		c.mu.Lock()
		conns := make(map[*rpc.Conn]*peer, len(c.mu.peers))
		for _, p := range c.mu.peers {
			if conn := p.live(); conn != nil {
				conns[conn] = p
			}
		}
		c.mu.Unlock()

		// The client may go over only after it has tried every member. refresh dials them, also while no call is under way.
		if c.seekSuccessor() {
			c.refresh(nil)
			c.succeed()
		}

		now, t := c.clock.now(), c.table.Load()
		for conn, p := range conns {
			conn.Tick(now)
			if t == nil { // no call to a partition was possible yet
				continue
			}

			// A repeatable call that its deposed owner leaves unanswered could wait for long. The new owner can answer it now.
			conn.Release(now-int64(ownAnswer), func(partition uint32) bool {
				owner := t.routes[partition].owner
				return owner != nil && owner != p
			})
		}
	}
}
