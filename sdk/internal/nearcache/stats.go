package nearcache

import (
	"sync/atomic"
	"time"
)

// counts are those of one partition, so that readers of different keys do not wait for one another.
type counts struct {
	hits, misses, bypasses, invalidations atomic.Uint64
	stalest                               atomic.Int64 // milliseconds
}

// Stats is what a cache has counted.
type Stats struct {
	Entries       int
	Bytes         int64 // of keys and encoded values
	Hits          uint64
	Misses        uint64        // keys for which the owner had to be asked, bypasses among them
	Bypasses      uint64        // for lack of freshness
	Invalidations uint64        // copies that a change has dropped; a whole partition counts once
	MaxStaleness  time.Duration // the oldest freshness under which a copy was served
}

// Stats returns what was counted so far.
func (c *Cache) Stats() Stats {
	s := Stats{Entries: int(max(0, c.entries.Load())), Bytes: max(0, c.bytes.Load())}
	for i := range c.parts {
		p := &c.parts[i]
		s.Hits += p.hits.Load()
		s.Misses += p.misses.Load()
		s.Bypasses += p.bypasses.Load()
		s.Invalidations += p.invalidations.Load()
		s.MaxStaleness = max(s.MaxStaleness, time.Duration(p.stalest.Load())*time.Millisecond)
	}
	return s
}
