package grid_test

import (
	"bufio"
	"context"
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

	"github.com/gridiron-io/gridiron/grid/gridtest"
	"github.com/gridiron-io/gridiron/sdk"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// lossyNATS is what is between a client and the NATS servers of the members: messages get lost there, late and out of order. What clients
// and servers say to each other besides is left alone.
type lossyNATS struct {
	loss  atomic.Int32 // percent of the messages
	delay atomic.Int32 // messages that others may overtake

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

// Whatever happens to the messages on their way to the client, and to the members: each event is heard once and in order.
func TestEventsThroughALossyChannel(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	cl := gridtest.New(t, 3)
	lossy := &lossyNATS{}
	c, err := sdk.Connect(ctx, []string{cl.Addr(0), cl.Addr(1), cl.Addr(2)}, sdk.WithDialer(lossy.dial))
	must(t, err)
	t.Cleanup(func() { _ = c.Close() })

	m := openMap[string, int](t, cl.Client(), "lossy")
	h, sub := listen(t, openMap[string, int](t, c, "lossy"))
	const keys, n = 40, 60
	write(t, m, keys, n, func(done int) {
		switch done {
		case keys * n / 10:
			lossy.loss.Store(50)
		case 3 * keys * n / 10:
			lossy.delay.Store(20)
		case 4 * keys * n / 10:
			lossy.loss.Store(10)
			if lossy.cut() == 0 {
				t.Error("there is no connection to cut")
			}
		case 5 * keys * n / 10:
			cl.Kill(0)
		case 6 * keys * n / 10:
			lossy.loss.Store(100)
			lossy.cut()
		case 8 * keys * n / 10:
			cl.Restart(0)
			lossy.loss.Store(50)
		case 9 * keys * n / 10:
			lossy.cut()
		}
	})

	list := h.wait(t, "everything", complete(keys, n))
	for key, last := range chains(t, list) {
		if last != n {
			t.Errorf("key %s was heard of up to %d", key, last)
		}
	}
	if anyLost(list) || len(list) != keys*n {
		t.Errorf("heard %d events, not %d; lost: %t", len(list), keys*n, anyLost(list))
	}

	lossy.loss.Store(0)
	lossy.delay.Store(0)
	waitLive(t, sub)
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
