package control

import (
	"fmt"
	"strings"

	"github.com/gridiron-io/gridiron/member/internal/memory"
	"github.com/gridiron-io/gridiron/partition/meta"
)

// reasonMembers bounds the members that a reason names.
const reasonMembers = 8

// NoRoomReason says why replicas are placed nowhere: whose memory is used up.
func (k *Control) NoRoomReason(v *meta.View, replicas uint32) string {
	var list []string
	for i := range v.Members {
		mb := &v.Members[i]
		limit, used := k.MemoryOf(mb)
		// Members without a limit, and those that may hold nothing, are not the reason.
		if limit == 0 || !k.Peers.Answers(mb.ID, mb.Incarnation) || mb.Lite || !mb.Live() || mb.State == meta.StateDraining {
			continue
		}
		if len(list) == reasonMembers {
			list = append(list, "…")
			break
		}
		list = append(list, fmt.Sprintf("%s uses %d of %d bytes", mb.Name, used, limit))
	}

	return fmt.Sprintf("no member has memory for %d more replicas (%s)", replicas, strings.Join(list, ", "))
}

// MemoryOf returns the memory of a member, and how much of it is used, as the process that is registered said last; a limit of 0 is none,
// or it has said nothing yet.
func (k *Control) MemoryOf(mb *meta.Member) (limit, used int64) {
	if mb.ID == k.Self {
		return k.Used()
	}

	// What an earlier process of the member said does not hold for this one.
	if said, _, from, ok := k.Peers.Word(mb.ID); ok && from == mb.Incarnation {
		return memory.Clamp(said.Limit), memory.Clamp(said.Used)
	}

	return 0, 0
}
