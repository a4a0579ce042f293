package rpc

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pair returns a connection and its other side. Both end with the test, the connection's goroutines included.
func pair(t *testing.T, tcp bool, cfg Config) (*Conn, net.Conn) {
	t.Helper()
	near, far := net.Pipe()
	if tcp {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if near, err = net.Dial("tcp", l.Addr().String()); err != nil {
			t.Fatal(err)
		}
		if far, err = l.Accept(); err != nil {
			t.Fatal(err)
		}
	}
	if cfg.Now == nil {
		cfg.Now = func() int64 { return 1 }
	}
	cfg.Goroutines = new(sync.WaitGroup)
	c := New(near, cfg)
	t.Cleanup(func() {
		c.Fail(errors.New("the test is over"))
		far.Close()
		cfg.Goroutines.Wait()
	})
	return c, far
}

// request reads one request from the far side.
func request(t *testing.T, far io.Reader) wire.Request {
	t.Helper()
	var head [4]byte
	if _, err := io.ReadFull(far, head[:]); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, binary.BigEndian.Uint32(head[:]))
	if _, err := io.ReadFull(far, b); err != nil {
		t.Fatal(err)
	}
	var r wire.Request
	if err := wire.DecodeRequest(b, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

func answer(t *testing.T, far io.Writer, list ...wire.Answer) {
	t.Helper()
	var b []byte
	for i := range list {
		b = wire.AppendAnswer(b, &list[i])
	}
	if _, err := far.Write(b); err != nil {
		t.Fatal(err)
	}
}

func get(body string) *wire.Request { return &wire.Request{Op: wire.OpGet, Body: []byte(body)} }

// Answers reach their calls in whatever order they come, in one piece or byte by byte.
func TestAnswersOutOfOrder(t *testing.T) {
	for _, tcp := range []bool{false, true} {
		c, far := pair(t, tcp, Config{})
		calls := make([]*Call, 100)
		for i := range calls {
			calls[i] = new(Call)
			if err := c.Start(get(fmt.Sprint(i)), calls[i], 1, 0); err != nil {
				t.Fatal(err)
			}
		}
		var frames []byte
		for range calls {
			r := request(t, far)
			frames = append(wire.AppendAnswer(nil, &wire.Answer{ID: r.ID, Body: append(r.Body, '!')}), frames...)
		}
		for i := range frames {
			if _, err := far.Write(frames[i : i+1]); err != nil {
				t.Fatal(err)
			}
			if i == len(frames)/2 {
				if _, err := far.Write(frames[i+1:]); err != nil {
					t.Fatal(err)
				}
				break
			}
		}
		for i, call := range calls {
			if c.Wait(nil, call); call.Err != nil || string(call.Answer.Body) != fmt.Sprint(i)+"!" {
				t.Fatalf("call %d: %q %v", i, call.Answer.Body, call.Err)
			}
		}
	}
}

// Answers larger than the read buffer arrive whole, and calls after them too.
func TestLargeAnswers(t *testing.T) {
	c, far := pair(t, true, Config{})
	for _, n := range []int{0, readBuffer - wire.AnswerHeader - 4, readBuffer, 3 * maxKeptBuffer, wire.MaxFrame - wire.AnswerHeader, 1} {
		call := new(Call)
		if err := c.Start(get("x"), call, 1, 0); err != nil {
			t.Fatal(err)
		}
		body := bytes.Repeat([]byte{byte(n)}, n)
		r := request(t, far)
		answer(t, far, wire.Answer{ID: r.ID, Body: body})
		if c.Wait(nil, call); call.Err != nil || !bytes.Equal(call.Answer.Body, body) {
			t.Fatalf("%d bytes: %d bytes, %v", n, len(call.Answer.Body), call.Err)
		}
	}
}

// An answer above the limit ends the connection by its length alone.
func TestFrameCap(t *testing.T) {
	c, far := pair(t, true, Config{MaxFrame: 1000})
	call := new(Call)
	if err := c.Start(get("x"), call, 1, 0); err != nil {
		t.Fatal(err)
	}
	request(t, far)
	if _, err := far.Write([]byte{0, 0, 3, 0xe9}); err != nil {
		t.Fatal(err)
	}
	if c.Wait(nil, call); !errors.Is(call.Err, wire.ErrTooLarge) || !call.Sent || c.Alive() {
		t.Fatalf("%v, sent %v", call.Err, call.Sent)
	}
	if err := c.Start(get("x"), call, 1, 0); !errors.Is(err, wire.ErrTooLarge) {
		t.Fatalf("a call on an ended connection: %v", err)
	}
}

// An answer that nobody can have asked for ends the connection. Whoever was answered before it, in the same read, has its answer, and the
// others are told why the connection ended.
func TestAnswerNobodyAskedFor(t *testing.T) {
	c, far := pair(t, true, Config{})
	calls := []*Call{{}, {}}
	for _, call := range calls {
		if err := c.Start(get("x"), call, 1, 0); err != nil {
			t.Fatal(err)
		}
	}
	first := request(t, far)
	answer(t, far, wire.Answer{ID: first.ID, Body: []byte("y")}, wire.Answer{ID: 1<<32 | 99})

	if c.Wait(nil, calls[0]); calls[0].Err != nil || string(calls[0].Answer.Body) != "y" {
		t.Errorf("the answer before: %q %v", calls[0].Answer.Body, calls[0].Err)
	}
	if c.Wait(nil, calls[1]); !errors.Is(calls[1].Err, wire.ErrMalformed) {
		t.Errorf("the other call: %v", calls[1].Err)
	}
}

// Memory follows what arrives, not what a length claims.
func TestRoomGrowsByWhatArrives(t *testing.T) {
	buf, start, end := make([]byte, 8), 0, 8
	if buf, start, end = makeRoom(buf, start, end); len(buf) != 16 || start != 0 || end != 8 {
		t.Fatal(len(buf), start, end)
	}
	copy(buf, "........abcdefgh")
	if buf, start, end = makeRoom(buf, 8, 16); len(buf) != 16 || start != 0 || end != 8 || string(buf[:8]) != "abcdefgh" {
		t.Fatal(len(buf), start, end)
	}
	if b, s, e := makeRoom(buf, 2, 8); &b[0] != &buf[0] || s != 2 || e != 8 {
		t.Fatal("moved although there is room")
	}
	if b, s, e := makeRoom(make([]byte, maxKeptBuffer+1), 9, 9); len(b) != readBuffer || s != 0 || e != 0 {
		t.Fatal("a large buffer was kept")
	}
}

// A call that was abandoned leaves nobody behind whom a late answer could reach.
func TestLateAnswer(t *testing.T) {
	c, far := pair(t, true, Config{})
	ctx, cancel := context.WithCancel(t.Context())
	first := new(Call)
	if err := c.Start(get("1"), first, 1, 0); err != nil {
		t.Fatal(err)
	}
	late := request(t, far)
	cancel()
	if c.Wait(ctx.Done(), first); !errors.Is(first.Err, ErrAbandoned) || !first.Sent {
		t.Fatalf("%v, sent %v", first.Err, first.Sent)
	}
	second := new(Call)
	if err := c.Start(get("2"), second, 1, 0); err != nil {
		t.Fatal(err)
	}
	r := request(t, far)
	if uint32(r.ID) != uint32(late.ID) || r.ID == late.ID {
		t.Fatalf("IDs %x and %x: the place is used again, the ID is not", late.ID, r.ID)
	}
	answer(t, far, wire.Answer{ID: late.ID, Body: []byte("late")}, wire.Answer{ID: r.ID, Body: []byte("mine")}, wire.Answer{ID: r.ID, Body: []byte("twice")})
	if c.Wait(nil, second); string(second.Answer.Body) != "mine" {
		t.Fatalf("%q", second.Answer.Body)
	}
}

// When a connection ends, calls learn whether their requests may have left.
func TestSentOrNot(t *testing.T) {
	c, far := pair(t, false, Config{}) // a pipe: nothing is taken before it is read
	calls := make([]*Call, 3)
	for i := range calls {
		calls[i] = new(Call)
	}
	if err := c.Start(get("first"), calls[0], 1, 0); err != nil {
		t.Fatal(err)
	}
	one := make([]byte, 1)
	if _, err := io.ReadFull(far, one); err != nil { // the first is on its way, the writer waits for the rest to be taken
		t.Fatal(err)
	}
	for _, call := range calls[1:] {
		if err := c.Start(get("later"), call, 1, 0); err != nil {
			t.Fatal(err)
		}
	}
	far.Close()
	for i, call := range calls {
		if c.Wait(nil, call); call.Err == nil || call.Sent != (i == 0) {
			t.Fatalf("call %d: %v, sent %v", i, call.Err, call.Sent)
		}
	}
}

// A member that does not read does not hold up its callers, and what is queued for it is bounded.
func TestQueueIsBounded(t *testing.T) {
	for _, tcp := range []bool{false, true} {
		c, _ := pair(t, tcp, Config{})
		body := make([]byte, 1<<20)
		var calls []*Call
		var err error
		for i := 0; err == nil; i++ {
			if i > 100 {
				t.Fatal("100 MB were queued")
			}
			call := new(Call)
			if err = c.Start(&wire.Request{Body: body}, call, 1, 0); err == nil {
				calls = append(calls, call)
			}
		}
		if !errors.Is(err, ErrQueueFull) || len(calls) < 15 {
			t.Fatalf("%v after %d", err, len(calls))
		}
		c.Fail(io.ErrClosedPipe)
		for _, call := range calls {
			if c.Wait(nil, call); !errors.Is(call.Err, io.ErrClosedPipe) {
				t.Fatal(call.Err)
			}
		}
	}
}

// What the socket does not take at once is written by the writer goroutine, in order.
func TestSlowReader(t *testing.T) {
	c, far := pair(t, true, Config{})
	const n = 200
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			call := new(Call)
			if err := c.Start(&wire.Request{Body: bytes.Repeat([]byte{byte(i)}, 50_000)}, call, 1, 0); err != nil {
				t.Error(err)
				return
			}
			if c.Wait(nil, call); call.Err != nil || len(call.Answer.Body) != 1 || call.Answer.Body[0] != byte(i) {
				t.Errorf("call %d: %v %v", i, call.Answer.Body, call.Err)
			}
		})
	}
	for range n {
		r := request(t, far)
		for _, b := range r.Body {
			if b != r.Body[0] {
				t.Fatal("bytes of two requests are mixed")
			}
		}
		answer(t, far, wire.Answer{ID: r.ID, Body: r.Body[:1]})
	}
	wg.Wait()
}

