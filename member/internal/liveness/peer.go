package liveness

import (
	"context"
	"errors"
	"sync"
	"syscall"
	"time"

	"github.com/gridiron-io/gridiron/member/internal/rpc"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// patience is for how long a member may not answer before it is suspect: at least minPatience, doubled after each false
// alarm, at most maxPatience.
const (
	minPatience = 400 * time.Millisecond
	maxPatience = 2 * time.Second
)

// peer is one other member: the connection over which it is pinged and asked, and what is known of it.
//
// A member is suspect when it has not answered for longer than patience while this process itself ran on time. It is unreachable when
// nothing listens where it was. Both are shown, and decide which members are asked first. Neither is ever proof of death.
type peer struct {
	id      wire.ID
	stop    context.CancelFunc
	dialing chan struct{} // one slot: held while a connection is being made

	mu          sync.Mutex // guards the following
	conn        *rpc.Conn
	ended       bool            // no further connection is made
	since       time.Time       // when the member became known, or this process last noticed that it had itself been held up
	last        time.Time       // of the last answer to a ping
	from        wire.ID         // incarnation that gave it
	said        wire.PingResult // what it was, with the newest list of what the member owns
	sized       time.Time       // when it last said how large its partitions are
	patience    time.Duration
	suspect     bool
	unreachable bool
}

func newPeer(id wire.ID, stop context.CancelFunc, now time.Time) *peer {
	return &peer{id: id, stop: stop, dialing: make(chan struct{}, 1), since: now, patience: minPatience}
}

// live returns the connection, nil if there is none.
func (pr *peer) live() *rpc.Conn {
	pr.mu.Lock()
	defer pr.mu.Unlock()
	// A connection that has failed stays here until a caller notices, and drops it.
	if pr.conn != nil && pr.conn.Failed() == nil {
		return pr.conn
	}
	return nil
}

// adopt makes c the connection and reports whether it may be used.
func (pr *peer) adopt(c *rpc.Conn) bool {
	pr.mu.Lock()
	old := pr.conn
	ok := !pr.ended // a call that began before the end must not leave a connection behind
	if ok {
		pr.conn = c
		pr.said.Version = 0 // the list of what the member owns is asked for again
	}

	pr.mu.Unlock()

	// Close waits for the old connection's reader, so the lock is free meanwhile.
	if ok && old != nil {
		old.Close()
	}
	return ok
}

// drop gives up a connection.
func (pr *peer) drop(c *rpc.Conn) {
	pr.mu.Lock()
	// Another caller may have dropped it already, and connected again.
	if pr.conn == c {
		pr.conn = nil
	}
	pr.mu.Unlock()
	c.Close()
}

// end gives up the connection for good.
func (pr *peer) end() {
	pr.mu.Lock()
	c := pr.conn
	pr.conn, pr.ended = nil, true
	pr.mu.Unlock()
	if c != nil {
		c.Close()
	}
}

// heard takes the answer to a ping. It returns whether the member is seen in another light than before, and the list of what
// the member owns if that is news.
func (pr *peer) heard(said *wire.PingResult, from wire.ID, now time.Time) (changed bool, owned []wire.Owned) {
	pr.mu.Lock()
	defer pr.mu.Unlock()
	if said.Changed {
		owned = said.Owned
	} else if pr.from == from {
		// The answer leaves out a list that this member has already.
		said.Owned = pr.said.Owned
	}

	changed = pr.suspect || pr.unreachable || pr.from != from
	if pr.suspect && !pr.unreachable && pr.from == from {
		pr.patience = min(2*pr.patience, maxPatience) // it was there all the time
	}
	if pr.from != from {
		pr.patience = minPatience // another process, which has given no false alarm
	}

	// Any answer clears the doubts: only silence makes a member suspect.
	pr.said, pr.last, pr.from = *said, now, from
	pr.suspect, pr.unreachable = false, false
	return changed, owned
}

// missed takes a ping without an answer: began when it was sent, or the member dialed, failed with err at now. It reports
// whether the member is seen in another light than before.
func (pr *peer) missed(began, now time.Time, err error) (changed bool) {
	pr.mu.Lock()
	defer pr.mu.Unlock()

	// Nothing listens at the member's port, so its process has ended or never was there. No patience is needed.
	if errors.Is(err, syscall.ECONNREFUSED) {
		changed = !pr.unreachable
		pr.unreachable = true
		return changed
	}

	if now.Sub(began) > PingTimeout+PingEvery {
		pr.since = now // this process was held up: silence means nothing
		return false
	}

	// The silence counts from the last answer, or from the last time that this process could have noticed one.
	if !pr.suspect && now.Sub(latest(pr.last, pr.since)) > pr.patience {
		pr.suspect = true
		return true
	}
	return false
}

// state returns for how long the member has been silent, and whether it is neither suspect nor unreachable.
func (pr *peer) state() (silence time.Duration, well bool) {
	pr.mu.Lock()
	defer pr.mu.Unlock()
	return time.Since(latest(pr.last, pr.since)), !pr.suspect && !pr.unreachable
}

// word returns what the member said last, for how long ago, and which incarnation of it did; false if it never said anything.
func (pr *peer) word() (said wire.PingResult, ago time.Duration, from wire.ID, ok bool) {
	pr.mu.Lock()
	defer pr.mu.Unlock()
	return pr.said, time.Since(pr.last), pr.from, !pr.last.IsZero()
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
