package rpc

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// answering returns a connection to a member that answers every request.
func answering(t *testing.T) *Conn {
	t.Helper()
	near, far := net.Pipe()
	served := make(chan struct{})
	go func() { // ends with the connection
		defer close(served)
		for {
			var head [4]byte
			if _, err := io.ReadFull(far, head[:]); err != nil {
				return
			}
			b := make([]byte, binary.BigEndian.Uint32(head[:]))
			if _, err := io.ReadFull(far, b); err != nil {
				return
			}
			var req wire.Request
			if err := wire.DecodeRequest(b, &req); err != nil {
				t.Error(err)
				return
			}
			if _, err := far.Write(wire.AppendAnswer(nil, &wire.Answer{ID: req.ID, Code: wire.CodeOK})); err != nil {
				return
			}
		}
	}()
	c := New(near, wire.HelloAnswer{})
	t.Cleanup(func() {
		c.Close()
		<-served
	})
	return c
}

// A caller whose time is up before its request is written takes nothing from the others: the connection goes on.
func TestLateCallerLeavesTheConnection(t *testing.T) {
	c := answering(t)
	for range 32 {
		late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
		if _, err := c.Call(late, wire.OpMemberPing, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a call that is late ends in %v", err)
		}
		cancel()
	}
	if _, err := c.Call(t.Context(), wire.OpMemberPing, nil); err != nil {
		t.Errorf("the next call: %v", err)
	}
}

// A frame of which a part was written when the caller's time was up ends the connection: nothing can be read behind it.
func TestPartOfARequestEndsTheConnection(t *testing.T) {
	near, far := net.Pipe()
	c := New(near, wire.HelloAnswer{})
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	go func() { _, _ = io.ReadFull(far, make([]byte, 3)) }() // ends with its three bytes
	if _, err := c.Call(ctx, wire.OpMemberPing, nil); err == nil {
		t.Error("a call of which three bytes were read is answered")
	}
	<-c.ended
	if c.Failed() == nil {
		t.Error("the connection goes on")
	}
}
