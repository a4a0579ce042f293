package exec

import (
	"bytes"
	"runtime"
	"strconv"
	"time"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// waits is what a task's context tells of its waiting for other tasks. It implements sdk.TaskWaits.
type waits struct {
	s         *Service
	j         *job
	goroutine uint64 // that runs the task's function
}

// waiting is one wait of a task's function.
type waiting struct {
	tasks []wire.ID // any one of them ends it
	until time.Time // when it ends by itself; zero: never
	stuck chan struct{}
}

// before reports whether w ends by itself before other does.
func (w *waiting) before(other *waiting) bool {
	return !w.until.IsZero() && (other.until.IsZero() || w.until.Before(other.until))
}

// Await implements sdk.TaskWaits.
//
// NOTE: a wait on another goroutine than that of the task's function is passed over: the function may return without it, and give its
// place back.
func (w *waits) Await(tasks []wire.ID, until time.Time) (stuck <-chan struct{}, leave func()) {
	if len(tasks) == 0 || goroutineID() != w.goroutine {
		return nil, func() {}
	}
	this := &waiting{tasks: tasks, until: until, stuck: make(chan struct{})}
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	w.j.waits = this
	w.s.breakLocked(w.j)
	return this.stuck, func() {
		w.s.mu.Lock()
		defer w.s.mu.Unlock()
		if w.j.waits == this {
			w.j.waits = nil
		}
	}
}

// breakLocked ends one wait if that of j, which has just begun, makes a pool such that nothing in it can go on. Of all waits that hang on
// each other it is the one that ends by itself first, and so cannot be told its outcome whatever happens; of those without an end it is
// j's. REQUIRES mu.
func (s *Service) breakLocked(j *job) {
	waiters := make(map[*job]bool) // those of which it is not known that they can go on
	blocked := make(map[string]int)
	for _, other := range s.mu.jobs {
		if other.waits != nil && !other.settled { // the context of one that is settled has ended
			waiters[other] = true
			blocked[other.executor]++
		}
	}
	// A pool moves as long as one of its tasks does.
	moves := func(executor string) bool {
		p := s.mu.pools[executor]
		return p == nil || blocked[executor] < p.running
	}
	for changed := true; changed; {
		changed = false
		for w := range waiters {
			for _, id := range w.waits.tasks {
				t, known := s.mu.jobs[id]
				// What is not known here runs elsewhere, or its outcome is on its way.
				if !known || t.settled || t.place != nil && moves(t.executor) || t.place == nil && !waiters[t] {
					delete(waiters, w)
					blocked[w.executor]--
					changed = true
					break
				}
			}
		}
	}
	if !waiters[j] {
		return
	}

	// Who waits for the pools that hang on each other, but in none of them, is helped by ending another's wait.
	reached := map[string]bool{j.executor: true}
	for pools := []string{j.executor}; len(pools) > 0; pools = pools[1:] {
		for w := range waiters {
			if w.executor != pools[0] {
				continue
			}
			for _, id := range w.waits.tasks {
				if t := s.mu.jobs[id]; !reached[t.executor] {
					reached[t.executor] = true
					pools = append(pools, t.executor)
				}
			}
		}
	}
	first := j
	for w := range waiters {
		if reached[w.executor] && w.waits.before(first.waits) {
			first = w
		}
	}
	close(first.waits.stuck)
	first.waits = nil
}

// goroutineID returns the number by which the runtime knows the calling goroutine. It has no other way to be learned than from the head
// of a stack, "goroutine 7 [running]:". 0, which no goroutine has, is a runtime that writes it in another way: then two calls agree, and
// waits on other goroutines count too.
func goroutineID() uint64 {
	var buf [64]byte
	head := bytes.Fields(buf[:runtime.Stack(buf[:], false)])
	if len(head) < 2 {
		return 0
	}
	id, err := strconv.ParseUint(string(head[1]), 10, 64)
	if err != nil {
		return 0
	}
	return id
}
