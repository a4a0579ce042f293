// Package cable is the network of a test cluster: loopback connections whose cables can be pulled and put back. A cut connection falls
// silent, as it does behind a pulled cable. Nobody is told, connections stay as they are, bytes wait, and a dial gets neither an answer
// nor a refusal. The package knows members by number and nothing of what they say.
//
// The faults of a connection between two members are applied at the end that dialed it. The faults of a connection from outside the
// cluster are applied at the member's end. Without faults a connection costs one atomic load per read and write.
package cable

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// outside is the number of whoever is no member.
const outside = -1

// Network connects the members of one cluster with each other and with clients.
type Network struct {
	faults atomic.Pointer[faults] // replaced under mu
	ctx    context.Context        // ends with Close; the root of what members are forwarded through
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu         sync.Mutex            // guards the following
	at         map[string]int        // members by the addresses of their listeners
	dialed     map[string]struct{}   // connections that members have made, by both their addresses
	conns      map[*conn]struct{}    // that are open
	buried     []*conn               // closed by their owner while they were cut
	forwarders map[string]*forwarder // by member and address
}

// faults is what is cut. It is never changed.
type faults struct {
	isolated map[int]bool
	cut      map[[2]int]bool // the lower number first
	changed  chan struct{}   // closed when other faults have taken its place
}

// silent reports whether nothing travels between two places.
func (f *faults) silent(a, b int) bool {
	return a != b && (f.isolated[a] || f.isolated[b] || f.cut[pair(a, b)])
}

func pair(a, b int) [2]int { return [2]int{min(a, b), max(a, b)} }

// New returns a network without faults. Close ends it.
func New() *Network {
	n := &Network{at: make(map[string]int), dialed: make(map[string]struct{}), conns: make(map[*conn]struct{}),
		forwarders: make(map[string]*forwarder)}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	n.faults.Store(&faults{changed: make(chan struct{})})
	return n
}

// Isolate cuts a member off from all others and from clients.
func (n *Network) Isolate(i int) {
	n.change(func(f *faults) { f.isolated[i] = true })
}

// Cut cuts two members off from each other.
func (n *Network) Cut(i, j int) {
	n.change(func(f *faults) { f.cut[pair(i, j)] = true })
}

// Heal ends all faults. What waits is delivered, in its order; connections that were closed meanwhile end for the other side too.
func (n *Network) Heal() {
	n.change(func(f *faults) {
		clear(f.isolated)
		clear(f.cut)
	})

	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.conns {
		n.wg.Go(c.release) // ends when what waited is written, or with the connection
	}

	for _, c := range n.buried {
		n.wg.Go(c.end) // ends within lastWords
	}
	n.buried = nil
}

// change puts other faults in the place of the present ones.
func (n *Network) change(edit func(*faults)) {
	n.mu.Lock()
	defer n.mu.Unlock()

	old := n.faults.Load()
	f := &faults{isolated: make(map[int]bool), cut: make(map[[2]int]bool), changed: make(chan struct{})}
	for i := range old.isolated {
		f.isolated[i] = true
	}
	for p := range old.cut {
		f.cut[p] = true
	}

	edit(f)
	n.faults.Store(f)
	close(old.changed)
}

// Close ends what is left of the network. Members must have ended before.
func (n *Network) Close() {
	n.cancel()
	n.Heal()

	n.mu.Lock()
	for _, f := range n.forwarders {
		f.close()
	}
	for c := range n.conns {
		_ = c.Conn.Close() // nobody is left to hear of it
	}
	n.mu.Unlock()

	n.wg.Wait()
}

// whose returns the member that listens at an address.
func (n *Network) whose(addr string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	if i, ok := n.at[addr]; ok {
		return i
	}
	return outside
}

// Port is a member's end of the network.
type Port struct {
	n *Network
	i int
}

// Port returns the network as member i has it.
func (n *Network) Port(i int) *Port { return &Port{n, i} }

// Place tells that what listens at an address is the member's. Of its own listeners that is known.
func (p *Port) Place(addr string) {
	p.n.mu.Lock()
	defer p.n.mu.Unlock()
	p.n.at[addr] = p.i
}

// Listener returns a listener in the place of l, one of the member's. Its connections fall silent with the member.
func (p *Port) Listener(l net.Listener) net.Listener {
	p.Place(l.Addr().String())
	return &listener{l, p}
}

type listener struct {
	net.Listener
	p *Port
}

// Accept wraps what the listener accepts.
func (l *listener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}

	c := newConn(l.p.n, nc, l.p.i, outside)
	c.accepted = true
	return c, nil
}

// Dial connects to another member, or to whoever listens there. Where that is cut, it waits for the end of the fault or of ctx.
func (p *Port) Dial(ctx context.Context, addr string) (net.Conn, error) {
	for {
		to, f := p.n.whose(addr), p.n.faults.Load()
		if f.silent(p.i, to) {
			select {
			case <-f.changed:
				continue
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}

		var d net.Dialer
		nc, err := d.DialContext(ctx, "tcp", addr)
		if err != nil {
			if p.n.faults.Load().silent(p.i, to) && ctx.Err() == nil {
				continue // nobody could have refused
			}
			return nil, err
		}

		p.n.mu.Lock()
		p.n.dialed[nc.LocalAddr().String()+">"+nc.RemoteAddr().String()] = struct{}{}
		p.n.mu.Unlock()

		if to == p.i {
			return nc, nil // what a member says to itself needs no cable
		}
		return newConn(p.n, nc, p.i, to), nil
	}
}

// fromMember reports whether a connection that was accepted comes from a member. It is asked after the first byte has come, and
// answers once for each connection.
func (n *Network) fromMember(c *conn) bool {
	key := c.RemoteAddr().String() + ">" + c.LocalAddr().String()

	n.mu.Lock()
	defer n.mu.Unlock()
	_, ok := n.dialed[key]
	delete(n.dialed, key)
	return ok
}

// add takes note of a connection that is open.
func (n *Network) add(c *conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.conns[c] = struct{}{}
}

// remove forgets a connection that its owner closes, and reports whether the connection is cut. If it is, the other side hears of its end
// only after the fault.
func (n *Network) remove(c *conn) (cut bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.conns, c)

	// A cut connection keeps its socket open, since closing it would tell the other side.
	if n.ctx.Err() == nil && c.silent() {
		n.buried = append(n.buried, c)
		return true
	}
	return false
}

// lastWords is how long a connection that was closed while it was cut is given to deliver what it holds.
const lastWords = time.Second
