package benchmarks

import (
	"context"
	"sync/atomic"
	"time"
)

// pace says when operations begin, and when callers end: after a number of operations if one is set, else at a time.
//
// Without a rate a caller begins whenever it is free. With a rate, operations are due at fixed times, one every 1/rate seconds from start
// on. The next free caller takes the next operation. So operations begin on time while any caller is free, however long answers take. An
// operation that finds no free caller begins later, and its latency still counts from the time at which it was due.
type pace struct {
	start      time.Time
	operations int64
	at         time.Time
	rate       int64        // operations per second; 0: none
	taken      atomic.Int64 // operations so far, and one more for each caller that has ended
	late       atomic.Int64 // operations for which no caller was free when their time had come
}

// next waits for the next operation of a caller that has been free since a time. It returns the time from which the operation's latency
// counts. ok is false if there are no more operations or ctx has ended.
func (p *pace) next(ctx context.Context, free time.Time) (from time.Time, ok bool) {
	if ctx.Err() != nil {
		return free, false
	}

	// A closed load: the caller begins as soon as it is free, until the number or the time is reached.
	if p.rate == 0 {
		if p.operations > 0 {
			return free, p.taken.Add(1) <= p.operations
		}
		return free, free.Before(p.at)
	}

	// An open load: operation n has a time of its own, whoever takes it.
	n := p.taken.Add(1) - 1
	due := p.start.Add(p.offset(n))

	if p.operations > 0 {
		ok = n < p.operations
	} else {
		ok = due.Before(p.at) && free.Before(p.at)
	}

	if !ok {
		return due, false
	}

	// No caller was free in time. The latency counts from the due time all the same: a user would have waited too.
	if free.After(due) {
		p.late.Add(1)
		return due, true
	}

	return due, Wait(ctx, time.Until(due)) == nil
}

// Wait returns after a time, or with ctx's cause if ctx ends before.
func Wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// offset returns the time of the n-th operation, counted from 0, after start.
func (p *pace) offset(n int64) time.Duration {
	const second = int64(time.Second)
	return time.Duration(n/p.rate*second + n%p.rate*second/p.rate)
}

// planned returns how many operations have their time before the end. REQUIRES a rate.
func (p *pace) planned() int64 {
	if p.operations > 0 {
		return p.operations
	}
	const second = int64(time.Second)
	d := max(0, int64(p.at.Sub(p.start)))
	return d/second*p.rate + (d%second*p.rate+second-1)/second
}
