package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"
)

// linkQueue is how many requests may wait for one address. More are dropped: what matters is said again.
const linkQueue = 8

// link is the way to one address: a queue, and a goroutine that sends one request after the other and waits for its answer.
// The goroutine ends when the queue is closed and empty, or when its context ends.
type link struct {
	addr  string
	queue chan Message
	used  time.Time // when a request was last put into the queue
}

// openLinks lets send send. The links end with ctx.
func (r *Runner) openLinks(ctx context.Context) error {
	r.links.Lock()
	defer r.links.Unlock()
	if r.links.byAddr != nil {
		return errors.New("bootstrap: Run was called while it runs")
	}
	// The goroutines of links take their context from here, since send has none.
	r.links.byAddr = make(map[string]*link)
	r.links.drive = func(l *link) { r.drive(ctx, l) }
	return nil
}

// closeLinks ends the links and waits for them.
func (r *Runner) closeLinks() {
	r.links.Lock()
	for _, l := range r.links.byAddr {
		close(l.queue)
	}
	r.links.byAddr = nil
	r.links.Unlock()
	// The goroutines take r.links when they send, so they are waited for without it.
	r.links.wg.Wait()
}

// send puts a request on its way, or drops it.
func (r *Runner) send(e Envelope) {
	r.links.Lock()
	defer r.links.Unlock()
	// Run does not run, so nobody waits for an answer.
	if r.links.byAddr == nil {
		return
	}

	now := time.Now()
	l := r.links.byAddr[e.To]
	// A new address is the moment to look for old ones. So the number of links stays bounded by the addresses in use.
	if l == nil {
		r.closeUnusedLocked(now)
		l = &link{addr: e.To, queue: make(chan Message, linkQueue)}
		r.links.byAddr[e.To] = l
		drive := r.links.drive
		r.links.wg.Go(func() { drive(l) })
	}

	l.used = now
	// A full queue belongs to an address that does not answer. What is dropped is said again at the next tick.
	select {
	case l.queue <- e.Message:
	default:
	}
}

// closeUnusedLocked ends the links to addresses that the machine has forgotten. REQUIRES r.links.
func (r *Runner) closeUnusedLocked(now time.Time) {
	for addr, l := range r.links.byAddr {
		if now.Sub(l.used) > 10*max(r.cfg.Timing.HelloEvery, r.cfg.Timing.AskEvery) {
			close(l.queue)
			delete(r.links.byAddr, addr)
		}
	}
}

// drive is the goroutine of a link.
func (r *Runner) drive(ctx context.Context, l *link) {
	var conn net.Conn
	defer func() {
		if conn != nil {
			_ = conn.Close() // nothing is left unsent
		}
	}()
	for req := range l.queue {
		// Requests that still wait are of no use to a bootstrap that has ended.
		if ctx.Err() != nil {
			return
		}

		ans, err := r.exchange(ctx, &conn, l.addr, &req)
		if err != nil {
			r.cfg.Logger.Debug("no answer while bootstrapping", "to", l.addr, "request", req.Kind.String(), "error", err)
			// Whether the answer is still to come is unknown, so the connection cannot be used for another request.
			if conn != nil {
				_ = conn.Close() // broken
				conn = nil
			}
			// Only the operator's own addresses end the bootstrap. A learned address may be of anybody.
			if errors.Is(err, ErrOtherCluster) && slices.Contains(r.cfg.Join, l.addr) {
				r.end(err)
			}
			continue
		}

		out, err := r.step(func(m *Machine, now time.Duration) Effects { return m.Answer(now, l.addr, ans) })
		if err != nil {
			return
		}
		if out.Err != nil {
			r.end(fmt.Errorf("bootstrap: %w", out.Err))
		}
	}
}

// Ask says hello to an address and returns what the member there says of itself. It is for members that belong to a cluster: it takes no
// part in bootstrap. The connection ends with it.
func (r *Runner) Ask(ctx context.Context, addr string) (Hello, error) {
	// The hello names this member's cluster and where its members are now, so these have to be the newest.
	if ref, known := r.memberList(); known {
		if err := r.SetCluster(ref); err != nil {
			return Hello{}, err
		}
	}

	r.mu.Lock()
	err := r.mu.failed
	req := Message{Kind: KindHello, From: r.mu.machine.hello()}
	r.mu.Unlock()
	// After a failed save nothing may be said that could contradict the disk.
	if err != nil {
		return Hello{}, err
	}

	var conn net.Conn
	ans, err := r.exchange(ctx, &conn, addr, &req)
	if conn != nil {
		_ = conn.Close() // nothing is left unsent
	}
	if err != nil {
		return Hello{}, fmt.Errorf("ask: %w", err)
	}
	return ans.From, nil
}

// exchange sends one request, over a new connection if there is none, and returns its answer.
func (r *Runner) exchange(ctx context.Context, conn *net.Conn, addr string, req *Message) (Message, error) {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Timing.Timeout)
	defer cancel()
	if *conn == nil {
		c, err := r.cfg.Dial(ctx, addr)
		if err != nil {
			return Message{}, fmt.Errorf("dial %s: %w", addr, err)
		}

		// The connection is kept for the next request, since requests come several times a second.
		*conn = c
	}

	c := *conn
	// The end of ctx, be it Run's or the timeout, ends whatever the connection waits for.
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := writeMessage(c, req); err != nil {
		return Message{}, err
	}
	return readMessage(c)
}
