package member

import (
	"slices"

	"github.com/gridiron-io/gridiron/member/internal/bootstrap"
	"github.com/gridiron-io/gridiron/partition/meta"
)

// followed brings this member in line with metadata that have changed: who the others are, and which replicas it must hold.
func (m *Member) followed(v *meta.View) {
	m.peers.Update()
	m.memory.Follow(v)
	m.replicas.Follow(v)
	m.views.Notify()
	m.events.NotifyRoutes()
}

// registration is what this member says of itself.
func (m *Member) registration() meta.Registration {
	return meta.Registration{ID: m.id, Name: m.cfg.Name, Incarnation: m.incarnation, Start: m.store.Starts(), Addr: m.Addr(),
		PeerAddr: m.peerAddr(), RouteAddr: routeAddr(m.ports.Advertised(), m.events.RoutePort()), Zone: m.cfg.Zone, Tags: m.cfg.Tags, Version: m.cfg.Version,
		Lite: m.cfg.Lite}
}

// clusterRef tells others which cluster this member is in.
func (m *Member) clusterRef() bootstrap.ClusterRef {
	v := m.metaView()
	if v == nil || !v.Bootstrapped() {
		return bootstrap.ClusterRef{}
	}

	ref := bootstrap.ClusterRef{ID: v.Cluster, Name: v.Name}
	var others []string
	for i := range v.Members {
		switch mb := &v.Members[i]; {
		case mb.MetaVoter:
			// The list is cut to a bound. Voters go first, for nothing can be registered without them.
			ref.Addrs = append(ref.Addrs, mb.Addr)
		case mb.Live():
			others = append(others, mb.Addr)
		}
	}

	// Members that were found elsewhere come next. Their addresses in the metadata may be old.
	ref.Addrs = slices.Concat(ref.Addrs, m.locator.Addrs(), others)
	return ref
}
