package meta

import (
	"fmt"
	"slices"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Register announces a start of a member. It is accepted if the start is later than any known of the same directory; one that
// is not comes from a directory that was restored or copied, and is refused. A repeat of the start that is known is CodeOK.
// The member is then joining; its seat in the metadata group is as before, or a founder's own.
//
// A name belongs to one live member at a time.
type Register struct {
	Registration

	// Takeover is the incarnation of another member that holds the name and that the proposer knows to be gone; zero for none.
	// It counts as left when the registration is accepted.
	Takeover wire.ID
}

func (*Register) kind() Kind { return KindRegister }

func (c *Register) append(dst []byte) []byte {
	return append(c.Registration.append(dst), c.Takeover[:]...)
}

func (c *Register) decode(r *wire.Reader) {
	c.Registration.decode(r)
	c.Takeover = r.ID()
}

func (c *Register) check() error { return c.Registration.check() }

func (c *Register) apply(s *State) Result {
	v := s.v
	at, known := v.find(c.ID)
	if known {
		if old := &v.Members[at]; c.Start <= old.Start {
			return c.repeat(old)
		} else if old.State == StateDead && v.Durable {
			return refuse(wire.CodeMemberLeft, "member %q (%s) was declared dead and its data given up; it may come back with an empty directory only",
				old.Name, old.ID)
		}
	}
	if v.names(c.Incarnation) {
		return refuse(wire.CodeConflict, "incarnation %s of member %q is that of an earlier start", c.Incarnation, c.Name)
	}
	holder := slices.IndexFunc(v.Members, func(m Member) bool { return m.Name == c.Name && m.ID != c.ID && m.Live() })
	if holder >= 0 && v.Members[holder].Incarnation != c.Takeover {
		return refuse(wire.CodeConflict, "the name %q is held by member %s, which is %s", c.Name, v.Members[holder].ID, v.Members[holder].State)
	}
	if !known && len(v.Members) >= MaxMembers {
		return refuse(wire.CodeOverloaded, "the cluster knows %d members, more are not possible", len(v.Members))
	}

	v = s.changeMembers()
	if holder >= 0 {
		v.Members[holder].State = StateLeft
	}
	m := Member{Registration: c.Registration, State: StateJoining}
	if known {
		m.MetaReplica, m.MetaVoter = v.Members[at].MetaReplica, v.Members[at].MetaVoter
		v.Members[at] = m
		return Result{}
	}
	if i := slices.Index(v.Founders, c.ID); i >= 0 {
		m.MetaReplica, m.MetaVoter = uint64(i)+1, true
	}
	v.Members = slices.Insert(v.Members, at, m)
	return Result{}
}

// repeat answers a start that is not later than the one that is known.
func (c *Register) repeat(old *Member) Result {
	switch {
	case c.Start < old.Start:
		return refuse(wire.CodeConflict, "start %d of member %q (%s), which has been at start %d: its directory was restored or copied",
			c.Start, c.Name, c.ID, old.Start)
	case c.Incarnation != old.Incarnation:
		return refuse(wire.CodeConflict, "a second start %d of member %q (%s): its directory was restored or copied", c.Start, c.Name, c.ID)
	case !old.Live():
		return refuse(wire.CodeMemberLeft, "this start of member %q (%s) is %s", old.Name, old.ID, old.State)
	case !c.Registration.equal(&old.Registration):
		return refuse(wire.CodeConflict, "start %d of member %q (%s) has registered with other properties", c.Start, c.Name, c.ID)
	}
	return Result{}
}

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
		return refuse(wire.CodeConflict, "member %q (%s) is at incarnation %s, not %s", m.Name, m.ID, m.Incarnation, c.Incarnation)
	case m.State == c.State:
		return Result{}
	case stateRank(c.State) < stateRank(m.State):
		return refuse(wire.CodeConflict, "member %q (%s) is %s and cannot become %s", m.Name, m.ID, m.State, c.State)
	}
	s.changeMembers().Members[at].State = c.State
	return Result{}
}

// Forget removes all memory of a member that has left or is dead, holds no replica and has no seat in the metadata group. A
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
		return Result{}
	}
	switch m := &s.v.Members[at]; {
	case m.Incarnation != c.Incarnation:
		return refuse(wire.CodeConflict, "member %q (%s) is at incarnation %s, not %s", m.Name, m.ID, m.Incarnation, c.Incarnation)
	case m.Live():
		return refuse(wire.CodeConflict, "member %q (%s) is %s", m.Name, m.ID, m.State)
	case m.MetaReplica != 0:
		return refuse(wire.CodeConflict, "member %q (%s) has replica %d of the metadata", m.Name, m.ID, m.MetaReplica)
	case s.v.holds(c.ID):
		return refuse(wire.CodeConflict, "member %q (%s) holds replicas", m.Name, m.ID)
	}
	v := s.changeMembers()
	v.Members = slices.Delete(v.Members, at, at+1)
	if i := slices.Index(v.Founders, c.ID); i >= 0 {
		// Should it ever come back, its founder's replica ID must not.
		v.Founders = slices.Clone(v.Founders)
		v.Founders[i] = wire.ID{}
	}
	return Result{}
}
