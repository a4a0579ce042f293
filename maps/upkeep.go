package maps

import (
	"context"
	"time"
)

// upkeepMillis is how often the service looks after the partitions that this member owns.
const upkeepMillis = 100

// Run looks after the partitions that this member owns, until ctx ends: uses of entries that have a max-idle go into the
// log.
func (s *Service) Run(ctx context.Context) {
	tick := time.NewTicker(upkeepMillis * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			for p := range s.touches {
				s.flushTouches(p)
			}
		}
	}
}
