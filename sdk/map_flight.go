package sdk

import "sync"

// flights are the loads under way that callers of one client share, by what they load.
type flights struct {
	mu   sync.Mutex // guards the following, and the callers of every flight
	open map[flightKey]*flight
}

// flightKey names the value of a key. How a key is routed is its type's, so the partition belongs to it.
type flightKey struct {
	name      string // of the map
	key       string // encoded
	partition uint32
}

// flight is one wait for a value, for all callers of the client that have joined it. One caller leads at a time. It waits in the
// queue with the leaders of other clients, and loads if members say so. The others wait for the value, or for the lead.
type flight struct {
	at      flightKey
	callers int           // how many callers take part
	lead    chan struct{} // one slot, full while nobody leads
	landed  chan struct{} // closed at the end
	value   []byte        // encoded, set before the end; nil: each must look again
	l       *loading      // belongs to the caller that leads
}

// join returns the flight to a value, which begins here if none is open. leave must follow.
func (s *flights) join(c *Client, at flightKey) *flight {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.open[at]
	if f == nil {
		f = &flight{at: at, lead: make(chan struct{}, 1), landed: make(chan struct{}), l: newLoading(c, at)}
		// Whoever takes this leads. Of the callers, at most one does at any time.
		f.lead <- struct{}{}
		if s.open == nil {
			s.open = make(map[flightKey]*flight)
		}
		s.open[at] = f
	}
	f.callers++
	return f
}

// close keeps further callers from joining.
func (s *flights) close(f *flight) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[f.at] == f {
		delete(s.open, f.at)
	}
}

// leave ends a caller's part. The last caller gives up the flight's place in the queue.
func (s *flights) leave(f *flight) {
	s.mu.Lock()
	f.callers--
	last := f.callers == 0
	// A flight that was closed is no longer in open, and another one may have taken its place.
	if last && s.open[f.at] == f {
		delete(s.open, f.at)
	}
	s.mu.Unlock()

	// A flight that has landed has given up its place.
	select {
	case <-f.landed:
		return
	default:
	}

	// Nobody would come for the task, so others would wait for its whole lease.
	if last && f.l.placed {
		f.l.leave()
	}
}

// land ends the flight. REQUIRES that the caller leads, and that the flight was closed.
func (f *flight) land(value []byte) {
	f.value = value
	close(f.landed)
}
