package wakeups

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func newLane() (*lane, *map[uint64]struct{}) {
	ready := map[uint64]struct{}{}
	return &lane{mu: new(sync.Mutex), ready: &ready, token: make(chan struct{}, 1)}, &ready
}

func TestDrop(t *testing.T) {
	for _, c := range []struct {
		name         string
		ready, token bool
		want         bool // the token is there afterwards
	}{
		{"nothing ready and no token", false, false, false},
		{"nothing ready", false, true, false},
		{"a group is ready", true, true, true},
		{"a group is ready whose token has not been sent", true, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, ready := newLane()
			if c.ready {
				(*ready)[1] = struct{}{}
			}
			if c.token {
				l.token <- struct{}{}
			}
			l.drop()
			require.Equal(t, c.want, len(l.token) == 1)
		})
	}
}

// meddler is a lock after whose first Unlock something else happens.
type meddler struct {
	sync.Mutex
	then func()
}

func (m *meddler) Unlock() {
	m.Mutex.Unlock()
	if then := m.then; then != nil {
		m.then = nil
		then()
	}
}

// A group becomes ready right after the first look, and its notifier finds the old token in the slot.
func TestDropLooksAgain(t *testing.T) {
	l, ready := newLane()
	l.token <- struct{}{}
	l.mu = &meddler{then: func() {
		(*ready)[1] = struct{}{}
		require.Len(t, l.token, 1, "the notifier sends none")
	}}
	l.drop()
	require.Len(t, l.token, 1, "the wake-up is lost")
}

// order is the state of a lane and of all who use it, for trying every order of their steps.
type order struct {
	ready, token bool
	notifiers    [2]uint8 // steps done: write, send
	droppers     [2]uint8 // steps done: see droppers' steps
	worker       uint8    // 0 waits, 1 has a token, 2 works on what it took
}

// Steps of a dropper. Any of its looks may end it.
const (
	dropLook = iota
	dropTake
	dropLookAgain
	dropPutBack
	dropDone
)

// next returns the states that can follow.
func (o order) next(lookAgain bool) (all []order) {
	for i := range o.notifiers {
		n := o
		switch o.notifiers[i] {
		case 0:
			n.ready = true
		case 1:
			n.token = true // or the slot is full already
		default:
			continue
		}
		n.notifiers[i]++
		all = append(all, n)
	}

	for i := range o.droppers {
		n := o
		switch o.droppers[i] {
		case dropLook:
			n.droppers[i] = dropTake
			if o.ready || !o.token {
				n.droppers[i] = dropDone
			}
		case dropTake:
			n.droppers[i] = dropLookAgain
			if !o.token || !lookAgain {
				n.droppers[i] = dropDone
			}
			n.token = false
		case dropLookAgain:
			n.droppers[i] = dropPutBack
			if !o.ready {
				n.droppers[i] = dropDone
			}
		case dropPutBack:
			n.token = true
			n.droppers[i] = dropDone
		default:
			continue
		}
		all = append(all, n)
	}

	n := o
	switch {
	case o.worker == 0 && o.token:
		n.token, n.worker = false, 1
	case o.worker == 1:
		n.ready, n.worker = false, 2
	case o.worker == 2:
		n.worker = 0
	default:
		return all
	}
	return append(all, n)
}

// lost returns a state in which nobody does anything any more and a group is still ready, if one can be reached.
func lost(lookAgain bool) (order, bool) {
	seen := map[order]bool{}
	todo := []order{}
	for _, token := range []bool{false, true} { // a token that nothing ready belongs to may be there at first
		for worker := range uint8(3) {
			todo = append(todo, order{token: token, worker: worker})
		}
	}
	for len(todo) > 0 {
		o := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if seen[o] {
			continue
		}
		seen[o] = true

		next := o.next(lookAgain)
		if len(next) == 0 && o.ready {
			return o, true
		}
		todo = append(todo, next...)
	}
	return order{}, false
}

// Every order of the steps of two notifiers, two droppers and the worker ends with nothing left ready.
func TestNoOrderLosesAWakeup(t *testing.T) {
	o, bad := lost(true)
	require.False(t, bad, "%+v", o)

	_, bad = lost(false)
	require.True(t, bad, "without the second look a wake-up is lost, and the model does not see it")
}

// The lane under real goroutines. Each notifier waits until its group was worked on, so a wake-up that is lost ends the test. Some tokens come
// without a group, as they do in the library, and are taken back.
func TestWakeupsUnderLoad(t *testing.T) {
	const notifiers, rounds = 2, 50_000

	l, ready := newLane()
	stop := make(chan struct{})
	worked := [notifiers]chan struct{}{make(chan struct{}, 1), make(chan struct{}, 1)}
	send := func() {
		select {
		case l.token <- struct{}{}:
		default:
		}
	}
	var helpers, posts sync.WaitGroup

	// The worker, as the library has it: the token first, then the whole set.
	helpers.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-l.token:
			}
			l.mu.Lock()
			taken := *ready
			*ready = map[uint64]struct{}{}
			l.mu.Unlock()

			for id := range taken {
				worked[id] <- struct{}{}
			}
			l.drop()
		}
	})
	var dropped atomic.Int64
	helpers.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				send()
				l.drop()
				if len(l.token) == 0 {
					dropped.Add(1)
				}
			}
		}
	})

	for id := range uint64(notifiers) {
		posts.Go(func() {
			for n := range rounds {
				l.mu.Lock()
				(*ready)[id] = struct{}{}
				l.mu.Unlock()
				send()

				select {
				case <-worked[id]:
				case <-time.After(patience):
					t.Errorf("notifier %d: the worker was not woken after %d rounds", id, n)
					return
				}
			}
		})
	}
	posts.Wait()
	close(stop)
	helpers.Wait()
	require.Positive(t, dropped.Load(), "no token was taken back")
}
