package partition

import (
	"github.com/gridiron-io/gridiron/partition/role"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Elect has the groups that a process led elect another leader without waiting for their election timeouts. agreed tells, by
// incarnation, what the members that were asked and have answered think of that process: a group is told if all of its
// voters among them agree that it is down, and at least one does. Elect reports whether every such group was told; it may be
// called again.
//
// Whatever the caller believes, this is as safe as any election: votes and logs decide who leads, and the log who owns.
func (h *Host) Elect(gone wire.ID, agreed map[wire.ID]bool) bool {
	all := true
	for i := range h.replicas {
		r := h.replicas[i].Load()
		if r == nil {
			continue
		}
		if told, led := r.elect(gone, agreed); led && !told {
			// Only groups that the process has led count: the others have nothing to be told.
			all = false
		}
	}
	return all
}

// elect has the replica campaign in the place of a process, if that leads the group and the voters agree. It reports whether the group
// was told, and whether the process leads, or led last.
func (r *replica) elect(gone wire.ID, agreed map[wire.ID]bool) (told, led bool) {
	r.part.Lock()
	// Asked together with the step, so that both speak of the same leader.
	led = r.part.role.Led(gone)
	d := r.decideLocked(role.MemberDown{Incarnation: gone, Agreed: agreed})
	r.part.Unlock()

	r.carryOut(&d)
	return d.Reconcile, led
}
