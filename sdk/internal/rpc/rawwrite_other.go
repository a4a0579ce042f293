//go:build !unix

package rpc

import "net"

// rawWriter exists where sockets can be written to without waiting; elsewhere the writer goroutine does all writing.
type rawWriter struct{}

func newRawWriter(net.Conn) *rawWriter { return nil }

func (*rawWriter) tryWrite([]byte) (int, error) { return 0, nil }