// Tick ends calls whose time is up, and no others.
func TestTickExpires(t *testing.T) {
	c, far := pair(t, true, Config{})
	list := make([]*Call, 3)
	for i, at := range []int64{100, 0, 200} {
		list[i] = new(Call)
		if err := c.Start(get("x"), list[i], 1, at); err != nil {
			t.Fatal(err)
		}
	}
	c.Tick(99)
	c.Tick(100)
	if c.Wait(nil, list[0]); !errors.Is(list[0].Err, ErrExpired) || !list[0].Sent {
		t.Fatal(list[0].Err)
	}
	for range 3 {
		if r := request(t, far); uint32(r.ID) != 0 {
			answer(t, far, wire.Answer{ID: r.ID})
		}
	}
	for _, call := range list[1:] {
		if c.Wait(nil, call); call.Err != nil {
			t.Fatal(call.Err)
		}
	}
}

// A member that owes an answer and says nothing is pinged, and without a sign of life after that the connection ends.
// A sign of life is anything at all.
func TestSilence(t *testing.T) {
	var now atomic.Int64
	now.Store(1)
	second := int64(time.Second)
	closed := make(chan error, 1)
	c, far := pair(t, true, Config{Now: now.Load, OnClose: func(err error) { closed <- err }})
	at := func(when int64) { now.Store(when); c.Tick(when) }

	at(100 * second) // nothing is due: nothing happens
	call := new(Call)
	if err := c.Start(get("x"), call, 100*second, 0); err != nil {
		t.Fatal(err)
	}
	r := request(t, far)
	at(101*second - 1)
	at(101 * second)
	if ping := request(t, far); ping.Op != wire.OpPing {
		t.Fatalf("%v, want a ping: the first one is due now", ping.Op)
	}
	// A push is a sign of life.
	views := make(chan struct{})
	c.cfg.OnView = func(*Conn, []byte) { close(views) }
	answer(t, far, wire.Answer{ID: uint64(wire.OpTable), Flags: wire.FlagPush})
	<-views
	at(103*second - 1)
	if ping := request(t, far); ping.Op != wire.OpPing { // silent again for a second
		t.Fatal(ping.Op)
	}
	if !c.Alive() {
		t.Fatal("ended in spite of a sign of life")
	}
	at(105 * second)
	if err := <-closed; !errors.Is(err, ErrSilent) {
		t.Fatal(err)
	}
	if c.Wait(nil, call); !errors.Is(call.Err, ErrSilent) || !call.Sent || r.Op != wire.OpGet {
		t.Fatal(call.Err)
	}
}

