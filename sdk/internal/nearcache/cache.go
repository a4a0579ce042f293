package nearcache

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/maypok86/otter/v2"
)

// FreshFor is how old a freshness may be for copies to be served. Watermarks come once a second, so two of them may be lost.
const FreshFor = 2500 * time.Millisecond

// ahead is by how much a freshness may be later than the time, since members' clocks differ. A cluster that takes the place of another may have an
// earlier time.
const ahead = time.Second

// Never is a deadline that does not come.
const Never = int64(math.MaxInt64)

// Config says what a cache may hold.
type Config struct {
	Partitions   int           // of the map
	MaxEntries   int           // more than 0
	MaxBytes     int64         // of keys and values; 0: no bound
	TTL, MaxIdle time.Duration // of copies; 0: none. They are rounded up to milliseconds
	Negative     bool          // keep absences too
	Verify       float64       // share of hits that Get asks to have checked
}

// Moment is when a key is asked for, in milliseconds of cluster time.
type Moment struct {
	Now int64 // at the latest: where the client does not know better, it takes the latest time that it may be
	// Fresh is the freshness of the partition: all changes that anybody had been told of by then were delivered to the cache. 0: nothing is
	// known.
	Fresh int64
}

// fresh reports whether copies may be served at all.
func (m Moment) fresh() bool {
	age := m.Now - m.Fresh
	return m.Fresh > 0 && age <= FreshFor.Milliseconds() && age >= -ahead.Milliseconds()
}

// Cache holds the copies of one map. It is safe for concurrent use, and reads take no lock.
type Cache struct {
	cfg     Config
	ttl     int64 // milliseconds; 0: none
	maxIdle int64 // milliseconds; 0: none
	sample  uint64
	copies  *otter.Cache[string, *Copy]
	parts   []part

	entries, bytes atomic.Int64 // copies, and the bytes that they are counted with
	mortal         atomic.Bool  // there may be copies that are served no more, and still take room
}

// part is what the cache knows of one partition.
type part struct {
	// forgotten counts how often all copies of the partition were dropped. It is written under mu.
	forgotten atomic.Uint64

	mu    sync.Mutex // guards the following, and what of the partition is in copies
	loads *Load      // those under way, as a ring's first; nil: none

	counts
	_ [40]byte // reads of one partition should not slow those of its neighbour down
}

// New returns an empty cache.
func New(cfg Config) *Cache {
	c := &Cache{cfg: cfg, ttl: milliseconds(cfg.TTL), maxIdle: milliseconds(cfg.MaxIdle), sample: threshold(cfg.Verify), parts: make([]part, cfg.Partitions)}

	opts := &otter.Options[string, *Copy]{
		// It is told of every copy that leaves, also of one that another takes the place of.
		OnAtomicDeletion: func(e otter.DeletionEvent[string, *Copy]) {
			c.entries.Add(-1)
			c.bytes.Add(-e.Value.size)
		},
		// Evictions are the work of whoever makes them necessary. Nothing here calls the table while it holds its locks.
		Executor: func(f func()) { f() },
	}
	if cfg.MaxBytes > 0 {
		// The table has one bound. So that it keeps both, each copy counts with its share of the entries at least.
		share := max(1, cfg.MaxBytes/int64(cfg.MaxEntries))
		opts.MaximumWeight = uint64(cfg.MaxBytes)
		opts.Weigher = func(_ string, e *Copy) uint32 { return uint32(min(max(e.size, share), math.MaxUint32)) }
	} else {
		opts.MaximumSize = cfg.MaxEntries
	}
	c.copies = otter.Must(opts)
	return c
}

// milliseconds rounds d up.
func milliseconds(d time.Duration) int64 {
	if d <= 0 {
		return 0
	}
	return int64((d-1)/time.Millisecond) + 1
}

// Get returns the copy for a key, or nil where the owner must be asked. check reports that the copy belongs to the share that is to be verified.
func (c *Cache) Get(partition int, key []byte, at Moment) (e *Copy, check bool) {
	p := &c.parts[partition]
	if !at.fresh() {
		p.bypasses.Add(1)
		p.misses.Add(1)
		return nil, false
	}

	e, ok := c.copies.GetIfPresent(view(key))
	if !ok || !c.serves(p, e, partition, at.Now) {
		p.misses.Add(1)
		return nil, false
	}

	// Copies that are read by many are not written to each time.
	if c.maxIdle > 0 && e.used.Load() != at.Now {
		e.used.Store(at.Now)
	}
	if old := at.Now - at.Fresh; old > p.stalest.Load() {
		raise(&p.stalest, old)
	}
	n := p.hits.Add(1)
	return e, c.sample > 0 && mix(uint64(partition)<<40+n) <= c.sample
}

// Peek returns what Get would, and counts nothing.
func (c *Cache) Peek(partition int, key []byte, at Moment) *Copy {
	e, ok := c.copies.GetEntryQuietly(view(key))
	if !ok || !at.fresh() || !c.serves(&c.parts[partition], e.Value, partition, at.Now) {
		return nil
	}
	return e.Value
}

// serves reports whether e may be served at a time.
func (c *Cache) serves(p *part, e *Copy, partition int, now int64) bool {
	// Types of keys may route the same key to other partitions.
	return e.partition == partition && e.forgotten == p.forgotten.Load() && now < e.deadline &&
		(c.maxIdle == 0 || now-e.used.Load() < c.maxIdle)
}

// view returns key as a string that is good only for looking up. The table does not keep it, so it need not be copied.
func view(key []byte) string { return unsafe.String(unsafe.SliceData(key), len(key)) }

// threshold returns up to which value of mix a share of all values lies.
func threshold(share float64) uint64 {
	switch {
	case share <= 0:
		return 0
	case share >= 1:
		return math.MaxUint64
	}
	return max(1, uint64(share*(1<<64)))
}

// mix makes a number that looks random of a count, as splitmix64 does.
func mix(n uint64) uint64 {
	n += 0x9e3779b97f4a7c15
	n = (n ^ n>>30) * 0xbf58476d1ce4e5b9
	n = (n ^ n>>27) * 0x94d049bb133111eb
	return n ^ n>>31
}

// raise makes v at least n.
func raise(v *atomic.Int64, n int64) {
	for old := v.Load(); old < n && !v.CompareAndSwap(old, n); old = v.Load() {
	}
}
