package maps

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

const (
	// tallyShards is how many counters the partitions share, so that cores do not wait for each other.
	tallyShards = 4
	// maxTallies bounds the maps that are counted: callers can name any number of maps. Operations on further maps are not counted.
	maxTallies = 4096
	// crowded is the number of maps from which on ended maps make room for others.
	crowded = maxTallies / 2
)

// began is the zero of elapsed.
var began = time.Now()

// elapsed returns a moment on the monotonic clock.
func elapsed() time.Duration { return time.Since(began) }

// opIndex numbers the operations of callers on partitions, from 1.
var opIndex, opCount = func() (index [256]uint8, n uint8) {
	for i := range index {
		if op := wire.Op(i); op.IsRead() || op.IsWrite() {
			n++
			index[i] = n
		}
	}
	return index, n
}()

// tally counts what this member does for one map as an owner, from the member's start. Counting takes no lock. It takes memory only the first
// time.
type tally struct {
	name                     string
	quiet                    bool         // no latencies are reported
	walk                     atomic.Int64 // the last walk that saw the map, see tallies.forget
	shards                   [tallyShards]tallyShard
	expired, evicted, events atomic.Uint64 // see folded
	lag                      atomic.Int64  // likewise
	published, repairs, lost atomic.Uint64 // events, and what listeners asked for
}

type tallyShard struct {
	hits, misses atomic.Uint64
	ops          []atomic.Pointer[latency] // by opIndex
	_            [24]byte                  // shards do not share a cache line
}

// latency is a histogram of how long one operation took.
type latency struct {
	nanos   atomic.Uint64
	buckets [wire.LatencyBuckets]atomic.Uint64
	tell    func(time.Duration) // may be nil
}

func newTally(name string) *tally {
	t := &tally{name: name}
	for i := range t.shards {
		t.shards[i].ops = make([]atomic.Pointer[latency], opCount+1)
	}
	return t
}

// done counts an operation that was executed.
func (t *tally) done(s *Service, op wire.Op, partition uint32, took time.Duration) {
	at := &t.shards[partition%tallyShards].ops[opIndex[op]]
	l := at.Load()
	if l == nil {
		l = new(latency)
		if s.cfg.Latency != nil && !t.quiet {
			l.tell = s.cfg.Latency(t.name, op)
		}
		// Another call has made the histogram meanwhile: both calls must count in one.
		if !at.CompareAndSwap(nil, l) {
			l = at.Load()
		}
	}

	// A histogram has no place for a negative time.
	took = max(0, took)
	l.nanos.Add(uint64(took))
	l.buckets[wire.LatencyBucket(uint64(took/time.Microsecond))].Add(1)

	// The meter keeps sums of its own, beside those that the cluster's commands show.
	if l.tell != nil {
		l.tell(took)
	}
}

// read counts a read of keys.
func (t *tally) read(partition uint32, hits, misses int) {
	s := &t.shards[partition%tallyShards]
	if hits > 0 {
		s.hits.Add(uint64(hits))
	}
	if misses > 0 {
		s.misses.Add(uint64(misses))
	}
}

// sumCounts adds all counts but those of operations to c.
func (t *tally) sumCounts(c *wire.MapCounts) {
	c.Expired, c.Evicted, c.Events = c.Expired+t.expired.Load(), c.Evicted+t.evicted.Load(), c.Events+t.events.Load()
	c.Published, c.Repairs, c.Lost = c.Published+t.published.Load(), c.Repairs+t.repairs.Load(), c.Lost+t.lost.Load()
	c.ExpiryLag = max(c.ExpiryLag, uint64(t.lag.Load()))
	for i := range t.shards {
		c.Hits += t.shards[i].hits.Load()
		c.Misses += t.shards[i].misses.Load()
	}
}

// sum adds all counts to c.
func (t *tally) sum(c *wire.MapCounts) {
	t.sumCounts(c)
	for op, index := range opIndex {
		if index == 0 {
			continue
		}
		var o wire.OpStats
		for i := range t.shards {
			l := t.shards[i].ops[index].Load()
			// A shard has a histogram only for operations that it has seen.
			if l == nil {
				continue
			}
			if o.Buckets == nil {
				o = wire.OpStats{Op: wire.Op(op), Buckets: make([]uint64, wire.LatencyBuckets)}
			}

			o.Nanos += l.nanos.Load()
			for b := range l.buckets {
				o.Buckets[b] += l.buckets[b].Load()
			}
		}

		// Operations that were never called are left out of the answer.
		if o.Buckets != nil {
			c.Ops = append(c.Ops, o)
		}
	}
}

