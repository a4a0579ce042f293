package member

import "github.com/gridiron-io/gridiron/member/internal/metrics"

// reading is what this member knows of itself now.
func (m *Member) reading() metrics.Reading {
	r := metrics.Reading{Status: m.status(), Members: m.views.Table().Members, Load: m.host.Load(), Held: m.maps.Usage(), Maps: m.maps.AllCounts(),
		Tasks: m.tasks.Stats(), KeptEvents: m.publisher.Dropped().Bytes(), MaxConnections: m.cfg.MaxConnections, Routes: m.events.Routes()}
	for name, c := range r.Maps {
		c.Listeners = uint64(m.publisher.Listeners(name))
	}
	// One bound holds for both kinds, and they are shown apart.
	for _, c := range m.server.Connections() {
		if c.Peer() {
			r.Peers++
		} else {
			r.Clients++
		}
	}
	return r
}
