package maps

import (
	"io"

	"github.com/gridiron-io/gridiron/maps/state"
	"github.com/gridiron-io/gridiron/partition"
	"github.com/gridiron-io/gridiron/partition/entry"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Machines makes the states of partitions.
type Machines struct {
	Limits  state.Limits
	Dropped *DroppedEvents // optional: takes what the states' rings drop
}

var _ partition.Machines = Machines{}

// New returns an empty state.
func (m Machines) New(part int, generation uint64) partition.Machine {
	s := state.New(generation, m.Limits)
	m.Dropped.watch(s, part)
	return machine{s}
}

// Restore reads a state from its state snapshot, which may be one of an earlier generation.
func (m Machines) Restore(part int, generation uint64, r io.Reader) (partition.Machine, error) {
	s, err := state.Restore(r, m.Limits)
	if err != nil {
		return nil, err
	}
	// The snapshot may be a survivor's. Then the next generation begins with it, and gives out versions above all earlier ones.
	if err := s.Continue(generation); err != nil {
		return nil, err
	}
	m.Dropped.watch(s, part)
	return machine{s}, nil
}

// machine is a state as package partition wants to see it.
type machine struct{ *state.State }

// Resume returns the operation with which an owner begins to serve.
func (Machines) Resume() *entry.Op { return &resumeOp }

var resumeOp = entry.Op{Code: wire.OpResume}

// Upkeep returns the sweep that follows another.
func (machine) Upkeep(done *entry.Op, result entry.Result) (next *entry.Op, again bool) {
	return nextSweep(done, result)
}

// Freeze returns the state as it is now.
func (m machine) Freeze() partition.StateSnapshot { return snapshot{m.State.Freeze()} }

type snapshot struct{ *state.Snapshot }

// WriteTo writes the state snapshot.
func (i snapshot) WriteTo(w io.Writer) (int64, error) { return i.Snapshot.WriteTo(w) }

// Close frees the state snapshot.
func (i snapshot) Close() { _ = i.Snapshot.Close() }

// stateOf returns the state inside a machine that Machines made. It is read under the partition's read lock.
func stateOf(m partition.Machine) *state.State { return m.(machine).State }