// tallies finds the tally of a map by its name. Finding takes no lock.
type tallies struct {
	byName sync.Map     // *tally by string
	walk   atomic.Int64 // walks over all maps that have begun

	mu    sync.Mutex // serialises writers of byName, and guards the following
	n     int        // tallies in byName
	begun int        // tallies that have begun since the start
}

// find returns the tally of a map, or nil.
func (t *tallies) find(name string) *tally {
	if known, ok := t.byName.Load(name); ok {
		return known.(*tally)
	}
	return nil
}

// each calls f for each tally.
func (t *tallies) each(f func(name string, of *tally)) {
	t.byName.Range(func(name, of any) bool {
		f(name.(string), of.(*tally))
		return true
	})
}

// get returns the tally of a map. With begin set it makes one if there is none and room for it. Else it returns nil.
func (t *tallies) get(name []byte, begin bool) *tally {
	if known, ok := t.byName.Load(string(name)); ok || !begin {
		of, _ := known.(*tally)
		return of
	}

	t.mu.Lock()
	defer t.mu.Unlock()
	// Another call may have made the tally while this call waited for the lock.
	if known := t.find(string(name)); known != nil || t.n >= maxTallies {
		return known
	}

	// A new tally counts as met by the present walk, which may have passed its place in the order of maps.
	n := newTally(string(name))
	n.walk.Store(t.walk.Load())
	// The meter behind Latency never forgets a name: the number of names that it hears is bounded, too.
	t.begun++
	n.quiet = t.begun > maxTallies

	t.n++
	t.byName.Store(n.name, n)
	return n
}

// seen notes that the present walk has met a map.
func (t *tallies) seen(name string) {
	if known := t.find(name); known != nil {
		known.walk.Store(t.walk.Load())
	}
}

// forget drops the tallies of maps that the last two walks did not meet, if there are many tallies. So names that are used once do not keep
// later maps from being counted.
func (t *tallies) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n < crowded {
		return
	}

	last := t.walk.Load()
	t.each(func(name string, of *tally) {
		// One walk may miss a map that is made behind it. Two in a row have met every map that lives.
		if of.walk.Load() <= last-2 {
			t.byName.Delete(name)
			t.n--
		}
	})
}

// tallyOf returns where an operation on a map is counted; nil if it is not counted.
func (s *Service) tallyOf(name []byte, begin bool) *tally {
	if s.cfg.MapConfig != nil {
		if cfg := s.cfg.MapConfig(name); !cfg.Stats {
			return nil
		}
	}
	return s.tallies.get(name, begin)
}

// Published counts events of a map that were sent to listeners.
func (s *Service) Published(name string, events int) {
	if t := s.tallyOf([]byte(name), true); t != nil {
		t.published.Add(uint64(events))
	}
}

// Counts returns what this member has counted for a map.
func (s *Service) Counts(name string) wire.MapCounts {
	var c wire.MapCounts
	for p := range s.cfg.Partitions {
		// Folding brings expirations, evictions and events up to date before they are summed.
		list, remembered := s.fold(p)
		c.Remembered += uint64(remembered)
		if at, there := slices.BinarySearchFunc(list, name, func(m mapOfState, name string) int { return cmp.Compare(m.name, name) }); there {
			list[at].add(&c)
		}
	}

	if t := s.tallies.get([]byte(name), false); t != nil {
		t.sum(&c)
	}
	return c
}

// AllCounts returns what this member has counted, by map: for all maps that have entries here, or for which it did something. It leaves out
// latencies, and the memory that remembered calls take.
func (s *Service) AllCounts() map[string]*wire.MapCounts {
	all := make(map[string]*wire.MapCounts)
	of := func(name string) *wire.MapCounts {
		c := all[name]
		if c == nil {
			c = new(wire.MapCounts)
			all[name] = c
		}
		return c
	}

	for p := range s.cfg.Partitions {
		list, _ := s.fold(p)
		for i := range list {
			list[i].add(of(list[i].name))
		}
	}

	// Maps that have no entries any more still have counts.
	s.tallies.each(func(name string, t *tally) { t.sumCounts(of(name)) })
	return all
}
