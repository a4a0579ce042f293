package meta

import (
	"fmt"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// AllocMeta gives a member a replica ID in the metadata group that is greater than After and was never given out: a replica as a
// learner. A member that has such a replica keeps it. The result's ReplicaID is what the member has now.
type AllocMeta struct {
	ID    wire.ID
	After uint64 // the replica to be replaced; 0: any will do
}

func (*AllocMeta) kind() Kind { return KindAllocMeta }

func (c *AllocMeta) append(dst []byte) []byte {
	return wire.AppendU64(append(dst, c.ID[:]...), c.After)
}
func (c *AllocMeta) decode(r *wire.Reader) { c.ID, c.After = r.ID(), r.U64() }
func (c *AllocMeta) check() error          { return nil }

func (c *AllocMeta) apply(s *State) Result {
	at, res := s.member(c.ID)
	if !res.OK() {
		return res
	}

	m := &s.v.Members[at]
	switch {
	case !m.Live():
		// The replica would wait for a process that has ended.
		return refuse(wire.CodeMemberLeft, "member %q (%s) is %s", m.Name, m.ID, m.State)
	case c.After >= s.v.NextMeta:
		return refuse(wire.CodeInvalid, "replica %d of the metadata does not exist yet", c.After)
	case m.MetaReplica <= c.After:
		// The replica is the one to be replaced, or an older one. A removed replica ID is never used again.
		v := s.changeMembers()
		m = &v.Members[at]
		m.MetaReplica, m.MetaVoter = v.NextMeta, false
		v.NextMeta++
	}

	// A repeated command is told what the first one gave out.
	return Result{Value: wire.AppendU64(nil, m.MetaReplica)}
}

// SetMetaVoter records whether a member's replica of the metadata votes.
type SetMetaVoter struct {
	ID      wire.ID
	Replica uint64 // that the member has
	Voter   bool
}

func (*SetMetaVoter) kind() Kind { return KindSetMetaVoter }

func (c *SetMetaVoter) append(dst []byte) []byte {
	return appendBool(wire.AppendU64(append(dst, c.ID[:]...), c.Replica), c.Voter)
}

func (c *SetMetaVoter) decode(r *wire.Reader) {
	c.ID, c.Replica, c.Voter = r.ID(), r.U64(), decodeBool(r)
}

func (c *SetMetaVoter) check() error {
	if c.Replica == 0 {
		return fmt.Errorf("replica 0 of the metadata")
	}
	return nil
}

func (c *SetMetaVoter) apply(s *State) Result {
	at, res := s.member(c.ID)
	if !res.OK() {
		return res
	}

	if m := &s.v.Members[at]; m.MetaReplica != c.Replica {
		// The member has been given another replica since. What is said of the old one is out of date.
		return refuse(wire.CodeConflict, "member %q (%s) has replica %d of the metadata, not %d", m.Name, m.ID, m.MetaReplica, c.Replica)
	} else if m.MetaVoter != c.Voter {
		s.changeMembers().Members[at].MetaVoter = c.Voter
	}
	return Result{}
}

// DropMeta records that a member's replica was removed from the metadata group. One that the member no longer has is CodeOK.
type DropMeta struct {
	ID      wire.ID
	Replica uint64
}

func (*DropMeta) kind() Kind { return KindDropMeta }

func (c *DropMeta) append(dst []byte) []byte {
	return wire.AppendU64(append(dst, c.ID[:]...), c.Replica)
}
func (c *DropMeta) decode(r *wire.Reader) { c.ID, c.Replica = r.ID(), r.U64() }

func (c *DropMeta) check() error {
	if c.Replica == 0 {
		return fmt.Errorf("replica 0 of the metadata")
	}
	return nil
}

func (c *DropMeta) apply(s *State) Result {
	at, res := s.member(c.ID)
	if !res.OK() {
		return res
	}

	// A late copy must not take away the replica that the member was given since.
	if s.v.Members[at].MetaReplica == c.Replica {
		m := &s.changeMembers().Members[at]
		m.MetaReplica, m.MetaVoter = 0, false
	}
	return Result{}
}
