package maps

import (
	"context"
	"encoding/binary"
	"sync"
	"time"

	"github.com/gridiron-io/gridiron/partition/cadence"
	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

const (
	// sweepLimit is how many entries a sweep removes. While more are due, each sweep removes twice as many as the sweep before, up to
	// sweepMost. So sweeps keep up with writes: an entry of the log may hold some thousands of those, too.
	sweepLimit = 1000
	sweepMost  = 4 * sweepLimit
)

// nextSweep returns the sweep after the one that was applied, or the first sweep if done is nil. again says to look at once whether more is due:
// the last sweep has removed something.
func nextSweep(done *entry.Op, result entry.Result) (next *entry.Op, again bool) {
	limit := uint32(sweepLimit)
	if done != nil {
		last, _ := wire.DecodeSweepBody(done.Body)
		removed, _ := binary.Uvarint(result.Body)
		again = removed > 0
		// The sweep was full, so more may be due than sweeps of this size can keep up with.
		if again && removed >= uint64(last.Limit) {
			limit = min(2*last.Limit, sweepMost)
		}
	}
	return &entry.Op{Code: wire.OpSweep, Body: wire.AppendSweepBody(nil, wire.SweepBody{Limit: limit}), Keys: int(limit)}, again
}

// upkeepMillis is how often the service looks after the partitions that this member owns.
const (
	upkeepMillis = 100
	upkeepEvery  = upkeepMillis * time.Millisecond
	// ringsEvery is after how many of these it looks whether partitions keep as many events as their maps want.
	ringsEvery = 5
)

// Run looks after the partitions that this member owns, until ctx ends. It puts uses of entries into the log, evicts entries of maps that are too
// large, chooses what RemoveAll removes, and gives the rings of events the bounds that maps want.
func (s *Service) Run(ctx context.Context) {
	var working sync.WaitGroup
	working.Go(func() { s.evictor.run(ctx) }) // ends with ctx
	working.Go(func() { s.chooser.run(ctx) }) // ends with ctx
	defer working.Wait()

	tick := time.NewTimer(cadence.Next(upkeepEvery))
	defer tick.Stop()

	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			tick.Reset(cadence.Next(upkeepEvery))
			if n%ringsEvery == 0 {
				s.boundRings()
			}
			for p := range s.touches {
				s.flushTouches(p)
			}
		}
	}
}
