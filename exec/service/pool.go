package service

import "container/list"

// pool is one executor's share of the member: how many of its tasks run, and those that wait. It exists while there are
// any. It has no goroutine of its own: a task that ends starts the next. All of it is guarded by Service.mu.
//
// Invariant: tasks wait only while running == size.
// Invariant: running <= size and waiting.Len() <= depth.
type pool struct {
	name    string
	size    int
	depth   int
	running int
	waiting list.List // of *job, in order of arrival
}

// idle reports whether the pool has no work and may go.
func (p *pool) idle() bool { return p.running == 0 && p.waiting.Len() == 0 }

// push appends j to those that wait.
func (p *pool) push(j *job) { j.place = p.waiting.PushBack(j) }

// pop returns the task that has waited longest.
func (p *pool) pop() *job {
	j := p.waiting.Remove(p.waiting.Front()).(*job)
	j.place = nil
	return j
}

// remove takes j out of those that wait and reports whether it was among them.
func (p *pool) remove(j *job) bool {
	if j.place == nil {
		return false
	}
	p.waiting.Remove(j.place)
	j.place = nil
	return true
}
