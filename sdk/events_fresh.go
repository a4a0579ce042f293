package sdk

import (
	"sync/atomic"
	"time"
)

// freshFor is how old a freshness may be for a near cache to serve what it holds. The watermarks come once a second, so two of them may be
// lost. With the time that a call takes, what is served is at most 3.5 seconds old.
const freshFor = 2500 * time.Millisecond

// freshnesses are, by partition, how fresh the trackers of a stream are. They are written under the stream's mu, after what they rest on was
// delivered, and read without it.
type freshnesses []atomic.Int64

func newFreshnesses(partitions int) freshnesses { return make(freshnesses, partitions) }

// freshness is what a stream knows of a map in one partition.
type freshness struct {
	// asOf is a cluster time in milliseconds: every change that anybody had been told of by then was delivered. 0: none need be.
	asOf int64
	// at is up to where everything was delivered.
	at place
	// whole reports that no later event was heard of.
	whole bool
}

// freshness returns what the stream knows of a partition. REQUIRES a stream with deliver, of that partition.
func (s *eventStream) freshness(partition int) freshness {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.trackers[partition]
	return freshness{s.fresh[partition].Load(), t.at, t.broken == 0}
}

// isFresh reports whether everything was delivered that anybody had been told of freshFor ago. It takes no lock. REQUIRES a stream with
// deliver.
func (s *eventStream) isFresh(partition int, now int64) bool {
	asOf := s.fresh[partition].Load()
	return asOf != 0 && s.c.clock.cluster(now)-asOf <= freshFor.Milliseconds()
}
