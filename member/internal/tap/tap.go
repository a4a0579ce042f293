// Package tap stands between two processes of a test and can freeze what they say to each other. It knows nothing of members.
package tap

import (
	"net"
	"sync"
	"testing"
)

// Tap carries connections to an address until it is frozen. Then it reads no more and ends nothing, like a frozen process.
type Tap struct {
	l    net.Listener
	shut chan struct{}
	wg   sync.WaitGroup
	mu   sync.Mutex // guards all
	all  []net.Conn
}

// New returns a tap that leads to an address. It ends with the test.
func New(t *testing.T, to string) *Tap {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}

	p := &Tap{l: l, shut: make(chan struct{})}
	p.wg.Go(func() {
		for { // ends with the listener
			nc, err := l.Accept()
			if err != nil {
				return
			}
			up, err := net.Dial("tcp", to)
			if err != nil {
				_ = nc.Close()
				continue
			}
			p.mu.Lock()
			p.all = append(p.all, nc, up)
			p.mu.Unlock()
			for _, pair := range [...][2]net.Conn{{up, nc}, {nc, up}} {
				p.wg.Go(func() { p.carry(pair[0], pair[1]) })
			}
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		p.mu.Lock()
		for _, nc := range p.all {
			_ = nc.Close()
		}
		p.mu.Unlock()
		p.wg.Wait()
	})
	return p
}

// Addr is where the tap listens.
func (p *Tap) Addr() string { return p.l.Addr().String() }

// Freeze stops the tap from reading. It is called once.
func (p *Tap) Freeze() { close(p.shut) }

func (p *Tap) carry(to, from net.Conn) {
	b := make([]byte, 64<<10)
	for {
		select {
		case <-p.shut:
			return
		default:
		}

		n, err := from.Read(b)
		if _, werr := to.Write(b[:n]); err == nil && werr == nil {
			continue
		}

		select {
		case <-p.shut:
		default:
			// Without the tap each side would have heard that the other ended.
			_, _ = to.Close(), from.Close()
		}
		return
	}
}
