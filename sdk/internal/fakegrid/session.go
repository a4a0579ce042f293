package fakegrid

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"sync"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// session is one connection to a member.
type session struct {
	m          *Member
	nc         net.Conn
	done       chan struct{} // closed by close
	once       sync.Once
	subscribed bool // guarded by Grid.mu
	frame      int  // of serve: the number of the one that is handled
	parts      int  // likewise: where in what is to be written the frame begins that takes further parts; -1: none

	mu sync.Mutex // serialises writes
}

func (s *session) close() {
	s.once.Do(func() { close(s.done); _ = s.nc.Close() })
}

func (s *session) write(b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _ = s.nc.Write(b)
}

func (m *Member) accept(l net.Listener) {
	for {
		nc, err := l.Accept()
		if err != nil {
			return
		}

		m.g.mu.Lock()

		// Kill came between the accept and the lock, and would not find this connection.
		if m.listener == nil {
			m.g.mu.Unlock()
			_ = nc.Close()
			return
		}
		m.startLocked(nc)
		m.g.mu.Unlock()
	}
}

// startLocked serves a connection until it ends or is closed. REQUIRES Grid.mu.
func (m *Member) startLocked(nc net.Conn) {
	s := &session{m: m, nc: nc, done: make(chan struct{}), parts: -1}
	m.conns[s] = struct{}{}

	m.wg.Go(func() {
		s.serve()
		s.close()
		m.g.mu.Lock()
		delete(m.conns, s)
		m.g.mu.Unlock()
	})
}

// thawed waits while the member is frozen, and reports whether the session goes on.
func (s *session) thawed() bool {
	s.m.g.mu.Lock()
	// The gate is taken under the lock and waited for without it, since thaw needs the lock.
	gate := s.m.frozen
	s.m.g.mu.Unlock()

	if gate == nil {
		return true
	}

	select {
	case <-gate:
		return true
	case <-s.done:
		return false
	}
}

func (s *session) serve() {
	r := bufio.NewReaderSize(s.nc, 64<<10)
	if !s.thawed() || !s.hello(r) {
		return
	}

	var out, frame []byte
	for {
		var head [4]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return
		}

		// Asked again after each read: the member may have been frozen while nothing came.
		if !s.thawed() {
			return
		}

		n := int(binary.BigEndian.Uint32(head[:]))
		if n > wire.MaxFrame {
			s.m.g.t.Errorf("fake member: a frame of %d bytes", n)
			return
		}

		if cap(frame) < n {
			frame = make([]byte, n)
		}
		frame = frame[:n]
		if _, err := io.ReadFull(r, frame); err != nil {
			return
		}

		var req wire.Request
		if err := wire.DecodeRequest(frame, &req); err != nil {
			// A client that sends such a thing has a fault, whatever the test is about.
			s.m.g.t.Errorf("fake member: %v", err)
			return
		}

		s.m.g.mu.Lock()
		s.m.frames++
		s.frame = s.m.frames
		s.m.g.mu.Unlock()

		goOn := true
		if req.Flags&wire.FlagParts == 0 {
			out, goOn = s.handle(&req, out)
		} else {
			out, goOn = s.handleParts(&req, out)
		}
		if !goOn {
			s.write(out)
			return
		}

		// Answers to requests that came together go out together, as at a real member.
		if r.Buffered() == 0 && len(out) > 0 {
			s.write(out)
			out, s.parts = out[:0], -1
		}
	}
}

