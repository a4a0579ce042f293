package rpc

import (
	"errors"
	"fmt"
	"net"
	"testing"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// queueParts queues n requests with finished for their results, and returns the frame that carries all of them, and its parts.
func queueParts(t *testing.T, c *Conn, far net.Conn, n int, finished chan int) (calls []*Call, parts []wire.Request) {
	t.Helper()
	for i := range n {
		call := &Call{Finished: finished, Tag: i}
		calls = append(calls, call)
		if err := c.Queue(&wire.Request{Op: wire.OpGetMany, Partition: uint32(i), Deadline: 5, Body: fmt.Append(nil, i)}, call, 10, 0); err != nil {
			t.Fatal(err)
		}
	}
	c.Flush()

	r := request(t, far)
	body := wire.NewReader(r.Body)
	for body.Len() > 0 {
		if err := wire.DecodePart(&body, &r); err != nil {
			t.Fatal(err)
		}
		parts = append(parts, r)
	}
	if len(parts) != n {
		t.Fatalf("%d of %d requests are in one frame", len(parts), n)
	}
	return calls, parts
}

// answerParts answers requests in one frame.
func answerParts(t *testing.T, far net.Conn, time int64, parts ...wire.Request) {
	t.Helper()
	var b []byte
	begins := -1
	for i := range parts {
		b, begins = wire.AppendAnswerPart(b, begins, &wire.Answer{ID: parts[i].ID, Time: time, Body: append(parts[i].Body, '!')})
	}
	if _, err := far.Write(b); err != nil {
		t.Fatal(err)
	}
}

// Requests that are queued together share a frame. Each has its own answer, in a frame with others or alone, and in whatever order.
func TestPartsHaveOwnAnswers(t *testing.T) {
	const n = 20
	c, far := pair(t, true, Config{})
	finished := make(chan int, n)
	calls, parts := queueParts(t, c, far, n, finished)

	ended := func(want ...int) {
		t.Helper()
		for range want {
			tag := <-finished
			if call := calls[tag]; call.Err != nil || !call.Sent || string(call.Answer.Body) != fmt.Sprint(tag)+"!" {
				t.Errorf("call %d: %q, %v", tag, call.Answer.Body, call.Err)
			}
			calls[tag] = nil
		}
		for _, tag := range want {
			if calls[tag] != nil {
				t.Errorf("call %d has no answer", tag)
			}
		}
	}
	answerParts(t, far, 1, parts[7], parts[3])
	ended(3, 7)
	answer(t, far, wire.Answer{ID: parts[5].ID, Body: []byte("5!")})
	ended(5)

	// One that was given up is passed over in the frame that answers it, and in a second one.
	c.Abandon(calls[0])
	if tag := <-finished; tag != 0 || !errors.Is(calls[0].Err, ErrAbandoned) || !calls[0].Sent {
		t.Fatalf("call %d: %v", tag, calls[0].Err)
	}
	answerParts(t, far, 1, parts[:3]...)
	ended(1, 2)
	answerParts(t, far, 1, append(parts[:4:4], parts[10])...)
	ended(10)

	// What is left learns that the connection has ended.
	far.Close()
	for range n - 7 {
		if call := calls[<-finished]; call.Err == nil || !call.Sent {
			t.Errorf("%v, sent %v", call.Err, call.Sent)
		}
	}
}

// A frame that was begun goes out with what it has when somebody writes. What is queued later begins another, as does what comes after a
// request with a frame of its own.
func TestPartsAfterAWrite(t *testing.T) {
	c, far := pair(t, true, Config{})
	finished := make(chan int, 10)
	queueParts(t, c, far, 2, finished)
	queueParts(t, c, far, 3, finished)

	queue := func(p uint32) {
		t.Helper()
		if err := c.Queue(&wire.Request{Op: wire.OpGetMany, Partition: p}, &Call{Finished: finished}, 1, 0); err != nil {
			t.Fatal(err)
		}
	}
	queue(1)
	queue(wire.NoPartition)
	queue(2)
	c.Flush()
	for i, parts := range []bool{true, false, true} {
		if r := request(t, far); (r.Flags&wire.FlagParts != 0) != parts {
			t.Errorf("frame %d has flags %#x", i, r.Flags)
		}
	}
}

// The time in a frame is that of its first answer: a later one may be to a request that was sent after the member had looked at its clock.
func TestTimeOfParts(t *testing.T) {
	type sample struct{ time, sent int64 }
	told := make(chan sample, 10)
	c, far := pair(t, true, Config{OnTime: func(clusterMs, sent, _ int64) { told <- sample{clusterMs, sent} }})
	finished := make(chan int, 10)
	calls, parts := queueParts(t, c, far, 3, finished)

	c.Abandon(calls[0])
	<-finished
	answerParts(t, far, 77, parts[0], parts[1])
	<-finished
	if len(told) != 0 {
		t.Errorf("%+v", <-told)
	}
	answerParts(t, far, 78, parts[2])
	<-finished
	if got := <-told; got != (sample{78, 10}) {
		t.Errorf("%+v", got)
	}
}

// A member that sends half a part, or an ID that was never given out, cannot be trusted.
func TestBrokenParts(t *testing.T) {
	for name, b := range map[string][]byte{
		"half": wire.AppendAnswer(nil, &wire.Answer{Flags: wire.FlagParts, Body: make([]byte, 9)}),
		"an unknown ID": wire.AppendAnswer(nil, &wire.Answer{Flags: wire.FlagParts,
			Body: append(wire.AppendU64(nil, 99), 0, 0, 0)}),
	} {
		t.Run(name, func(t *testing.T) {
			c, far := pair(t, true, Config{})
			finished := make(chan int, 1)
			calls, _ := queueParts(t, c, far, 1, finished)
			if _, err := far.Write(b); err != nil {
				t.Fatal(err)
			}
			if <-finished; !errors.Is(calls[0].Err, wire.ErrMalformed) || c.Alive() {
				t.Errorf("%v, alive %v", calls[0].Err, c.Alive())
			}
		})
	}
}
