package meta

import (
	"fmt"
	"slices"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Holder is one start of a member's process as the holder of a replica.
type Holder struct {
	Member      wire.ID
	Incarnation wire.ID
}

func (h *Holder) append(dst []byte) []byte {
	return append(append(dst, h.Member[:]...), h.Incarnation[:]...)
}

func (h *Holder) decode(r *wire.Reader) { h.Member, h.Incarnation = r.ID(), r.ID() }

// refuseHolders says why replicas cannot be placed on the holders; "" if they can.
func (v *View) refuseHolders(list []Holder) string {
	for _, h := range list {
		// The holders were chosen from a view that may be old by now.
		m := v.Member(h.Member)
		switch {
		case m == nil:
			return fmt.Sprintf("there is no member %s", h.Member)
		case m.Incarnation != h.Incarnation:
			// The process that was meant has ended, and would never start the replica.
			return fmt.Sprintf("member %q (%s) is at incarnation %s, not %s", m.Name, m.ID, m.Incarnation, h.Incarnation)
		case m.Lite:
			return fmt.Sprintf("member %q (%s) is lite", m.Name, m.ID)
		case m.State != StateJoining && m.State != StateReady:
			// A member that drains gives replicas away and gets no more.
			return fmt.Sprintf("member %q (%s) is %s", m.Name, m.ID, m.State)
		}
	}
	return ""
}

// allocate gives out replica IDs, in order.
// REQUIRES: v is for writing.
func (v *View) allocate(list []Holder) []Replica {
	replicas := make([]Replica, len(list))
	// In the order of the list: all replicas of the metadata give out the same IDs.
	for i, h := range list {
		replicas[i] = Replica{ID: v.NextReplica, Holder: h}
		v.NextReplica++
	}
	return replicas
}

// checkHolders refuses lists that no partition can have.
func checkHolders(list []Holder) error {
	if len(list) == 0 || len(list) > MaxReplicas {
		return fmt.Errorf("%d replicas, 1 to %d are allowed", len(list), MaxReplicas)
	}

	// One member with two replicas would take both down with it.
	for i, h := range list {
		if slices.ContainsFunc(list[:i], func(o Holder) bool { return o.Member == h.Member }) {
			return fmt.Errorf("member %s holds two replicas", h.Member)
		}
	}
	return nil
}
