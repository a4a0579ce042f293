package maps

import (
	"sync/atomic"

	"github.com/gridiron-io/gridiron/maps/state"
)

// The use of an entry, as it stands beside the entry in this process's memory, is
//
//	reads (24 bits) · milliseconds from the entry's creation to the last read (40 bits)
//
// Both stop at the largest number that they can show. Only an owner reads entries for callers. So the use counts from the time that this
// process owns the partition, or holds the entry, and another owner counts from zero.
const (
	useTimeBits  = 40
	useTimeLimit = 1<<useTimeBits - 1
	useReadLimit = 1<<(64-useTimeBits) - 1
)

// used counts a read of the entry v, at now milliseconds of cluster time. Like all of this file it REQUIRES that the state may be read.
func used(v *state.Entry, now int64) {
	for {
		was := atomic.LoadUint64(v.Use)
		reads := min(was>>useTimeBits+1, useReadLimit)
		at := max(was&useTimeLimit, uint64(min(max(now-v.Created, 0), useTimeLimit)))
		if atomic.CompareAndSwapUint64(v.Use, was, reads<<useTimeBits|at) {
			return
		}
	}
}

// hits returns how often the entry that v shows was read here.
func hits(v *state.Entry) uint64 { return atomic.LoadUint64(v.Use) >> useTimeBits }

// readSinceWritten reports whether the entry that v shows was read here at, or after, the time of its last write.
func readSinceWritten(v *state.Entry) bool {
	u := atomic.LoadUint64(v.Use)
	return u>>useTimeBits != 0 && v.Created+int64(u&useTimeLimit) >= max(v.Updated, v.Touched)
}

// accessed returns when the entry that v shows was last written, or read, as far as is known here.
func accessed(v *state.Entry) int64 {
	at := max(v.Updated, v.Touched)
	if u := atomic.LoadUint64(v.Use); u>>useTimeBits != 0 {
		at = max(at, v.Created+int64(u&useTimeLimit))
	}
	return at
}
