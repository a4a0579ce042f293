package rpc

import (
	"context"
	"sync"
	"sync/atomic"
)

// Batcher has the requests of callers that were woken together written together, over all connections of a client. While callers have been
// woken that do not run yet, those that do leave their requests to the batcher. The last one to run wakes its goroutine, which writes as soon
// as that caller waits again. A caller that is woken alone waits for nobody.
//
// A nil Batcher expects nobody.
type Batcher struct {
	woken   atomic.Int64 // callers that were told and do not run yet
	writing atomic.Bool  // the goroutine was woken and has not ended its turn
	wake    chan struct{}

	mu   sync.Mutex // guards the following
	left []*Conn    // connections whose flushing is the batcher's
}

// NewBatcher returns a Batcher, and starts its goroutine, which ends with ctx.
func NewBatcher(ctx context.Context, goroutines *sync.WaitGroup) *Batcher {
	b := &Batcher{wake: make(chan struct{}, 1)}
	goroutines.Go(func() { b.write(ctx) })
	return b
}

// expect counts callers that are about to be told, and reports whether it does.
func (b *Batcher) expect(callers int) bool {
	if b == nil || callers == 0 || callers == 1 && b.woken.Load() == 0 {
		return false
	}
	b.woken.Add(int64(callers))
	return true
}

// arrive counts off a caller.
func (b *Batcher) arrive() {
	if b.woken.Add(-1) == 0 {
		b.turn()
	}
}

// leave leaves writing to a connection to the batcher, together with the right to do so, and reports whether it has.
func (b *Batcher) leave(c *Conn) bool {
	if b == nil || b.woken.Load() == 0 && !b.writing.Load() {
		return false
	}
	b.mu.Lock()
	b.left = append(b.left, c)
	b.mu.Unlock()

	// The last caller may have run meanwhile, and seen that nothing was left.
	if b.woken.Load() == 0 {
		b.turn()
	}
	return true
}

// turn wakes the goroutine if there is something for it and it is not at work.
func (b *Batcher) turn() {
	b.mu.Lock()
	some := len(b.left) > 0
	b.mu.Unlock()
	if some && b.writing.CompareAndSwap(false, true) {
		b.wake <- struct{}{} // there is room: only who has set writing sends it
	}
}

// write is the goroutine.
func (b *Batcher) write(ctx context.Context) {
	var list []*Conn
	for {
		select {
		case <-b.wake:
		case <-ctx.Done():
			return
		}

		for {
			b.mu.Lock()
			list, b.left = b.left, list[:0]
			b.mu.Unlock()
			if len(list) == 0 {
				break
			}
			for i, c := range list {
				c.flush(false)
				list[i] = nil
			}
		}

		// What was left since is either seen here, or by the caller that has left it.
		b.writing.Store(false)
		if b.woken.Load() == 0 {
			b.turn()
		}
	}
}
