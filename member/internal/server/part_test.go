package server

import (
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// partsFrame returns n requests as parts of few frames, whose partitions are the sizes of their answers.
func partsFrame(op wire.Op, from, n int, size uint32) (b []byte) {
	begins := -1
	for i := range n {
		b, begins = wire.AppendPart(b, begins, &wire.Request{ID: uint64(from + i), Op: op, Partition: size, Seq: 1, Lowest: 1})
	}
	return b
}

// readAnswers reads frames until they have brought n answers, and returns these and the number of frames.
func readAnswers(t testing.TB, r io.Reader, n int) (list []wire.Answer, frames int) {
	t.Helper()
	for len(list) < n {
		var head [4]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			t.Fatalf("answer %d of %d: %v", len(list), n, err)
		}
		frame := make([]byte, binary.BigEndian.Uint32(head[:]))
		if _, err := io.ReadFull(r, frame); err != nil {
			t.Fatal(err)
		}
		var a wire.Answer
		if err := wire.DecodeAnswer(frame, &a); err != nil {
			t.Fatal(err)
		}
		frames++
		if a.Flags&wire.FlagParts == 0 {
			list = append(list, a)
			continue
		}
		for parts := wire.NewReader(a.Body); parts.Len() > 0; {
			if err := wire.DecodeAnswerPart(&parts, &a); err != nil {
				t.Fatal(err)
			}
			list = append(list, a)
		}
	}
	return list, frames
}

// Answers to the parts of a frame that are there at once come in one frame.
func TestPartsAreAnsweredTogether(t *testing.T) {
	const n, size = 100, 10
	_, client := connected(t, time.Second)
	if _, err := client.Write(partsFrame(wire.OpGetMany, 5, n, size)); err != nil {
		t.Fatal(err)
	}
	list, frames := readAnswers(t, client, n)
	if frames != 1 {
		t.Errorf("%d frames", frames)
	}
	for i, a := range list {
		if a.ID != uint64(5+i) || a.Code != wire.CodeOK || len(a.Body) != size || a.Time != 1 || a.Table != 1 {
			t.Fatalf("answer %d: %+v", i, a)
		}
	}
}

// A peer that does not read its answers is no longer served in the midst of a frame: its answers never get near the bound at which it would
// be cut off.
func TestPartsWaitForThePeer(t *testing.T) {
	const n, size = 2000, 64 << 10
	c, client := connected(t, time.Minute)
	wrote := make(chan error, 1)
	go func() { // ends when the member has taken all requests
		_, err := client.Write(partsFrame(wire.OpGetMany, 0, n, size))
		wrote <- err
	}()
	await(t, "the reader to wait", func() bool { return c.outBytes.Load() > holdOut })

	list, _ := readAnswers(t, client, n)
	for i, a := range list {
		if a.ID != uint64(i) || a.Code != wire.CodeOK || len(a.Body) != size {
			t.Fatalf("answer %d: ID %d, %v, %d bytes", i, a.ID, a.Code, len(a.Body))
		}
	}
	if err := <-wrote; err != nil {
		t.Fatal(err)
	}
}

// Each part of a frame that cannot be carried out is refused alone, and counted like any call.
func TestRefusedParts(t *testing.T) {
	c, client := connected(t, time.Second)
	refused := func(op wire.Op, n int, code wire.Code) {
		t.Helper()
		if _, err := client.Write(partsFrame(op, 0, n, 3)); err != nil {
			t.Fatal(err)
		}
		list, _ := readAnswers(t, client, n)
		for i, a := range list {
			if a.ID != uint64(i) || a.Code != code {
				t.Errorf("%v: %+v", op, a)
			}
		}
	}
	refused(wire.OpLock, 2, wire.CodeInvalid)
	refused(wire.OpPing, 2, wire.CodeInvalid)
	refused(wire.OpMemberPing, 2, wire.CodeInvalid)

	c.Hold(MaxInFlight)
	refused(wire.OpGetMany, 3, wire.CodeOverloaded)
	c.Hold(-MaxInFlight)
	if n := c.InFlight(); n != 0 {
		t.Errorf("%d calls are under way", n)
	}
}

// A frame of parts with half a part ends the connection, as any frame that cannot be read.
func TestHalfAPart(t *testing.T) {
	_, client := connected(t, time.Second)
	b := wire.AppendRequest(nil, &wire.Request{Op: wire.OpGetMany, Flags: wire.FlagParts, Partition: wire.NoPartition, Body: make([]byte, 10)})
	if _, err := client.Write(b); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Read(make([]byte, 1)); err == nil {
		t.Error("the connection goes on")
	} else if ne, ok := err.(net.Error); ok && ne.Timeout() {
		t.Error(err)
	}
}
