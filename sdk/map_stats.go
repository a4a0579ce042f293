package sdk

import (
	"context"
	"time"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// MapCounts are counts of a map: of its entries now, and of what owners have done for it since their processes started. If the
// map is configured not to be counted, only Entries, Bytes, Locks, EventsKept, EventsKeptSize and Listeners are.
type MapCounts struct {
	Entries int
	Bytes   int64 // of memory at the entries' owners
	Locks   int   // held now

	Hits        uint64 // reads of keys that found an entry
	Misses      uint64 // reads of keys that found none
	Expirations uint64 // entries that expired
	Evictions   uint64
	Events      uint64 // changes that listeners can get

	Operations map[string]OperationStats // by name, as in spans: get, set, put_if_absent, …

	// Remembered is how many bytes of results the members keep for repeated calls. It counts all maps in the partitions that they
	// own.
	Remembered int64

	EventsKept     int    // events that partitions keep for listeners that are behind
	EventsKeptSize int64  // bytes that these are counted with
	Published      uint64 // events that were sent to listeners; none of maps that nobody listens to
	Repairs        uint64 // answers to listeners and near caches that asked for what they had missed
	Lost           uint64 // losses that these told of
	// Listeners is how many subscriptions of clients the member knows of. Clients tell every member, so the sum over members is the most
	// that one knows of.
	Listeners int
	// ExpiryLag is the longest time that an expired entry has waited to be removed, and listeners to hear of it. Nobody has read the
	// entry meanwhile. Of several members it is the longest.
	ExpiryLag time.Duration
}

// MapStats are the counts of a map: the sums over all members, and each member's own.
type MapStats struct {
	Name string
	MapCounts
	Members map[string]MapCounts // by member ID
}

// OperationStats says how often an operation was executed and how long that took at the owners, from reading the request to
// answering it.
type OperationStats struct {
	Count   uint64
	Time    time.Duration // all of them together
	buckets [wire.LatencyBuckets]uint64
}

// Mean returns the average duration.
func (o OperationStats) Mean() time.Duration {
	if o.Count == 0 {
		return 0
	}
	return o.Time / time.Duration(o.Count)
}

// Quantile returns the duration that a share q of the executions, such as 0.99, did not exceed. It is exact to within a third.
func (o OperationStats) Quantile(q float64) time.Duration {
	rank := q * float64(o.Count)
	below, low := 0.0, uint64(0)
	for i, n := range o.buckets {
		high := wire.LatencyBound(i)
		if n > 0 && below+float64(n) >= rank {
			// Within a bucket, durations are taken to be spread evenly.
			share := min(1, max(0, (rank-below)/float64(n)))
			return time.Duration((float64(low) + share*float64(high-low)) * float64(time.Microsecond))
		}
		below, low = below+float64(n), high
	}
	return 0
}

// Plus returns the sum of o and p.
func (o OperationStats) Plus(p OperationStats) OperationStats {
	o.Count, o.Time = o.Count+p.Count, o.Time+p.Time
	for i, n := range p.buckets {
		o.buckets[i] += n
	}
	return o
}

func mapCountsOf(c *wire.MapCounts) MapCounts {
	out := MapCounts{Entries: int(c.Entries), Bytes: int64(c.Bytes), Locks: int(c.Locks), Hits: c.Hits, Misses: c.Misses,
		Expirations: c.Expired, Evictions: c.Evicted, Events: c.Events, Remembered: int64(c.Remembered),
		EventsKept: int(c.EventsKept), EventsKeptSize: int64(c.EventsKeptSize), Published: c.Published, Repairs: c.Repairs, Lost: c.Lost,
		Listeners: int(c.Listeners), ExpiryLag: duration(c.ExpiryLag), Operations: make(map[string]OperationStats)}
	for i := range c.Ops {
		o := OperationStats{Time: time.Duration(c.Ops[i].Nanos)}
		for b, n := range c.Ops[i].Buckets {
			o.buckets[b] = n
			// Every execution is in one bucket, so the buckets make the count.
			o.Count += n
		}
		out.Operations[c.Ops[i].Op.String()] = o
	}
	return out
}

// add adds the counts of another member.
func (c *MapCounts) add(o *MapCounts) {
	c.Entries += o.Entries
	c.Bytes += o.Bytes
	c.Locks += o.Locks
	c.Hits += o.Hits
	c.Misses += o.Misses
	c.Expirations += o.Expirations
	c.Evictions += o.Evictions
	c.Events += o.Events
	c.Remembered += o.Remembered
	c.EventsKept += o.EventsKept
	c.EventsKeptSize += o.EventsKeptSize
	c.Published += o.Published
	c.Repairs += o.Repairs
	c.Lost += o.Lost
	c.Listeners = max(c.Listeners, o.Listeners)
	c.ExpiryLag = max(c.ExpiryLag, o.ExpiryLag)
	if c.Operations == nil {
		c.Operations = make(map[string]OperationStats)
	}
	for name, s := range o.Operations {
		c.Operations[name] = c.Operations[name].Plus(s)
	}
}

// Stats returns what the members have counted for the map. See [Client.MapStats].
func (m *Map[K, V]) Stats(ctx context.Context) (MapStats, error) { return m.c.MapStats(ctx, m.name) }

// MapStats returns what the members have counted for the map with a name. It asks all members at the same time, and partitions
// may move meanwhile, so the sums are of no single instant. A member's counts end with its process. Members that do not answer
// are left out of the sums and of Members. If none answers, the error is ErrUnavailable.
func (c *Client) MapStats(ctx context.Context, name string) (stats MapStats, err error) {
	ctx, span := c.tracer.start(ctx, wire.OpMapStats.String(), name)
	defer func() { endSpan(span, err) }()

	if err := wire.CheckMapName(name); err != nil {
		return MapStats{}, wireError(wire.OpMapStats.String(), name, err)
	}

	err = c.repeatedly(ctx, wire.OpMapStats, func(ctx context.Context) error {
		// Each round begins from zero, or members that answered in an earlier round would be counted twice.
		stats = MapStats{Name: name, Members: make(map[string]MapCounts)}
		stats.Operations = make(map[string]OperationStats)
		answered, err := c.askAll(ctx, wire.OpMapStats, wire.AppendMapBody(nil, name), func(member wire.ID, body []byte) error {
			counts, err := wire.DecodeMapCounts(body)
			one := mapCountsOf(&counts)
			stats.Members[member.String()] = one
			stats.add(&one)
			return err
		})

		// Some members have answered, and those that did not are left out, as the contract says.
		if answered > 0 && unanswered(err) {
			return nil
		}
		return err
	})
	if err != nil {
		return MapStats{}, err
	}
	return stats, nil
}
