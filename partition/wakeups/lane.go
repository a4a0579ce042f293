// Package wakeups is not API: programs use package grid, and it may change in any version.
//
// It takes back wake-ups of the Raft library's workers that have nothing to do. Such a wake-up is dear: a worker that finds no group
// ready looks at all its groups. It also leaves out steps of single groups that find nothing: see Steps.
//
// It owns nothing. It knows where dragonboat keeps the set of groups that are ready and the channel by which a worker is woken, and it
// finds both once, in engine.go. In steps.go it knows by what a state machine calls its group. It knows nothing of partitions, of what is replicated, or of what a worker does.
//
// # Where the useless wake-ups come from
//
// Whoever makes a group ready writes it into the worker's set, and then sends a token into a channel of one slot. A worker that waits is
// handed its token directly, so the slot stays free until the worker runs. Whatever becomes ready meanwhile leaves a second token there.
// The worker takes the whole set at once. It comes back for the second token and finds the set empty.
//
// # Why no wake-up is lost
//
// Whoever takes a token back does three things in this order: it finds the set empty, takes the token, and looks at the set again. If
// there is something in the set now, it puts a token back.
//
// Take a notifier that has written a group into the set. It sends its token after that. If the token is taken back afterwards, the second
// look comes after the write: it finds the group and puts a token back, or a worker has the group already. If the token was taken back
// before the notifier sent, the notifier finds the slot free, or another token in it. Either way there is a token, or a worker has the group.
// The test of this package tries every order of these steps.
package wakeups

import "sync"

// lane is what one worker of the library is woken by.
type lane struct {
	mu    sync.Locker          // guards ready
	ready *map[uint64]struct{} // the groups that are ready; the worker replaces the map when it takes them
	token chan struct{}        // one slot
}

// drop takes the lane's token back if there is nothing for the worker to do. It may be called at any time by anyone, and pays where the
// worker has just taken what was ready.
func (l *lane) drop() {
	if len(l.token) == 0 || !l.idle() {
		// Without a token there is nothing to take back, and the library's lock need not be taken.
		return
	}

	select {
	case <-l.token:
	default:
		return // the worker has it
	}

	// A group may have become ready since. Its notifier may have found our token in the slot, and sent none.
	if l.idle() {
		return
	}
	select {
	case l.token <- struct{}{}:
	default: // somebody else has sent one
	}
}

// idle reports whether no group is ready.
func (l *lane) idle() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(*l.ready) == 0
}
