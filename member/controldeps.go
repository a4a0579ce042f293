package member

import (
	"fmt"

	"github.com/gridiron-io/gridiron/member/internal/control"
	"github.com/gridiron-io/gridiron/partition"
	"github.com/gridiron-io/gridiron/partition/meta"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// controlDeps is what the control of the cluster needs of this member.
func (m *Member) controlDeps() control.Deps {
	patterns, _ := m.cfg.patterns() // Validate has looked at them
	return control.Deps{
		Self: m.id, Clock: m.clock, Memory: m.memory, Peers: m.peers, Logger: m.log,
		Cluster: m.clusterID, ClusterName: m.cfg.ClusterName, Partitions: m.cfg.Partitions, Replicas: m.cfg.Replicas, Maps: patterns,
		InitialVoters: func() []wire.ID { return m.initialVoters }, Participants: func() int { return len(m.participants) },
		RebuildDelay: m.cfg.RebuildDelay, Wall: m.cfg.Wall,
		View: m.metaView, Meta: func() *partition.MetaHost { return m.meta }, Host: m.dataHost, Used: m.ownMemory, Size: func(p int) int64 { return m.maps.Size(p) }, Owner: m.views.moved,
		Closing: m.isClosing, Propose: m.metaPropose, Voters: m.metaVoters, At: m.at,
	}
}

// at is where a test may have the member die.
func (m *Member) at(when string, cmd meta.Command) {
	if f := m.cfg.FaultPoint; f != nil {
		f(m.ctx, fmt.Sprintf("%s %T", when, cmd))
	}
}
