package rpc

import (
	"context"
	"net"
	"sync"
	"testing"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// bytesOut returns how many bytes of requests were handed to the network, and how many were queued.
func (c *Conn) bytesOut() (handed, queued uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.handed, c.mu.queued
}

// batched returns connections that share a batcher.
func batched(t *testing.T) (conns [2]*Conn, far [2]net.Conn) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	batcher := NewBatcher(ctx, &wg)
	t.Cleanup(func() { cancel(); wg.Wait() })
	for i := range conns {
		conns[i], far[i] = pair(t, true, Config{Batcher: batcher})
	}
	return conns, far
}

// Callers that were told together have their next requests written together, to all members, when the last of them runs.
func TestWokenCallersWriteTogether(t *testing.T) {
	conns, far := batched(t)
	const n = 8
	calls := make([]*Call, n)
	for i := range calls {
		calls[i] = new(Call)
		if err := conns[0].Start(get("x"), calls[i], 1, 0); err != nil {
			t.Fatal(err)
		}
	}
	answers := make([]wire.Answer, n)
	for i := range answers {
		answers[i].ID = request(t, far[0]).ID
	}
	answer(t, far[0], answers...)

	for i, call := range calls {
		conns[0].Wait(nil, call)
		if i == n-1 {
			break // the last one runs, and asks for nothing
		}
		before, _ := conns[i%2].bytesOut()
		if err := conns[i%2].Start(get("y"), call, 1, 0); err != nil {
			t.Fatal(err)
		}
		if after, _ := conns[i%2].bytesOut(); after != before {
			t.Fatalf("request %d was written although others were about to come", i)
		}
	}
	for i, call := range calls[:n-1] {
		answer(t, far[i%2], wire.Answer{ID: request(t, far[i%2]).ID})
		if conns[i%2].Wait(nil, call); call.Err != nil {
			t.Fatal(call.Err)
		}
	}
}

// A caller that is told alone writes its next request itself.
func TestLoneCallerWritesItself(t *testing.T) {
	conns, far := batched(t)
	call := new(Call)
	for range 3 {
		if err := conns[0].Start(get("x"), call, 1, 0); err != nil {
			t.Fatal(err)
		}
		if handed, queued := conns[0].bytesOut(); handed != queued {
			t.Fatal("a caller that is alone leaves its request to others")
		}
		answer(t, far[0], wire.Answer{ID: request(t, far[0]).ID})
		conns[0].Wait(nil, call)
	}
}
