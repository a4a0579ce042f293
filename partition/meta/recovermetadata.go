package meta

import (
	"fmt"
	"slices"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// maxGenerations bounds the generations of the metadata, so that a version fits into 63 bits.
const maxGenerations = 1 << 19

// forgotten bounds the data replicas that the lost members may have placed while the member that recovers the metadata did not hear
// of it. Their IDs are skipped: a group may have taken such a replica in.
const forgotten = 1 << 20

// Recovered returns the metadata with which the next generation begins after the group that kept them has lost its quorum for good.
// They are the metadata as the given member had them. The member must be known, and begins the generation alone, as its only voter.
// The lost members are dead. All others lose their metadata replicas and ask for new ones.
func (v *View) Recovered(member wire.ID, lost []wire.ID) (*View, error) {
	if v.Generation()+1 >= maxGenerations {
		return nil, fmt.Errorf("generation %d of the metadata is the last", v.Generation())
	}
	at, known := v.find(member)
	if !known || slices.Contains(lost, member) {
		return nil, fmt.Errorf("member %s is lost or unknown", member)
	}

	next := *v
	// Every version of the new generation is greater than any that the lost members may have seen.
	next.Version = uint64(wire.StampOf(v.Generation()+1, 0))

	// Only the member that recovers the metadata has a replica in the new group. The others ask it for new ones.
	next.Members = slices.Clone(v.Members)
	for i := range next.Members {
		m := &next.Members[i]
		m.MetaReplica, m.MetaVoter = 0, false
		if slices.Contains(lost, m.ID) {
			m.State = StateDead
		}
	}
	next.Members[at].MetaReplica, next.Members[at].MetaVoter = next.NextMeta, true
	next.NextMeta++

	// IDs that the lost members may have given out must not be given out again.
	next.NextReplica += forgotten

	// An initial voter that has not registered yet would otherwise be given its replica of the old group when it registers.
	next.InitialVoters = slices.Clone(v.InitialVoters)
	for i, id := range next.InitialVoters {
		if v.Member(id) == nil {
			next.InitialVoters[i] = wire.ID{}
		}
	}
	return &next, nil
}

// RecoverMetadata is the first command of a later generation of the metadata: it says what they are. Repeated it is CodeOK.
type RecoverMetadata struct {
	View *View // see Recovered
}

func (*RecoverMetadata) kind() Kind                 { return KindRecoverMetadata }
func (c *RecoverMetadata) append(dst []byte) []byte { return AppendSnapshot(dst, c.View) }

func (c *RecoverMetadata) decode(r *wire.Reader) {
	s, err := DecodeSnapshot(r.Rest())
	if err != nil {
		r.Fail("%v", err)
		return
	}
	c.View = s.v
}

func (c *RecoverMetadata) check() error {
	if c.View == nil || c.View.Generation() == 0 || !c.View.Bootstrapped() {
		// Generation 0 begins with Init.
		return fmt.Errorf("not the metadata of a later generation")
	}
	return nil
}

func (c *RecoverMetadata) apply(s *State) Result {
	if v := s.v; v.Bootstrapped() {
		// A repeated command finds its own generation. Any other was not meant for this group.
		if v.Cluster != c.View.Cluster || v.Generation() != c.View.Generation() {
			return refuse(wire.CodeConflict, "this is generation %d of the metadata of cluster %s, not %d of %s", v.Generation(), v.Cluster,
				c.View.Generation(), c.View.Cluster)
		}
		return Result{}
	}

	// The view was decoded for this command, so nobody shares it.
	*s = State{v: c.View}
	return Result{}
}
