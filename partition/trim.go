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

// Bounds of the log that is kept for replicas that lag. Each replica keeps some. More is kept for a replica that is being sent a state
// snapshot: the log behind that. As long as all logs together keep within the member's budget, more is also kept for a replica that is
// alive and behind.
const (
	logBytesPerReplica = 2 << 20
	logEntries         = 4096
	logBytesPerMember  = 256 << 20
	// logBytesAtLeast is what the logs of a member may take however little data there is.
	logBytesAtLeast = 16 << 20
	// logShare is the part of a partition's state that its log should take, as a divisor. A replica that has missed more of the log is sent
	// the state, which is not much longer.
	logShare = 8
	// A log that is longer than it should be, and within its bounds, is cut when nothing has come to it for stillFor, and else once in
	// cutEvery. For each cut the library takes half a millisecond and two megabytes, so short logs must not be cut as fast as they grow, and
	// not all at the same time.
	stillFor   = time.Second
	cutEvery   = 30 * time.Second
	cutsAtOnce = 8
	// trimTimeout is when a request to trim is given up.
	trimTimeout = 5 * time.Second
)

// trimming is what is being done about the length of a replica's log. But for held it belongs to the host's loop.
type trimming struct {
	request *dragonboat.RequestState // nil: none is under way
	to      uint64                   // index up to which it was last asked for
	cut     time.Time                // when it was last asked for, at the earliest when it was first looked at
	seen    uint64                   // index up to which entries were applied
	still   time.Time                // since when
	pushed  time.Time                // when an entry was last proposed so that it can be cut
	held    atomic.Bool              // it is too long, and kept for another replica: it is looked at in due course, not at each entry
}

// errLogTooLong ends a stream for which more of the log would have to be kept than there is room for. It is no fault of the receiver, which
// is sent another state snapshot later.
var errLogTooLong = fmt.Errorf("%w: the log behind the state snapshot has grown beyond what may be kept", raftnet.ErrGiveUp)

// logShareOf returns what one replica has of the bytes of log that a member may keep. Where partitions are many, each has its share.
func logShareOf(member int64, partitions int) int64 {
	return min(logBytesPerReplica, member/int64(max(1, partitions)))
}

// logFull reports whether a replica's log is beyond its bounds.
func (h *Host) logFull(r *replica) bool {
	entries, bytes := h.log.Size(r.shard, r.id)
	return entries > logEntries || bytes > h.logMax
}

// logLength returns how many bytes of log a replica should keep: an eighth of its state, within its shares.
func (h *Host) logLength(r *replica) int64 {
	return max(logShareOf(logBytesAtLeast, len(h.replicas)), min(r.bytes.Load()/logShare, h.logMax))
}

// logTooLong reports whether a replica's log must be cut now: it is beyond its bounds, or it is longer than it should be and its time has
// come. The host's loop alone calls logTooLong.
func (h *Host) logTooLong(r *replica, now time.Time) bool {
	t := &r.trimming
	if t.still.IsZero() {
		t.cut = now // the first look
	}
	if applied := r.applied.Load(); t.still.IsZero() || applied != t.seen {
		t.seen, t.still = applied, now
	}
	if h.logFull(r) {
		return true
	}

	// Within its bounds it is cut when writes have paused, or after a long time, and not with many others.
	since := now.Sub(t.cut)
	if since < cutEvery && (since < stillFor || now.Sub(t.still) < stillFor) {
		return false
	}
	_, bytes := h.log.Size(r.shard, r.id)
	return bytes > h.logLength(r) && h.cuts() < cutsAtOnce
}

// cuts returns how many logs the library has been asked to cut and has not cut yet. The host's loop alone calls cuts.
func (h *Host) cuts() (n int) {
	for i := range h.replicas {
		if r := h.replicas[i].Load(); r != nil && r.trimming.request != nil {
			n++
		}
	}
	return n
}

// overBudget returns two replicas if all logs together are beyond the budget: the one with the longest of the logs that are too long, and
// the one with the longest of those that can be cut. A log that is kept for a state snapshot under way must not keep the others long.
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

		// A log that is kept for a state snapshot may not be cut at all.
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

// worthCutting reports whether it pays to cut a log, of so many entries from first on, up to an index, if more cannot go. Each cut has a
// cost, so it is not done for a few entries.
func worthCutting(first, index uint64, entries int) bool { return index >= first+uint64(entries/8) }

