package partition

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/gridiron-io/gridiron/partition/role"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// stateSnapshotMagic opens a state snapshot of a partition.
const stateSnapshotMagic = "GRDPART1"

// stateSnapshot is a frozen state.
type stateSnapshot struct {
	applied uint64 // index of the last entry in it
	own     role.Ownership
	machine StateSnapshot
}

// PrepareSnapshot has nothing to do, like SaveSnapshot: a state snapshot is sent in place of the Raft snapshot, see Outgoing.
func (r *replica) PrepareSnapshot() (any, error) { return nil, nil }

// SaveSnapshot writes nothing.
func (r *replica) SaveSnapshot(any, io.Writer, <-chan struct{}) error { return nil }

// RecoverFromSnapshot is not called: the snapshots that arrive say of themselves that they have no data, see Incoming.
func (r *replica) RecoverFromSnapshot(io.Reader, <-chan struct{}) error {
	return errors.New("a snapshot with data, though state snapshots are sent in their place")
}

// freeze returns the state as it is; nil if it was freed.
func (r *replica) freeze() *stateSnapshot {
	r.state.Lock()
	defer r.state.Unlock()
	if r.state.machine == nil {
		// The replica is being removed.
		return nil
	}
	return &stateSnapshot{applied: r.applied.Load(), own: r.state.own, machine: r.state.machine.Freeze()}
}

// writeTo writes a frozen state.
func (snap *stateSnapshot) writeTo(w io.Writer) (int64, error) {
	head, err := w.Write(wire.AppendU64(snap.own.Append([]byte(stateSnapshotMagic)), snap.applied))
	if err != nil {
		return int64(head), err
	}
	n, err := snap.machine.WriteTo(w)
	return int64(head) + n, err
}

// install replaces the state by a state snapshot, unless the state is newer. It may come between any two Updates: a state snapshot
// holds what the group has committed and nothing else. Update leaves out the entries that the state snapshot holds.
func (r *replica) install(snap *received) {
	r.state.Lock()
	// The log was faster, or the replica is being removed.
	if snap.applied <= r.applied.Load() || r.state.machine == nil {
		r.state.Unlock()
		return
	}
	r.state.own, r.state.machine = snap.own, snap.machine
	r.state.settled = 0 // the owner may have applied less than the state snapshot holds
	// The snapshot holds the whole state, so pieces that have come are of no use.
	r.dropTransferLocked()
	r.becomeWhole()
	r.noteLocked() // before the index, as in Update: what it has in memory is never less than what it has applied
	r.applied.Store(snap.applied)
	var fx applyEffects
	r.decideLater(role.SnapshotInstalled{Own: snap.own}, &fx)
	r.state.Unlock()

	r.carryOut(&fx.role)
	if r.host.cfg.OnApplied != nil {
		r.host.cfg.OnApplied(r.partition)
	}
}

// received is a state snapshot that has come from another replica.
type received struct {
	applied uint64
	own     role.Ownership
	machine Machine
}

// readStateSnapshot reads what stateSnapshot.writeTo wrote. It returns nil if the replica has all of that already.
func (r *replica) readStateSnapshot(src io.Reader) (*received, error) {
	head := make([]byte, len(stateSnapshotMagic)+role.OwnershipSize+8)
	if _, err := io.ReadFull(src, head); err != nil {
		return nil, err
	}
	if string(head[:len(stateSnapshotMagic)]) != stateSnapshotMagic {
		return nil, fmt.Errorf("%w: not a state snapshot", wire.ErrMalformed)
	}

	head = head[len(stateSnapshotMagic):]
	snap := &received{}
	var err error
	if snap.own, err = role.DecodeOwnership(head[:role.OwnershipSize]); err != nil {
		return nil, err
	}

	if generation, _ := partitionOf(r.shard); snap.own.Generation != generation {
		// The shard's number holds the generation, so the sender contradicts itself.
		return nil, fmt.Errorf("%w: of generation %d, this is %d", wire.ErrMalformed, snap.own.Generation, generation)
	}

	// The log was faster. The rest is read nevertheless, because the connection goes on behind the rest.
	if snap.applied = binary.BigEndian.Uint64(head[role.OwnershipSize:]); snap.applied <= r.applied.Load() {
		_, err = io.Copy(io.Discard, src)
		return nil, err
	}

	if snap.machine, err = r.host.cfg.Machines.Restore(r.partition, snap.own.Generation, src); err != nil {
		return nil, err
	}
	return snap, nil
}
