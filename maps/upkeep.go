package maps

import (
	"context"
	"encoding/binary"
	"sync"
	"time"

	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

const (
	// sweepLimit is how many entries a sweep removes. While more are due, each removes twice as many as the one before, up
	// to sweepMost: so sweeps keep up with writes, of which an entry may hold some thousands too.
	sweepLimit = 1000
	sweepMost  = 4 * sweepLimit
)

// nextSweep returns the operation that removes what has expired, after one that was applied, or the first. Another is worth a look at
// once where the last has removed something: more may be due.
func nextSweep(done *entry.Op, result entry.Result) (next *entry.Op, again bool) {
	limit := uint32(sweepLimit)
	if done != nil {
		last, _ := wire.DecodeSweepBody(done.Body)
		removed, _ := binary.Uvarint(result.Body)
		again = removed > 0
		if again && removed >= uint64(last.Limit) {
			limit = min(2*last.Limit, sweepMost)
		}
	}
	return &entry.Op{Code: wire.OpSweep, Body: wire.AppendSweepBody(nil, wire.SweepBody{Limit: limit}), Keys: int(limit)}, again
}

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
