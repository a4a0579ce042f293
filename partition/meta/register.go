package meta

import (
	"slices"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Register announces a start of a member. It is accepted if the start is later than any known of the same directory; one that
// is not comes from a directory that was restored or copied, and is refused. A repeat of the start that is known is CodeOK.
// The member is then joining; its metadata replica is as before, or an initial voter's own.
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
			// An operator gave up the data in this directory. In memory mode a new start brings no data, so it may join.
			return refuse(wire.CodeMemberLeft, "member %q (%s) was declared dead and its data given up; it may come back with an empty directory only",
				old.Name, old.ID)
		}
	}

	// Holders of replicas are told apart by their incarnations.
	if v.names(c.Incarnation) {
		return refuse(wire.CodeConflict, "incarnation %s of member %q is that of an earlier start", c.Incarnation, c.Name)
	}

	// A takeover names the incarnation that it replaces. So of two newcomers with the same name one is refused.
	holder := slices.IndexFunc(v.Members, func(m Member) bool { return m.Name == c.Name && m.ID != c.ID && m.Live() })
	if holder >= 0 && v.Members[holder].Incarnation != c.Takeover {
		return refuse(wire.CodeConflict, "the name %q is held by member %s, which is %s", c.Name, v.Members[holder].ID, v.Members[holder].State)
	}

	if !known && len(v.Members) >= MaxMembers {
		// Members that have left or are dead count too, until they are forgotten.
		return refuse(wire.CodeOverloaded, "the cluster knows %d members, more are not possible", len(v.Members))
	}

	v = s.changeMembers()
	// The newcomer's proposer knows the holder to be gone. From here on the log says so too.
	if holder >= 0 {
		v.Members[holder].State = StateLeft
	}

	m := Member{Registration: c.Registration, State: StateJoining}
	if known {
		// The replica of the metadata is on disk, so this start goes on with it. A drain was meant for the earlier start only.
		m.MetaReplica, m.MetaVoter = v.Members[at].MetaReplica, v.Members[at].MetaVoter
		v.Members[at] = m
		return Result{}
	}

	// The metadata group began with this member's replica, before anybody could register.
	if i := slices.Index(v.InitialVoters, c.ID); i >= 0 {
		m.MetaReplica, m.MetaVoter = uint64(i)+1, true
	}
	v.Members = slices.Insert(v.Members, at, m)
	return Result{}
}

// repeat answers a start that is not later than the one that is known.
func (c *Register) repeat(old *Member) Result {
	switch {
	case c.Start < old.Start:
		// An older start than one that was seen: the directory has gone back in time.
		return refuse(wire.CodeConflict, "start %d of member %q (%s), which has been at start %d: its directory was restored or copied",
			c.Start, c.Name, c.ID, old.Start)
	case c.Incarnation != old.Incarnation:
		// Starts are counted in the directory, so two processes with one count have two copies of it.
		return refuse(wire.CodeConflict, "a second start %d of member %q (%s): its directory was restored or copied", c.Start, c.Name, c.ID)
	case !old.Live():
		// By now the name, or the replicas, of this start may belong to another.
		return refuse(wire.CodeMemberLeft, "this start of member %q (%s) is %s", old.Name, old.ID, old.State)
	case !c.Registration.equal(&old.Registration):
		// The log has one registration for each start, and others may have acted on it.
		return refuse(wire.CodeConflict, "start %d of member %q (%s) has registered with other properties", c.Start, c.Name, c.ID)
	}
	return Result{}
}
