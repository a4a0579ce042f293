package partition

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/lni/dragonboat/v4/raftpb"
	sm "github.com/lni/dragonboat/v4/statemachine"

	"github.com/gridiron-io/gridiron/partition/entry"
)

// A generation that can never have a quorum again goes on as the next one, which a survivor founds alone: it stops its replica for
// good, applies what is left of its log, committed or not (an acknowledged write is in every survivor's log, though maybe not applied
// there), and writes the state that this gives into the log of the next generation, piece by piece. Nobody owns that generation before
// it is whole, so nobody is answered from a part of it.

const (
	// seedPiece is how much of a state one entry carries.
	seedPiece = 1 << 20
	// seedRetry is how long a piece that was proposed holds back the same piece.
	seedRetry = 500 * time.Millisecond
	// seedsAtOnce bounds the states that are held as bytes at a time.
	seedsAtOnce = 16
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// kept is the state of a halted generation.
type kept struct {
	generation  uint64
	term, index uint64 // of the last entry of the log
	maxLease    uint32
	losses      uint64 // of generations, up to this one; see Placement
	machine     Machine
	image       []byte // of machine, once it is sown; it counts in Host.seeding
}

// Halt stops the replica of a generation for good and keeps its state, the rest of its log applied, for the next generation to
// begin with. It returns the term and index of the last entry of the log. It may be called again.
func (h *Host) Halt(ctx context.Context, partition int, generation uint64) (term, index uint64, err error) {
	g := &h.groups[partition]
	g.Lock()
	defer g.Unlock()
	if k := g.kept; k != nil && k.generation == generation {
		return k.term, k.index, h.removeLocked(ctx, partition)
	}
	if r := h.replicas[partition].Load(); r != nil && r.shard != ShardOf(generation, partition) {
		return 0, 0, fmt.Errorf("halt partition %d: generation %d does not run here", partition, generation)
	}
	r, err := h.stopLocked(partition)
	if err != nil {
		return 0, 0, err
	}
	if r == nil { // placed here and never started: there is nothing
		g.kept = &kept{generation: generation, machine: h.cfg.Machines.New(partition, generation)}
		return 0, 0, nil
	}
	if r.shard != ShardOf(generation, partition) {
		return 0, 0, fmt.Errorf("halt partition %d: generation %d does not run here", partition, generation)
	}
	select {
	case <-r.closed: // from here on nothing is appended to its log or applied
	case <-ctx.Done():
		return 0, 0, fmt.Errorf("halt partition %d: %w", partition, ctx.Err())
	case <-h.life.Done():
		return 0, 0, errClosed
	}
	k, err := r.keep(generation)
	if err != nil {
		return 0, 0, fmt.Errorf("halt partition %d: %w", partition, err)
	}
	g.kept = k
	return k.term, k.index, h.removeLocked(ctx, partition)
}

// keep applies what the log has beyond the state and returns what that gives. REQUIRES: the library has let go of the replica.
func (r *replica) keep(generation uint64) (*kept, error) {
	first, term, last, err := r.host.log.Bounds(r.shard, r.id)
	if err != nil {
		return nil, err
	}
	// What an image has brought may go further than what was applied here: then the log begins behind that.
	tail, _, err := r.host.log.Tail(r.shard, r.id, max(first, r.applied.Load()+1))
	if err != nil {
		return nil, err
	}
	k := &kept{generation: generation, term: term, index: last, losses: r.losses}
	var fx applyEffects
	r.state.Lock()
	defer r.state.Unlock()
	for i := range tail {
		if cmd, ok := payload(&tail[i]); ok {
			r.applyLocked(&sm.Entry{Index: tail[i].Index, Cmd: cmd}, &fx)
		}
	}
	k.machine, k.maxLease = r.state.machine, r.state.own.maxLease
	return k, nil
}

// payload returns what was proposed with an entry of the log; false for one of the library's own.
func payload(e *raftpb.Entry) ([]byte, bool) {
	switch {
	case len(e.Cmd) == 0:
		return nil, false
	case e.Type == raftpb.ApplicationEntry:
		return e.Cmd, true
	case e.Type == raftpb.EncodedEntry && e.Cmd[0] == 0: // a byte that says that nothing is compressed
		return e.Cmd[1:], len(e.Cmd) > 1
	}
	return nil, false
}

// sowLocked returns the next entry of those that give the generation its state, if this process has that and it is time for it.
// REQUIRES r.role's lock.
func (r *replica) sowLocked(now time.Time) []byte {
	ro := &r.role
	k := ro.seed
	if k == nil {
		return nil
	}
	if k.image == nil {
		if r.host.seeding.Add(1) > seedsAtOnce {
			r.host.seeding.Add(-1)
			return nil // in its turn
		}
		var b bytes.Buffer
		img := k.machine.Freeze()
		_, err := img.WriteTo(&b)
		img.Close()
		if err != nil {
			r.host.seeding.Add(-1)
			r.log.Error("the state of the generation before cannot be written", "err", err)
			return nil
		}
		k.image, k.machine = b.Bytes(), nil
	}
	taken := int(r.seeded.Load())
	if taken == ro.sown && now.Sub(ro.sownAt) <= seedRetry && !ro.sownAt.IsZero() {
		return nil
	}
	ro.sown, ro.sownAt = taken, now
	if taken < len(k.image) {
		return entry.AppendSeed(nil, &entry.Seed{At: uint64(taken), Piece: k.image[taken:min(len(k.image), taken+seedPiece)]})
	}
	return entry.AppendSeedDone(nil, &entry.SeedDone{Size: uint64(len(k.image)), Sum: crc32.Checksum(k.image, castagnoli), MaxLease: k.maxLease})
}

// applySeedLocked takes a piece of the generation's first state, if it is the next one. REQUIRES r.state's lock.
func (r *replica) applySeedLocked(e *sm.Entry, fx *applyEffects) error {
	s, err := entry.DecodeSeed(e.Cmd)
	if err != nil {
		return err
	}
	if r.state.own.unseeded && s.At == uint64(len(r.state.seed)) {
		r.state.seed = append(r.state.seed, s.Piece...)
		r.seeded.Store(int64(len(r.state.seed)))
		fx.seeded = true
	}
	return nil
}

// applySeedDoneLocked makes the pieces the state, if they are all there. REQUIRES r.state's lock.
func (r *replica) applySeedDoneLocked(e *sm.Entry, fx *applyEffects) error {
	d, err := entry.DecodeSeedDone(e.Cmd)
	if err != nil || !r.state.own.unseeded {
		return err
	}
	if got := crc32.Checksum(r.state.seed, castagnoli); d.Size != uint64(len(r.state.seed)) || d.Sum != got {
		return fmt.Errorf("a first state of %d bytes with checksum %08x, which came as %d with %08x", d.Size, d.Sum, len(r.state.seed), got)
	}
	m, err := r.host.cfg.Machines.Restore(r.partition, r.state.own.generation, bytes.NewReader(r.state.seed))
	if err != nil {
		return fmt.Errorf("read the generation's first state: %w", err)
	}
	r.state.machine, r.state.seed = m, nil
	r.state.own.unseeded, r.state.own.maxLease = false, d.MaxLease
	fx.ownership = true
	r.seedAppliedLocked()
	return nil
}

// seedAppliedLocked takes note that the generation has its state. REQUIRES r.state's lock.
func (r *replica) seedAppliedLocked() {
	r.role.Lock()
	defer r.role.Unlock()
	r.role.own = r.state.own
	r.letSeedGoLocked()
}

// letSeedGoLocked frees the state of the generation before. REQUIRES r.role's lock.
func (r *replica) letSeedGoLocked() {
	if k := r.role.seed; k != nil && k.image != nil {
		k.image = nil
		r.host.seeding.Add(-1)
	}
	r.role.seed = nil
}

// appendSeed appends the pieces that have come of a state that is not whole yet, for an image.
func appendSeed(dst, seed []byte) []byte {
	return append(binary.BigEndian.AppendUint64(dst, uint64(len(seed))), seed...)
}
