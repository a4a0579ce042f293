//go:build invariants

package meta

import "fmt"

// mustHold panics if the state has become what no state may be.
func (s *State) mustHold() {
	if err := s.v.check(); err != nil {
		panic(fmt.Sprintf("metadata at version %d: %s", s.v.Version, err))
	}
}
