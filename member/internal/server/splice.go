package server

import (
	"io"
	"net"
)

// Splice connects a with the connection that connect makes: it copies in both directions until one of them ends, and closes both.
func Splice(a net.Conn, connect func() (net.Conn, error)) error {
	b, err := connect()
	if err != nil {
		return err
	}

	done := make(chan error, 2)
	for _, pair := range [...][2]net.Conn{{a, b}, {b, a}} {
		go func() { // ends with either connection
			_, err := io.Copy(pair[0], pair[1])
			done <- err
		}()
	}

	err = <-done
	// One direction has ended. The other may wait for bytes that never come, so both connections are closed.
	_ = a.Close()
	_ = b.Close()

	// Both copies have ended when Splice returns, so no goroutine outlives the connection.
	<-done
	return err
}
