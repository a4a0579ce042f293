package member

import (
	"io"
	"net"
)

// splice copies between two connections in both directions until one of them ends, and closes both.
func splice(a, b net.Conn) error {
	done := make(chan error, 2)
	for _, pair := range [...][2]net.Conn{{a, b}, {b, a}} {
		go func() { // ends with either connection
			_, err := io.Copy(pair[0], pair[1])
			done <- err
		}()
	}
	err := <-done
	_ = a.Close()
	_ = b.Close()
	<-done
	return err
}
