package grid_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/grid"
	"github.com/gridiron-io/gridiron/grid/gridtest"
	"github.com/gridiron-io/gridiron/sdk"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// lossyNATS is what is between a client and the NATS servers of the members: messages get lost there, late and out of order. What clients
// and servers say to each other besides is left alone.
type lossyNATS struct {
	loss  atomic.Int32 // percent of the messages
	delay atomic.Int32 // messages that others may overtake
	dark  atomic.Bool  // no member can be reached for events
	// edit, if not nil, returns what becomes of the data of a message; nil for one that is lost.
	edit func(subject string, data []byte) []byte

	mu    sync.Mutex // guards the following
	conns map[*lossyConn]struct{}
}

// dial is for WithDialer.
func (l *lossyNATS) dial(ctx context.Context, addr string) (net.Conn, error) {
	var d net.Dialer
	nc, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return &lossyConn{Conn: nc, l: l}, nil
}

// cut ends all connections for events, and returns how many there were.
func (l *lossyNATS) cut() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		_ = c.Conn.Close()
	}
	return len(l.conns)
}

// lossyConn is one connection. It is plain until its hello asks for the events plane.
type lossyConn struct {
	net.Conn
	l    *lossyNATS
	said bool // the hello was written

	// The following belong to the reader.
	in   *bufio.Reader // nil: a plain connection
	out  []byte        // to be read
	late [][]byte      // messages that others overtake
	once sync.Once
}

// Write looks at the hello, which is written first.
func (c *lossyConn) Write(b []byte) (int, error) {
	if !c.said {
		c.said = true
		if h, err := wire.DecodeHello(b[8:]); err == nil && h.Plane == wire.PlaneEvents {
			if c.l.dark.Load() {
				return 0, net.ErrClosed
			}
			c.in = bufio.NewReaderSize(c.Conn, 64<<10)
			c.l.mu.Lock()
			if c.l.conns == nil {
				c.l.conns = make(map[*lossyConn]struct{})
			}
			c.l.conns[c] = struct{}{}
			c.l.mu.Unlock()
		}
	}
	return c.Conn.Write(b)
}

// Close forgets the connection.
func (c *lossyConn) Close() error {
	c.l.mu.Lock()
	delete(c.l.conns, c)
	c.l.mu.Unlock()
	return c.Conn.Close()
}

// Read reads what is left of what the server says.
func (c *lossyConn) Read(b []byte) (int, error) {
	if c.in == nil {
		return c.Conn.Read(b)
	}
	for len(c.out) == 0 {
		if err := c.next(); err != nil {
			return 0, err
		}
	}
	n := copy(b, c.out)
	c.out = c.out[n:]
	return n, nil
}

// next takes in the answer to the hello, or one line of NATS' protocol with what belongs to it.
func (c *lossyConn) next() error {
	answer := false
	c.once.Do(func() { answer = true })
	if answer {
		head, err := c.in.Peek(8)
		if err != nil {
			return err
		}
		n, err := wire.HelloLength([8]byte(head))
		if err != nil {
			return err
		}
		c.out = make([]byte, 8+n)
		_, err = io.ReadFull(c.in, c.out)
		return err
	}

	line, err := c.in.ReadString('\n')
	if err != nil {
		return err
	}
	if !strings.HasPrefix(line, "MSG ") {
		c.out = []byte(line)
		return nil
	}

	words := strings.Fields(line)
	size, err := strconv.Atoi(words[len(words)-1])
	if err != nil {
		return err
	}
	message := append([]byte(line), make([]byte, size+2)...)
	if _, err := io.ReadFull(c.in, message[len(line):]); err != nil {
		return err
	}

	if edit := c.l.edit; edit != nil {
		data := edit(words[1], message[len(line):len(line)+size])
		if data == nil {
			return nil
		}
		words[len(words)-1] = strconv.Itoa(len(data))
		message = append([]byte(strings.Join(words, " ")+"\r\n"), data...)
		message = append(message, "\r\n"...)
	}

	switch {
	case rand.Int32N(100) < c.l.loss.Load():
		return nil
	case len(c.late) < int(c.l.delay.Load()):
		c.late = append(c.late, message)
		return nil
	case len(c.late) > 0:
		// One of those that wait goes, and this one waits in its place.
		i := rand.IntN(len(c.late))
		message, c.late[i] = c.late[i], message
		if len(c.late) > int(c.l.delay.Load()) {
			for _, m := range c.late {
				message = append(message, m...)
			}
			c.late = nil
		}
	}
	c.out = message
	return nil
}

// These make of TestEventsThroughALossyChannel, which takes seconds, one that takes minutes. TestProcessesThroughALossyChannel has them too.
var (
	eventsWritten = flag.Int("events", 2400, "how many events at least come through a lossy channel")
	eventCut      = flag.Duration("events.cut", 0, "for how long at least nothing comes through")
	eventKills    = flag.Int("events.kills", 1, "how often an owner is killed meanwhile")
)

