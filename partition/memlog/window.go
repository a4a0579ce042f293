package memlog

import (
	"fmt"
	"unsafe"

	pb "github.com/lni/dragonboat/v4/raftpb"
)

const (
	// entryBytes is what an entry takes besides its Cmd.
	entryBytes = int64(unsafe.Sizeof(pb.Entry{}))

	// smallest is the capacity in entries up to which an array is never given back.
	smallest = 16
)

// window is the contiguous part of a log that is still there. The zero window is a log without entries that begins at 1.
// It is not safe for concurrent use.
//
// Appending is amortised as in a slice. Removing from the front clears what is removed, so that the garbage collector can free
// its bytes at once. If the rest is the smaller part, it is moved down: a log that is cut as fast as it grows lives in one
// array. An array of which less than an eighth is needed is replaced by a smaller one.
type window struct {
	// Invariant: buf[:head] is zero, and buf[head+i].Index == prev+1+i.
	// Invariant: after a removal head is 0 or less than the number of entries.
	// Invariant: what is between len(buf) and cap(buf) is zero.
	buf  []pb.Entry
	head int

	// prev is the index before the first entry: the last that was removed, or the snapshot that replaced the log.
	prev uint64
	// prevTerm is the term of the entry before; 0 if it is not known.
	prevTerm uint64

	// Invariant: bytes == sizeOf(buf[head:]).
	bytes int64
}

// live returns the entries. They are the window's own: copy what leaves the lock.
func (w *window) live() []pb.Entry { return w.buf[w.head:] }

// first returns the index of the first entry, also where it is still to come.
func (w *window) first() uint64 { return w.prev + 1 }

// last returns the index of the last entry; of an empty log, the one before the next.
func (w *window) last() uint64 { return w.prev + uint64(len(w.live())) }

// between returns the entries in [low, high) as far as they are there; none if low itself is not. They are the window's own.
func (w *window) between(low, high uint64) []pb.Entry {
	high = min(high, w.last()+1)
	if low <= w.prev || low >= high {
		// A part that begins later than asked would look as if the log had a hole.
		return nil
	}
	return w.live()[low-w.prev-1 : high-w.prev-1]
}

// put writes ents, of which there is at least one. They replace the log from the first of them on.
// REQUIRES: checkFollows(ents, w.last()) == nil.
func (w *window) put(ents []pb.Entry) {
	// Entries before the window replace all of it. The term of the entry before them is not known.
	if first := ents[0].Index; first <= w.prev {
		w.reset(first-1, 0)
	} else {
		w.cut(first)
	}

	w.buf = append(w.buf, ents...)
	w.bytes += sizeOf(ents)
}

// removeTo removes the entries up to and including index.
func (w *window) removeTo(index uint64) {
	if index <= w.prev {
		return
	}

	dead := w.live()[:min(index, w.last())-w.prev]
	// The term before the first entry is still asked for: see term.
	if len(dead) > 0 {
		w.prevTerm = dead[len(dead)-1].Term
	}

	w.bytes -= sizeOf(dead)
	clear(dead)
	w.head += len(dead)
	w.prev += uint64(len(dead))

	live := w.live()
	switch {
	case cap(w.buf) > smallest && len(live) < cap(w.buf)/8:
		// The array has grown for a much longer log. The smaller one has room for as much again.
		w.buf, w.head = append(make([]pb.Entry, 0, 2*len(live)), live...), 0
	case w.head >= len(live):
		// No more entries are moved than were removed, so a removal stays cheap on average.
		copy(w.buf, live)
		clear(w.buf[len(live):])
		w.buf, w.head = w.buf[:len(live)], 0
	}
}

// reset drops all entries. The next one is prev+1, and prev is of the given term.
func (w *window) reset(prev, term uint64) { *w = window{prev: prev, prevTerm: term} }

// term returns the term of an entry, or of the one before the first; 0 if it is not known.
func (w *window) term(index uint64) uint64 {
	if index == w.prev {
		// A state snapshot may end there: see DB.Since.
		return w.prevTerm
	}
	if e := w.between(index, index+1); len(e) > 0 {
		return e[0].Term
	}
	return 0
}

// cut drops the entries from index on. REQUIRES: w.prev < index <= w.last()+1.
func (w *window) cut(index uint64) {
	keep := int(index - w.prev - 1)
	dead := w.live()[keep:]
	w.bytes -= sizeOf(dead)
	// The array stays, and must not keep the commands alive.
	clear(dead)
	w.buf = w.buf[:w.head+keep]
}

// checkFollows returns ErrHole if ents do not follow each other or begin after end+1.
func checkFollows(ents []pb.Entry, end uint64) error {
	if len(ents) == 0 {
		return nil
	}
	first := ents[0].Index
	if first == 0 || first > end+1 {
		// Index 0 is none, and an entry that begins later than after the end leaves a hole.
		return fmt.Errorf("%w: entries from %d on after %d", ErrHole, first, end)
	}
	for i := range ents {
		if want := first + uint64(i); ents[i].Index != want {
			return fmt.Errorf("%w: entry %d where %d should be", ErrHole, ents[i].Index, want)
		}
	}
	return nil
}

// sizeOf returns the bytes that ents take.
func sizeOf(ents []pb.Entry) int64 {
	n := entryBytes * int64(len(ents))
	for i := range ents {
		n += int64(len(ents[i].Cmd))
	}
	return n
}
