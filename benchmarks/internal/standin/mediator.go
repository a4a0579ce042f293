package standin

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Signals that begin and end a time in which a member answers other members slowly, if it was started with the flag mediate. It is too
// slow to agree with them on who is down, but not so slow that they find it silent. Raft's messages pass as they are.
const (
	BeginSlow = syscall.SIGUSR1
	EndSlow   = syscall.SIGUSR2
)

// slowness is by how much such answers are late.
const slowness = 200 * time.Millisecond

// mediated are the offsets of the ports behind which a mediator stands: those of clients, members, and NATS routes.
var mediated = [...]int{0, memberOffset, 2}

const memberOffset = 1

// mediator stands between a member and the others. It runs in the member's own process and ends with the process.
type mediator struct {
	listeners []net.Listener
	slow      atomic.Bool
	signals   chan os.Signal
}

// newMediator listens at listen, in the place of the member. It carries what comes to the same ports of another host, where the member
// listens instead. Its goroutines end with the process.
func newMediator(listen, host string) (m *mediator, behind string, err error) {
	front, port, err := net.SplitHostPort(listen)
	if err != nil {
		return nil, "", fmt.Errorf("mediate %q: %w", listen, err)
	}
	base, err := strconv.Atoi(port)
	if err != nil {
		return nil, "", fmt.Errorf("mediate %q: %w", listen, err)
	}

	m = &mediator{signals: make(chan os.Signal, 2)}

	for _, offset := range mediated {
		at := strconv.Itoa(base + offset)
		l, err := net.Listen("tcp", net.JoinHostPort(front, at))
		if err != nil {
			return nil, "", errors.Join(err, m.close())
		}
		m.listeners = append(m.listeners, l)
		go m.accept(l, net.JoinHostPort(host, at), offset == memberOffset)
	}

	signal.Notify(m.signals, BeginSlow, EndSlow)
	go func() {
		for s := range m.signals {
			m.slow.Store(s == BeginSlow)
		}
	}()
	return m, net.JoinHostPort(host, port), nil
}

// close accepts no new connections. Open connections go on until either side ends them.
func (m *mediator) close() error {
	signal.Stop(m.signals)
	var errs []error
	for _, l := range m.listeners {
		errs = append(errs, l.Close())
	}
	return errors.Join(errs...)
}

func (m *mediator) accept(l net.Listener, to string, members bool) {
	for {
		nc, err := l.Accept()
		if err != nil {
			return
		}
		go m.carry(nc, to, members)
	}
}

// carry carries one connection until either side ends it.
func (m *mediator) carry(nc net.Conn, to string, members bool) {
	defer func() { _ = nc.Close() }()

	up, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer func() { _ = up.Close() }()

	calls := false
	if members {
		hello, plane, err := readHello(nc)
		if err != nil {
			return
		}
		if _, err := up.Write(hello); err != nil {
			return
		}

		// Only answers to members' calls are delayed. Raft's messages have other planes.
		calls = plane == wire.PlaneCalls
	}

	var wg sync.WaitGroup
	wg.Go(func() {
		_, _ = io.Copy(up, nc)
		_ = up.Close()
		_ = nc.Close()
	})

	if calls {
		m.answers(nc, up)
	} else {
		_, _ = io.Copy(nc, up)
	}

	// Closing both sides ends the copy in the other direction too.
	_ = up.Close()
	_ = nc.Close()
	wg.Wait()
}

// readHello reads a hello and returns its bytes and what the connection is for.
func readHello(nc net.Conn) ([]byte, wire.Plane, error) {
	var head [8]byte
	if _, err := io.ReadFull(nc, head[:]); err != nil {
		return nil, 0, err
	}
	n, err := wire.HelloLength(head)
	if err != nil {
		return nil, 0, err
	}

	body := make([]byte, n)
	if _, err := io.ReadFull(nc, body); err != nil {
		return nil, 0, err
	}

	h, err := wire.DecodeHello(body)
	return append(head[:], body...), h.Plane, err
}

// late is what the member has answered, and when it may leave.
type late struct {
	at time.Time
	b  []byte
}

// answers carries the member's answers, each late by as much as it must be, in their order.
func (m *mediator) answers(to, from net.Conn) {
	queue := make(chan late, 1024)
	var wg sync.WaitGroup

	wg.Go(func() {
		for l := range queue {
			<-time.After(time.Until(l.at))
			if _, err := to.Write(l.b); err != nil {
				_ = from.Close()
			}
		}
	})

	for {
		// A new buffer each time, since the bytes wait in the queue.
		b := make([]byte, 32<<10)
		n, err := from.Read(b)
		if n > 0 {
			l := late{at: time.Now(), b: b[:n]}
			if m.slow.Load() {
				l.at = l.at.Add(slowness)
			}
			queue <- l
		}

		if err != nil {
			break
		}
	}

	close(queue)
	wg.Wait()
}
