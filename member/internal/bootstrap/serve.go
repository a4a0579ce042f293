package bootstrap

import (
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// Serve answers the requests of one connection of wire.PlaneJoin whose hellos have been exchanged. It returns with the connection
// closed. That happens when the other side ends it (nil), sends nothing for Timing.IdleAfter, or sends what cannot be understood.
// It also happens when the Runner is closed (ErrClosed), and when no record can be saved any more.
func (r *Runner) Serve(conn net.Conn) error {
	defer func() { _ = conn.Close() }() // every answer was written by then
	if !r.admit(conn) {
		return fmt.Errorf("serve bootstrap: %w", ErrClosed)
	}

	err := r.serve(conn)
	// Close ended the connection, which reads like an error of the network.
	switch {
	case r.forget(conn):
		err = ErrClosed
	case errors.Is(err, io.EOF):
		return nil
	}
	return fmt.Errorf("serve bootstrap: %w", err)
}

// serve returns what ended the connection; io.EOF between two requests.
func (r *Runner) serve(conn net.Conn) error {
	for {
		// A connection without requests ends, since members keep one open to each address that they talk to.
		if err := conn.SetDeadline(time.Now().Add(r.cfg.Timing.IdleAfter)); err != nil {
			return err
		}

		req, err := readMessage(conn)
		if err != nil {
			return err
		}

		// answer returns only when everything that the reply promises is on disk.
		reply, err := r.answer(req)
		if err != nil {
			return err
		}
		// The other side may be idle for long, but has to take its answer soon.
		if err := conn.SetDeadline(time.Now().Add(r.cfg.Timing.Timeout)); err != nil {
			return err
		}
		if err := writeMessage(conn, reply); err != nil {
			return err
		}
	}
}

// answer returns the answer to one request, with everything that it promises on disk.
func (r *Runner) answer(req Message) (*Message, error) {
	// Those who ask want to join, so the answer has to name the members of today.
	if ref, known := r.memberList(); known {
		if err := r.SetCluster(ref); err != nil {
			return nil, err
		}
	}
	out, err := r.step(func(m *Machine, now time.Duration) Effects { return m.Receive(now, req) })
	if err == nil && r.cfg.Heard != nil {
		r.cfg.Heard(&req.From)
	}
	return out.Reply, err
}

// memberList asks the member for its cluster, once bootstrap ended with one.
func (r *Runner) memberList() (ClusterRef, bool) {
	select {
	case <-r.ended:
	default:
		return ClusterRef{}, false
	}

	// Where nobody can be asked, the machine tells the members of its record.
	if r.cfg.Members == nil {
		return ClusterRef{}, false
	}
	ref := r.cfg.Members()
	return ref, !ref.ID.IsZero()
}

func (r *Runner) admit(conn net.Conn) bool {
	r.conns.Lock()
	defer r.conns.Unlock()
	// A connection that came after Close would be closed by nobody.
	if r.conns.closed {
		return false
	}
	r.conns.open[conn] = struct{}{}
	r.conns.wg.Add(1)
	return true
}

// forget removes a connection and reports whether the Runner has been closed.
func (r *Runner) forget(conn net.Conn) (closed bool) {
	r.conns.Lock()
	defer r.conns.Unlock()
	delete(r.conns.open, conn)
	r.conns.wg.Done()
	return r.conns.closed
}
