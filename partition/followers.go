package partition

import (
	"slices"
	"sync"
	"time"
)

// aliveFor is how long a replica counts as alive after it was last heard. The log is not kept for a replica that is silent for longer. A
// leader hears from each several times a second.
const aliveFor = 5 * time.Second

// followers are the other replicas of a group, as far as this one has heard of them: a leader hears from all. Its methods may be called
// at any time.
type followers struct {
	sync.Mutex // guards the following
	list       []follower
}

type follower struct {
	id    uint64
	match uint64    // it has the log up to there, at least
	at    time.Time // when it was last heard
}

// heard notes that a replica was heard from, and that it has the log up to an index; 0 if it did not say.
func (f *followers) heard(id, index uint64, now time.Time) {
	f.Lock()
	defer f.Unlock()
	for i := range f.list {
		if o := &f.list[i]; o.id == id {
			// Answers may come out of order, and some do not say how far the log goes.
			o.match, o.at = max(o.match, index), now
			return
		}
	}

	// A group's replicas come and go. Those that are not heard any more would make the list grow for ever.
	f.list = slices.DeleteFunc(f.list, func(o follower) bool { return now.Sub(o.at) > aliveFor })
	f.list = append(f.list, follower{id, index, now})
}

// floor returns how far the slowest live replica is. before is the index in front of the log's first entry: a replica that is behind it
// does not count, because nothing that is kept helps it. False: there is none.
func (f *followers) floor(before uint64, now time.Time) (index uint64, ok bool) {
	f.Lock()
	defer f.Unlock()
	for i := range f.list {
		o := &f.list[i]
		if o.match < before || now.Sub(o.at) > aliveFor {
			// Nothing that is kept helps a replica that is behind the log, and the silent one may never return.
			continue
		}
		if !ok || o.match < index {
			index, ok = o.match, true
		}
	}
	return index, ok
}
