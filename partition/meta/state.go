package meta

import (
	"slices"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// State is the metadata of a replica of the metadata group. Its methods must not run at the same time; the views that
// Snapshot returns are for everybody. New returns one that no command has reached.
type State struct {
	v *View

	// What the last snapshot shares with v and must therefore be copied before it is written. An element of Members or Table is
	// replaced as a whole, never written through: what it refers to is shared for ever.
	shared struct{ view, members, table bool }
}

// New returns the state of a cluster that is not bootstrapped.
func New() *State { return &State{v: new(View)} }

// View returns the state as it is now, for readers to keep.
func (s *State) View() *View {
	// The next command copies what it writes, because readers go on with this view.
	s.shared.view, s.shared.members, s.shared.table = true, true, true
	return s.v
}

// Apply carries out a command as it stands in the log. It accepts any bytes, and keeps none of them.
func (s *State) Apply(cmd []byte) Result {
	c, err := Decode(cmd)
	if err != nil {
		return refuse(wire.CodeInvalid, "%s", err)
	}

	// The first command of a generation says which cluster this is. Before it there is nothing to change.
	switch c.(type) {
	case *Init, *RecoverMetadata:
	default:
		if !s.v.Bootstrapped() {
			return refuse(wire.CodeNotReady, "the cluster is not bootstrapped yet")
		}
	}

	// A refused command has left no trace, so the state holds its invariants after every command.
	res := c.apply(s)
	s.mustHold()
	return res
}

// edit returns the view for writing, with its Members and Table still those of snapshots.
func (s *State) edit() *View {
	if s.shared.view {
		// Readers have the present view. One copy serves until the next view is given out.
		v := *s.v
		s.v, s.shared.view = &v, false
	}
	return s.v
}

// change is edit for a change that counts.
func (s *State) change() *View {
	v := s.edit()
	v.Version++
	return v
}

// changeMembers is change with Members for writing.
func (s *State) changeMembers() *View {
	v := s.change()
	if s.shared.members {
		// The list alone is copied. What its elements refer to is never written.
		v.Members, s.shared.members = slices.Clone(v.Members), false
	}
	return v
}

// changeTable is change with Table for writing.
func (s *State) changeTable() *View {
	v := s.change()
	if s.shared.table {
		v.Table, s.shared.table = slices.Clone(v.Table), false
	}
	return v
}

// member returns the place of a member, or the refusal of a command that names one who is not there.
func (s *State) member(id wire.ID) (int, Result) {
	i, ok := s.v.find(id)
	if !ok {
		return 0, refuse(wire.CodeNotFound, "there is no member %s", id)
	}
	return i, Result{}
}