// hello answers the hello and reports whether the connection goes on.
func (s *session) hello(r *bufio.Reader) bool {
	var head [8]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return false
	}

	n, err := wire.HelloLength(head)
	if err != nil {
		return false
	}

	body := make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		return false
	}

	h, err := wire.DecodeHello(body)
	if err != nil {
		s.m.g.t.Errorf("fake member: hello: %v", err)
		return false
	}

	g := s.m.g
	g.mu.Lock()

	// Refusals name the cluster too: clients learn from them what stands at an address.
	a := wire.HelloAnswer{
		Version: wire.Version, Code: s.m.refuse, Cluster: g.Name, ClusterID: g.ID, Member: s.m.Info.ID, Incarnation: s.m.Info.Incarnation,
		MemberName: s.m.Info.Name, Time: g.nowLocked(), Partitions: uint32(len(g.mu.parts)),
	}

	switch {
	case a.Code != wire.CodeOK:
		a.Message = "told to refuse"
	case h.Cluster != "" && h.Cluster != g.Name:
		a.Code, a.Message = wire.CodeInvalid, "this is cluster "+g.Name
	case !h.ClusterID.IsZero() && h.ClusterID != g.ID:
		a.Code, a.Message = wire.CodeInvalid, "another cluster's ID"
	case h.Client.IsZero() && h.Plane == wire.PlaneCalls:
		a.Code, a.Message = wire.CodeInvalid, "a client without an ID"
	default:
		s.m.hellos++
	}
	g.mu.Unlock()

	s.write(wire.AppendHelloAnswer(nil, &a))

	if a.Code == wire.CodeOK && h.Plane == wire.PlaneEvents { // echo, in place of an event server
		_, _ = io.Copy(s.nc, r)
		return false
	}
	return a.Code == wire.CodeOK
}

// handleParts is handle for each part of a frame.
func (s *session) handleParts(req *wire.Request, out []byte) (_ []byte, goOn bool) {
	parts := wire.NewReader(req.Body)
	for goOn = true; goOn && parts.Len() > 0; {
		if err := wire.DecodePart(&parts, req); err != nil {
			s.m.g.t.Errorf("fake member: %v", err)
			return out, false
		}
		out, goOn = s.handle(req, out)
	}
	return out, goOn
}

// handle appends the answer to out and reports whether the connection goes on.
func (s *session) handle(req *wire.Request, out []byte) (_ []byte, goOn bool) {
	g := s.m.g
	g.mu.Lock()
	hook := g.mu.hook

	// Recorded before the hook judges, so that ignored and cut requests count as seen.
	if g.mu.keepLog {
		seen := Seen{Member: s.m.Index, Op: req.Op, Flags: req.Flags &^ wire.FlagParts, Partition: req.Partition, Epoch: req.Epoch, Client: req.Client,
			Seq: req.Seq, Lowest: req.Lowest, Deadline: req.Deadline, Trace: req.Trace, Frame: s.frame}

		switch req.Op {
		case wire.OpSetMany, wire.OpDeleteMany:
			b, _ := wire.DecodeManyBody(req.Body)
			seen.Keys = len(b.Keys)
		case wire.OpGetMany:
			b, _ := wire.DecodeKeysBody(req.Body)
			seen.Keys = len(b.Keys)
		}
		g.mu.log = append(g.mu.log, seen)
	}
	g.mu.Unlock()

	var v Verdict

	// Without the lock: hooks may move partitions or kill members.
	if hook != nil {
		v = hook(s.m, req)
	}

	if v.Wait != nil {
		select {
		case <-v.Wait:
		case <-s.done:
			return out, false
		}
	}

	if v.Ignore {
		return out, true
	}

	if v.Raw != nil {
		s.parts = -1
		return append(out, v.Raw...), true
	}

	a := wire.Answer{ID: req.ID, Code: v.Code, Body: v.Body}
	g.mu.Lock()
	a.Time, a.Table = g.nowLocked(), g.mu.version
	if v.Execute || !v.Cut && v.Code == wire.CodeOK {
		// With Execute and a code, the effect stays and the client learns nothing of it, as if the answer were lost.
		code, body := g.executeLocked(s, req)
		if v.Code == wire.CodeOK {
			a.Code, a.Body = code, body
		}
	}
	g.mu.Unlock()

	if v.Cut {
		return out, false
	}

	// A real member refuses such an answer in the same way, and clients ask for less.
	if 4+wire.AnswerHeader+len(a.Body) > wire.MaxFrame {
		a.Code, a.Body = wire.CodeTooLarge, []byte("the answer is too large")
	}
	if req.Flags&wire.FlagParts != 0 {
		out, s.parts = wire.AppendAnswerPart(out, s.parts, &a)
		return out, true
	}
	s.parts = -1
	return wire.AppendAnswer(out, &a), true
}
