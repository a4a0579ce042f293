package member

import (
	"github.com/gridiron-io/gridiron/partition"
	"github.com/gridiron-io/gridiron/partition/meta"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// follow brings this member in line with the metadata whenever they change: who the others are, which replicas it shall
// hold. It ends with the member.
func (m *Member) follow() {
	defer m.wg.Done()
	var seats []wire.MetaSeat
	for {
		changed := m.meta.Changed()
		v := m.meta.View()
		for i := range v.Members {
			if mb := &v.Members[i]; mb.MetaReplica != 0 {
				m.metaReg.Set(partition.MetaShard, mb.MetaReplica, mb.ID.String())
			}
		}
		m.peers.update()
		if now := m.metaSeats(); len(now) > 0 {
			var err error
			if seats, err = saveSeats(m.cfg.DataDir, seats, now); err != nil {
				m.log.Warn("the list of members was not saved", "err", err)
			}
		}
		m.holdReplicas(v)
		m.views.kick()
		m.nats.setRoutes(m.routes(v))
		select {
		case <-changed:
		case <-m.ctx.Done():
			return
		}
	}
}

// routes returns where the NATS servers of the other members are.
func (m *Member) routes(v *meta.View) []string {
	var routes []string
	for i := range v.Members {
		if mb := &v.Members[i]; mb.ID != m.id && mb.Live() && mb.RouteAddr != "" {
			routes = append(routes, m.cfg.Network.Route(mb.RouteAddr))
		}
	}
	return routes
}

// holdReplicas starts the replicas that the table gives to this incarnation, and drops those of generations that are over.
func (m *Member) holdReplicas(v *meta.View) {
	host := m.dataHost()
	if host == nil {
		return
	}
	partition.LocateReplicas(m.dataReg, v)
	for p := range v.Table {
		if m.isClosing() {
			return
		}
		t := &v.Table[p]
		mine, ok := t.Replica(m.id)
		if !ok || mine.Incarnation != m.incarnation {
			if st, held := host.Status(p); held && st.Generation < t.Generation {
				if err := host.Drop(m.ctx, p); err != nil && !m.isClosing() {
					m.log.Error("a replica was not removed", "partition", p, "err", err)
				}
			}
			continue
		}
		if host.Runs(partition.ShardOf(t.Generation, p), mine.ID) {
			continue
		}
		initial := make(map[uint64]wire.ID, len(t.Replicas))
		for _, r := range t.Replicas {
			initial[r.ID] = r.Incarnation
		}
		err := host.Found(partition.Placement{Partition: p, Generation: t.Generation, Replica: mine.ID, Initial: initial,
			Preferred: t.Preferred == m.id})
		if err != nil && !m.isClosing() {
			m.log.Error("a replica was not started", "partition", p, "err", err)
		}
	}
}
