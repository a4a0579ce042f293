package member

import (
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gridiron-io/gridiron/member/internal/harness"
	"github.com/gridiron-io/gridiron/member/internal/rpc"
	"github.com/gridiron-io/gridiron/member/porttest"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

func TestMain(m *testing.M) {
	// The tests wait for most of their time: more run side by side than there are processors, unless told otherwise.
	_ = flag.Set("test.parallel", "6")
	goleak.VerifyTestMain(m)
}

// testContext returns a context that ends with the test, or after a time that no test takes.
func testContext(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// runningMember returns a single member that is killed when the test ends.
func runningMember(t testing.TB, cfg Config) *Member {
	t.Helper()
	if cfg.Partitions == 0 {
		cfg.Partitions = 4
	}
	cfg.NoHTTP = true
	m, err := Start(testContext(t), cfg)
	if err != nil {
		t.Fatalf("start a member: %v", err)
	}
	t.Cleanup(m.Kill)
	return m
}

// runningMembers returns n members that have bootstrapped a cluster together and are killed when the test ends. configure may
// change each Config before it is used.
func runningMembers(t testing.TB, n int, configure func(i int, cfg *Config)) []*Member {
	t.Helper()
	addrs := porttest.Addrs(t, n)
	members, errs := make([]*Member, n), make([]error, n)
	var wg sync.WaitGroup
	ctx := testContext(t)
	for i := range n {
		cfg := Config{Settings: Settings{Name: fmt.Sprintf("m%d", i), Listen: addrs[i], Join: addrs, Expect: n, Partitions: 6, NoHTTP: true, DataDir: t.TempDir()}}
		if configure != nil {
			configure(i, &cfg)
		}
		wg.Go(func() { members[i], errs[i] = Start(ctx, cfg) })
	}
	wg.Wait()
	t.Cleanup(func() {
		for _, m := range members {
			if m != nil {
				wg.Go(m.Kill)
			}
		}
		wg.Wait()
	})
	for i, err := range errs {
		if err != nil {
			t.Fatalf("start member %d: %v", i, err)
		}
	}
	return members
}

// eventually waits until a condition holds.
var eventually = harness.Eventually

// rawClient speaks the protocol by hand, so that it can break it.
type rawClient struct {
	t   testing.TB
	nc  net.Conn
	id  wire.ID
	seq uint64
}

// dialed returns a plain connection that ends with the test.
func dialed(t testing.TB, addr string) net.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatalf("dial %s: %v", addr, err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(30 * time.Second))
	return nc
}

// clientHello is what a well-behaved client says.
func clientHello() wire.Hello {
	return wire.Hello{Version: wire.Version, Plane: wire.PlaneCalls, Cluster: "grid", Name: "raw", Client: wire.ID{1, 2, 3}}
}

// connected returns a client whose hello was accepted.
func connected(t testing.TB, m *Member) *rawClient {
	t.Helper()
	nc := dialed(t, m.Addr())
	h := clientHello()
	a := greeted(t, nc, &h)
	if a.Code != wire.CodeOK {
		t.Fatalf("hello: %v: %s", a.Code, a.Message)
	}
	return &rawClient{t: t, nc: nc, id: h.Client}
}

// greeted says hello and returns the answer.
func greeted(t testing.TB, nc net.Conn, h *wire.Hello) wire.HelloAnswer {
	t.Helper()
	write(t, nc, wire.AppendHello(nil, h))
	return helloAnswer(t, nc)
}

func helloAnswer(t testing.TB, nc net.Conn) wire.HelloAnswer {
	t.Helper()
	b, err := rpc.ReadHello(nc)
	if err != nil {
		t.Fatalf("read the answer to a hello: %v", err)
	}
	a, err := wire.DecodeHelloAnswer(b)
	if err != nil {
		t.Fatalf("read the answer to a hello: %v", err)
	}
	return a
}

func write(t testing.TB, nc net.Conn, b []byte) {
	t.Helper()
	if _, err := nc.Write(b); err != nil {
		t.Fatalf("write: %v", err)
	}
}

// closedByPeer fails the test unless the other side ends the connection without another word.
func closedByPeer(t testing.TB, nc net.Conn) {
	t.Helper()
	var b [1]byte
	n, err := nc.Read(b[:])
	if ne, ok := err.(net.Error); n != 0 || err == nil || ok && ne.Timeout() {
		t.Fatalf("the connection goes on: %d bytes, %v", n, err)
	}
}

// request returns a write or read of partition 0 with all that a member wants to see in it.
func (c *rawClient) request(op wire.Op, body []byte) *wire.Request {
	c.seq++
	return &wire.Request{ID: c.seq, Op: op, Client: c.id, Seq: c.seq, Lowest: c.seq, Deadline: time.Now().Add(10 * time.Second).UnixMilli(), Body: body}
}

// send sends a request.
func (c *rawClient) send(r *wire.Request) {
	c.t.Helper()
	write(c.t, c.nc, wire.AppendRequest(nil, r))
}

// answer reads one answer.
func (c *rawClient) answer() wire.Answer {
	c.t.Helper()
	var head [4]byte
	if _, err := io.ReadFull(c.nc, head[:]); err != nil {
		c.t.Fatalf("read an answer: %v", err)
	}
	b := make([]byte, binary.BigEndian.Uint32(head[:]))
	if _, err := io.ReadFull(c.nc, b); err != nil {
		c.t.Fatalf("read an answer: %v", err)
	}
	var a wire.Answer
	if err := wire.DecodeAnswer(b, &a); err != nil {
		c.t.Fatalf("read an answer: %v", err)
	}
	return a
}

// call sends a request and returns its answer.
func (c *rawClient) call(r *wire.Request) wire.Answer {
	c.t.Helper()
	c.send(r)
	a := c.answer()
	if a.ID != r.ID {
		c.t.Fatalf("the answer to request %d is for %d", r.ID, a.ID)
	}
	return a
}
