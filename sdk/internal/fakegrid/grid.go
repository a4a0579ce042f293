// Package fakegrid is a cluster made of one map behind several listeners, for tests of the client: its members speak the
// wire protocol, know who owns which partition, remember calls by their identity, and misbehave when told to. What they
// share is shared by mutex; there is no replication in it, and nothing that a real member could learn from it.
package fakegrid

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Verdict says what a member does with a request.
type Verdict struct {
	// Ignore: neither execute nor answer.
	Ignore bool
	// Cut ends the connection, before executing unless Execute is set.
	Cut bool
	// Execute, with Cut or Code: execute, but do not answer with the result.
	Execute bool
	// Code, if not CodeOK, is answered, with Body.
	Code wire.Code
	Body []byte
	// Raw, if not nil, is written as it is in place of an answer.
	Raw []byte
	// Wait, if not nil, is waited for before anything else is done. The connection reads nothing meanwhile.
	Wait <-chan struct{}
}

// Grid is the cluster.
type Grid struct {
	Name string
	ID   wire.ID

	t testing.TB

	mu struct {
		sync.Mutex
		skew     time.Duration // of cluster time against the wall clock
		meta     uint64
		version  uint64
		members  []*Member
		parts    []partition
		records  map[identity]record
		configs  wire.MapConfigsResult // of maps
		log      []Seen
		keepLog  bool
		hook     func(m *Member, req *wire.Request) Verdict
		position func(partition uint32) wire.Position // nil: there are no events
	}
}

// Member is one listener.
type Member struct {
	Index int
	Info  wire.MemberInfo

	g        *Grid
	wg       sync.WaitGroup
	listener net.Listener          // guarded by Grid.mu, as the following
	conns    map[*session]struct{} // open connections
	frozen   chan struct{}         // not nil: the member reads nothing until it is closed
	refuse   wire.Code             // hellos are answered with this
	hellos   int
	frames   int
	away     bool // nobody can dial it
}

// Seen is a request that reached a member.
type Seen struct {
	Member    int
	Op        wire.Op
	Flags     uint8
	Partition uint32
	Epoch     uint64
	Client    wire.ID
	Seq       uint64
	Lowest    uint64
	Deadline  int64
	Trace     wire.Trace
	Keys      int // in the body of a bulk call
	Frame     int // that brought it, counted by the member; parts of one frame have one number
}

// New starts n members with the given number of partitions, owned in turn, on loopback addresses. They stop with the test.
func New(t testing.TB, n, partitions int) *Grid {
	t.Helper()
	g := newGrid(t, n, partitions)
	for i := range n {
		g.listen(i, "127.0.0.1:0")
	}
	return g
}

// NewPiped is New for tests with a clock of their own: nothing listens, Dial is the way in.
func NewPiped(t testing.TB, n, partitions int) *Grid {
	t.Helper()
	g := newGrid(t, n, partitions)
	for i, m := range g.mu.members {
		m.Info.Addr = fmt.Sprintf("member-%d", i)
	}
	return g
}

// Dial connects to a member of NewPiped.
func (g *Grid) Dial(_ context.Context, addr string) (net.Conn, error) {
	for _, m := range g.mu.members {
		if m.Info.Addr == addr {
			// A pipe needs no port, and works under a clock of the test.
			near, far := net.Pipe()
			g.mu.Lock()
			defer g.mu.Unlock()
			if m.away {
				break
			}

			m.startLocked(far)
			return near, nil
		}
	}
	return nil, fmt.Errorf("nobody listens at %s", addr)
}

func newGrid(t testing.TB, n, partitions int) *Grid {
	g := &Grid{Name: "grid", ID: wire.ID{0xc1}, t: t}
	g.mu.meta, g.mu.version = 1, 1
	g.mu.records = make(map[identity]record)

	for i := range n {
		g.mu.members = append(g.mu.members, &Member{
			Index: i, g: g, conns: make(map[*session]struct{}),
			Info: wire.MemberInfo{
				// IDs are fixed, so that logs and orders are the same in every run.
				ID: wire.ID{0xaa, byte(i + 1)}, Incarnation: wire.ID{0xbb, byte(i + 1)}, Name: "m" + string(rune('1'+i)), State: "ready",
				Version: "test", Zone: "z1", Tags: map[string]string{"index": string(rune('0' + i))},
			},
		})
	}

	g.mu.parts = make([]partition, partitions)
	for i := range g.mu.parts {
		// Epochs begin in generation 1, as in a new cluster.
		g.mu.parts[i] = partition{owner: i % n, epoch: uint64(wire.StampOf(1, 0)), maps: make(map[string]*table)}
	}

	t.Cleanup(func() {
		for i := range g.mu.members {
			g.Kill(i)
		}
	})
	return g
}

