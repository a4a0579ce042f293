package maps

import (
	"cmp"

	"github.com/gridiron-io/gridiron/maps/state"
	"github.com/gridiron-io/gridiron/partition"
	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// ringLook is what the last look at a partition's maps has found, and under which conditions. Run alone uses it.
type ringLook struct {
	epoch, version, changes uint64
	want                    wire.BoundRingBody
}

// boundRings gives the rings of the partitions that this member owns the bounds that their maps want. All replicas must drop the same events,
// so the bounds go through the log.
func (s *Service) boundRings() {
	if s.cfg.EventBounds == nil {
		return
	}

	version, set := s.cfg.EventBounds()
	// Nothing was ever configured, so no log says anything of it.
	if version == 0 {
		return
	}

	for p := range s.rings {
		epoch := s.cfg.Host.Serving(p)
		if epoch == 0 {
			continue
		}

		var has wire.BoundRingBody
		var changes uint64
		s.cfg.Host.Inspect(p, func(m partition.Machine) { has, changes = stateOf(m).RingBounds(), stateOf(m).MapChanges() })

		look := &s.rings[p]
		if look.epoch != epoch || look.version != version || look.changes != changes {
			*look = ringLook{epoch: epoch, version: version, changes: changes}
			// Most configurations say nothing of events. Then no map need be asked.
			if set {
				look.want = s.ringWanted(p)
			}
		}

		// What is lost on the way is proposed again at the next look.
		if has != look.want {
			s.cfg.Host.Submit(p, &entry.Op{Code: wire.OpBoundRing, Body: wire.AppendBoundRingBody(nil, look.want)}, unheard{})
			s.cfg.Host.Flush(p)
		}
	}
}

// ringWanted returns the largest bounds that maps of a partition want, or 0 for the default.
func (s *Service) ringWanted(p int) (want wire.BoundRingBody) {
	s.eachMap(p, func(name string, _, _ uint64, _ state.MapStats) {
		c := s.config([]byte(name))
		want.Entries = max(want.Entries, cmp.Or(c.EventEntries, wire.DefaultEventEntries))
		want.Bytes = max(want.Bytes, cmp.Or(c.EventBytes, wire.DefaultEventBytes))
	})

	// The default is written in one way only.
	if want.Entries == wire.DefaultEventEntries {
		want.Entries = 0
	}
	if want.Bytes == wire.DefaultEventBytes {
		want.Bytes = 0
	}
	return want
}
