//go:build !windows

package server

import (
	"net"
	"testing"
	"time"
)

// A connection has hung up once the peer has closed it and all that it sent was read, whether or not somebody waits to read.
func TestHungUp(t *testing.T) {
	peer, nc := pairOf(t)
	defer func() { _ = peer.Close() }()
	defer func() { _ = nc.Close() }()

	if hungUp(nc) {
		t.Error("an open connection has hung up")
	}
	if _, err := peer.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := peer.Close(); err != nil {
		t.Fatal(err)
	}
	if hungUp(nc) {
		t.Error("what was sent before the end is still to be read")
	}
	b := make([]byte, 1)
	if _, err := nc.Read(b); err != nil || b[0] != 'x' {
		t.Fatalf("%q, %v", b, err)
	}
	for until := time.Now().Add(20 * time.Second); !hungUp(nc); {
		if time.Now().After(until) {
			t.Fatal("a closed connection has not hung up")
		}
	}
	if pipe, _ := net.Pipe(); hungUp(pipe) {
		t.Error("a connection that is none of the system's has hung up")
	}
}
