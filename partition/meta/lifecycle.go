package meta

import (
	"fmt"
	"slices"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// SetState moves an incarnation of a member forward in the order of states. Being there already is CodeOK, being further is
// CodeConflict, so a copy that comes late undoes nothing.
type SetState struct {
	ID          wire.ID
	Incarnation wire.ID
	State       string
}

func (*SetState) kind() Kind { return KindSetState }

func (c *SetState) append(dst []byte) []byte {
	dst = append(dst, c.ID[:]...)
	dst = append(dst, c.Incarnation[:]...)
	return append(dst, byte(stateRank(c.State)))
}

func (c *SetState) decode(r *wire.Reader) {
	c.ID, c.Incarnation = r.ID(), r.ID()
	c.State = decodeState(r)
}

func (c *SetState) check() error {
	if stateRank(c.State) < 0 {
		return fmt.Errorf("member state %q", c.State)
	}
	return nil
}

func (c *SetState) apply(s *State) Result {
	at, res := s.member(c.ID)
	if !res.OK() {
		return res
	}

	m := &s.v.Members[at]
	switch {
	case m.Incarnation != c.Incarnation:
		// States belong to one start of a member. The command was meant for another.
		return refuse(wire.CodeConflict, "member %q (%s) is at incarnation %s, not %s", m.Name, m.ID, m.Incarnation, c.Incarnation)
	case m.State == c.State:
		// A copy of the command, which has had its effect.
		return Result{}
	case stateRank(c.State) < stateRank(m.State):
		return refuse(wire.CodeConflict, "member %q (%s) is %s and cannot become %s", m.Name, m.ID, m.State, c.State)
	}

	s.changeMembers().Members[at].State = c.State
	return Result{}
}

// Drain moves an incarnation of a member to StateDraining, unless it is beyond that: an operator wants the incarnation to hold nothing
// any more. A member that leaves by itself says so with SetState, and is counted on to come back.
type Drain struct {
	ID          wire.ID
	Incarnation wire.ID
}

func (*Drain) kind() Kind { return KindDrain }

func (c *Drain) append(dst []byte) []byte {
	return append(append(dst, c.ID[:]...), c.Incarnation[:]...)
}

func (c *Drain) decode(r *wire.Reader) { c.ID, c.Incarnation = r.ID(), r.ID() }
func (c *Drain) check() error          { return nil }

func (c *Drain) apply(s *State) Result {
	at, res := s.member(c.ID)
	if !res.OK() {
		return res
	}

	switch m := &s.v.Members[at]; {
	case m.Incarnation != c.Incarnation:
		// The operator meant an earlier start. This one may be wanted.
		return refuse(wire.CodeConflict, "member %q (%s) is at incarnation %s, not %s", m.Name, m.ID, m.Incarnation, c.Incarnation)
	case m.Drained:
		// A copy of the command. It must not draw a member back that has gone on since.
		return Result{}
	}

	m := &s.changeMembers().Members[at]
	// A member that has gone beyond draining stays there: states only go forward.
	if m.Drained = true; stateRank(m.State) < stateRank(StateDraining) {
		m.State = StateDraining
	}
	return Result{}
}

// Forget removes all memory of a member that has left or is dead, holds no replica and has no metadata replica. A
// member that is not known is CodeOK.
type Forget struct {
	ID          wire.ID
	Incarnation wire.ID
}

func (*Forget) kind() Kind { return KindForget }

func (c *Forget) append(dst []byte) []byte {
	return append(append(dst, c.ID[:]...), c.Incarnation[:]...)
}

func (c *Forget) decode(r *wire.Reader) { c.ID, c.Incarnation = r.ID(), r.ID() }
func (c *Forget) check() error          { return nil }

func (c *Forget) apply(s *State) Result {
	at, known := s.v.find(c.ID)
	if !known {
		// The member was forgotten before, or never known: nothing is left to do.
		return Result{}
	}

	switch m := &s.v.Members[at]; {
	case m.Incarnation != c.Incarnation:
		return refuse(wire.CodeConflict, "member %q (%s) is at incarnation %s, not %s", m.Name, m.ID, m.Incarnation, c.Incarnation)
	case m.Live():
		// A live member would go on under an identity that nobody knows.
		return refuse(wire.CodeConflict, "member %q (%s) is %s", m.Name, m.ID, m.State)
	case m.MetaReplica != 0:
		// The metadata group counts the member's replica until somebody removes the replica.
		return refuse(wire.CodeConflict, "member %q (%s) has replica %d of the metadata", m.Name, m.ID, m.MetaReplica)
	case s.v.Holds(c.ID):
		// The table names only members that are known.
		return refuse(wire.CodeConflict, "member %q (%s) holds replicas", m.Name, m.ID)
	}

	v := s.changeMembers()
	v.Members = slices.Delete(v.Members, at, at+1)
	if i := slices.Index(v.InitialVoters, c.ID); i >= 0 {
		// If the member comes back, it must not be given its first replica ID again: a removed replica never starts again.
		v.InitialVoters = slices.Clone(v.InitialVoters)
		v.InitialVoters[i] = wire.ID{}
	}
	return Result{}
}
