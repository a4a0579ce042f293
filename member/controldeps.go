package member

import (
	"context"
	"fmt"
	"time"

	"github.com/gridiron-io/gridiron/member/internal/control"
	"github.com/gridiron-io/gridiron/partition"
	"github.com/gridiron-io/gridiron/partition/meta"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// controlDeps is what the control of the cluster needs of this member.
func (m *Member) controlDeps() control.Deps {
	patterns, _ := m.cfg.patterns() // Validate has looked at them
	return control.Deps{
		Self: m.id, Clock: m.clock, Memory: m.memory, Peers: controlPeers{m.peers, m.failover}, Logger: m.log,
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

// controlPeers are the other members as control sees them.
type controlPeers struct {
	peers    *peers
	failover *failover
}

var _ control.Peers = controlPeers{}

// Answers reports whether a process answers.
func (c controlPeers) Answers(id, incarnation wire.ID) bool { return c.peers.answers(id, incarnation) }

// Silence returns for how long a member has not answered.
func (c controlPeers) Silence(id wire.ID) time.Duration { return c.peers.silence(id) }

// Silent reports whether a member is suspect or unreachable.
func (c controlPeers) Silent(id wire.ID) bool { return c.peers.silent(id) }

// Said returns what a process answered last, if it answers.
func (c controlPeers) Said(id, incarnation wire.ID) (wire.PingResult, time.Duration, bool) {
	return c.peers.said(id, incarnation)
}

// Word returns what a member said last.
func (c controlPeers) Word(id wire.ID) (said wire.PingResult, ago time.Duration, from wire.ID, ok bool) {
	if pr := c.peers.find(id); pr != nil {
		return pr.word()
	}
	return said, 0, from, false
}

// Down reports whether this member finds a process dead or silent.
func (c controlPeers) Down(id, incarnation wire.ID) bool { return c.failover.isDown(id, incarnation) }

// Opinions asks the others whether they find a process down too.
func (c controlPeers) Opinions(id, incarnation wire.ID) map[wire.ID]bool {
	return c.failover.opinions(id, incarnation)
}

// Ask sends a call to a member.
func (c controlPeers) Ask(ctx context.Context, id wire.ID, op wire.Op, body []byte) (wire.Answer, error) {
	return c.peers.ask(ctx, id, op, body)
}
