package partition

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/lni/dragonboat/v4/raftpb"
	sm "github.com/lni/dragonboat/v4/statemachine"

	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/partition/role"
)

// State transfer into the new generation: a partition that can never have a quorum again is recovered from one survivor.
//
// The survivor stops its replica for good and applies what is left of its log, committed or not: an acknowledged write is in every
// survivor's log, but it may not be applied there. It begins the next generation alone, and writes the resulting state into that
// generation's log, piece by piece. Nobody owns the generation before the state is complete, so nobody is answered from a part of it.
//
// The memory for that is bounded. Pieces are made from a frozen view when they are due (stateSender), and become the new state as they
// arrive (stateReceiver). The log is cut behind them. Only as many partitions transfer their states at a time as have room together.

const (
	// transferPiece is how much of a state one entry carries.
	transferPiece = 1 << 20
	// transferBytes bounds the memory of all transfers under way, besides the states themselves. One transfer is always allowed.
	transferBytes = 64 << 20
	// transferOverhead is what one of them holds besides the new state: a piece, and the log.
	transferOverhead = 4 * transferPiece
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// keptState is the state of a generation stopped for recovery.
type keptState struct {
	generation  uint64
	term, index uint64 // of the last entry of the log
	maxLease    uint32
	losses      uint64       // of generations, up to this one; see Placement
	machine     Machine      // nil once the next generation has it
	sender      *stateSender // nil until the transfer begins
}

// StopForRecovery stops the replica of a generation for good, and applies the rest of its log. It keeps the resulting state for the next
// generation to begin with, and returns the term and index of the last entry of the log. It may be called again.
func (h *Host) StopForRecovery(ctx context.Context, partition int, generation uint64) (term, index uint64, err error) {
	g := &h.groups[partition]
	g.Lock()
	defer g.Unlock()

	// The caller did not hear of an earlier success, or removing the data failed then.
	if k := g.keptState; k != nil && k.generation == generation {
		return k.term, k.index, h.removeLocked(ctx, partition)
	}
	if r := h.replicas[partition].Load(); r != nil && r.shard != ShardOf(generation, partition) {
		return 0, 0, fmt.Errorf("stop partition %d for recovery: generation %d does not run here", partition, generation)
	}

	// From here on this process takes part in no election of the generation, and acknowledges nothing in it.
	r, err := h.stopLocked(partition)
	if err != nil {
		return 0, 0, err
	}
	if r == nil {
		// The replica was placed here and never started. It has voted for nothing and holds nothing.
		g.keptState = &keptState{generation: generation, machine: h.cfg.Machines.New(partition, generation)}
		return 0, 0, nil
	}
	if r.shard != ShardOf(generation, partition) {
		return 0, 0, fmt.Errorf("stop partition %d for recovery: generation %d does not run here", partition, generation)
	}

	// Once the library has closed the replica, nothing is appended to its log or applied any more.
	select {
	case <-r.closed.ch:
	case <-ctx.Done():
		return 0, 0, fmt.Errorf("stop partition %d for recovery: %w", partition, ctx.Err())
	case <-h.life.Done():
		return 0, 0, errClosed
	}

	k, err := r.keep(generation)
	if err != nil {
		return 0, 0, fmt.Errorf("stop partition %d for recovery: %w", partition, err)
	}

	// This generation ended before it had its state. That of the generation before is still the newest.
	if was := g.keptState; r.awaitsState() && was != nil && was.machine != nil {
		k.machine, k.maxLease = was.machine, was.maxLease
	}
	g.keptState = k
	return k.term, k.index, h.removeLocked(ctx, partition)
}

// keep applies what the log has beyond the state and returns the result. REQUIRES: the library has closed the replica.
func (r *replica) keep(generation uint64) (*keptState, error) {
	first, term, last, err := r.host.log.Bounds(r.shard, r.id)
	if err != nil {
		return nil, err
	}

	// A state snapshot may have brought more than was applied from the log, which then begins behind it.
	tail, _, err := r.host.log.Tail(r.shard, r.id, max(first, r.applied.Load()+1))
	if err != nil {
		return nil, err
	}

	k := &keptState{generation: generation, term: term, index: last, losses: r.losses}
	var fx applyEffects
	r.state.Lock()
	defer r.state.Unlock()
	// Committed or not: which entries are committed can no longer be found out, and an acknowledged one may be among them.
	for i := range tail {
		if cmd, ok := payload(&tail[i]); ok {
			r.applyLocked(&sm.Entry{Index: tail[i].Index, Cmd: cmd}, &fx)
		}
	}
	// The kept state refers to the machine, so the machine outlives this replica.
	k.machine, k.maxLease = r.state.machine, r.state.own.MaxLease
	return k, nil
}

// payload returns what was proposed with an entry of the log; false for one of the library's own.
func payload(e *raftpb.Entry) ([]byte, bool) {
	switch {
	case len(e.Cmd) == 0:
		// A new leader's first entry is empty.
		return nil, false
	case e.Type == raftpb.ApplicationEntry:
		return e.Cmd, true
	case e.Type == raftpb.EncodedEntry && e.Cmd[0] == 0: // a byte that says that nothing is compressed
		return e.Cmd[1:], len(e.Cmd) > 1
	}
	return nil, false
}

// stateSender is a state that is being written into the log. It owns a goroutine, which ends when all was read or with end.
type stateSender struct {
	src   *io.PipeReader
	cost  int64  // counted in Host.transferring
	at    uint64 // where the piece begins
	piece []byte // the one that is due; nil at the end
	size  uint64 // up to the end of the piece
	sum   uint32 // of that
}

// newStateSender begins to write a state, of which it takes a frozen view.
func newStateSender(m Machine, cost int64) *stateSender {
	// The pipe holds nothing: the view is written as fast as pieces are taken from it.
	src, dst := io.Pipe()
	snap := m.Freeze()
	go func() { // ends when the view was written or nobody reads it any more
		_, err := snap.WriteTo(dst)
		snap.Close()
		_ = dst.CloseWithError(err) // EOF if there was none
	}()
	return &stateSender{src: src, cost: cost}
}

// next makes the piece that follows the one that is there.
func (s *stateSender) next() error {
	if s.piece == nil {
		// An entry copies its piece, so one buffer serves for all of them.
		s.piece = make([]byte, transferPiece)
	}

	n, err := io.ReadFull(s.src, s.piece[:transferPiece])
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}

	s.at, s.piece = s.size, s.piece[:n]
	s.size += uint64(n)
	// The sum covers all that was read so far. Receivers compare it once, at the end.
	s.sum = crc32.Update(s.sum, castagnoli, s.piece)
	return nil
}

