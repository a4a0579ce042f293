package partition

import (
	"time"

	"github.com/gridiron-io/gridiron/partition/cadence"
)

const (
	// reconcileEvery is how often every replica is looked at without an event.
	reconcileEvery = 100 * time.Millisecond
	// electingEvery is how often a replica is looked at that campaigns.
	electingEvery = 20 * time.Millisecond
)

// notify has a replica reconciled soon. It never blocks.
func (h *Host) notify(r *replica) {
	h.wake.Lock()
	h.wake.dirty[r] = struct{}{}
	h.wake.Unlock()
	select {
	case h.wake.ch <- struct{}{}:
	default:
		// A token is there already. The loop takes it later than the replica was entered, and finds the replica.
	}
}

// notified returns the replicas that were notified since it was last called.
func (h *Host) notified(empty map[*replica]struct{}) map[*replica]struct{} {
	h.wake.Lock()
	defer h.wake.Unlock()
	// Two maps take turns, so that no round allocates one.
	dirty := h.wake.dirty
	h.wake.dirty = empty
	return dirty
}

// loop reconciles the replicas: those that had an event at once, those that campaign every 20 ms, all of them every 100 ms.
func (h *Host) loop() {
	defer h.looping.Done()
	tick := time.NewTimer(cadence.Next(reconcileEvery))
	defer tick.Stop()
	electing := make(map[*replica]struct{})
	soon := time.NewTimer(time.Hour)
	defer soon.Stop()

	reconcile := func(r *replica, now time.Time) {
		defer func() { h.electing.Store(int64(len(electing))) }()
		if h.replicas[r.partition].Load() != r { // it was removed, and must not be kept alive
			delete(electing, r)
			return
		}
		if r.reconcile(now) {
			if len(electing) == 0 {
				// The timer runs only while a replica campaigns.
				soon.Reset(electingEvery)
			}
			electing[r] = struct{}{}
		} else {
			delete(electing, r)
		}
		h.trimLog(r, now, false)
	}

	spare := make(map[*replica]struct{})
	for {
		select {
		case <-h.life.Done():
			return
		case <-h.wake.ch:
			dirty := h.notified(spare)
			now := time.Now()
			for r := range dirty {
				reconcile(r, now)
			}

			// The spare map must not keep replicas alive that are removed meanwhile.
			clear(dirty)
			spare = dirty
		case now := <-soon.C:
			for r := range electing {
				reconcile(r, now)
			}
			if len(electing) > 0 {
				soon.Reset(electingEvery)
			}
		case now := <-tick.C:
			tick.Reset(cadence.Next(reconcileEvery))
			// Some things are due without an event, such as a proposal of which nothing was heard.
			for i := range h.replicas {
				if r := h.replicas[i].Load(); r != nil {
					reconcile(r, now)
				}
			}

			// Beyond what each may keep, all logs together have a budget.
			longest, cut := h.overBudget()
			for _, r := range [...]*replica{longest, cut} {
				if r != nil {
					h.trimLog(r, now, true)
				}
			}
		}
	}
}
