package maps

import (
	"context"
	"sync"
	"time"
)

// upkeepMillis is how often the service looks after the partitions that this member owns.
const upkeepMillis = 100

// Run looks after the partitions that this member owns, until ctx ends: uses of entries that have a max-idle go into the
// log, and entries are evicted where there are too many.
func (s *Service) Run(ctx context.Context) {
	var evicting sync.WaitGroup
	evicting.Go(func() { s.evictor.run(ctx) }) // ends with ctx
	defer evicting.Wait()
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
