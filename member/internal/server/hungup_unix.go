//go:build !windows

package server

import (
	"errors"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// hungUp reports whether the peer has closed the connection and nothing that it sent before is left to read. It does not wait, and takes nothing
// from the reader. The reader finds the same out, but only when it runs: on a busy machine an answer may be written before that.
func hungUp(nc net.Conn) bool {
	sc, ok := nc.(syscall.Conn)
	// A connection that is no socket, as in tests, cannot be asked.
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}

	closed := false
	err = raw.Control(func(fd uintptr) {
		var b [1]byte
		// Looking without taking: the bytes are the reader's. No bytes and no error is the end of what the peer sends.
		n, _, err := unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		waits := errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR)
		closed = n <= 0 && !waits
	})
	return err == nil && closed
}
