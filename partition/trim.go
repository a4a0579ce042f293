package partition

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"github.com/lni/dragonboat/v4"

	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/partition/raftnet"
)

// Bounds of the log that is kept for replicas that lag. Each replica keeps some; more is kept for what is under way: for a replica that
// is being given a state snapshot, from the state snapshot on, and, as long as all logs together keep within the member's budget, for one that
// is alive and behind.
const (
	logBytesPerReplica = 2 << 20
	logEntries         = 4096
	logBytesPerMember  = 256 << 20
	// trimTimeout is when a request to trim is given up.
	trimTimeout = 5 * time.Second
)

// trimming is what is being done about the length of a replica's log. But for held it belongs to the host's loop.
type trimming struct {
	request *dragonboat.RequestState // nil: none is under way
	to      uint64                   // index up to which it was last asked for
	pushed  time.Time                // when an entry was last proposed so that it can be cut
	held    atomic.Bool              // it is too long, and kept for another replica: it is looked at in due course, not at each entry
}

// errLogTooLong ends a stream for which more of the log would have to be kept than there is room for. That is not the receiver's fault.
var errLogTooLong = fmt.Errorf("%w: the log behind the state snapshot has grown beyond what may be kept", raftnet.ErrGiveUp)

// logFull reports whether a replica's log is beyond its bounds.
func (h *Host) logFull(r *replica) bool {
	entries, bytes := h.log.Size(r.shard, r.id)
	return entries > logEntries || bytes > h.logMax
}

// overBudget returns, if all logs together are beyond the budget, the replica with the longest of the logs that are too long, and that with
// the longest of those that can be cut: what is kept for a state snapshot that is under way must not keep the others long.
func (h *Host) overBudget() (longest, cut *replica) {
	if h.log.TotalBytes() <= h.logBudget.Load() {
		return nil, nil
	}
	most, mostCut := int64(0), int64(0)
	for i := range h.replicas {
		r := h.replicas[i].Load()
		if r == nil || !h.logFull(r) {
			continue
		}
		entries, bytes := h.log.Size(r.shard, r.id)
		if bytes > most {
			longest, most = r, bytes
		}
		if bytes <= mostCut {
			continue
		}
		first, _, _, err := h.log.Bounds(r.shard, r.id)
		if index, held := h.stateSnapshots.floor(r.shard); err == nil && (!held || worthCutting(first, index, entries)) {
			cut, mostCut = r, bytes
		}
	}
	return longest, cut
}

// worthCutting reports whether a log of so many entries that begins at first is to be cut up to an index if more cannot go: each time costs
// something, so it is not done for a few entries.
func worthCutting(first, index uint64, entries int) bool { return index >= first+uint64(entries/8) }

// mayTrim returns the last index, not beyond one that is wanted, up to which a log may be cut. For a replica that is being given a state snapshot it is kept
// from the state snapshot on, and, unless there is no room, for a live one from where that is.
func (h *Host) mayTrim(r *replica, want uint64, now time.Time, noRoom bool) uint64 {
	if index, ok := h.stateSnapshots.floor(r.shard); ok {
		want = min(want, index)
	}
	if noRoom {
		return want
	}
	first, _, _, err := h.log.Bounds(r.shard, r.id)
	if err != nil {
		return want
	}
	if index, ok := r.followers.floor(first-1, now); ok {
		want = min(want, index)
	}
	return want
}

// trimLog has dragonboat drop the older part of a log that has grown beyond its bounds. The snapshot that it takes for that
// holds no data: in memory mode a state snapshot is made only when a replica needs one. It is called by the host's loop alone. noRoom: all logs
// together are beyond the budget, and this one is the longest, or the longest that can be cut.
func (h *Host) trimLog(r *replica, now time.Time, noRoom bool) {
	t := &r.trimming
	if t.request != nil {
		select {
		case res := <-t.request.ResultC():
			t.request = nil
			if !res.Completed() {
				t.to = 0 // asked again
				r.pushLog(now)
			}
		default:
			return
		}
	}
	if !h.logFull(r) {
		t.held.Store(false)
		return
	}
	entries, bytes := h.log.Size(r.shard, r.id)
	// The entry at the snapshot's own index stays; dragonboat ignores a request to remove it.
	applied, keep := r.applied.Load(), uint64(max(1, entries/4))
	if applied <= keep {
		return
	}
	want := applied - keep
	to := h.mayTrim(r, want, now, noRoom)
	t.held.Store(to < want)
	if noRoom && to < want && h.log.TotalBytes() > 2*h.logBudget.Load() {
		h.stateSnapshots.stop(r.shard, errLogTooLong)
	}
	if first, _, _, err := h.log.Bounds(r.shard, r.id); to <= t.to || err != nil || to < want && !worthCutting(first, to, entries) {
		return
	}
	rs, err := h.trim(r, to)
	if err != nil {
		if !errors.Is(err, dragonboat.ErrSystemBusy) && !errors.Is(err, dragonboat.ErrShardNotFound) && !errors.Is(err, errClosed) {
			r.log.Warn("the log was not trimmed", "err", err, "entries", entries, "bytes", bytes)
		}
		return
	}
	t.request, t.to = rs, to
}

// pushEvery is how long an entry that was proposed for a log to be cut holds back the next.
const pushEvery = time.Second

// pushLog proposes an entry without effect if the log is too long and the library did not cut it: it does so once for each last
// entry, and so what was kept for another replica then would stay until the next write. That may never come.
func (r *replica) pushLog(now time.Time) {
	if t := &r.trimming; r.host.logFull(r) && now.Sub(t.pushed) > pushEvery {
		t.pushed = now
		r.proposeControl(entry.AppendRelease(nil, &entry.Release{Epoch: math.MaxUint64})) // an epoch that never was
	}
}

// trim asks for a log to be cut up to an index.
func (h *Host) trim(r *replica, to uint64) (*dragonboat.RequestState, error) {
	nh, err := h.raft.Enter()
	if err != nil {
		return nil, err
	}
	defer h.raft.Leave()
	return nh.RequestSnapshot(r.shard, dragonboat.SnapshotOption{OverrideCompactionOverhead: true, CompactionIndex: to}, trimTimeout)
}

const (
	// learnerLog is how many bytes of a log a learner is given: to apply more of it takes longer than to take a state snapshot, which also
	// goes at a pace of its own and not beside everybody's messages.
	learnerLog = 128 << 10
	// learnerKeeps is how many entries stay in any case, for voters that have not answered yet.
	learnerKeeps = 16
	// shortenFor bounds the wait for a log to be cut.
	shortenFor = 500 * time.Millisecond
)

// shorten cuts a log that is too long for a learner, so that it gets a state snapshot; not what others need of it. Nothing may come of it.
func (h *Host) shorten(ctx context.Context, r *replica) {
	entries, bytes := h.log.Size(r.shard, r.id)
	applied, keep := r.applied.Load(), uint64(learnerKeeps)
	if bytes > 0 {
		keep = max(keep, uint64(int64(entries)*learnerLog/2/bytes))
	}
	if bytes <= learnerLog || applied <= keep {
		return
	}
	first, _, _, err := h.log.Bounds(r.shard, r.id)
	to := h.mayTrim(r, applied-keep, time.Now(), false)
	if err != nil || to < first {
		return
	}
	rs, err := h.trim(r, to)
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
