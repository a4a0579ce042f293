package maps

import (
	"cmp"
	"math/rand/v2"
	"slices"

	"github.com/gridiron-io/gridiron/partition"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

const (
	// sampleWhole is the number of entries up to which a map is looked at whole: then the policy is kept exactly.
	sampleWhole = 4096
	// sampleEach is how many entries are looked at for each that is evicted, where there are more.
	sampleEach = 8
	// samplePartition bounds the entries that are looked at in one partition: it is locked for reading meanwhile.
	samplePartition = 2048
	// freshMillis is how long LFU spares an entry that was just written or read, if there are others. Its writer may be about to read it, and
	// a new entry cannot have been used often. LRU needs no such rule: it takes fresh entries last.
	freshMillis = 20
)

// held is how much of a map one partition has.
type held struct {
	partition, entries int
}

// candidate is an entry that may be evicted.
type candidate struct {
	partition int
	key       []byte
	version   uint64
	cost      int
	young     bool
	rank      [2]int64 // the lower goes first
}

// sample looks at about n of a map's entries, spread over its partitions like the entries are, and at none twice. If the map has at most n
// entries it looks at all of them, up to samplePartition in each partition.
func (s *Service) sample(b *bound, policy wire.EvictionPolicy, parts []held, n int) (list []candidate) {
	total := 0
	for _, p := range parts {
		total += p.entries
	}

	now := s.cfg.Now()
	for _, p := range parts {
		want := p.entries
		if n < total {
			// Rounded up: a partition with few entries must not be spared for ever.
			want = (n*p.entries + total - 1) / total
		}

		want = min(want, samplePartition)
		s.cfg.Host.Inspect(p.partition, func(m partition.Machine) {
			st := stateOf(m)
			// The number may have changed since the map was measured.
			there := st.Stats(b.name).Held
			for i := range min(want, there) {
				at := i
				if there > want { // one of each stretch of the order of entries
					from, to := i*there/want, (i+1)*there/want
					at = from + rand.IntN(to-from)
				}

				key, v, ok := st.Candidate(b.name, at)
				// The entry that was written last stays: its writer has just been told that it is stored.
				if !ok || b.isLast(p.partition, v.Version) {
					continue
				}

				c := candidate{partition: p.partition, key: key, version: v.Version, cost: v.Cost}
				if policy == wire.EvictLFU {
					c.young = v.Accessed() >= now-freshMillis
					c.rank = [2]int64{int64(v.Hits()), v.Accessed()}
				} else {
					c.rank[0] = v.Accessed()
					// Within one millisecond, written entries go before read ones: a cache that is being filled must not lose the
					// entries that are asked for.
					if v.ReadSinceWritten() {
						c.rank[1] = 1
					}
				}

				list = append(list, c)
			}
		})
	}
	return list
}

// choose returns the entries of a sample that must be evicted: at least so many entries, and at least so many bytes. It reorders the sample.
func choose(list []candidate, entries, bytes int64) []candidate {
	slices.SortFunc(list, func(a, b candidate) int {
		// Young entries come last, so they go only where nothing else is left.
		if a.young != b.young {
			if a.young {
				return 1
			}
			return -1
		}
		return cmp.Or(cmp.Compare(a.rank[0], b.rank[0]), cmp.Compare(a.rank[1], b.rank[1]), cmp.Compare(a.version, b.version))
	})

	for i, c := range list {
		// Both bounds must be met, whichever needs more victims.
		if int64(i) >= entries && bytes <= 0 {
			return list[:i]
		}
		bytes -= int64(c.cost)
	}
	return list
}
