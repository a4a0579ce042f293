package partition

import (
	"bytes"
	"cmp"
	"errors"
	"log/slog"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lni/dragonboat/v4/client"
	sm "github.com/lni/dragonboat/v4/statemachine"

	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/partition/role"
	"github.com/gridiron-io/gridiron/partition/wakeups"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// replica is one partition as this process holds it: the replicated state, and what the process knows of its own part in
// it. It is dragonboat's state machine of the group: Update, Lookup, the snapshots and Close are called by dragonboat's
// workers, one at a time but for Lookup and SaveSnapshot.
//
// Lock order: state, then part or the proposer's; never two of the last.
type replica struct {
	host      *Host
	partition int
	shard     uint64 // of a generation of the partition
	losses    uint64 // see Placement
	id        uint64 // replica ID, used once and by this process only
	session   *client.Session
	raft      func(cmd []byte) (ticket, error) // is propose, except in tests
	log       *slog.Logger

	// state guards the replicated state: written by Update and by state snapshots, read by everyone.
	state struct {
		sync.RWMutex
		own           role.Ownership
		machine       Machine        // nil once it was freed
		stateTransfer *stateReceiver // what has come of the state that the generation is being given; nil otherwise
		settled       mark           // position that everybody has applied who may read
	}

	// What the state was when an entry was last applied, for readers without its lock.
	applied     atomic.Uint64 // index
	records     atomic.Int64  // memory held by results of calls that may be repeated
	bytes       atomic.Int64  // memory that the state is counted with
	transferred atomic.Uint64 // bytes that have come of state.stateTransfer
	due         atomic.Int64  // cluster time at which upkeep is due; noneDue if none is

	// serving is the epoch under which this process owns the partition and takes operations; 0 if it does not. It is what the
	// role decided, and written under part's lock.
	serving     atomic.Uint64
	servingTerm atomic.Uint64 // counts the changes of serving, before they are made
	part        part

	whole  latch // closed when the generation has its first state, with which it begins as a rule
	closed latch // closed by the library when it has finished with the replica: nothing is applied after that

	incoming  sync.Mutex // held by whoever reads a state snapshot for the replica
	followers followers
	trimming  trimming

	proposer proposer
	reads    readQueue
	applying
}

// applying is what a replica applies entries with.
type applying struct {
	clock func() time.Time // by which Update is timed
	steps *wakeups.Steps   // set by Open; may be nil
}

// latch is a channel that is closed once.
type latch struct {
	once sync.Once
	ch   chan struct{}
}

func (l *latch) close() { l.once.Do(func() { close(l.ch) }) }

// sortedVoters returns a group's voters in the order of their replica IDs, which all replicas know.
func sortedVoters(by map[uint64]wire.ID) []role.Voter {
	list := make([]role.Voter, 0, len(by))
	for id, incarnation := range by {
		list = append(list, role.Voter{ID: id, Incarnation: incarnation})
	}
	slices.SortFunc(list, func(a, b role.Voter) int { return cmp.Compare(a.ID, b.ID) })
	return list
}

// noneDue means that there is no such time.
const noneDue = math.MaxInt64

// newReplica returns a replica that has applied nothing yet.
func newReplica(h *Host, p Placement) *replica {
	r := &replica{host: h, partition: p.Partition, shard: ShardOf(p.Generation, p.Partition), losses: p.Losses, id: p.Replica}
	r.session = client.NewNoOPSession(r.shard, h.random)
	r.log = h.cfg.Logger.With("partition", p.Partition, "shard", r.shard)
	r.state.own = role.NewOwnership(p.Generation)
	r.state.own.AwaitsState = p.FromSurvivor
	r.closed.ch, r.whole.ch = make(chan struct{}), make(chan struct{})
	if !p.FromSurvivor {
		// The generation begins empty, and an empty state is a whole one.
		r.becomeWhole()
	}
	r.state.machine = h.cfg.Machines.New(p.Partition, p.Generation)
	r.raft = r.propose
	r.part.init(role.Config{Member: h.cfg.Member, Incarnation: h.cfg.Incarnation, Replica: p.Replica, Partition: p.Partition,
		Preferred: p.Preferred, LeaseMs: h.leaseMillis()}, r.state.own, sortedVoters(p.Initial))
	r.due.Store(noneDue)
	r.clock = time.Now
	r.proposer.init(r)
	r.reads.init(r)
	return r
}

// Open is called once, before anything else. A replica begins empty: its ID was never used before.
func (r *replica) Open(<-chan struct{}) (uint64, error) {
	r.steps = r.host.raft.WatchSteps(r.shard, func() bool { return r.reads.majorities.Load() > 0 })
	return 0, nil
}

// Sync has nothing to do: nothing is on disk.
func (r *replica) Sync() error { return nil }

// Lookup is not used: readers have their own way to the state.
func (r *replica) Lookup(any) (any, error) { return nil, errors.New("not supported") }

// Close is called after the last Update.
func (r *replica) Close() error {
	r.stop()
	r.closed.close()
	return nil
}

// applyEffects is what applied entries mean for this process. It is carried out without the state's lock.
type applyEffects struct {
	done        finished // batches of this process that were applied or refused
	role        decided  // what the role decided about Owns, Releases, and the generation's first state
	release     []byte   // the last Release of an owner
	applied     bool     // operations were applied
	transferred bool     // a part of the generation's first state was taken
}

// updateTime is for how long Update keeps readers waiting. The entry that is being applied then still ends.
const updateTime = 2 * time.Millisecond

// Update applies committed entries. It never fails: an entry that asks for what cannot be changes nothing, or gives a result code.
func (r *replica) Update(entries []sm.Entry) ([]sm.Entry, error) {
	var fx applyEffects

	r.state.Lock()
	began := r.clock()
	for i := range entries {
		// Readers that wait get the lock: between two entries the state is whole.
		if i > 0 && r.clock().Sub(began) >= updateTime {
			r.appliedLocked(entries[i-1].Index)
			r.state.Unlock()
			r.state.Lock()
			began = r.clock()
		}
		r.applyLocked(&entries[i], &fx)
	}

	// Before the index: whoever sees the index finds notes that are no older.
	r.noteLocked()
	r.appliedLocked(entries[len(entries)-1].Index)
	r.state.Unlock()

	if fx.role.RepeatRelease {
		r.host.cfg.Transport.TellCommits(r.shard)
		r.proposeControl(fx.release) // the second one has no effect of its own
	}
	r.carryOut(&fx.role)
	r.answer(fx.done)
	if len(fx.done) > 0 {
		r.proposer.flush() // fewer entries are in flight
	}
	if fx.applied && r.host.cfg.OnApplied != nil {
		r.host.cfg.OnApplied(r.partition)
	}

	if fx.transferred || r.host.logFull(r) && !r.trimming.held.Load() {
		// The loop proposes the next piece, or has the log cut.
		r.host.notify(r)
	}

	r.steps.Applied(len(entries))
	// The worker has taken all that was ready, and would look at all its groups for a wake-up that came meanwhile.
	r.host.raft.DropApply(r.shard)
	return entries, nil
}

// appliedLocked notes up to where entries were applied. Whoever has the lock finds state and index of the same moment. REQUIRES
// r.state's lock.
func (r *replica) appliedLocked(index uint64) { r.applied.Store(max(r.applied.Load(), index)) }

// noteLocked publishes what others read of the state without its lock. REQUIRES r.state's lock.
func (r *replica) noteLocked() {
	r.records.Store(int64(r.state.machine.RecordBytes()))
	r.bytes.Store(int64(r.state.machine.Bytes()))
	if m, ok := r.state.machine.(Positioned); ok {
		r.reads.position.Store(uint64(markOf(m.LastPos())))
	}
	due, ok := r.state.machine.NextDue()
	if !ok {
		due = noneDue
	}
	r.due.Store(due)
}

// applyLocked applies one entry, unless a state snapshot has brought its effect. REQUIRES r.state's lock.
func (r *replica) applyLocked(e *sm.Entry, fx *applyEffects) {
	if e.Index <= r.applied.Load() {
		return
	}

	kind, err := entry.KindOf(e.Cmd)
	if err == nil {
		switch kind {
		case entry.KindBatch:
			err = r.applyBatchLocked(e, fx)
		case entry.KindOwn:
			err = r.applyOwnLocked(e, fx)
		case entry.KindRelease:
			err = r.applyReleaseLocked(e, fx)
		case entry.KindStatePiece:
			err = r.applyStatePieceLocked(e, fx)
		case entry.KindStateComplete:
			err = r.applyStateCompleteLocked(e, fx)
		default:
			err = errUnknownKind
		}
	}
	if err != nil {
		// Every replica comes to the same error, so the entry is skipped everywhere.
		r.log.Error("log entry skipped: it cannot be decoded", "index", e.Index, "kind", kind, "err", err)
	}
}

var errUnknownKind = errors.New("an entry of an unknown kind")

// applyOwnLocked applies an Own. REQUIRES r.state's lock.
func (r *replica) applyOwnLocked(e *sm.Entry, fx *applyEffects) error {
	o, err := entry.DecodeOwn(e.Cmd)
	if err != nil {
		return err
	}

	was, ok := r.state.own.ApplyOwn(&o, e.Index)
	switch {
	case ok:
		// An Own takes the log's clock on. It says nothing of what was published.
		r.state.machine.Advance(o.Now, 0)
		r.decideLater(role.OwnApplied{Own: r.state.own, Superseded: was}, fx)
	case o.Incarnation == r.host.cfg.Incarnation:
		// A refused Own concerns only the process that has proposed it.
		r.decideLater(role.OwnRefused{PrevEpoch: o.PrevEpoch}, fx)
	}
	return nil
}

// applyReleaseLocked applies a Release. REQUIRES r.state's lock.
func (r *replica) applyReleaseLocked(e *sm.Entry, fx *applyEffects) error {
	rel, err := entry.DecodeRelease(e.Cmd)
	if err != nil {
		return err
	}

	switch r.state.own.ApplyRelease(&rel) {
	case role.CurrentReleased:
		fx.release = bytes.Clone(e.Cmd) // it may be proposed again, and the log keeps its own bytes
		r.decideLater(role.ReleaseApplied{Own: r.state.own}, fx)
	case role.PrevReleased:
		r.decideLater(role.ReleaseApplied{Own: r.state.own, Previous: true}, fx)
	}
	return nil
}

// applyBatchLocked applies the operations of an owner. REQUIRES r.state's lock.
func (r *replica) applyBatchLocked(e *sm.Entry, fx *applyEffects) error {
	b, err := entry.DecodeBatch(e.Cmd)
	if err != nil {
		return err
	}

	var batch *batch // those who wait here
	if b.Proposer == r.host.cfg.Incarnation {
		// Each process numbers its own batches, so a number means nothing without the proposer.
		batch = r.proposer.take(b.Header.Batch)
	}

	// An owner that was superseded may have proposed it: then it has no effect, on any replica.
	if !r.state.own.Accepts(b.Epoch) {
		if batch != nil {
			fx.done.add(batch, Moved)
		}
		return nil
	}

	// A batch with mark 0 promises nothing, so the largest mark stays.
	r.state.settled = max(r.state.settled, mark(b.Applied))
	r.state.machine.Advance(b.Now, b.Published)
	var results []entry.Result
	if batch != nil {
		// On other replicas nobody waits for results.
		results = make([]entry.Result, 0, b.Ops)
	}
	var op entry.Op
	for b.Next(&op) {
		res := r.state.machine.Apply(&op)
		if batch != nil {
			results = append(results, res)
		}
	}

	fx.applied = true // also by a tick: the clock went on
	if batch != nil {
		// The lease counts from before the entry was proposed: nobody has superseded the epoch earlier.
		if r.reads.renewedBy(b.Epoch, batch.proposed) {
			r.decideLater(r.reads.proof(b.Epoch, batch.proposed), fx)
		}
		fx.done = append(fx.done, finishedBatch{batch: batch, outcome: Applied, results: results, notBefore: r.servesAfter()})
	}
	return b.Err()
}

// answer hands out results, not before the process may answer.
func (r *replica) answer(done finished) {
	var now time.Time
	for i := range done {
		f := &done[i]
		if !f.notBefore.IsZero() {
			if now.IsZero() {
				// The clock is read once, and only if something has to wait.
				now = time.Now()
			}
			if f.notBefore.After(now) && r.hold(f) {
				continue
			}
		}
		f.complete()
	}
}

// stop ends what the replica does for callers. The replica no longer applies entries. stop may be called twice.
func (r *replica) stop() {
	// The serving ends first: what is submitted from here on has moved, and is gathered nowhere.
	held := r.stopServing()
	r.proposer.stop()
	r.reads.stop()
	held.complete()
}

// free frees the state: the library, among others, may know the replica for longer. Nothing is applied any more, and the state was
// kept for the next generation if it is needed there.
func (r *replica) free() {
	r.state.Lock()
	defer r.state.Unlock()
	r.state.machine = nil
	r.bytes.Store(0)
	r.dropTransferLocked()
}

var _ sm.IOnDiskStateMachine = (*replica)(nil)
