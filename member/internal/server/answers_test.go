package server

import (
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/maps"
	"github.com/gridiron-io/gridiron/sdk/wire"
	"github.com/gridiron-io/gridiron/sdk/wire/socket"
)

// echo answers each read with a body of the size that the request's partition says.
type echo struct{}

func (echo) Moment() maps.Moment { return maps.Moment{Local: time.Now()} }
func (echo) Handle(req *wire.Request, caller maps.Caller, _ maps.Moment) bool {
	caller.Answer(req.ID, wire.CodeOK, make([]byte, req.Partition))
	return false
}
func (echo) Flush(int)        {}
func (echo) Gone(maps.Caller) {}

// pairOf returns the two ends of a connection, which the caller closes.
func pairOf(t testing.TB) (dialed, accepted net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if dialed, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if accepted, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return dialed, accepted
}

// connected returns a connection of a server that answers by echo, and the client's end of it.
func connected(t testing.TB, slow time.Duration) (*Conn, net.Conn) {
	t.Helper()
	client, nc := pairOf(t)
	s := &Server{log: slog.New(slog.DiscardHandler)}
	s.cfg = Config{SlowPeer: slow, Stamp: func() (int64, uint64) { return 1, 1 }}
	s.Provide(Services{Partitions: 1, Maps: echo{}})
	c := newConn(s, nc, wire.Hello{}, false)
	served := make(chan struct{})
	go func() { defer close(served); c.serve() }() // ends with the connection
	t.Cleanup(func() {
		_ = client.Close()
		<-served
		s.wg.Wait()
	})
	return c, client
}

func reads(dst []byte, from, n int, size uint32) []byte {
	for i := range n {
		dst = wire.AppendRequest(dst, &wire.Request{ID: uint64(from + i), Op: wire.OpGet, Partition: size})
	}
	return dst
}

// awaitAnswers reads n answers, which come in the order of their requests, with bodies of a size.
func awaitAnswers(t testing.TB, r io.Reader, from, n, size int) {
	t.Helper()
	frame := make([]byte, 4+wire.AnswerHeader+size)
	for i := range n {
		if _, err := io.ReadFull(r, frame); err != nil {
			t.Fatalf("answer %d of %d: %v", i, n, err)
		}
		var a wire.Answer
		if err := wire.DecodeAnswer(frame[4:], &a); err != nil || int(binary.BigEndian.Uint32(frame)) != len(frame)-4 || a.ID != uint64(from+i) {
			t.Fatalf("answer %d of %d: ID %d, %d bytes, %v", i, n, a.ID, binary.BigEndian.Uint32(frame), err)
		}
	}
}

// await polls, for what nothing signals.
func await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("no sign of %s", what)
		}
	}
}

// A peer that reads late gets all answers, and the connection serves it as before afterwards.
func TestPeerThatReadsLate(t *testing.T) {
	t.Parallel()
	const slow, size, n = 500 * time.Millisecond, 4 << 10, 6000
	c, client := connected(t, slow)
	wrote := make(chan error, 1)
	go func() { // ends when the member has taken all requests
		_, err := client.Write(reads(nil, 0, n, size))
		wrote <- err
	}()

	// The network is full: the writer goroutine has taken over.
	await(t, "the reader to wait", func() bool { return c.outBytes.Load() > holdOut })
	awaitAnswers(t, client, 0, n, size)
	if err := <-wrote; err != nil {
		t.Fatal(err)
	}

	<-time.After(2 * slow) // the deadline of the last write that had to wait passes
	if _, err := client.Write(reads(nil, n, 3, size)); err != nil {
		t.Fatal(err)
	}
	awaitAnswers(t, client, n, 3, size)
}

// What is answered while the reader starts requests leaves in one write, without another goroutine.
func TestReaderWritesAnswers(t *testing.T) {
	const n = 100
	c, client := connected(t, time.Second)
	c.out.Lock()
	c.out.writing = true // as if somebody wrote: nothing leaves
	c.out.Unlock()
	if _, err := client.Write(reads(nil, 0, n, 10)); err != nil {
		t.Fatal(err)
	}
	await(t, "all answers", func() bool { return c.outBytes.Load() == n*(4+wire.AnswerHeader+10) })
	if len(c.wake) != 0 {
		t.Error("the writer goroutine was woken although somebody wrote")
	}

	// Whoever wrote looks for further answers before it stops.
	if !c.wrote(nil) {
		t.Fatal("answers that have gathered were overlooked")
	}
	c.wake <- struct{}{}
	awaitAnswers(t, client, 0, n, 10)
}

// among looks, while a request is started, what the caller has been sent by then.
type among struct {
	echo
	start func(id uint64)
}

func (m among) Handle(req *wire.Request, caller maps.Caller, at maps.Moment) bool {
	m.start(req.ID)
	return m.echo.Handle(req, caller, at)
}

// Requests that come while those before them are started are answered in the same write. One that comes alone is answered at once.
func TestAnswersWaitForRequestsThatAreThere(t *testing.T) {
	c, client := connected(t, time.Minute)
	peek := socket.NewReader(client)
	sent := make(chan int, 1)
	c.s.Provide(Services{Partitions: 1, Maps: among{start: func(id uint64) {
		switch id {
		case 2:
			// The reader has both requests of its first read.
			_, err := client.Write(reads(nil, 3, 2, 0))
			if err != nil {
				t.Error(err)
			}
		case 4:
			sent <- peek.TryRead(make([]byte, 1))
		}
	}}})

	if _, err := client.Write(reads(nil, 1, 2, 0)); err != nil {
		t.Fatal(err)
	}
	if n := <-sent; n != 0 {
		t.Fatal("answers were written although more requests were there")
	}
	awaitAnswers(t, client, 1, 4, 0)

	// What a lone caller waits for is written before anything else is looked for.
	for i := range 3 {
		if _, err := client.Write(reads(nil, 5+i, 1, 0)); err != nil {
			t.Fatal(err)
		}
		awaitAnswers(t, client, 5+i, 1, 0)
	}
}
