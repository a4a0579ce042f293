package service

import (
	"container/list"
	"time"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// resultOverhead is what a kept result is counted for besides its value and message, in bytes.
const resultOverhead = 256

// results decides how long finished tasks are remembered. Results that nobody has fetched have one time, fetched results another. Their
// number and their size are bounded. It knows their IDs and sizes only. Not safe for concurrent use.
//
// Invariant: each list is in order of expiry, since its elements get the same time to live as they enter.
// Invariant: bytes is the sum of the sizes in both lists; len(places) is the sum of their lengths.
type results struct {
	ttl        time.Duration
	fetchedTTL time.Duration
	maxCount   int
	maxBytes   int64

	unfetched list.List // of *kept
	fetched   list.List // of *kept
	places    map[wire.ID]*list.Element
	bytes     int64
}

type kept struct {
	id      wire.ID
	size    int64
	fetched bool
	expires time.Time
}

func newResults(cfg *Config) *results {
	return &results{ttl: cfg.ResultTTL, fetchedTTL: cfg.FetchedTTL, maxCount: cfg.MaxResults, maxBytes: cfg.MaxResultBytes,
		places: make(map[wire.ID]*list.Element)}
}

// len returns how many results are kept.
func (r *results) len() int { return len(r.places) }

// add keeps a new result of size bytes and returns those that must go for it. Results that were fetched longest ago go first, then those
// that have waited longest. The new result is among them only if it exceeds the limit alone.
func (r *results) add(id wire.ID, size int64, now time.Time) (dropped []wire.ID) {
	r.places[id] = r.unfetched.PushBack(&kept{id: id, size: size + resultOverhead, expires: now.Add(r.ttl)})
	r.bytes += size + resultOverhead

	// A result that was fetched is kept only for a repeated question, so it goes before those that nobody has seen.
	for len(r.places) > r.maxCount || r.bytes > r.maxBytes {
		oldest := r.fetched.Front()
		if oldest == nil {
			oldest = r.unfetched.Front()
		}
		dropped = append(dropped, r.drop(oldest))
	}
	return dropped
}

// fetch notes that a result was handed to its caller. Only the first time counts, so that asking again does not keep it.
func (r *results) fetch(id wire.ID, now time.Time) {
	at, ok := r.places[id]
	// Only the first fetch moves a result. Fetching it again and again must not keep it for ever.
	if !ok || at.Value.(*kept).fetched {
		return
	}

	k := r.unfetched.Remove(at).(*kept)
	k.fetched, k.expires = true, now.Add(r.fetchedTTL)
	r.places[id] = r.fetched.PushBack(k)
}

// expire forgets the results whose time is up and returns them.
func (r *results) expire(now time.Time) (dropped []wire.ID) {
	for _, l := range [...]*list.List{&r.fetched, &r.unfetched} {
		for at := l.Front(); at != nil && !at.Value.(*kept).expires.After(now); at = l.Front() {
			dropped = append(dropped, r.drop(at))
		}
	}
	return dropped
}

func (r *results) drop(at *list.Element) wire.ID {
	k := at.Value.(*kept)
	// A list element knows nothing of its list, so the mark says which one it is in.
	l := &r.unfetched
	if k.fetched {
		l = &r.fetched
	}

	l.Remove(at)
	delete(r.places, k.id)
	r.bytes -= k.size
	return k.id
}
