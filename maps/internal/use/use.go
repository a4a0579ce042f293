// Package use counts how often an entry was read in this process, and when last, in one word beside the entry.
//
// It owns the meaning of that word, and must not know what an entry is or where the word stands. The word is not replicated, so it may change
// while others read the state: it is read and written atomically.
package use

import "sync/atomic"

// Word is the use of an entry:
//
//	reads (24 bits) · milliseconds from the entry's creation to the last read (40 bits)
//
// Both stop at the largest number that they can show. Only an owner reads entries for callers. So the use counts from the time that this
// process owns the partition, or holds the entry, and another owner counts from zero.
type Word uint64

const (
	timeBits  = 40
	timeLimit = 1<<timeBits - 1
	readLimit = 1<<(64-timeBits) - 1
)

// Count counts a read, at now milliseconds of cluster time, of an entry with the given creation time.
func (w *Word) Count(created, now int64) {
	for {
		was := w.load()
		reads := min(was>>timeBits+1, readLimit)
		at := max(was&timeLimit, uint64(min(max(now-created, 0), timeLimit)))
		if atomic.CompareAndSwapUint64((*uint64)(w), was, reads<<timeBits|at) {
			return
		}
	}
}

// Hits returns how often the entry was read.
func (w *Word) Hits() uint64 { return w.load() >> timeBits }

// Last returns when the entry with the given creation time was read last, and false if it never was.
func (w *Word) Last(created int64) (at int64, read bool) {
	u := w.load()
	return created + int64(u&timeLimit), u>>timeBits != 0
}

func (w *Word) load() uint64 { return atomic.LoadUint64((*uint64)(w)) }
