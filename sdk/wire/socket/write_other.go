//go:build !unix

package socket

import "net"

// Writer exists where sockets can be written to without waiting.
type Writer struct{}

// NewWriter returns nil: writing may wait here.
func NewWriter(net.Conn) *Writer { return nil }

// TryWrite is never called.
func (*Writer) TryWrite([]byte) (int, error) { return 0, nil }

// Reader exists where sockets can be read from without waiting.
type Reader struct{}

// NewReader returns nil: reading may wait here.
func NewReader(net.Conn) *Reader { return nil }

// TryRead is never called.
func (*Reader) TryRead([]byte) int { return 0 }
