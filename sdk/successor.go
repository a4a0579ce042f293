package sdk

import (
	"context"
	"fmt"
	"time"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

const (
	// goneAfter is how long the client waits for its own cluster while another one answers at some of its addresses. After that it takes
	// the other cluster for the successor. If the other cluster answers at all addresses, the client does not wait.
	goneAfter = 3 * time.Second
	// sightingsLast is how long a sighting of another cluster counts.
	sightingsLast = 10 * time.Second
)

// succession is what the client knows about another cluster of the same name at its cluster's addresses: the cluster was
// bootstrapped again, without its data directories. Client.mu guards it.
//
// A client that a network split cuts off from its cluster may see the same. So the client must have tried every known member since
// it first saw the other cluster, and none may have answered.
type succession struct {
	seen   map[string]sighting // by address
	since  int64               // when another cluster was first seen
	last   int64               // when another cluster was last seen
	chosen wire.ID             // the cluster to which the client goes over when a table of it comes; zero: none
	asking bool                // the client is connecting to members of chosen
	sample clockSample         // of the clock of chosen
}

// sighting is another cluster at an address.
type sighting struct {
	cluster    wire.ID
	partitions uint32
	at         int64 // when the cluster was last seen there
}

// clockSample is one look at a cluster's clock.
type clockSample struct{ cluster, sent, received int64 }

// sighted notes what answered at an address to a hello that wanted the client's cluster.
func (c *Client) sighted(addr string, hello *wire.Hello, a *wire.HelloAnswer) {
	// Only an answer of the same name counts: another name is another cluster, not a successor.
	if hello.ClusterID.IsZero() || a.ClusterID.IsZero() || a.Cluster != hello.Cluster {
		return
	}

	now := c.clock.now()
	c.mu.Lock()
	defer c.mu.Unlock()

	s := &c.mu.succession
	if t := c.table.Load(); t == nil || t.cluster != hello.ClusterID {
		return // asked before the client went over, or about the cluster that it goes over to
	}

	if a.ClusterID == hello.ClusterID {
		// The cluster is there, ready or not.
		*s = succession{}
		if c.replaced.Swap(nil) != nil {
			c.changed.signal()
		}
		return
	}

	for _, p := range c.mu.peers {
		if p.live() != nil {
			return // the cluster is there
		}
	}

	// Old sightings say nothing about now: the search starts again.
	if s.seen == nil || now-s.last > int64(sightingsLast) {
		*s = succession{seen: make(map[string]sighting), since: now}
	}
	s.seen[addr] = sighting{a.ClusterID, a.Partitions, now}
	s.last = now
}

// succeed checks whether another cluster has replaced the client's. If so, the client goes over to the other cluster. If it must not
// go over, all calls fail.
func (c *Client) succeed() {
	c.mu.Lock()
	id, partitions, ok := c.successorLocked()
	if !ok {
		c.mu.Unlock()
		return
	}

	t := c.table.Load()
	s := &c.mu.succession
	other := &OtherClusterError{Name: t.name, ID: id.String(), WantName: t.name, WantID: t.cluster.String()}
	var addrs []string
	for addr := range s.seen {
		// Any of the addresses will do for the error.
		addrs, other.Addr = append(addrs, addr), addr
	}
	// Keys lie in other partitions if their number differs, so the client must not move. 0 means that the member that was seen has just
	// joined its cluster and does not know the number yet.
	if !c.cfg.clusterID.IsZero() || partitions != 0 && int(partitions) != len(t.routes) {
		c.mu.Unlock()
		c.stay(other)
		return
	}
	s.chosen, s.asking = id, true
	c.mu.Unlock()

	c.spawn(func() {
		// One member is enough: its table names the others. onView goes over when the table comes.
		for _, addr := range addrs {
			if err := c.openSuccessor(addr, t.name, id); err == nil {
				break
			}
		}

		c.mu.Lock()

		// If no member could be reached, the next tick may choose again.
		c.mu.succession.asking = false
		c.mu.Unlock()
	})
}

// stay makes all calls fail from now on: the client's cluster is gone, and the client must not move to the other one.
func (c *Client) stay(other *OtherClusterError) {
	if c.replaced.Swap(other) == nil {
		c.cfg.logger.Error("gridiron: the cluster was replaced by another one; all calls fail (make a new client to use the new cluster)", "old", other.WantID, "new", other.ID)
		c.changed.signal()
	}
}

// successorLocked returns the cluster that has taken the place of the client's, if that is for sure. REQUIRES c.mu.
func (c *Client) successorLocked() (id wire.ID, partitions uint32, ok bool) {
	t, s, now := c.table.Load(), &c.mu.succession, c.clock.now()
	// The addresses given to Connect must have been tried, without success, since the other cluster was first seen.
	if t == nil || len(s.seen) == 0 || s.asking || c.mu.seededFrom < s.since {
		return id, 0, false
	}

	for addr, there := range s.seen {
		if now-there.at > int64(sightingsLast) { // it may have left the address since
			delete(s.seen, addr)
			continue
		}
		if !id.IsZero() && id != there.cluster {
			return id, 0, false // two other clusters: neither is surely the successor
		}
		id, partitions = there.cluster, there.partitions
	}

	if id.IsZero() {
		return id, 0, false
	}

	// Every member that should be there must have been tried since the first sighting, and none may be connected.
	everywhere := true
	for i := range t.members {
		m := &t.members[i]
		if state := MemberState(m.State); state == MemberLeft || state == MemberDead {
			continue
		}

		p := c.mu.peers[m.ID]
		if p == nil || p.live() != nil {
			return id, 0, false
		}

		p.mu.Lock()
		tried := p.mu.failedFrom >= s.since
		p.mu.Unlock()
		if !tried {
			return id, 0, false // it may well be alive
		}

		_, taken := s.seen[m.Addr]
		everywhere = everywhere && taken
	}

	// An address that nobody has taken may belong to a member that is only slow, so its silence must last.
	return id, partitions, everywhere || now-s.since >= int64(goneAfter)
}

// openSuccessor connects to a member of the cluster that the client goes over to, and asks it for its table.
func (c *Client) openSuccessor(addr, name string, id wire.ID) error {
	ctx, cancel := context.WithTimeout(c.life, dialTimeout)
	defer cancel()

	// The name and the ID of the chosen cluster are asked for: greet would ask for those of the present one.
	sent := c.clock.now()
	nc, answer, err := c.greetCluster(ctx, addr, wire.PlaneCalls, name, id)
	if err != nil {
		return err
	}

	// An answer that does not name the chosen cluster proves nothing.
	if answer.ClusterID != id {
		_ = nc.Close()
		return fmt.Errorf("%s: cluster ID %v, not %v", addr, answer.ClusterID, id)
	}

	// The sample is kept apart until the client goes over: the clock still is the present cluster's.
	c.mu.Lock()
	c.mu.succession.sample = clockSample{answer.Time, sent, c.clock.now()}
	c.mu.Unlock()

	c.adopt(nc, addr, &answer)
	return nil
}

// goOverLocked makes v, the first table of the chosen successor, the client's table. It forgets all that was known of the earlier
// cluster. It returns peers as reviseLocked does. REQUIRES c.mu.
func (c *Client) goOverLocked(v *wire.Table) (fresh, gone []*peer) {
	// The new table grows from an empty one: epochs of two clusters cannot be compared.
	next, _ := (&table{}).merge(v, func(m *wire.MemberInfo) *peer { return c.peerLocked(m.ID) })
	fresh, gone = c.reviseLocked(next)

	// The clock goes over before the table, so that no call gets a deadline by the old clock in the new cluster.
	s := c.mu.succession.sample
	c.clock.restart(s.cluster, s.sent, s.received)
	c.mu.succession = succession{}
	c.table.Store(next)
	return fresh, gone
}

// textReplaced is the hint of calls that the client's cluster did not survive.
const textReplaced = "the cluster was bootstrapped again meanwhile"

// moveCluster moves a call that was begun in another cluster to t's cluster, or ends it in cl.err and reports true. A write that may
// have been executed in the old cluster must not be made in the new one. The same holds for a call that is bound to the old cluster.
func (c *Client) moveCluster(cl *call, t *table) (done bool) {
	switch {
	case cl.addressed(): // the table says that there is no such member
	case cl.unknown && cl.req.Op.IsWrite():
		return cl.end(cl.fail(ErrUnknownOutcome, textReplaced))
	case cl.bound != nil:
		return cl.end(cl.fail(cl.bound, textReplaced))
	}

	// A write was surely not executed, and nothing ties the call to the old cluster, so it goes on as if it had begun here.
	cl.cluster = t.cluster
	if cl.req.Seq != 0 {
		cl.req.Deadline = c.deadline(cl.limit) // by another clock
	}
	return false
}