// A table that an answer announces and nobody pushes is asked for, once.
func TestTableIsAskedFor(t *testing.T) {
	seen := make(chan string, 4)
	c, far := pair(t, true, Config{OnView: func(c *Conn, body []byte) { c.Saw(7); seen <- string(body) }})
	c.AskTable(1)
	c.AskTable(1)
	r := request(t, far)
	if r.Op != wire.OpTable {
		t.Fatal(r.Op)
	}
	answer(t, far, wire.Answer{ID: r.ID, Table: 7, Body: []byte("first")})
	if s := <-seen; s != "first" {
		t.Fatal(s)
	}
	c.Tick(2)
	call := new(Call)
	if err := c.Start(get("x"), call, 2, 0); err != nil {
		t.Fatal(err)
	}
	if r = request(t, far); r.Op != wire.OpGet {
		t.Fatalf("%v: the table is known", r.Op)
	}
	answer(t, far, wire.Answer{ID: r.ID, Table: 8})
	c.Wait(nil, call)
	c.Tick(3)
	c.Tick(4)
	if r = request(t, far); r.Op != wire.OpTable {
		t.Fatal(r.Op)
	}
	answer(t, far, wire.Answer{ID: uint64(wire.OpTable), Flags: wire.FlagPush, Body: []byte("pushed")}, wire.Answer{ID: r.ID, Code: wire.CodeNotReady, Body: []byte("no")},
		wire.Answer{ID: 3, Flags: wire.FlagPush, Body: []byte("of another kind")})
	if s := <-seen; s != "pushed" {
		t.Fatal(s)
	}
}

