package sdk

import (
	"sync/atomic"
	"time"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// SubscriptionState says how a subscription is.
type SubscriptionState string

const (
	// SubscriptionLive means that nothing is known to be missing, and that the members are heard.
	SubscriptionLive SubscriptionState = "live"
	// SubscriptionRepairing means that events are missing, or may be, and that their owners are asked for them. Messages were lost, a partition
	// has another owner, there is no connection for events, or the listener is so slow that events no longer fit into this process.
	SubscriptionRepairing SubscriptionState = "repairing"
	// SubscriptionLost means that events were lost, and that the listener does not know yet: the call of Lost has not returned.
	SubscriptionLost SubscriptionState = "lost"
	// SubscriptionClosed means that nothing more will come.
	SubscriptionClosed SubscriptionState = "closed"
)

// State returns the state of the subscription, and since when it has been in it, on this machine's clock. A gap that closes by itself within
// 50 milliseconds counts as live. State does no I/O.
func (s *Subscription) State() (SubscriptionState, time.Time) {
	state, at := s.stream.state()
	return state, s.stream.c.clock.base.Add(time.Duration(at))
}

// standing is what a stream can tell of itself. It belongs to the stream's mu, but for what is atomic.
type standing struct {
	of        atomic.Pointer[wire.ID] // the cluster whose events it brings
	startedAt int64                   // when the trackers were started
	closedAt  int64
	losses    losses
	fresh     freshnesses // nil without deliver
}

// losses counts the LOST events of a stream. It belongs to the stream's mu.
type losses struct {
	queued uint64 // that were queued
	told   uint64 // of them, those that the listener has been told of, or never will be
	since  int64  // when the first was queued of those that it was not told of
	toldAt int64  // when it was last told of one
}

// add counts one that was queued.
func (l *losses) add(now int64) {
	if l.queued == l.told {
		l.since = now
	}
	l.queued++
}

// tell notes that the listener has been told of the first so many.
func (l *losses) tell(now int64, told uint64) {
	if told > l.told {
		l.told, l.toldAt = told, now
	}
}

// toldLost notes that the listener has been told of a LOST event.
func (s *eventStream) toldLost(e *queuedEvent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.losses.tell(s.c.clock.now(), e.Seq)
}

// state returns the state of the stream, and since when.
func (s *eventStream) state() (state SubscriptionState, since int64) {
	now := s.c.clock.now()
	up, changed := s.hub.connected(now) // before the lock, which comes after the hub's
	s.mu.Lock()
	defer s.mu.Unlock()

	switch {
	case s.err != nil:
		return SubscriptionClosed, s.closedAt
	case s.c.life.Err() != nil:
		return SubscriptionClosed, now // the worker is about to close it
	case s.losses.queued > s.losses.told:
		return SubscriptionLost, s.losses.since
	}

	from, whole := never, max(s.startedAt, s.losses.toldAt)
	if up {
		whole = max(whole, changed)
	} else {
		from = changed
	}

	for _, t := range s.trackers {
		if t == nil {
			continue
		}
		if since := t.brokenSince(now); since != 0 {
			from = min(from, since)
		}
		whole = max(whole, t.wholeAt)
	}

	if from != never {
		return SubscriptionRepairing, from
	}
	return SubscriptionLive, whole
}
