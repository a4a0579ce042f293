package wire

import "math/bits"

// OpMapStats asks what a member has counted for a map: MapBody -> MapCounts.
const OpMapStats Op = 6

var mapStatsOps = []Descriptor{
	{Op: OpMapStats, Name: "map_stats", Kind: KindMember, Repeatable: true},
}

// LatencyBuckets is how many buckets a histogram of latencies has.
const LatencyBuckets = 54

// LatencyBucket returns the bucket that a latency in microseconds is counted in. Bucket 0 is below one microsecond; from there on
// each power of two is two buckets, and the last takes all that is longer.
func LatencyBucket(micros uint64) int {
	if micros == 0 {
		return 0
	}

	// The highest bit gives the power of two, and the next bit its half.
	k := bits.Len64(micros) - 1
	at := 1 + 2*k
	if k > 0 {
		at += int(micros >> (k - 1) & 1)
	}

	return min(at, LatencyBuckets-1)
}

// LatencyBound returns the first latency in microseconds that is too long for a bucket.
func LatencyBound(bucket int) uint64 {
	if bucket == 0 {
		return 1
	}
	k := uint((bucket - 1) / 2)
	if (bucket-1)%2 == 0 {
		return max(2, uint64(3)<<k>>1)
	}
	return uint64(2) << k
}

// OpStats counts one operation.
type OpStats struct {
	Op      Op
	Nanos   uint64   // that all of them took at the owner
	Buckets []uint64 // how many took how long, LatencyBuckets or fewer: those left out are 0
}

// MapCounts are counts of one map at one member: of the entries that it owns now, and of what it has done for the map as an owner
// since its process was started.
type MapCounts struct {
	Entries uint64
	Bytes   uint64
	Locks   uint64 // that are held

	Hits    uint64 // reads of keys that found an entry
	Misses  uint64 // that found none
	Expired uint64 // entries whose time came
	Evicted uint64
	Events  uint64 // changes of which listeners hear
	Ops     []OpStats

	Remembered uint64 // bytes of results kept for calls that may be repeated, of all maps in the partitions owned

	EventsKept     uint64 // events in the rings of the partitions owned
	EventsKeptSize uint64 // bytes that these are counted with
	Published      uint64 // events that were sent to listeners over NATS
	Repairs        uint64 // answers to listeners that asked for what they had missed
	Lost           uint64 // losses that these told of
	Listeners      uint64 // subscriptions of clients of which the member knows
	ExpiryLag      uint64 // the most milliseconds that an expired entry has waited to be removed
}

func (m *MapCounts) numbers() []*uint64 {
	return []*uint64{&m.Entries, &m.Bytes, &m.Locks, &m.Hits, &m.Misses, &m.Expired, &m.Evicted, &m.Events, &m.Remembered,
		&m.EventsKept, &m.EventsKeptSize, &m.Published, &m.Repairs, &m.Lost, &m.Listeners, &m.ExpiryLag}
}

// AppendMapCounts appends m.
func AppendMapCounts(dst []byte, m *MapCounts) []byte {
	for _, n := range m.numbers() {
		dst = AppendUvarint(dst, *n)
	}

	dst = AppendUvarint(dst, uint64(len(m.Ops)))
	for i := range m.Ops {
		o := &m.Ops[i]
		dst = AppendUvarint(append(dst, byte(o.Op)), o.Nanos)
		dst = AppendUvarint(dst, uint64(len(o.Buckets)))
		for _, n := range o.Buckets {
			dst = AppendUvarint(dst, n)
		}
	}
	return dst
}

// DecodeMapCounts reads what AppendMapCounts wrote.
func DecodeMapCounts(b []byte) (m MapCounts, err error) {
	r := NewReader(b)
	for _, n := range m.numbers() {
		*n = r.Uvarint()
	}

	if n := r.Count(3); n > 0 {
		m.Ops = make([]OpStats, n)
	}
	for i := range m.Ops {
		o := &m.Ops[i]
		o.Op, o.Nanos = Op(r.U8()), r.Uvarint()
		n := r.Count(1)
		// A later version may count in more buckets, which could not be told apart here.
		if n > LatencyBuckets {
			r.Fail("%d buckets of latencies, at most %d are possible", n, LatencyBuckets)
			break
		}
		if n > 0 {
			o.Buckets = make([]uint64, n)
		}
		for j := range o.Buckets {
			o.Buckets[j] = r.Uvarint()
		}
	}

	if err := r.Done(); err != nil {
		return MapCounts{}, err
	}
	return m, nil
}
