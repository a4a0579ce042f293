//go:build unix

package socket

import (
	"errors"
	"net"
	"syscall"
)

// Reader reads from a socket without ever waiting for it. Only one goroutine at a time may use it.
type Reader struct {
	conn syscall.RawConn
	read func(fd uintptr) bool // made once, so that a read allocates nothing

	buf []byte
	n   int
}

// NewReader returns a Reader for a connection. It returns nil where nc is no plain socket: what wraps one (TLS) must see every byte.
func NewReader(nc net.Conn) *Reader {
	raw := rawConn(nc)
	if raw == nil {
		return nil
	}

	r := &Reader{conn: raw}
	r.read = func(fd uintptr) bool {
		for {
			n, err := syscall.Read(int(fd), r.buf)
			if errors.Is(err, syscall.EINTR) {
				continue
			}
			r.n = max(n, 0)
			// false would wait until there is something to read.
			return true
		}
	}
	return r
}

// TryRead reads what is there now into buf, which is not empty, and returns how much that was. It returns 0 also at the end of the connection
// and after an error: the next Read of the connection says which.
func (r *Reader) TryRead(buf []byte) int {
	r.buf, r.n = buf, 0
	if r.conn.Read(r.read) != nil {
		r.n = 0
	}
	r.buf = nil
	return r.n
}
