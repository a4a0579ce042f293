package member

import (
	"errors"
	"net"
	"time"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// accept takes connections on a port until its listener is closed.
func (m *Member) accept(l net.Listener, peer bool) {
	defer m.wg.Done()
	pause := time.Millisecond
	for {
		nc, err := l.Accept()
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
		case m.strangers <- struct{}{}:
		default:
			_ = nc.Close() // too many connections that have not said who they are
			continue
		}
		if !m.raw.add(nc) {
			<-m.strangers
			_ = nc.Close()
			continue
		}
		m.wg.Add(1)
		go m.serve(nc, peer) // ends with the connection
	}
}

// serve runs a connection from its hello to its end.
func (m *Member) serve(nc net.Conn, peer bool) {
	defer m.wg.Done()
	defer m.raw.remove(nc)
	defer func() { _ = nc.Close() }()
	h, err := m.greet(nc, peer)
	<-m.strangers
	if err != nil {
		m.log.Debug("a connection was refused", "remote", nc.RemoteAddr().String(), "peer", peer, "err", err)
		return
	}
	switch h.Plane {
	case wire.PlaneCalls:
		newConn(m, nc, h, peer).serve()
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
