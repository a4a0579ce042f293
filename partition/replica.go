package partition

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lni/dragonboat/v4/client"
	sm "github.com/lni/dragonboat/v4/statemachine"

	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// replica is one partition as this process holds it: the replicated state, and what the process knows of its own part in
// it. It is dragonboat's state machine of the group: Update, Lookup, the snapshots and Close are called by dragonboat's
// workers, one at a time but for Lookup and SaveSnapshot.
type replica struct {
	host      *Host
	partition int
	shard     uint64 // generation<<12 | partition
	id        uint64 // replica ID, used once and by this process only
	preferred bool   // this member shall own the partition first
	session   *client.Session
	log       *slog.Logger

	// state guards the replicated state: written by Update and RecoverFromSnapshot, read by everyone.
	state struct {
		sync.RWMutex
		own     ownership
		machine Machine
	}
	applied atomic.Uint64 // index of the last applied entry
	records atomic.Int64  // memory held by results of calls that may be repeated, as of the last applied entry

	// serving is the epoch under which this process owns the partition and takes operations; 0 if it does not. It is
	// written under role's lock.
	serving atomic.Uint64
	role    struct {
		sync.Mutex
		leader   uint64    // replica that Raft elected; 0 if unknown
		term     uint64    // of leader
		ownSince time.Time // when an Own was last proposed; zero if none is under way
		relEpoch uint64    // epoch for which a Release was proposed after another was elected
		cleanAt  time.Time // before it nothing is answered
		applied  uint64    // epoch that applied last named this incarnation
		nudged   time.Time // when the replica was last told to campaign
	}

	proposer proposer
	reads    readQueue
}

func newReplica(h *Host, p Placement) *replica {
	r := &replica{host: h, partition: p.Partition, shard: ShardOf(p.Generation, p.Partition), id: p.Replica, preferred: p.Preferred}
	r.session = client.NewNoOPSession(r.shard, h.random)
	r.log = h.cfg.Logger.With("partition", p.Partition, "shard", r.shard)
	r.state.own = newOwnership(p.Generation)
	r.state.machine = h.cfg.Machines.New(p.Partition, p.Generation)
	r.proposer.init(r)
	r.reads.init(r)
	return r
}

// ShardOf returns the Raft group of a generation of a partition.
func ShardOf(generation uint64, partition int) uint64 { return generation<<12 | uint64(partition) }

// Open is called once, before anything else. A replica begins empty: its ID was never used before.
func (r *replica) Open(<-chan struct{}) (uint64, error) { return 0, nil }

// Sync has nothing to do: nothing is on disk.
func (r *replica) Sync() error { return nil }

// Lookup is not used: readers have their own way to the state.
func (r *replica) Lookup(any) (any, error) { return nil, errors.New("not supported") }

// Close is called after the last Update.
func (r *replica) Close() error {
	r.stop()
	return nil
}

// applyEffects is what entries just applied mean for this process, to be carried out without the state's lock.
type applyEffects struct {
	done   []finishedBatch // batches of this process that were applied or refused
	owned  bool            // the ownership changed
	was    superseded      // by an Own of this incarnation
	mine   uint64          // epoch of an accepted Own of this incarnation
	clean  bool            // the owner before released after this incarnation had superseded it
	events bool            // operations were applied
}

// Update applies committed entries. It never fails: what an entry asks for and cannot have is no change, or a result code.
func (r *replica) Update(entries []sm.Entry) ([]sm.Entry, error) {
	var fx applyEffects
	r.state.Lock()
	for i := range entries {
		r.applyLocked(&entries[i], &fx)
	}
	own := r.state.own
	r.records.Store(int64(r.state.machine.RecordBytes()))
	r.state.Unlock()
	r.applied.Store(entries[len(entries)-1].Index)

	if fx.owned {
		r.ownershipChanged(&own, &fx)
	}
	r.answer(fx.done)
	if len(fx.done) > 0 {
		r.proposer.flush()
	}
	if fx.events && r.host.cfg.OnApplied != nil {
		r.host.cfg.OnApplied(r.partition)
	}
	return entries, nil
}

// answer hands out results, not before the replica may answer.
func (r *replica) answer(done []finishedBatch) {
	if len(done) == 0 {
		return
	}
	if wait := r.untilClean(); wait > 0 {
		time.AfterFunc(wait, func() { completeBatches(done) })
		return
	}
	completeBatches(done)
}

// applyLocked applies one entry. REQUIRES r.state's lock.
func (r *replica) applyLocked(e *sm.Entry, fx *applyEffects) {
	kind, err := entry.KindOf(e.Cmd)
	if err != nil {
		r.log.Error("an entry cannot be read", "index", e.Index, "err", err)
		return
	}
	switch kind {
	case entry.KindBatch:
		r.applyBatchLocked(e, fx)
	case entry.KindOwn:
		o, err := entry.DecodeOwn(e.Cmd)
		if err != nil {
			r.log.Error("an entry cannot be read", "index", e.Index, "err", err)
			return
		}
		was, ok := r.state.own.own(&o, e.Index)
		if ok {
			r.state.machine.Advance(o.Now, 0)
			fx.was, fx.clean = was, false
			fx.mine = 0
			if o.Incarnation == r.host.cfg.Incarnation {
				fx.mine = r.state.own.epoch
			}
		}
		fx.owned = true // a refused one may have been ours: propose it again from what is true now
	case entry.KindRelease:
		rel, err := entry.DecodeRelease(e.Cmd)
		if err != nil {
			r.log.Error("an entry cannot be read", "index", e.Index, "err", err)
			return
		}
		switch r.state.own.release(&rel) {
		case releaseCurrent:
			fx.owned, fx.mine = true, 0
		case releasePrevious:
			fx.owned, fx.clean = true, true
		}
	default:
		r.log.Error("an entry of an unknown kind", "index", e.Index, "kind", kind)
	}
}

