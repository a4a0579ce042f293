package partition

import (
	"context"
	"errors"
	"time"

	"github.com/lni/dragonboat/v4"
)

const (
	// tendEvery is how often every replica is looked at without an event.
	tendEvery = 100 * time.Millisecond
	// nudgeEvery is how often a replica is looked at that shall be elected and is not yet.
	nudgeEvery = 20 * time.Millisecond
)

// Bounds of the log that is kept for replicas that lag.
const (
	logBytesPerReplica = 2 << 20
	logEntries         = 4096
	logBytesPerMember  = 256 << 20
	// trimTimeout is when a request to trim is given up.
	trimTimeout = 5 * time.Second
)

// kick has a replica tended soon. It never blocks.
func (h *Host) kick(r *replica) {
	h.wake.Lock()
	h.wake.dirty[r] = struct{}{}
	h.wake.Unlock()
	select {
	case h.wake.ch <- struct{}{}:
	default:
	}
}

// kicked returns the replicas that were kicked since it was last called.
func (h *Host) kicked(empty map[*replica]struct{}) map[*replica]struct{} {
	h.wake.Lock()
	defer h.wake.Unlock()
	dirty := h.wake.dirty
	h.wake.dirty = empty
	return dirty
}

// loop tends the replicas: those that had an event at once, those that shall be elected often, all of them every 100 ms.
func (h *Host) loop() {
	defer h.looping.Done()
	tick := time.NewTicker(tendEvery)
	defer tick.Stop()
	electing := make(map[*replica]struct{})
	soon := time.NewTimer(time.Hour)
	defer soon.Stop()
	tend := func(r *replica, now time.Time, mayOwn bool) {
		if r.tend(now, mayOwn) {
			if len(electing) == 0 {
				soon.Reset(nudgeEvery)
			}
			electing[r] = struct{}{}
		} else {
			delete(electing, r)
		}
		h.trimLog(r)
	}
	spare := make(map[*replica]struct{})
	for {
		select {
		case <-h.life.Done():
			return
		case <-h.wake.ch:
			dirty := h.kicked(spare)
			now, may := time.Now(), h.mayOwn()
			for r := range dirty {
				tend(r, now, may)
			}
			clear(dirty)
			spare = dirty
		case now := <-soon.C:
			may := h.mayOwn()
			for r := range electing {
				tend(r, now, may)
			}
			if len(electing) > 0 {
				soon.Reset(nudgeEvery)
			}
		case now := <-tick.C:
			may := h.mayOwn()
			for i := range h.replicas {
				if r := h.replicas[i].Load(); r != nil {
					tend(r, now, may)
				}
			}
		}
	}
}

// logFull reports whether a replica's log is beyond its bounds.
func (h *Host) logFull(r *replica) bool {
	entries, bytes := h.log.Size(r.shard, r.id)
	return entries > logEntries || bytes > h.logMax
}

// trimLog has dragonboat drop the older part of a log that has grown beyond its bounds. The snapshot that it takes for that
// holds no data: in memory mode an image is made only when a replica needs one. It is called by the host's loop alone.
func (h *Host) trimLog(r *replica) {
	if t := r.trimming; t.request != nil {
		select {
		case res := <-t.request.ResultC():
			if !res.Completed() {
				r.trimming.to = 0 // asked again
			}
			r.trimming.request = nil
		default:
			return
		}
	}
	if !h.logFull(r) {
		return
	}
	entries, bytes := h.log.Size(r.shard, r.id)
	// The entry at the snapshot's own index stays; dragonboat ignores a request to remove it.
	applied, keep := r.applied.Load(), uint64(max(1, entries/4))
	if applied <= keep || applied-keep <= r.trimming.to {
		return
	}
	to := applied - keep
	rs, err := h.trim(r, to)
	if err != nil {
		if !errors.Is(err, dragonboat.ErrSystemBusy) && !errors.Is(err, dragonboat.ErrShardNotFound) && !errors.Is(err, errClosed) {
			r.log.Warn("the log was not trimmed", "err", err, "entries", entries, "bytes", bytes)
		}
		return
	}
	r.trimming.request, r.trimming.to = rs, to
}

// trim asks for a log to be cut up to an index.
func (h *Host) trim(r *replica, to uint64) (*dragonboat.RequestState, error) {
	h.gate.RLock()
	defer h.gate.RUnlock()
	if h.gate.closed {
		return nil, errClosed
	}
	return h.gate.nh.RequestSnapshot(r.shard, dragonboat.SnapshotOption{OverrideCompactionOverhead: true, CompactionIndex: to}, trimTimeout)
}

const (
	// learnerLog is how many bytes of a log a learner is given: to apply more of it takes longer than to take an image, which also
	// goes at a pace of its own and not beside everybody's messages.
	learnerLog = 128 << 10
	// learnerKeeps is how many entries stay in any case, for voters that have not answered yet.
	learnerKeeps = 16
	// shortenFor bounds the wait for a log to be cut.
	shortenFor = 500 * time.Millisecond
)

// shorten cuts a log that is too long for a learner, so that it gets an image. Nothing may come of it.
func (h *Host) shorten(ctx context.Context, r *replica) {
	entries, bytes := h.log.Size(r.shard, r.id)
	applied, keep := r.applied.Load(), uint64(learnerKeeps)
	if bytes > 0 {
		keep = max(keep, uint64(int64(entries)*learnerLog/2/bytes))
	}
	if bytes <= learnerLog || applied <= keep {
		return
	}
	rs, err := h.trim(r, applied-keep)
	if err != nil {
		return
	}
	timer := time.NewTimer(shortenFor)
	defer timer.Stop()
	select {
	case <-rs.ResultC():
	case <-timer.C:
	case <-ctx.Done():
	case <-h.life.Done():
	}
}
