package member

import (
	"context"
	"net"
)

// Network carries a member's connections in the place of TCP: for tests, which cut it.
type Network interface {
	// Listener returns what to accept from in the place of l, one of the member's listeners.
	Listener(l net.Listener) net.Listener
	// Dial connects to an address, of another member or of this one. It may block until ctx ends.
	Dial(ctx context.Context, addr string) (net.Conn, error)
	// Route returns the address at which this member's NATS server finds the one at addr. The library listens and dials itself.
	Route(addr string) string
}

// plain is TCP as it is.
type plain struct{}

// Listener returns l.
func (plain) Listener(l net.Listener) net.Listener { return l }

// Dial connects over TCP.
func (plain) Dial(ctx context.Context, addr string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", addr)
}

// Route returns addr.
func (plain) Route(addr string) string { return addr }
