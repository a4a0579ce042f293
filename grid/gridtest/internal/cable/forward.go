package cable

import (
	"fmt"
	"io"
	"net"
)

// forwarder carries the connections of one member to one address for a library that dials by itself.
type forwarder struct {
	p  *Port
	to string
	l  net.Listener
}

// Route returns an address that leads to addr for this member alone: what goes through it can be cut. It returns addr itself
// where no port is to be had.
func (p *Port) Route(addr string) string {
	key := fmt.Sprint(p.i, ">", addr)
	p.n.mu.Lock()
	defer p.n.mu.Unlock()

	f := p.n.forwarders[key]
	if f == nil && p.n.ctx.Err() == nil {
		var lc net.ListenConfig
		l, err := lc.Listen(p.n.ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return addr
		}

		f = &forwarder{p: p, to: addr, l: l}
		p.n.forwarders[key] = f
		p.n.wg.Go(f.run) // ends with close
	}
	if f == nil {
		return addr
	}

	return f.l.Addr().String()
}

// run carries connections until close.
func (f *forwarder) run() {
	for {
		nc, err := f.l.Accept()
		if err != nil {
			return
		}
		f.p.n.wg.Go(func() { f.carry(nc) }) // ends with either side, or with the network
	}
}

// carry carries one connection.
func (f *forwarder) carry(nc net.Conn) {
	defer func() { _ = nc.Close() }()

	up, err := f.p.Dial(f.p.n.ctx, f.to)
	if err != nil {
		return
	}
	defer func() { _ = up.Close() }()

	both := make(chan struct{}, 2)
	copyTo := func(to, from net.Conn) {
		_, _ = io.Copy(to, from) // its end is what counts
		both <- struct{}{}
	}
	f.p.n.wg.Go(func() { copyTo(up, nc) }) // ends with either side, or with the network
	f.p.n.wg.Go(func() { copyTo(nc, up) }) // likewise

	select {
	case <-both:
	case <-f.p.n.ctx.Done():
	}
}

func (f *forwarder) close() { _ = f.l.Close() }
