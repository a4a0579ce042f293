package maps

import (
	"maps"
	"sync"
	"sync/atomic"
)

// Counters counts what this member, as an owner, has answered for one map since it started.
type Counters struct {
	Hits   atomic.Uint64 // reads of keys that found an entry
	Misses atomic.Uint64 // that found none
}

// counterTable finds the counters of maps by name. Readers take no lock.
type counterTable struct {
	byName atomic.Pointer[map[string]*Counters]
	mu     sync.Mutex // serialises writers of byName
}

// get returns the counters of a map; nil if it has none yet and exists is false: reads of names that are no maps' leave nothing
// behind.
func (t *counterTable) get(name []byte, exists bool) *Counters {
	if m := t.byName.Load(); m != nil {
		if c := (*m)[string(name)]; c != nil {
			return c
		}
	}
	if !exists {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	next := make(map[string]*Counters)
	if m := t.byName.Load(); m != nil {
		if c := (*m)[string(name)]; c != nil {
			return c
		}
		next = maps.Clone(*m)
	}
	c := new(Counters)
	next[string(name)] = c
	t.byName.Store(&next)
	return c
}

// Counters returns the counters of a map, nil if none of its keys were read here while it existed. They are live.
func (s *Service) Counters(name string) *Counters { return s.counters.get([]byte(name), false) }
