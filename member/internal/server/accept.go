package server

import (
	"errors"
	"net"
	"time"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// door is one of the two ports for our own protocol: where unknown peers are let in or not.
type door struct {
	listener net.Listener
	peer     bool          // the members' port
	slots    chan struct{} // one for each connection that has not said who it is; each port has its own
}

func newDoor(l net.Listener, peer bool) *door {
	return &door{listener: l, peer: peer, slots: make(chan struct{}, MaxUnknownPeers)}
}

// accept takes connections on a port until its listener is closed.
func (s *Server) accept(d *door) {
	defer s.wg.Done()
	pause := time.Millisecond
	for {
		nc, err := d.listener.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) || s.ctx.Err() != nil {
				return
			}
			// Most likely the process has no file descriptors left. Some come back when connections end.
			s.log.Warn("a connection was not accepted", "err", err)
			select {
			case <-time.After(pause):
			case <-s.ctx.Done():
				return
			}
			pause = min(2*pause, time.Second)
			continue
		}

		// The next failure begins with a short pause again.
		pause = time.Millisecond
		select {
		case d.slots <- struct{}{}:
		default:
			// Too many connections have not said who they are. Those that have are not affected.
			_ = nc.Close()
			continue
		}
		// The bound on all connections, and the end of the member, apply to those without a hello too.
		if !s.sockets.add(nc, s.cfg.MaxConnections) {
			<-d.slots
			_ = nc.Close()
			continue
		}
		s.wg.Add(1)
		go s.serve(nc, d) // ends with the connection
	}
}

// serve runs a connection from its hello to its end.
func (s *Server) serve(nc net.Conn, d *door) {
	defer s.wg.Done()
	defer s.sockets.remove(nc)
	defer func() { _ = nc.Close() }()
	h, err := s.greet(nc, d.peer)
	// The peer has said who it is, or never will. Its slot is free for the next one.
	<-d.slots
	if err != nil {
		s.log.Debug("a connection was refused", "remote", nc.RemoteAddr().String(), "peer", d.peer, "err", err)
		return
	}

	// Calls are answered here. The other planes are served by the functions in Config.
	if h.Plane == wire.PlaneCalls || h.Plane == wire.PlaneAdmin {
		newConn(s, nc, h, d.peer).serve()
		return
	}

	if plane := s.cfg.Planes[h.Plane]; plane != nil {
		err = plane(nc, &h)
	}

	if err != nil {
		s.log.Debug("a connection ended", "remote", nc.RemoteAddr().String(), "plane", uint8(h.Plane), "err", err)
	}
}
