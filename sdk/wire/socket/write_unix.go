//go:build unix

package socket

import (
	"errors"
	"net"
	"syscall"
)

// Writer writes to a socket without ever waiting for it. Only one goroutine at a time may use it.
type Writer struct {
	conn  syscall.RawConn
	write func(fd uintptr) bool // made once, so that a write allocates nothing

	buf []byte
	n   int
	err error
}

// NewWriter returns a Writer for a connection. It returns nil where nc is no plain socket: what wraps one (TLS) must see every byte.
func NewWriter(nc net.Conn) *Writer {
	raw := rawConn(nc)
	if raw == nil {
		return nil
	}

	w := &Writer{conn: raw}
	w.write = func(fd uintptr) bool {
		for w.n < len(w.buf) {
			n, err := syscall.Write(int(fd), w.buf[w.n:])
			switch {
			case n > 0:
				w.n += n
			case errors.Is(err, syscall.EINTR):
			case errors.Is(err, syscall.EAGAIN):
				// false would wait until the socket takes more.
				return true
			case err != nil:
				w.err = err
				return true
			default:
				return true
			}
		}
		return true
	}
	return w
}

// rawConn returns a socket's descriptor; nil where nc is no plain socket.
func rawConn(nc net.Conn) syscall.RawConn {
	var sc syscall.Conn
	switch nc := nc.(type) {
	case *net.TCPConn:
		sc = nc
	case *net.UnixConn:
		sc = nc
	default:
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}

// TryWrite writes as much of buf as the socket takes now, and returns how much that was. It fails if a write deadline of the connection has
// passed.
func (w *Writer) TryWrite(buf []byte) (int, error) {
	w.buf, w.n, w.err = buf, 0, nil
	if err := w.conn.Write(w.write); err != nil {
		return 0, err
	}
	w.buf = nil
	return w.n, w.err
}