func (s *stateSender) end() { _ = s.src.Close() }

// pieceLocked returns the next entry of those that give the generation its state, nil if there is none now. taken is how much was
// applied. REQUIRES r.part's lock.
func (r *replica) pieceLocked(taken uint64) []byte {
	k := r.part.stateTransfer
	// This process has no state to give: it joined the generation, or has given all.
	if k == nil {
		return nil
	}
	if k.sender == nil {
		cost := transferCost(k.machine)
		// Without room the partition waits for others to finish. One that is alone may always begin, or nothing would ever move.
		if all := r.host.transferring.Add(cost); all > r.host.transferMax && all > cost {
			r.host.transferring.Add(-cost)
			return nil
		}
		k.sender = newStateSender(k.machine, cost)
		if !r.nextPieceLocked() {
			return nil
		}
	}

	// The piece that was proposed is applied, so the next one is due.
	s := k.sender
	if taken == s.size && len(s.piece) > 0 && !r.nextPieceLocked() {
		return nil
	}

	// The group has pieces of another state, whose sender is gone. Pieces of this one do not fit behind them.
	if taken != s.at {
		return nil
	}

	// An empty piece is the end of the state.
	if len(s.piece) > 0 {
		return entry.AppendStatePiece(nil, &entry.StatePiece{At: s.at, Piece: s.piece})
	}
	return entry.AppendStateComplete(nil, &entry.StateComplete{Size: s.size, Sum: s.sum, MaxLease: k.maxLease})
}

// transferCost returns what it takes to give a state to the next generation: another one, a piece, and the log.
func transferCost(m Machine) int64 {
	bytes := int64(m.Bytes())
	// A small state has smaller pieces, and a shorter log.
	return bytes + min(2*bytes, transferOverhead)
}

// nextPieceLocked makes the next piece. REQUIRES r.part's lock.
func (r *replica) nextPieceLocked() bool {
	if err := r.part.stateTransfer.sender.next(); err != nil {
		r.log.Error("recovering a partition from this member failed; the partition stays unavailable until the member restarts, which loses what only it has", "err", err)
		r.freeTransferLocked()
		r.decideLocked(role.StateLost{})
		return false
	}
	return true
}

// stateReceiver is a generation's first state as it comes, piece by piece. It owns a goroutine, which ends with the state's end, the first
// byte that does not fit, or end.
type stateReceiver struct {
	dst  *io.PipeWriter
	size uint64
	sum  uint32
	done chan struct{} // closed at the end, when the following are set
	m    Machine
	err  error
}

