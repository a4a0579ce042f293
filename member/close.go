package member

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/gridiron-io/gridiron/partition/meta"
)

const (
	// drainFor bounds how long Close waits for answers to leave.
	drainFor = 2 * time.Second
	// releaseFor bounds how long Close waits for its partitions to be given up.
	releaseFor = 10 * time.Second
	// goodbyeFor bounds how long Close waits for the others to know that this member has left.
	goodbyeFor = time.Second
)

// Close stops the member: it takes no new connections, gives up its partitions in their logs so that the next owners need
// not wait, lets tasks and calls under way come to their end, and stops. ctx bounds the leaving; the member stops in any case. A
// second Close, and one after Kill, returns nil when the member has stopped. The errors are those of removing its files.
func (m *Member) Close(ctx context.Context) error {
	var err error
	m.closeOnce.Do(func() {
		m.leave(ctx)
		err = m.stop(false)
	})
	return err
}

// Kill stops the member as if its process had been killed: its connections are reset first, nothing is handed over or said.
// It is for tests, demonstrations of what a crash does, and for a Close that takes too long, whose leaving it ends. It
// returns when everything of the member has ended.
func (m *Member) Kill() {
	m.hurry()
	m.closeOnce.Do(func() {
		if err := m.stop(true); err != nil {
			m.log.Warn("files of the member were not removed", "err", err)
		}
	})
}

// leave gives up what this member owns, tells the others that it leaves, and lets callers have their answers.
func (m *Member) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, releaseFor)
	defer cancel()
	defer context.AfterFunc(m.leaving, cancel)()
	m.phase.Store(phaseClosing)
	m.ports.close()
	if m.host != nil {
		m.host.Release(ctx)
	}
	if v := m.metaView(); v != nil && v.Member(m.id) != nil {
		short, cancel := context.WithTimeout(ctx, goodbyeFor)
		defer cancel()
		if _, err := m.metaPropose(short, &meta.SetState{ID: m.id, Incarnation: m.incarnation, State: meta.StateLeft}); err != nil {
			m.log.Debug("the others were not told that this member leaves", "err", err)
		}
	}
	if m.tasks != nil && m.leaving.Err() == nil {
		m.tasks.Stop() // those who wait for a result have it from now on
	}
	draining, cancel := context.WithTimeout(ctx, drainFor)
	defer cancel()
	m.conns.drain(draining)
}

// stop ends everything that the member has started, in the reverse order. Each part may be missing: a start can fail
// anywhere. Abruptly, the members' and clients' connections are cut before anything else, so that nobody hears of what follows.
func (m *Member) stop(abruptly bool) error {
	m.phase.Store(phaseClosing)
	if m.ports != nil {
		m.ports.close()
	}
	m.sockets.closeAll(abruptly)
	if abruptly {
		m.cutTransports()
	}
	m.cancel()
	m.stopMetrics()
	if m.http != nil {
		m.http.close(abruptly)
	}
	if m.client != nil {
		_ = m.client.Close()
	}
	if m.tasks != nil {
		m.tasks.Stop()
	}
	if m.runner != nil {
		m.runner.Close()
	}
	if m.maps != nil {
		m.maps.Stop()
	}
	if m.host != nil {
		m.host.Close()
	}
	if m.meta != nil {
		m.meta.Close()
	}
	m.cutTransports() // where there is no host to close them
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

// cutTransports ends the connections that carry Raft. It may be called twice, and before the hosts are closed.
func (m *Member) cutTransports() {
	if m.dataNet != nil {
		_ = m.dataNet.Close() // never fails
	}
	if m.metaNet != nil {
		_ = m.metaNet.Close() // never fails
	}
}