// relistenFor bounds how long a member that comes back waits for its port.
const relistenFor = 30 * time.Second

func (g *Grid) listen(i int, addr string) {
	g.t.Helper()
	l, err := net.Listen("tcp", addr)
	// The port of one that comes back was anybody's meanwhile, for a connection that may soon end.
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for until := time.Now().Add(relistenFor); errors.Is(err, syscall.EADDRINUSE) && time.Now().Before(until); {
		<-again.C
		l, err = net.Listen("tcp", addr)
	}

	if err != nil {
		g.t.Fatalf("fake member: %v", err)
	}

	g.mu.Lock()
	defer g.mu.Unlock()
	m := g.mu.members[i]
	m.listener, m.Info.Addr = l, l.Addr().String()
	m.wg.Go(func() { m.accept(l) })
}

// Addr returns the address of member i.
func (g *Grid) Addr(i int) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.mu.members[i].Info.Addr
}

// Addrs returns all members' addresses.
func (g *Grid) Addrs() []string {
	var out []string
	for i := range g.mu.members {
		out = append(out, g.Addr(i))
	}
	return out
}

// MemberID returns the identity of member i.
func (g *Grid) MemberID(i int) wire.ID { return g.mu.members[i].Info.ID }

// Owner returns the index of a partition's owner.
func (g *Grid) Owner(partition int) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.mu.parts[partition].owner
}

// OnRequest makes f judge every request from now on; nil: all are served. f is called by one connection at a time.
func (g *Grid) OnRequest(f func(m *Member, req *wire.Request) Verdict) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mu.hook = f
}

// Record makes the grid remember requests from now on, for Requests.
func (g *Grid) Record() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mu.keepLog, g.mu.log = true, nil
}

// Requests returns what was recorded of the given operations, of all but tables and pings without any.
func (g *Grid) Requests(ops ...wire.Op) []Seen {
	g.mu.Lock()
	defer g.mu.Unlock()
	var out []Seen
	for _, s := range g.mu.log {
		if slices.Contains(ops, s.Op) || len(ops) == 0 && s.Op != wire.OpTable && s.Op != wire.OpPing {
			out = append(out, s)
		}
	}
	return out
}

// Skew sets the difference of cluster time to the wall clock.
func (g *Grid) Skew(d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mu.skew = d
}

// Now returns cluster time in milliseconds.
func (g *Grid) Now() int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.nowLocked()
}

func (g *Grid) nowLocked() int64 { return time.Now().Add(g.mu.skew).UnixMilli() }

// Move makes a member the owner of a partition under a new epoch. Clients are told if push is set. The owner -1 is nobody.
func (g *Grid) Move(partition, to int, push bool) {
	g.mu.Lock()
	p := &g.mu.parts[partition]
	p.owner, p.epoch = to, p.epoch+1
	g.mu.version++
	g.mu.Unlock()
	if push {
		g.Push()
	}
}

// MoveAll moves all partitions of one member to another.
func (g *Grid) MoveAll(from, to int, push bool) {
	g.mu.Lock()
	for i := range g.mu.parts {
		if p := &g.mu.parts[i]; p.owner == from {
			p.owner, p.epoch = to, p.epoch+1
		}
	}
	g.mu.version++
	g.mu.Unlock()
	if push {
		g.Push()
	}
}

// Forget removes a member from the view, as one that has left.
func (g *Grid) Forget(i int) {
	g.mu.Lock()
	g.mu.members[i].Info.State = ""
	g.mu.meta++
	g.mu.version++
	g.mu.Unlock()
	g.Push()
}

// SetState changes what the view says of a member.
func (g *Grid) SetState(i int, state string) {
	g.mu.Lock()
	g.mu.members[i].Info.State = state
	g.mu.meta++
	g.mu.version++
	g.mu.Unlock()
	g.Push()
}

// Push sends the view to all connections that asked for it once.
func (g *Grid) Push() {
	g.mu.Lock()
	var to []*session
	for _, m := range g.mu.members {
		for s := range m.conns {
			// A frozen member sends nothing, not even what nobody asked for.
			if s.subscribed && m.frozen == nil {
				to = append(to, s)
			}
		}
	}

	view := g.viewLocked()
	a := wire.Answer{ID: uint64(wire.OpTable), Flags: wire.FlagPush, Time: g.nowLocked(), Table: g.mu.version, Body: view}
	g.mu.Unlock()

	// Without the lock: a write waits for a client that reads slowly.
	for _, s := range to {
		s.write(wire.AppendAnswer(nil, &a))
	}
}

