//go:build !invariants

package meta

// mustHold checks the state in builds with the tag invariants.
func (s *State) mustHold() {}