// memberFaults are what can happen to the members of a cluster, which are numbered from 0. All but kill return when the cluster is whole.
type memberFaults interface {
	kill(i int)
	restart(i int)
	add() int
	leave(i int)
}

// clusterFaults are those of a cluster in this process.
type clusterFaults struct{ cl *gridtest.Cluster }

func (f clusterFaults) kill(i int)    { f.cl.Kill(i) }
func (f clusterFaults) restart(i int) { f.cl.Restart(i); f.cl.WaitSafe() }
func (f clusterFaults) leave(i int)   { f.cl.Stop(i); f.cl.WaitSafe() }
func (f clusterFaults) add() int {
	i := f.cl.Add()
	f.cl.WaitSafe()
	return i
}

// Whatever happens to the messages on their way to the client, and to the members: each event is heard once and in order.
func TestEventsThroughALossyChannel(t *testing.T) {
	t.Parallel()
	cl := gridtest.New(t, 3, gridtest.WithConfig(func(_ int, cfg *grid.Config) { cfg.MaxValue = largeEvent + 100 }))
	throughALossyChannel(t, cl.Addrs(), clusterFaults{cl})
}

// largeEvent is how large the largest values are: nearly as large as a cluster may be configured for.
const largeEvent = 4<<20 - 200

// throughALossyChannel has listeners of several kinds hear of a load on three members, while messages get lost, late and out of order on
// their way, while the connection for events is cut, and while members die, come and leave.
func throughALossyChannel(t *testing.T, addrs []string, members memberFaults) {
	t.Helper()
	connect := func(opts ...sdk.Option) *sdk.Client {
		c, err := sdk.Connect(t.Context(), addrs, append(opts, sdk.WithTimeout(eventWait), sdk.WithMaxValue(largeEvent+100))...)
		must(t, err)
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	lossy := &lossyNATS{}
	writer, hearer := connect(), connect(sdk.WithDialer(lossy.dial))
	m, heard := openMap[string, int](t, writer, "lossy"), openMap[string, int](t, hearer, "lossy")

	all := newLedger("a listener", identity)
	sub, err := heard.AddEntryListener(t.Context(), all.listener())
	must(t, err)
	t.Cleanup(func() { _ = sub.Close() })
	slow := newSlowListener(t, heard)
	parts := newInstalments(t, heard)
	large := newLargeEvents(t, writer, hearer)

	const keys = 40
	load := startEventLoad(t, m, keys, slow.written)
	step := func() {
		t.Helper()
		parts.next(t)
		large.write(t)
		load.wait(t, *eventsWritten/12)
	}

	step()
	lossy.loss.Store(50)
	step()
	lossy.delay.Store(20)
	step()
	lossy.loss.Store(10)
	if lossy.cut() == 0 {
		t.Error("there is no connection to cut")
	}
	step()
	for i := range *eventKills { // each owns a third of the keys
		members.kill(i % 3)
		step()
		if i == 0 { // nothing comes through any more
			lossy.loss.Store(100)
			lossy.dark.Store(true)
			lossy.cut()
			<-time.After(*eventCut)
			load.wait(t, *eventsWritten/12) // nobody can begin to listen
		}
		members.restart(i % 3)
		lossy.loss.Store(50)
		lossy.dark.Store(false)
		lossy.cut()
		step()
	}
	added := members.add()
	step()
	members.leave(added)
	step()
	if *eventKills > 1 {
		for i := range 3 {
			members.leave(i)
			members.restart(i)
			step()
		}
	}
	load.wait(t, *eventsWritten-int(load.done.Load()))

	must(t, load.stop())
	lossless := *eventKills <= 1 // and the cut short: rings may be overrun otherwise
	all.settle(t, load.last, lossless)
	slow.settle(t, load.last, lossless)
	parts.settle(t, load.last, lossless)
	large.settle(t, large.last, lossless)
	lossy.loss.Store(0)
	lossy.delay.Store(0)
	waitLive(t, sub)
}

// slowEach is how many events a slow listener hears until it waits to be let on. It is let on half as often as that would need.
const slowEach = 50

// slowListener is one that waits for the writers.
type slowListener struct {
	*ledger[int]
	turn  chan struct{} // one slot
	heard int           // owned by the listener
}

func newSlowListener(t *testing.T, m *sdk.Map[string, int]) *slowListener {
	t.Helper()
	s := &slowListener{ledger: newLedger("a slow listener", identity), turn: make(chan struct{}, 1)}
	hear := func(e sdk.Event[string, int]) {
		if s.heard++; s.heard%slowEach == 0 {
			select {
			case <-s.turn:
			case <-t.Context().Done():
			}
		}
		s.add(e)
	}
	sub, err := m.AddEntryListener(t.Context(), sdk.EntryListener[string, int]{Added: hear, Updated: hear, Lost: s.add})
	must(t, err)
	t.Cleanup(func() { _ = sub.Close() })
	return s
}

// written lets the listener on, if it is time.
func (s *slowListener) written(done int) {
	if done%(2*slowEach) != 0 {
		return
	}
	select {
	case s.turn <- struct{}{}:
	default:
	}
}

// settle lets the listener go as fast as it can from now on.
func (s *slowListener) settle(t *testing.T, last map[string]int, lossless bool) {
	t.Helper()
	close(s.turn)
	s.ledger.settle(t, last, lossless)
}

// instalments are listeners one after the other. Each goes on where the one before has ended.
type instalments struct {
	*ledger[int]
	m *sdk.Map[string, int]

	now struct {
		sync.Mutex // guards the following
		number     int
		token      sdk.ResumeToken
	}
	sub *sdk.Subscription
}

func newInstalments(t *testing.T, m *sdk.Map[string, int]) *instalments {
	t.Helper()
	p := &instalments{ledger: newLedger("listeners one after the other", identity), m: m}
	p.next(t)
	t.Cleanup(func() { _ = p.sub.Close() })
	return p
}

// next ends the present listener, if it has heard of anything, and starts the next.
func (p *instalments) next(t *testing.T) {
	t.Helper()
	p.now.Lock()
	token := p.now.token
	if p.sub != nil && token == "" {
		p.now.Unlock()
		return
	}
	p.now.number++
	number := p.now.number
	p.now.Unlock()

	var opts []sdk.ListenerOption
	if p.sub != nil {
		must(t, p.sub.Close())
		opts = append(opts, sdk.From(token))
	}
	hear := func(e sdk.Event[string, int]) {
		p.now.Lock()
		defer p.now.Unlock()
		if p.now.number == number { // the one before may still be at its last event
			p.add(e)
			p.now.token = e.Token
		}
	}
	sub, err := p.m.AddEntryListener(t.Context(), sdk.EntryListener[string, int]{Added: hear, Updated: hear, Lost: hear}, opts...)
	must(t, err)
	p.sub = sub
}

// largeEvents are those of values that are as large as can be.
type largeEvents struct {
	*ledger[[]byte]
	m    *sdk.Map[string, []byte]
	last map[string]int
}

func newLargeEvents(t *testing.T, writer, hearer *sdk.Client) *largeEvents {
	t.Helper()
	l := &largeEvents{m: openMap[string, []byte](t, writer, "large"), last: make(map[string]int)}
	l.ledger = newLedger("a listener to large values", func(v []byte) int {
		if len(v) == 0 {
			return 0
		}
		if len(v) < largeEvent/2 {
			return -1
		}
		return int(binary.BigEndian.Uint64(v))
	})
	sub, err := openMap[string, []byte](t, hearer, "large").AddEntryListener(t.Context(), l.listener())
	must(t, err)
	t.Cleanup(func() { _ = sub.Close() })
	return l
}

// write writes one of two keys.
func (l *largeEvents) write(t *testing.T) {
	t.Helper()
	// Of the larger one, an event never has both values: an answer is not as large as that.
	key, size := "large", largeEvent/2
	if l.last[key] > l.last["largest"] {
		key, size = "largest", largeEvent
	}
	l.last[key]++
	value := make([]byte, size)
	binary.BigEndian.PutUint64(value, uint64(l.last[key]))
	must(t, l.m.Set(t.Context(), key, value))
}

// waitLive waits until a subscription is live.
func waitLive(t *testing.T, sub *sdk.Subscription) {
	t.Helper()
	until(t, "the subscription to be live", func() bool {
		state, _ := sub.State()
		return state == sdk.SubscriptionLive
	})
}

// Many listeners begin while there are writes. Each hears of all writes that begin after its AddEntryListener has returned.
func TestManyListenersBeginDuringWrites(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	cl := gridtest.New(t, 3)
	m := openMap[string, int](t, cl.Client(), "many")
	stop := make(chan struct{})
	var writers sync.WaitGroup
	for w := range 2 {
		writers.Go(func() { // ends with stop
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				if err := m.Set(ctx, fmt.Sprintf("noise%d-%d", w, i%50), i); err != nil {
					t.Errorf("set: %v", err)
					return
				}
			}
		})
	}

	const openers, each = 10, 50
	var opening sync.WaitGroup
	for o := range openers {
		opening.Go(func() {
			for i := range each {
				key := fmt.Sprintf("own%d-%d", o, i)
				heard := make(chan int, 1)
				sub, err := m.AddEntryListener(ctx, sdk.EntryListener[string, int]{Added: func(e sdk.Event[string, int]) {
					if e.Key == key {
						heard <- e.New
					}
				}, Lost: func(e sdk.Event[string, int]) { t.Errorf("%s: events were lost: %+v", key, e) }})
				if err != nil {
					t.Errorf("listen: %v", err)
					return
				}
				if err := m.Set(ctx, key, i); err != nil {
					t.Errorf("set: %v", err)
					return
				}
				select {
				case v := <-heard:
					if v != i {
						t.Errorf("%s is heard as %d", key, v)
					}
				case <-time.After(eventWait):
					t.Errorf("%s is not heard", key)
					return
				}
				_ = sub.Close()
			}
		})
	}
	opening.Wait()
	close(stop)
	writers.Wait()
}