// Many callers, calls given up, and a connection that ends in the midst: every call ends exactly once.
func TestConcurrentEnd(t *testing.T) {
	for range 20 {
		c, far := pair(t, true, Config{})
		var wg sync.WaitGroup
		wg.Go(func() { // answers everything until the connection ends
			buf := make([]byte, 64<<10)
			var rest []byte
			for {
				n, err := far.Read(buf)
				if err != nil {
					return
				}
				rest = append(rest, buf[:n]...)
				var out []byte
				for len(rest) >= 4 && len(rest) >= 4+int(binary.BigEndian.Uint32(rest)) {
					n := 4 + int(binary.BigEndian.Uint32(rest))
					out = wire.AppendAnswer(out, &wire.Answer{ID: binary.BigEndian.Uint64(rest[8:])})
					rest = rest[n:]
				}
				if _, err := far.Write(out); err != nil {
					return
				}
			}
		})
		var answered atomic.Int64
		for range 32 {
			wg.Go(func() {
				call := new(Call)
				for i := 0; ; i++ {
					ctx, cancel := context.WithCancel(context.Background())
					if i%3 == 0 {
						cancel()
					}
					if c.Start(get("x"), call, 1, 0) != nil {
						cancel()
						return
					}
					if c.Wait(ctx.Done(), call); call.Err == nil {
						if answered.Add(1) == 1000 {
							go c.Fail(io.ErrClosedPipe)
						}
					}
					cancel()
					if ch, _ := c.chans.Get().(chan struct{}); len(ch) != 0 {
						t.Error("a call ended twice")
						return
					} else if ch != nil {
						c.chans.Put(ch)
					}
				}
			})
		}
		wg.Wait()
	}
}

func TestGreet(t *testing.T) {
	ok := wire.HelloAnswer{Version: wire.Version, Cluster: "grid", Member: wire.ID{1}}
	newer := ok
	newer.Version = wire.Version + 1
	no := wire.HelloAnswer{Code: wire.CodeInvalid, Message: "another cluster"}
	for name, c := range map[string]struct {
		answer []byte
		check  func(error) bool
	}{
		"ok":            {append(wire.AppendHelloAnswer(nil, &ok), "more"...), func(err error) bool { return err == nil }},
		"refused":       {wire.AppendHelloAnswer(nil, &no), func(err error) bool { var r *Refused; return errors.As(err, &r) && r.Code == wire.CodeInvalid }},
		"later version": {wire.AppendHelloAnswer(nil, &newer), func(err error) bool { return errors.Is(err, wire.ErrMalformed) }},
		"HTTP":          {[]byte("HTTP/1.1 400"), func(err error) bool { return errors.Is(err, wire.ErrMalformed) }},
		"too large":     {[]byte("GRDN\x00\x01\x00\x00"), func(err error) bool { return errors.Is(err, wire.ErrTooLarge) }},
		"ends":          {[]byte("GRDN\x00\x00\x00\x09x"), func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) }},
		"nothing":       {nil, func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) }},
		"undecodable":   {[]byte("GRDN\x00\x00\x00\x01x"), func(err error) bool { return errors.Is(err, wire.ErrMalformed) }},
	} {
		near, far := net.Pipe()
		var wg sync.WaitGroup
		wg.Go(func() {
			var head [8]byte
			_, _ = io.ReadFull(far, head[:])
			n, _ := wire.HelloLength(head)
			_, _ = io.CopyN(io.Discard, far, int64(n))
			_, _ = far.Write(c.answer)
			far.Close()
		})
		_, err := Greet(t.Context(), near, &wire.Hello{Version: wire.Version, Plane: wire.PlaneCalls})
		if !c.check(err) {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil { // what follows the answer is still there
			if rest, _ := io.ReadAll(near); string(rest) != "more" {
				t.Errorf("%s: %q is left", name, rest)
			}
		}
		near.Close()
		wg.Wait()
	}
	near, far := net.Pipe()
	defer far.Close()
	defer near.Close()
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(0, cancel)
	if _, err := Greet(ctx, near, &wire.Hello{}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
