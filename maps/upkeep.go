package maps

import (
	"context"
	"sync"
	"time"
)

// upkeepMillis is how often the service looks after the partitions that this member owns.
const upkeepMillis = 100

// Run looks after the partitions that this member owns, until ctx ends: uses of entries that have a max-idle go into the
// log, entries are evicted where there are too many, and RemoveAll chooses what it removes.
func (s *Service) Run(ctx context.Context) {
	var working sync.WaitGroup
	working.Go(func() { s.evictor.run(ctx) }) // ends with ctx
	working.Go(func() { s.chooser.run(ctx) }) // ends with ctx
	defer working.Wait()
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
