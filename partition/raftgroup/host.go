// Package raftgroup owns a NodeHost of dragonboat and what is done with the Raft groups in it: calls that end with the host, replicas
// that start and stop, and changes of a group's membership. The host of the partitions and the host of the metadata each have one.
//
// It knows nothing of what a group keeps, of who owns a partition, or of the members of a cluster.
package raftgroup

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/lni/dragonboat/v4"
	"github.com/lni/dragonboat/v4/config"

	"github.com/gridiron-io/gridiron/partition/wakeups"
)

// ErrClosed is returned by calls of a host that is closed.
var ErrClosed = errors.New("the host is closed")

// Host is a NodeHost behind a gate. It is made with New, and useful once Start has returned.
type Host struct {
	// life ends the calls that wait, for Close waits for them.
	life context.Context

	// gate is held for reading around every call of the NodeHost, and for writing to close it: the library sets its fields
	// to nil under calls that still run.
	gate struct {
		sync.RWMutex
		closed bool
		nh     *dragonboat.NodeHost
	}

	workers atomic.Pointer[wakeups.Workers] // nil until they were found
}

// New returns a host without a NodeHost. The calls that wait end with life, which must end before Close.
func New(life context.Context) *Host { return &Host{life: life} }

// Start starts the NodeHost. The library checks directories and addresses by panics, which Start turns into errors.
func (h *Host) Start(cfg config.NodeHostConfig) (err error) {
	defer func() {
		if r := recover(); r != nil {
			// A wrong directory or address is the operator's to correct, and no reason to end the program.
			err = fmt.Errorf("dragonboat: %v", r)
		}
	}()

	nh, err := dragonboat.NewNodeHost(cfg)
	if err != nil {
		return err
	}

	h.gate.Lock()
	defer h.gate.Unlock()
	h.gate.nh = nh
	return nil
}

// FindWorkers finds the workers of the NodeHost, for DropStep and DropApply. An error wraps wakeups.ErrUnknown. REQUIRES: Start has returned
// no error.
func (h *Host) FindWorkers() error {
	nh, err := h.Enter()
	if err != nil {
		return err
	}
	defer h.Leave()

	w, err := wakeups.Find(nh)
	if err != nil {
		return err
	}
	h.workers.Store(w)
	return nil
}

// DropStep takes back the wake-up of a step worker that has nothing to do. Without FindWorkers it does nothing.
func (h *Host) DropStep(worker uint64) {
	if w := h.workers.Load(); w != nil {
		w.DropStep(worker)
	}
}

// DropApply takes back the wake-up of a group's apply worker that has nothing to do. Without FindWorkers it does nothing.
func (h *Host) DropApply(shard uint64) {
	if w := h.workers.Load(); w != nil {
		w.DropApply(shard)
	}
}

// WatchSteps returns what leaves out steps of a group after its state machine has applied something; see wakeups.Watch. Without FindWorkers it returns
// nil, which leaves out nothing.
func (h *Host) WatchSteps(shard uint64, reads func() bool) *wakeups.Steps {
	if h.workers.Load() == nil {
		return nil
	}
	nh, err := h.Enter()
	if err != nil {
		return nil
	}
	defer h.Leave()

	// Without it the group makes more steps than it must.
	steps, _ := wakeups.Watch(nh, shard, reads)
	return steps
}

// Enter returns the NodeHost for one call. Leave must follow, unless the error is ErrClosed.
//
// NOTE: Close waits for Leave. So whoever waits for an answer of the library does that after Leave, or with a context that ends with the
// host.
func (h *Host) Enter() (*dragonboat.NodeHost, error) {
	h.gate.RLock()
	if h.gate.closed {
		h.gate.RUnlock()
		return nil, ErrClosed
	}

	// The gate stays held until Leave.
	return h.gate.nh, nil
}

// Leave ends the call that Enter began.
func (h *Host) Leave() { h.gate.RUnlock() }

// Shut lets no more calls begin, and waits for those under way.
func (h *Host) Shut() {
	h.gate.Lock()
	defer h.gate.Unlock()
	h.gate.closed = true
}

// Close shuts the host and closes the NodeHost. What the NodeHost has started may run on for a while, and know its replicas.
func (h *Host) Close(log *slog.Logger) {
	// The library sets its fields to nil under calls that still run, so those end first.
	h.Shut()
	h.gate.RLock()
	nh := h.gate.nh
	h.gate.RUnlock()
	if nh == nil {
		// The NodeHost was never started, or its start has failed.
		return
	}

	// The library's own errors at this point are panics, and there is nothing left that they could spoil.
	defer func() {
		if r := recover(); r != nil {
			log.Error("the Raft library failed while it closed; its goroutines may run on until the process ends", "err", r)
		}
	}()
	nh.Close()
}