// mayTrim returns the last index, not beyond want, up to which a log may be cut. The log stays from the index of each state snapshot that is
// being sent. Unless there is no room, it also stays from where the slowest live follower is.
func (h *Host) mayTrim(r *replica, want uint64, now time.Time, noRoom bool) uint64 {
	if index, ok := h.stateSnapshots.floor(r.shard); ok {
		want = min(want, index)
	}
	if noRoom {
		return want // a follower that is left behind is sent a state snapshot
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

// trimLog has the library drop the older part of a log that has grown beyond its bounds. The Raft snapshot that the library takes for that
// holds no data: a state snapshot is made only when a replica needs one. The host's loop alone calls trimLog.
//
// noRoom says that all logs together are beyond the budget, and that this one is the longest, or the longest that can be cut.
func (h *Host) trimLog(r *replica, now time.Time, noRoom bool) {
	t := &r.trimming

	// One request at a time: the library refuses a second one.
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

	if !h.logTooLong(r, now) {
		if !h.logFull(r) {
			// Update may have the loop look again when the log grows beyond its bounds.
			t.held.Store(false)
		}
		return
	}

	entries, bytes := h.log.Size(r.shard, r.id)
	kept := int64(entries / 4)
	// A log that is many times too long is cut to a quarter of what it should be, as others are.
	if bytes > 0 {
		kept = min(kept, int64(entries)*h.logLength(r)/4/bytes)
	}

	// The entry at the Raft snapshot's own index stays, because the library ignores a request to remove it.
	applied, keep := r.applied.Load(), uint64(max(1, kept))
	if applied <= keep {
		return
	}

	want := applied - keep
	to := h.mayTrim(r, want, now, noRoom)
	// Otherwise Update would have the loop look at each entry, though nothing can be cut.
	t.held.Store(to < want)

	// A log that grows to twice the budget for one receiver would take the memory of all others.
	if noRoom && to < want && h.log.TotalBytes() > 2*h.logBudget.Load() {
		h.stateSnapshots.stop(r.shard, errLogTooLong)
	}

	if first, _, _, err := h.log.Bounds(r.shard, r.id); to <= t.to || err != nil || to < want && !worthCutting(first, to, entries) {
		return
	}

	rs, err := h.trim(r, to)
	if err != nil {
		// A busy library is asked again at the next tick, and a replica that stops needs no log.
		if !errors.Is(err, dragonboat.ErrSystemBusy) && !errors.Is(err, dragonboat.ErrShardNotFound) && !errors.Is(err, errClosed) {
			r.log.Warn("cutting the Raft log of a partition failed; its memory stays in use until a later attempt succeeds",
				"err", err, "entries", entries, "bytes", bytes)
		}
		return
	}
	t.request, t.to, t.cut = rs, to, now
}

// pushEvery is how long an entry that was proposed for a log to be cut holds back the next.
const pushEvery = time.Second

// pushLog proposes an entry without effect if the log is too long and the library did not cut it. The library cuts once for each last
// entry. So what was kept for another replica would stay until the next write, which may never come.
func (r *replica) pushLog(now time.Time) {
	_, bytes := r.host.log.Size(r.shard, r.id)
	long := r.host.logFull(r) || bytes > r.host.logLength(r)
	if t := &r.trimming; long && now.Sub(t.pushed) > pushEvery {
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
	// learnerLog is how many bytes of a log a learner is given. To apply more takes longer than to take a state snapshot. A state snapshot
	// also goes at a pace of its own, and not beside everybody's messages.
	learnerLog = 128 << 10
	// learnerKeeps is how many entries stay in any case, for voters that have not answered yet.
	learnerKeeps = 16
	// shortenFor bounds the wait for a log to be cut.
	shortenFor = 500 * time.Millisecond
)

// shorten cuts a log that is too long for a learner, so that the learner is sent a state snapshot. What others need of the log stays, so
// there may be nothing to cut.
func (h *Host) shorten(ctx context.Context, r *replica) {
	entries, bytes := h.log.Size(r.shard, r.id)
	applied, keep := r.applied.Load(), uint64(learnerKeeps)
	if bytes > 0 {
		// Half of what a learner is given is kept, so that the next entries do not make the log too long again.
		keep = max(keep, uint64(int64(entries)*learnerLog/2/bytes))
	}
	if bytes <= learnerLog || applied <= keep {
		// The log is short enough, or has no more entries than stay in any case.
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

	// The learner is added in any case. If the log is cut too late, the learner is sent the whole log, which only takes longer.
	timer := time.NewTimer(shortenFor)
	defer timer.Stop()
	select {
	case <-rs.ResultC():
	case <-timer.C:
	case <-ctx.Done():
	case <-h.life.Done():
	}
}
