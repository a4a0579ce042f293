package member

import (
	"slices"

	"github.com/gridiron-io/gridiron/partition/meta"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// transferee chooses, of the processes that hold a partition's other replicas, the member to which it is handed: one that answers, whose clock is right,
// and for each partition another, so that they are spread.
func (m *Member) transferee(partition int, others []wire.ID) wire.ID {
	var able []wire.ID
	for _, mb := range m.metaView().Members {
		if slices.Contains(others, mb.Incarnation) && mb.State == meta.StateReady && m.peers.Answers(mb.ID, mb.Incarnation) && m.clock.Agrees(mb.ID) {
			able = append(able, mb.ID)
		}
	}
	if len(able) == 0 {
		return wire.ID{}
	}
	return able[partition%len(able)]
}
