package sdk

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/gridiron-io/gridiron/sdk/internal/nearcache"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// sweepEvery is how often copies that are served no more are taken out of memory.
const sweepEvery = time.Second

// nearCache is what a client keeps of one map, and the stream of events by which it learns of changes.
//
// It owns a goroutine, run, and verify where hits are checked. Both end with the client, or with close.
type nearCache struct {
	c       *Client
	name    string
	cfg     NearCacheConfig // with its defaults
	cache   *nearcache.Cache
	central bool // only the cluster's configuration wants it; belongs to the client's mu

	ctx     context.Context // ends with close
	close   context.CancelFunc
	stream  atomic.Pointer[eventStream] // nil while there is none: then nothing is served and nothing kept
	started broadcast                   // signals that stream was set
	samples chan nearSample             // hits to be checked

	repairs, verified, stale atomic.Uint64
}

func newNearCache(c *Client, name string, cfg NearCacheConfig) *nearCache {
	n := &nearCache{c: c, name: name, cfg: cfg, samples: make(chan nearSample, maxSamples), cache: nearcache.New(nearcache.Config{
		Partitions: c.partitionCount(), MaxEntries: cfg.MaxEntries, MaxBytes: cfg.MaxBytes, TTL: cfg.TTL, MaxIdle: cfg.MaxIdle,
		Negative: cfg.Negative, Verify: cfg.Verify,
	})}
	n.ctx, n.close = context.WithCancel(c.life)
	return n
}

// run is the goroutine that keeps a stream of the map's events. It begins another one whenever one ends.
func (n *nearCache) run() {
	defer n.savePreload()
	defer n.close()
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()

	for round := 0; n.ctx.Err() == nil; round++ {
		s := n.c.newEventStream("near_cache", n.name, streamConfig{kinds: nearKinds, partition: -1, deliver: n.deliver, repairs: &n.repairs})
		if err := s.start(n.ctx); err != nil {
			n.c.cfg.logger.Debug("gridiron: a near cache has no events yet, and reads go to the owners", "map", n.name, "error", err)
			pause := time.NewTimer(backoff(round))
			select {
			case <-n.ctx.Done():
			case <-pause.C:
			}
			pause.Stop()
			continue
		}

		round = 0
		n.stream.Store(s)
		n.started.signal()
		for n.ctx.Err() == nil && s.ctx.Err() == nil {
			select {
			case <-n.ctx.Done():
			case <-s.ctx.Done():
			case <-tick.C:
				n.cache.Sweep(n.now())
			}
		}

		// Nothing that happens from here on until the next stream begins is heard.
		s.close(ErrClosed)
		n.stream.Store(nil)
		if n.ctx.Err() == nil {
			n.forget()
		}
	}
}

// nearKinds are the events that a near cache has to know of: all that say of a change, of a value or of its expiry.
const nearKinds = ^uint16(0)

// deliver takes in an event. It is called with the stream locked.
func (n *nearCache) deliver(partition uint32, e *wire.Event) {
	switch e.Kind {
	case wire.EventCleared:
		n.cache.Cleared(int(partition), e.Version)
	case wire.EventLost:
		n.cache.Forget(int(partition))
	default:
		n.cache.Invalidate(int(partition), e.Key, e.Version)
	}
}

func (n *nearCache) forget() {
	for i := range n.c.partitionCount() {
		n.cache.Forget(i)
	}
}

// now returns the latest that cluster time may be.
func (n *nearCache) now() int64 { return n.c.clock.latest(n.c.clock.now()) }

// moment returns the moment of a read that begins now.
func (n *nearCache) moment(partition int) (at nearcache.Moment) {
	at.Now = n.now()
	if s := n.stream.Load(); s != nil {
		at.Fresh = s.vouched(partition, n.c.table.Load())
	}
	return at
}

// begin begins a load of a key. The request comes after it.
func (n *nearCache) begin(partition int, key []byte) *nearcache.Load {
	l := n.cache.Begin(partition, key)
	if s := n.stream.Load(); s != nil {
		f := s.freshness(partition)
		l.From(nearcache.Place{Generation: f.at.generation, Pos: f.at.pos})
	}
	return l
}

// reached takes in up to where an owner had come at a read, and reports whether events of the partition are known to be missing.
func (n *nearCache) reached(cl *call, h *wire.CacheHead) (gap bool) {
	s := n.stream.Load()
	// The number comes from the network.
	if s == nil || h.Position.Partition != cl.req.Partition {
		return true
	}
	return !s.reached(cl.cluster, h)
}

// install ends a load with a result. value is what hits are to get.
func (n *nearCache) install(l *nearcache.Load, h *wire.CacheHead, r *wire.GetResult, value any, gap bool) {
	n.cache.Install(l, &nearcache.Answer{
		Place: nearcache.Place{Generation: wire.Stamp(h.Position.Epoch).Generation(), Pos: h.Position.Pos}, AsOf: h.Version,
		Found: r.Flags&wire.ResultFound != 0, Version: r.Version, Expires: r.Expires, MaxIdle: int64(min(r.MaxIdle, wire.Forever)),
		Value: value, Size: len(r.Value),
	}, n.now(), gap)
}

func (n *nearCache) stats() NearCacheStats {
	s := n.cache.Stats()
	return NearCacheStats{Entries: s.Entries, Bytes: s.Bytes, Hits: s.Hits, Misses: s.Misses, Invalidations: s.Invalidations,
		Repairs: n.repairs.Load(), Bypasses: s.Bypasses, Verified: n.verified.Load(), Stale: n.stale.Load(), MaxStaleness: s.MaxStaleness}
}
