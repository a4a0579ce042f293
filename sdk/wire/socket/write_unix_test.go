//go:build unix

package socket

import (
	"io"
	"net"
	"testing"
)

// A socket that takes nothing more does not hold up the writer, and goes on when the other side has read.
func TestTryWriteDoesNotWait(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	out, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = out.Close() }()
	in, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()

	w := NewWriter(out)
	if w == nil {
		t.Fatal("no Writer for a socket")
	}
	buf := make([]byte, 1<<20)
	sent := 0
	for {
		n, err := w.TryWrite(buf)
		if err != nil {
			t.Fatal(err)
		}
		sent += n
		if n < len(buf) {
			break // full
		}
	}
	if _, err := io.ReadFull(in, make([]byte, sent)); err != nil {
		t.Fatal(err)
	}
	if n, err := w.TryWrite([]byte("more")); n != 4 || err != nil {
		t.Fatalf("%d, %v after the other side has read", n, err)
	}

	if c, d := net.Pipe(); NewWriter(c) != nil {
		t.Error("a pipe is no socket")
	} else {
		_, _ = c.Close(), d.Close()
	}
}
