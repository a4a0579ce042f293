package service

import (
	"bytes"
	"runtime"
	"strconv"
	"time"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// waits is what a task's context tells of its waiting for other tasks. It implements taskwait.Listener.
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

// Await implements taskwait.Listener.
//
// NOTE: a wait on another goroutine than the function's own does not count: the function may return without the wait, and give its place
// back.
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

		// The wait may have been ended as stuck, and the function may wait for something else by now.
		if w.j.waits == this {
			w.j.waits = nil
		}
	}
}

// breakLocked ends one wait if the wait of j, which has just begun, leaves a pool in which nothing can go on. Among the waits that depend
// on each other it ends the wait that would end by itself first. That wait cannot get its outcome whatever happens. If none of them has an
// end, it ends the wait of j. REQUIRES mu.
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

	// A task that can go on frees those that wait for it. When nothing changes any more, those that are left wait for each other.
	for changed := true; changed; {
		changed = false
		for w := range waiters {
			for _, id := range w.waits.tasks {
				t, known := s.mu.jobs[id]
				// A task that is not known here runs elsewhere, or its outcome is on its way.
				if !known || t.settled || t.place != nil && moves(t.executor) || t.place == nil && !waiters[t] {
					delete(waiters, w)
					blocked[w.executor]--
					changed = true
					break
				}
			}
		}
	}

	// Only the wait that has just begun can have completed a circle.
	if !waiters[j] {
		return
	}

	// Only a wait inside these pools may be ended. A task outside, which waits for one of them, goes on once they move.
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

// goroutineID returns the number by which the runtime knows the calling goroutine. Only the head of a stack shows the number: "goroutine 7
// [running]:". No goroutine has the number 0. It stands for a runtime that writes the head in another way. All calls agree then, so waits
// on other goroutines count too.
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
