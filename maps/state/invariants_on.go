//go:build invariants

package state

// verify panics if an invariant does not hold. It looks at everything after every change, so it is for tests only.
func (s *State) verify() {
	if err := s.checkInvariants(); err != nil {
		panic("maps/state: " + err.Error())
	}
}