func (r *replica) applyBatchLocked(e *sm.Entry, fx *applyEffects) {
	b, err := entry.DecodeBatch(e.Cmd)
	if err != nil {
		r.log.Error("a batch cannot be read", "index", e.Index, "err", err)
		return
	}
	var batch *batch
	if b.Proposer == r.host.cfg.Incarnation {
		batch = r.proposer.take(b.Header.Batch)
	}
	if !r.state.own.accepts(b.Epoch) {
		if batch != nil {
			fx.done = append(fx.done, finishedBatch{batch: batch, outcome: Moved})
		}
		return
	}
	r.state.machine.Advance(b.Now, b.Published)
	var results []entry.Result
	if batch != nil {
		results = make([]entry.Result, 0, b.Ops)
	}
	var op entry.Op
	for b.Next(&op) {
		res := r.state.machine.Apply(&op)
		if batch != nil {
			results = append(results, res)
		}
	}
	if err := b.Err(); err != nil {
		r.log.Error("a batch ends early", "index", e.Index, "err", err)
	}
	fx.events = fx.events || b.Ops > 0
	if batch != nil {
		fx.done = append(fx.done, finishedBatch{batch: batch, outcome: Applied, results: results})
	}
}

// stop ends what the replica does for callers. It is called when it no longer applies entries, and may be called twice.
func (r *replica) stop() {
	r.role.Lock()
	r.serving.Store(0)
	r.role.leader, r.role.term = 0, 0
	r.role.Unlock()
	r.proposer.stop()
	r.reads.stop()
}

// imageMagic opens an image of a partition.
const imageMagic = "GRDPART1"

type image struct {
	own     ownership
	applied uint64
	machine Image
}

// PrepareSnapshot freezes the state. Dragonboat calls it between Updates.
func (r *replica) PrepareSnapshot() (any, error) {
	r.state.Lock()
	defer r.state.Unlock()
	return &image{own: r.state.own, machine: r.state.machine.Freeze()}, nil
}

// SaveSnapshot writes a frozen state.
func (r *replica) SaveSnapshot(frozen any, w io.Writer, stop <-chan struct{}) error {
	img := frozen.(*image)
	defer img.machine.Close()
	head := append([]byte(imageMagic), img.own.append(nil)...)
	if _, err := w.Write(head); err != nil {
		return err
	}
	sw := &stoppableWriter{w: w, stop: stop}
	if _, err := img.machine.WriteTo(sw); err != nil {
		if sw.stopped {
			return sm.ErrSnapshotStopped
		}
		return err
	}
	return nil
}

// stoppableWriter ends a stream when its replica is stopped.
type stoppableWriter struct {
	w       io.Writer
	stop    <-chan struct{}
	stopped bool
}

func (s *stoppableWriter) Write(b []byte) (int, error) {
	select {
	case <-s.stop:
		s.stopped = true
		return 0, sm.ErrSnapshotStopped
	default:
		return s.w.Write(b)
	}
}

// RecoverFromSnapshot replaces the state by an image from another replica. An image that cannot be read stops the process,
// by dragonboat's hand: a replica that went on would differ from the others.
func (r *replica) RecoverFromSnapshot(src io.Reader, _ <-chan struct{}) error {
	head := make([]byte, len(imageMagic)+ownershipSize)
	if _, err := io.ReadFull(src, head); err != nil {
		return fmt.Errorf("read the image of partition %d: %w", r.partition, err)
	}
	if string(head[:len(imageMagic)]) != imageMagic {
		return fmt.Errorf("read the image of partition %d: %w: not an image", r.partition, wire.ErrMalformed)
	}
	own, err := decodeOwnership(head[len(imageMagic):])
	if err != nil {
		return fmt.Errorf("read the image of partition %d: %w", r.partition, err)
	}
	m, err := r.host.cfg.Machines.Restore(r.partition, own.generation, src)
	if err != nil {
		return fmt.Errorf("read the image of partition %d: %w", r.partition, err)
	}
	r.state.Lock()
	r.state.own, r.state.machine = own, m
	r.state.Unlock()
	fx := applyEffects{owned: true, was: superseded{maxLease: own.maxLease}}
	if own.incarnation == r.host.cfg.Incarnation {
		fx.mine = own.epoch
	}
	r.ownershipChanged(&own, &fx)
	if r.host.cfg.OnApplied != nil {
		r.host.cfg.OnApplied(r.partition)
	}
	return nil
}

var _ sm.IOnDiskStateMachine = (*replica)(nil)
