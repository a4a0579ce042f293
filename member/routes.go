package member

import (
	"net"
	"strconv"
	"time"

	"github.com/gridiron-io/gridiron/member/internal/events"
)

// routesFor bounds how long a member that starts waits for its routes. Events that do not cross are asked for, so it can do without.
const routesFor = 15 * time.Second

// routePeers returns the other members as the metadata and their heartbeats have them.
func (m *Member) routePeers() []events.Peer {
	v := m.metaView()
	if v == nil {
		return nil
	}

	var list []events.Peer
	for i := range v.Members {
		mb := &v.Members[i]
		// Over an external server members need no address of each other, and have none.
		if mb.ID == m.id || mb.RouteAddr == "" && m.cfg.NATS.URL == "" {
			continue
		}
		list = append(list, events.Peer{ID: mb.ID, Incarnation: mb.Incarnation, Addr: m.cfg.Network.Route(mb.RouteAddr),
			Wanted: mb.Live() && (!m.peers.Silent(mb.ID) || m.peers.Silence(mb.ID) < events.RouteSilence), Answers: m.peers.Answers(mb.ID, mb.Incarnation),
			Apart: m.peers.Apart(mb.ID)})
	}
	return list
}

// routeAddr returns where other members' NATS servers find this one; "" if they need not.
func routeAddr(host string, port int) string {
	if port == 0 {
		return ""
	}
	return net.JoinHostPort(host, strconv.Itoa(port))
}