// View returns the view as members send it.
func (g *Grid) View() *wire.Table {
	g.mu.Lock()
	defer g.mu.Unlock()
	v, err := wire.DecodeTable(g.viewLocked())
	if err != nil {
		panic(err)
	}
	return v
}

func (g *Grid) viewLocked() []byte {
	v := wire.Table{Version: g.mu.version, Meta: g.mu.meta, Cluster: g.ID, Name: g.Name}
	place := make([]uint16, len(g.mu.members))
	for i, m := range g.mu.members {
		// Tables name members by their places in the list, and members that were forgotten have none.
		if place[i] = wire.NoOwner; m.Info.State != "" {
			place[i] = uint16(len(v.Members))
			v.Members = append(v.Members, m.Info)
		}
	}

	for i := range g.mu.parts {
		p := wire.PartitionRoute{Epoch: g.mu.parts[i].epoch, Owner: wire.NoOwner}
		if o := g.mu.parts[i].owner; o >= 0 {
			p.Owner = place[o]
		}
		// Every member holds every partition, since there is only one state.
		for j := range v.Members {
			p.Replicas = append(p.Replicas, uint16(j))
		}
		v.Partitions = append(v.Partitions, p)
	}
	return wire.AppendTable(nil, &v)
}

// RefuseHello makes member i answer hellos with a code; CodeOK ends it.
func (g *Grid) RefuseHello(i int, code wire.Code) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mu.members[i].refuse = code
}

// Hellos returns how many hellos member i has answered well.
func (g *Grid) Hellos(i int) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.mu.members[i].hellos
}

// Freeze makes member i read nothing and answer nothing, its connections staying open, until thaw is called.
func (g *Grid) Freeze(i int) (thaw func()) {
	g.mu.Lock()
	defer g.mu.Unlock()

	gate := make(chan struct{})
	g.mu.members[i].frozen = gate
	return sync.OnceFunc(func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		// The member may have been killed, or frozen once more, in between.
		if m := g.mu.members[i]; m.frozen == gate {
			m.frozen = nil
		}
		close(gate)
	})
}

// Kill ends member i's listener and connections, and waits until nothing of it runs.
func (g *Grid) Kill(i int) {
	m := g.mu.members[i]
	g.mu.Lock()
	if m.listener != nil {
		_ = m.listener.Close()
		m.listener = nil
	}

	// Sessions that wait for the thaw must end too.
	if m.frozen != nil {
		select {
		case <-m.frozen:
		default:
			close(m.frozen)
		}
		m.frozen = nil
	}

	conns := m.conns
	m.conns = make(map[*session]struct{})
	g.mu.Unlock()

	// Sessions take the lock when they end, so they are closed and waited for without it.
	for s := range conns {
		s.close()
	}
	m.wg.Wait()
}

// Restart makes member i listen again under its old address.
func (g *Grid) Restart(i int) {
	g.t.Helper()
	g.listen(i, g.Addr(i))
}

// Bootstrap makes the grid, none of whose members runs, another one of the same name at the same addresses, in which there is nothing.
func (g *Grid) Bootstrap(partitions int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	// Another cluster under the same name has another ID, and so have its members.
	g.ID[15]++
	g.mu.meta, g.mu.version = 1, 1

	// A new cluster knows nothing of earlier calls.
	g.mu.records = make(map[identity]record)
	for _, m := range g.mu.members {
		m.Info.ID[15]++
		m.Info.Incarnation[15]++
		m.hellos = 0
	}

	g.mu.parts = make([]partition, partitions)
	for i := range g.mu.parts {
		g.mu.parts[i] = partition{owner: i % len(g.mu.members), epoch: uint64(wire.StampOf(1, 0)), maps: make(map[string]*table)}
	}
}

// Return makes the grid the one again that it was before Bootstrap, but for what was in it.
func (g *Grid) Return() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ID[15]--
	for _, m := range g.mu.members {
		m.Info.ID[15]--
		m.Info.Incarnation[15]--
	}
}

// Serve makes member i listen at one more address. It stops with the test.
func (g *Grid) Serve(i int, addr string) {
	g.t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		g.t.Fatalf("fake member: %v", err)
	}

	m := g.mu.members[i]
	g.mu.Lock()
	m.wg.Go(func() { m.accept(l) })
	g.mu.Unlock()
	g.t.Cleanup(func() { _ = l.Close() }) // before that of the grid
}

// Unreachable makes Dial find nobody at member i's address.
func (g *Grid) Unreachable(i int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mu.members[i].away = true
}

// Cut ends member i's connections; new ones are accepted.
func (g *Grid) Cut(i int) {
	g.mu.Lock()
	conns := g.mu.members[i].conns
	g.mu.members[i].conns = make(map[*session]struct{})
	g.mu.Unlock()

	for s := range conns {
		s.close()
	}
}
