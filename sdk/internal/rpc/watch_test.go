package rpc

import (
	"context"
	"errors"
	"testing"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// under starts a call under a context.
func under(t *testing.T, c *Conn, ctx context.Context) *Call {
	t.Helper()
	call := &Call{Done: ctx.Done()}
	if err := c.Start(get("x"), call, 1, 0); err != nil {
		t.Fatal(err)
	}
	return call
}

// Calls in a row under one context wait without a select. They end with the context, and no others do.
func TestSharedContextIsWatched(t *testing.T) {
	c, far := pair(t, true, Config{})
	shared, cancel := context.WithCancel(t.Context())
	other, cancelOther := context.WithCancel(t.Context())
	defer cancelOther()

	var watched []*Call
	for i := range watchAfter + 3 {
		call := under(t, c, shared)
		if call.watched != (i >= watchAfter) {
			t.Fatalf("call %d: watched %v", i, call.watched)
		}
		if call.watched {
			watched = append(watched, call)
			continue
		}
		answer(t, far, wire.Answer{ID: request(t, far).ID})
		if c.Wait(shared.Done(), call); call.Err != nil {
			t.Fatal(call.Err)
		}
	}
	stays := under(t, c, other)
	if stays.watched {
		t.Fatal("a call under another context is watched")
	}

	cancel()
	for _, call := range watched {
		if c.Wait(shared.Done(), call); !errors.Is(call.Err, ErrAbandoned) || !call.Sent {
			t.Fatal(call.Err)
		}
	}
	for range watched {
		answer(t, far, wire.Answer{ID: request(t, far).ID}) // too late
	}
	answer(t, far, wire.Answer{ID: request(t, far).ID})
	if c.Wait(other.Done(), stays); stays.Err != nil {
		t.Fatal(stays.Err)
	}

	// A context that has ended already ends what comes under it, watched or not.
	late := under(t, c, shared)
	if c.Wait(shared.Done(), late); !errors.Is(late.Err, ErrAbandoned) {
		t.Fatal(late.Err)
	}
}

// Another context is watched only when no call relies on the one before, whose calls go on being ended by it.
func TestWatchMovesOn(t *testing.T) {
	c, far := pair(t, true, Config{})
	do := func(ctx context.Context, n int) (last *Call) {
		for range n {
			last = under(t, c, ctx)
			answer(t, far, wire.Answer{ID: request(t, far).ID})
			c.Wait(ctx.Done(), last)
		}
		return last
	}
	first, cancel := context.WithCancel(t.Context())
	second, cancelSecond := context.WithCancel(t.Context())
	defer cancelSecond()

	do(first, watchAfter)
	relies := under(t, c, first)
	request(t, far)
	if !relies.watched || do(second, 2*watchAfter).watched {
		t.Fatal("the watch has left a call that relies on it, or was never there")
	}
	cancel()
	if c.Wait(first.Done(), relies); !errors.Is(relies.Err, ErrAbandoned) {
		t.Fatal(relies.Err)
	}

	// No call relies on the second context when the third comes.
	if !do(second, watchAfter+1).watched || !do(t.Context(), watchAfter+1).watched {
		t.Fatal("the watch does not move on")
	}
	cancelSecond()
	if do(t.Context(), 1).Err != nil {
		t.Fatal("a context that is no longer watched has ended a call")
	}
}
