package maps

import (
	"io"

	"github.com/gridiron-io/gridiron/maps/state"
	"github.com/gridiron-io/gridiron/partition"
)

// Machines makes the states of partitions.
type Machines struct {
	Limits state.Limits
}

var _ partition.Machines = Machines{}

// New returns an empty state.
func (m Machines) New(_ int, generation uint64) partition.Machine {
	return machine{state.New(generation, m.Limits)}
}

// Restore reads a state from its image, which may be one of an earlier generation.
func (m Machines) Restore(_ int, generation uint64, r io.Reader) (partition.Machine, error) {
	s, err := state.Restore(r, m.Limits)
	if err != nil {
		return nil, err
	}
	if err := s.Continue(generation); err != nil {
		return nil, err
	}
	return machine{s}, nil
}

// machine is a state as package partition wants to see it.
type machine struct{ *state.State }

// Freeze returns the state as it is now.
func (m machine) Freeze() partition.Image { return image{m.State.Freeze()} }

type image struct{ *state.Image }

// WriteTo writes the image.
func (i image) WriteTo(w io.Writer) (int64, error) { return i.Image.WriteTo(w) }

// Close frees the image.
func (i image) Close() { _ = i.Image.Close() }

// StateOf returns the state inside a machine that Machines made. It is read under the partition's read lock.
func StateOf(m partition.Machine) *state.State { return m.(machine).State }
