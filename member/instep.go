package member

import (
	"context"

	"github.com/gridiron-io/gridiron/member/internal/clock"
	"github.com/gridiron-io/gridiron/partition/meta"
)

// disown has other members own the partitions that this one owns, or nobody where none can take over. It reports whether none is left.
func (m *Member) disown(ctx context.Context) bool {
	host := m.dataHost()
	// Before the host runs, nothing can be owned.
	if host == nil {
		return true
	}

	// Release may end before everything is given up, so the partitions themselves are asked.
	host.Release(ctx)
	for p := range m.partitions() {
		if host.Serving(p) != 0 {
			return false
		}
	}
	return true
}

// outOfStep counts the live members whose clock differs from the time that most members agree on, as far as this member knows.
func (m *Member) outOfStep(v *meta.View) (n uint32) {
	for i := range v.Members {
		mb := &v.Members[i]
		switch {
		case !mb.Live():
		case mb.ID == m.id:
			if s, _ := m.clock.Standing(); s != clock.InStep {
				n++
			}
		// A silent member's clock is not known. It counts when it answers again.
		case m.peers.Answers(mb.ID, mb.Incarnation) && !m.clock.Agrees(mb.ID):
			n++
		}
	}
	return n
}
