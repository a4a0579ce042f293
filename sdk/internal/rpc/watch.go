package rpc

// watch is how calls of many callers under one context wait without a select each: one goroutine waits for the context's end, and
// abandons all of them. A select of each caller would queue all of them at the one channel, whose lock they would contend for.
type watch struct {
	done   <-chan struct{} // what is watched; nil: nothing
	ended  chan struct{}   // closed when done is no longer watched
	calls  int             // that wait and rely on the watch
	last   <-chan struct{} // of the last call that was not watched
	streak int             // how many such calls in a row had it
}

// watchAfter is how many calls in a row must have the same channel before it is watched. Programs with a context for each call have none.
const watchAfter = 64

// watchLocked reports whether done is watched for the call that is being queued. REQUIRES mu.
func (c *Conn) watchLocked(done <-chan struct{}) bool {
	w := &c.mu.watch
	if w.done == done {
		w.calls++
		return true
	}
	if w.last != done {
		w.last, w.streak = done, 0
		return false
	}

	// Calls rely on the channel that is watched now.
	if w.streak++; w.streak < watchAfter || w.calls > 0 {
		return false
	}
	if w.ended != nil {
		close(w.ended)
	}
	w.done, w.ended, w.calls, w.last, w.streak = done, make(chan struct{}), 1, nil, 0
	// The connection has not ended, so its reader is counted still.
	c.wg.Add(1)
	go c.watchLoop(done, w.ended) // ends with the context, the connection, or when another channel is watched
	return true
}

// watchLoop abandons the calls that rely on the watch of done when that is closed.
func (c *Conn) watchLoop(done <-chan struct{}, ended <-chan struct{}) {
	defer c.wg.Done()
	select {
	case <-ended:
		return
	case <-c.ended:
		return
	case <-done:
	}

	var abandoned []*Call
	c.mu.Lock()
	// Another channel may be watched by now: then no call relied on this one.
	if c.mu.watch.done == done {
		for i := range c.mu.slots {
			if call := c.mu.slots[i].call; call != nil && call.watched {
				abandoned = append(abandoned, c.takeLocked(call.id))
			}
		}
		c.mu.watch = watch{}
	}
	c.mu.Unlock()

	// Without the lock: callers that are woken may use the connection at once.
	for _, call := range abandoned {
		call.finish(nil, ErrAbandoned, true) // the request was queued, so it may still be written
	}
}