var (
	errStateEnds     = errors.New("the state goes on after its end")
	errTransferEnded = errors.New("the state is no longer wanted")
)

func (r *replica) newStateReceiver(generation uint64) *stateReceiver {
	src, dst := io.Pipe()
	g := &stateReceiver{dst: dst, done: make(chan struct{})}
	machines, partition := r.host.cfg.Machines, r.partition
	go func() { // ends with the state, or when it is given up
		defer close(g.done)
		g.m, g.err = machines.Restore(partition, generation, src)
		_ = src.CloseWithError(errStateEnds) // for what may still come
	}()
	return g
}

// take takes a piece. What it holds is part of the new state when it returns.
func (g *stateReceiver) take(piece []byte) {
	// What does not fit is told at the end: whether it does is the same everywhere, as all pieces are.
	if _, err := g.dst.Write(piece); err != nil {
		g.sum = ^g.sum
	}
	// Counted in any case, so that all replicas agree on which piece is the next.
	g.size += uint64(len(piece))
	g.sum = crc32.Update(g.sum, castagnoli, piece)
}

// finish returns the state.
func (g *stateReceiver) finish() (Machine, error) {
	_ = g.dst.Close()
	// Restore runs on a goroutine of its own, which ends with the bytes that it reads.
	<-g.done
	return g.m, g.err
}

// end gives it up. It may be called after finish.
func (g *stateReceiver) end() { _ = g.dst.CloseWithError(errTransferEnded) }

// applyStatePieceLocked takes a piece of the generation's first state, if it is the next one. REQUIRES r.state's lock.
func (r *replica) applyStatePieceLocked(e *sm.Entry, fx *applyEffects) error {
	s, err := entry.DecodeStatePiece(e.Cmd)
	if err != nil {
		return err
	}

	// A piece may be proposed twice, or come late. Only the next one fits.
	if !r.state.own.AwaitsState || s.At != r.transferred.Load() {
		return nil
	}

	if r.state.stateTransfer == nil {
		r.state.stateTransfer = r.newStateReceiver(r.state.own.Generation)
	}
	r.state.stateTransfer.take(s.Piece)
	r.transferred.Store(r.state.stateTransfer.size)
	fx.transferred = true
	return nil
}

// applyStateCompleteLocked makes the pieces the state, if they are all there. REQUIRES r.state's lock.
func (r *replica) applyStateCompleteLocked(e *sm.Entry, fx *applyEffects) error {
	d, err := entry.DecodeStateComplete(e.Cmd)
	if err != nil || !r.state.own.AwaitsState {
		return err
	}

	g := r.state.stateTransfer
	if g == nil || d.Size != g.size || d.Sum != g.sum {
		// Every replica has taken the same pieces, so all refuse alike.
		return fmt.Errorf("a first state of %d bytes with checksum %08x, of which %d have come", d.Size, d.Sum, r.transferred.Load())
	}

	m, err := g.finish()
	if err != nil {
		return fmt.Errorf("read the generation's first state: %w", err)
	}

	r.state.machine, r.state.stateTransfer = m, nil
	r.state.own.AwaitsState, r.state.own.MaxLease = false, d.MaxLease
	r.transferAppliedLocked(fx)
	return nil
}

// awaitsState reports whether the generation has yet to be given its state.
func (r *replica) awaitsState() bool {
	r.state.RLock()
	defer r.state.RUnlock()
	return r.state.own.AwaitsState
}

// transferAppliedLocked takes note that the generation has its state. REQUIRES r.state's lock.
func (r *replica) transferAppliedLocked(fx *applyEffects) {
	r.becomeWhole()
	r.decideLater(role.StateComplete{Own: r.state.own}, fx)
	r.part.Lock()
	defer r.part.Unlock()
	// The new generation has the state, so this process lets go of the old one.
	if r.part.stateTransfer != nil {
		r.part.stateTransfer.machine = nil
	}
	r.freeTransferLocked()
}

// dropTransferLocked gives up what has come of the generation's first state. REQUIRES r.state's lock.
func (r *replica) dropTransferLocked() {
	if r.state.stateTransfer != nil {
		r.state.stateTransfer.end()
		r.state.stateTransfer = nil
	}
}

// becomeWhole lets those go on who wait for a state that can be sent.
func (r *replica) becomeWhole() { r.whole.close() }

// freeTransferLocked ends the writing of the state of the generation before. REQUIRES r.part's lock.
func (r *replica) freeTransferLocked() {
	if k := r.part.stateTransfer; k != nil && k.sender != nil {
		k.sender.end()
		r.host.transferring.Add(-k.sender.cost)
		k.sender = nil
	}
	r.part.stateTransfer = nil
}
