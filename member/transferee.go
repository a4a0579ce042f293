package member

import (
	"slices"

	"github.com/gridiron-io/gridiron/partition/meta"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// transferee chooses the member to which a partition is transferred, among the processes that hold its other replicas. The member has to
// answer, and its clock has to be right. Partitions in turn go to different members, so that they are spread.
func (m *Member) transferee(partition int, others []wire.ID) wire.ID {
	var able []wire.ID
	for _, mb := range m.metaView().Members {
		// Replicas belong to processes. A member that was started again holds none of the partition.
		if slices.Contains(others, mb.Incarnation) && mb.State == meta.StateReady && m.peers.Answers(mb.ID, mb.Incarnation) && m.clock.Agrees(mb.ID) {
			able = append(able, mb.ID)
		}
	}
	if len(able) == 0 {
		return wire.ID{}
	}
	return able[partition%len(able)]
}
