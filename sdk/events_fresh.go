package sdk

import (
	"sync/atomic"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// freshnesses are, by partition, how fresh the trackers of a stream are. They are written under the stream's mu, after what they rest on was
// delivered, and read without it.
type freshnesses []partitionFreshness

type partitionFreshness struct {
	asOf atomic.Int64
	// The following belongs to the stream's mu.
	generation uint64 // of the partition
	wholeAt    int64  // the tracker's
}

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
	return freshness{s.fresh[partition].asOf.Load(), t.at, t.broken == 0}
}

// reached takes in what a read in a cluster tells of a partition as a watermark does, and returns how the stream stood there before. REQUIRES
// a stream with deliver.
func (s *eventStream) reached(in wire.ID, h *wire.CacheHead) (whole bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// The caller may have waited since the answer came. Positions of two clusters cannot be compared.
	if in != *s.of.Load() {
		return false
	}
	t := s.trackers[h.Position.Partition]
	whole = t.broken == 0
	t.watermark(s.c.clock.now(), &h.Position, h.AsOf)
	s.heardLocked(t)
	return whole
}

// vouched returns the freshness of a partition in milliseconds of cluster time; 0: none, or not in the cluster to which the table belongs.
// It takes no lock. REQUIRES a stream with deliver.
func (s *eventStream) vouched(partition int, in *table) int64 {
	if of := s.of.Load(); of == nil || *of != in.cluster {
		return 0
	}
	return s.fresh[partition].asOf.Load()
}
