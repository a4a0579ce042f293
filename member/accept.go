package member

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
	return &door{listener: l, peer: peer, slots: make(chan struct{}, maxUnknownPeers)}
}

// accept takes connections on a port until its listener is closed.
func (m *Member) accept(d *door) {
	defer m.wg.Done()
	pause := time.Millisecond
	for {
		nc, err := d.listener.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) || m.ctx.Err() != nil {
				return
			}
			// Out of file descriptors, most likely: wait for some to come back.
			m.log.Warn("a connection was not accepted", "err", err)
			select {
			case <-time.After(pause):
			case <-m.ctx.Done():
				return
			}
			pause = min(2*pause, time.Second)
			continue
		}
		pause = time.Millisecond
		select {
		case d.slots <- struct{}{}:
		default:
			_ = nc.Close() // too many connections that have not said who they are
			continue
		}
		if !m.sockets.add(nc, m.cfg.MaxConnections) {
			<-d.slots
			_ = nc.Close()
			continue
		}
		m.wg.Add(1)
		go m.serve(nc, d) // ends with the connection
	}
}

// serve runs a connection from its hello to its end.
func (m *Member) serve(nc net.Conn, d *door) {
	defer m.wg.Done()
	defer m.sockets.remove(nc)
	defer func() { _ = nc.Close() }()
	h, err := m.greet(nc, d.peer)
	<-d.slots
	if err != nil {
		m.log.Debug("a connection was refused", "remote", nc.RemoteAddr().String(), "peer", d.peer, "err", err)
		return
	}
	switch h.Plane {
	case wire.PlaneCalls, wire.PlaneAdmin:
		newConn(m, nc, h, d.peer).serve()
	case wire.PlaneJoin:
		err = m.runner.Serve(nc)
	case wire.PlaneEvents:
		err = m.nats.splice(nc)
	case wire.PlaneRaft:
		err = m.dataNet.Serve(nc, h)
	case wire.PlaneMeta:
		err = m.metaNet.Serve(nc, h)
	}
	if err != nil {
		m.log.Debug("a connection ended", "remote", nc.RemoteAddr().String(), "plane", uint8(h.Plane), "err", err)
	}
}
