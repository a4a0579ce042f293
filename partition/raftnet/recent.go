package raftnet

import (
	"time"

	"github.com/lni/dragonboat/v4/raftio"
)

// recent is what was last noted of each replica, for as long as that matters. Without a bound it would remember every replica that ever was.
type recent[T any] struct {
	of      map[raftio.NodeInfo]T
	at      func(T) time.Time // when it was noted
	keep    time.Duration     // what is as old as that may be forgotten
	sweepAt int               // size at which it is
}

const minSweep = 1024

func newRecent[T any](keep time.Duration, at func(T) time.Time) recent[T] {
	return recent[T]{of: make(map[raftio.NodeInfo]T), at: at, keep: keep, sweepAt: minSweep}
}

// note remembers v, and forgets what is old.
func (r *recent[T]) note(replica raftio.NodeInfo, v T, now time.Time) {
	if len(r.of) >= r.sweepAt {
		r.sweep(now)
	}
	r.of[replica] = v
}

func (r *recent[T]) sweep(now time.Time) {
	for k, v := range r.of {
		if now.Sub(r.at(v)) >= r.keep {
			delete(r.of, k)
		}
	}

	// Twice what is left, so that the cost of a sweep is spread over as many new replicas.
	r.sweepAt = max(minSweep, 2*len(r.of))
}
