package member

import (
	"context"
	"net"

	"github.com/gridiron-io/gridiron/member/internal/liveness"
	"github.com/gridiron-io/gridiron/member/internal/rpc"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// newPeers returns what knows of the other members, and of their life.
func (m *Member) newPeers() *liveness.Peers {
	return liveness.New(m.ctx, liveness.Config{
		Self: m.id, Incarnation: m.incarnation, Log: m.log, Clock: m.clock, Memory: m.memory, Locator: m.locator,
		View: m.metaView, Connect: m.dialMembersPort, Closing: m.isClosing,
		Meta: func() liveness.MetaGroup { return m.meta },
		Data: func() liveness.DataGroups {
			if host := m.dataHost(); host != nil {
				return host
			}
			// An interface that holds a nil host would not be nil.
			return nil
		},
		Claimed: m.views.claim,
		Changed: func() {
			m.views.notify()
			m.events.NotifyRoutes()
		},
		Behind:  func() { m.clockGuard.Notify() },
		Doubted: m.doubt,
	})
}

// dialMembersPort connects to another member's port for members. Of a hello that was refused, the answer is returned with the error.
func (m *Member) dialMembersPort(ctx context.Context, addr string, plane wire.Plane, stream uint8) (net.Conn, wire.HelloAnswer, error) {
	nc, err := m.cfg.Network.Dial(ctx, addr)
	if err != nil {
		return nil, wire.HelloAnswer{}, err
	}

	h := wire.Hello{Version: wire.Version, Plane: plane, Cluster: m.cfg.ClusterName, ClusterID: m.clusterID(), Name: m.cfg.Name,
		Member: m.id, Incarnation: m.incarnation, Stream: stream}
	a, err := rpc.ExchangeHello(ctx, nc, &h, m.cfg.HelloTimeout)
	if err != nil {
		_ = nc.Close()
		return nil, a, err
	}
	return nc, a, nil
}
