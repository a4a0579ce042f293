package state

import (
	"unsafe"

	"github.com/gridiron-io/gridiron/maps/internal/use"
)

// useSize is the size of an entry's use: one word behind the entry in which reads keep what they have seen of the entry. Nothing
// else about an entry is outside the replicated state: the use is not in a snapshot and not in the hash, and Apply never depends on it. An
// entry begins with zero; one that is written over hands its use on.
const useSize = 8

// useOffset returns where the use stands behind n bytes of an entry.
func useOffset(n int) int { return (n + useSize - 1) &^ (useSize - 1) }

// use returns where the entry's use stands. The allocator aligns what is larger than two words to one word at least.
func (e item) use() *use.Word {
	return (*use.Word)(unsafe.Add(unsafe.Pointer(e.data), useOffset(e.size())))
}

// inherit gives a new entry the use of the entry that it replaces. REQUIRES that nobody else knows the new entry yet.
func (e item) inherit(from item) {
	if from.data != nil {
		*e.use() = *from.use()
	}
}

// Hits returns how often the entry was read in this process.
func (v *Entry) Hits() uint64 { return v.Use.Hits() }

// ReadSinceWritten reports whether the entry was read here at, or after, the time of its last write.
func (v *Entry) ReadSinceWritten() bool {
	at, read := v.Use.Last(v.Created)
	return read && at >= max(v.Updated, v.Touched)
}

// Accessed returns when the entry was last written, or read, as far as is known here.
func (v *Entry) Accessed() int64 {
	written := max(v.Updated, v.Touched)
	if at, read := v.Use.Last(v.Created); read {
		return max(at, written)
	}
	return written
}
