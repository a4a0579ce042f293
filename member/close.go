package member

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"time"

	"github.com/gridiron-io/gridiron/partition/meta"
)

// drainFor bounds how long Close waits for answers to leave.
const drainFor = 2 * time.Second

// Close stops the member: it takes no new connections, gives up its partitions in their logs so that the next owners need
// not wait, lets calls under way be answered, and stops. ctx bounds the first part; the member stops in any case. A second
// Close, and one after Kill, does nothing.
func (m *Member) Close(ctx context.Context) error {
	var err error
	m.closeOnce.Do(func() { err = m.stop(ctx, true) })
	return err
}

// Kill stops the member as if its process had been killed: connections are cut first, nothing is handed over or said. It is
// for tests and demonstrations of what a crash does.
func (m *Member) Kill() {
	m.closeOnce.Do(func() { _ = m.stop(context.Background(), false) })
}

func (m *Member) stop(ctx context.Context, gracefully bool) error {
	m.phase.Store(phaseClosing)
	if m.ports != nil {
		m.ports.close()
	}
	if gracefully {
		m.release(ctx)
	}
	if !gracefully {
		m.raw.closeAll()
	}
	if m.client != nil {
		_ = m.client.Close()
	}
	if m.tasks != nil {
		m.tasks.Stop()
	}
	m.cancel()
	for _, c := range m.conns.all() {
		c.close()
	}
	m.raw.closeAll()
	if m.runner != nil {
		m.runner.Close()
	}
	if m.http != nil {
		m.http.close()
	}
	if m.host != nil {
		m.host.Close()
	} else if m.dataNet != nil {
		_ = m.dataNet.Close()
	}
	if m.meta != nil {
		m.meta.Close()
	} else if m.metaNet != nil {
		_ = m.metaNet.Close()
	}
	m.wg.Wait()
	if m.nc != nil {
		m.nc.Close()
	}
	if m.nats != nil {
		m.nats.close()
	}
	var errs []error
	if m.store != nil {
		errs = append(errs, m.store.Close())
	}
	if m.tempDir {
		errs = append(errs, os.RemoveAll(m.cfg.DataDir))
	}
	return errors.Join(errs...)
}

// release gives up what this member owns and tells the others that it leaves.
func (m *Member) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if m.host != nil {
		m.host.Release(ctx)
	}
	if m.meta != nil && m.metaReady.Load() && m.metaView().Member(m.id) != nil {
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if _, err := m.metaPropose(short, &meta.SetState{ID: m.id, Incarnation: m.incarnation, State: meta.StateLeft}); err != nil {
			m.log.Debug("the others were not told that this member leaves", "err", err)
		}
	}
	deadline := time.Now().Add(drainFor)
	for _, c := range m.conns.all() {
		if !c.peer {
			c.drain(deadline)
		}
	}
}

// rawConns are all connections that this member accepted, so that they can be cut.
type rawConns struct {
	mu     sync.Mutex
	list   map[net.Conn]struct{}
	closed bool
}

// add takes a connection and reports whether it may go on.
func (r *rawConns) add(nc net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	if r.list == nil {
		r.list = make(map[net.Conn]struct{})
	}
	r.list[nc] = struct{}{}
	return true
}

func (r *rawConns) remove(nc net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.list, nc)
}

func (r *rawConns) closeAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	for nc := range r.list {
		if t, ok := nc.(*net.TCPConn); ok {
			_ = t.SetLinger(0)
		}
		_ = nc.Close()
	}
}
