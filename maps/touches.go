package maps

import (
	"sync"

	"github.com/gridiron-io/gridiron/partition"
	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

const (
	// touchSoon is how long before an entry's end, in milliseconds, a use of it goes into the log at once. The next round of upkeep might come
	// too late.
	touchSoon = 2 * upkeepMillis
	// maxTouches bounds the uses of one partition that wait for a round of upkeep.
	maxTouches = 4096
	// maxTouchBytes is about how many bytes of keys one OpTouch has.
	maxTouchBytes = 128 << 10
)

// touches gathers the uses of one partition's entries that have a max-idle. They go into the log together. A use may be lost with an
// owner, or come too late. That costs an entry at most half of its max-idle: a later use is committed before the answer.
type touches struct {
	mu   sync.Mutex // guards the following
	used map[touched]int64
}

// touched is an entry that was used.
type touched struct{ name, key string }

// add notes a use at the given cluster time, and reports whether it is time to flush.
func (t *touches) add(name, key []byte, at int64) (full bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.used == nil {
		t.used = make(map[touched]int64)
	}
	// A later use is known, and only the latest counts.
	if was, ok := t.used[touched{string(name), string(key)}]; ok && was >= at {
		return false
	}

	t.used[touched{string(name), string(key)}] = at
	return len(t.used) >= maxTouches
}

// take returns what was noted and forgets it.
func (t *touches) take() map[touched]int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	used := t.used
	t.used = nil
	return used
}

// touchOps returns the operations by which uses go into the log.
func touchOps(used map[touched]int64) (ops []*entry.Op) {
	byMap := make(map[string]*wire.TouchBody)
	size := make(map[string]int)
	add := func(b *wire.TouchBody) {
		ops = append(ops, &entry.Op{Code: wire.OpTouch, Body: wire.AppendTouchBody(nil, b), Keys: len(b.Keys)})
	}

	for u, at := range used {
		b := byMap[u.name]
		if b == nil {
			b = &wire.TouchBody{Map: []byte(u.name)}
			byMap[u.name] = b
		}

		b.Keys, b.At = append(b.Keys, []byte(u.key)), append(b.At, at)
		// One operation must stay within the bounds of a body, so a long list makes several.
		if size[u.name] += len(u.key); size[u.name] >= maxTouchBytes || len(b.Keys) == wire.MaxKeys {
			add(b)
			delete(byMap, u.name)
			delete(size, u.name)
		}
	}

	// What is left of each map makes an operation of its own, however small.
	for _, b := range byMap {
		add(b)
	}
	return ops
}

// flushTouches puts the uses of a partition's entries into the log.
func (s *Service) flushTouches(p int) {
	used := s.touches[p].take()
	if len(used) == 0 {
		return
	}

	for _, op := range touchOps(used) {
		// A use that is lost costs little, see touches. So nobody waits for the outcome.
		s.cfg.Host.Submit(p, op, unheard{})
	}
	s.cfg.Host.Flush(p)
}

// unheard is the Completion of operations whose outcome does not matter.
type unheard struct{}

// Complete does nothing.
func (unheard) Complete(partition.Outcome, entry.Result) {}
