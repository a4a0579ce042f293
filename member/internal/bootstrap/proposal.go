package bootstrap

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// Bounds of what members keep and say. All are enforced by the decoders too.
const (
	MaxExpect    = 16       // members of one Proposal
	MaxAddresses = 64       // addresses learned, and addresses named in one message
	MaxText      = 255      // bytes of an address or a cluster name
	MaxRefused   = 1024     // dead proposals that one member remembers
	MaxMessage   = 16 << 10 // bytes of one message in its frame

	maxAddressBytes = 4 << 10 // bytes of all addresses named in one message
)

// Participant is one member of a Proposal.
type Participant struct {
	Member    wire.ID
	Addr      string // client base address
	PeersAddr string // members' port
	ReplicaID uint64 // of the metadata group: 1 to N, in the order of the UUIDs
}

// Proposal is F: a proposal to make a cluster of exactly these members. It is identified by its cluster ID, which is made
// for it and used for nothing else, and never changes.
type Proposal struct {
	ClusterID    wire.ID
	Participants []Participant // ascending by UUID; distinct addresses
}

// newProposal makes a Proposal of the given participants, which it sorts and numbers.
func newProposal(id wire.ID, participants []Participant) *Proposal {
	slices.SortFunc(participants, func(a, b Participant) int { return bytes.Compare(a.Member[:], b.Member[:]) })
	for i := range participants {
		participants[i].ReplicaID = uint64(i + 1)
	}
	return &Proposal{ClusterID: id, Participants: participants}
}

// Participant returns the participant of a member.
func (f *Proposal) Participant(member wire.ID) (Participant, bool) {
	for _, s := range f.Participants {
		if s.Member == member {
			return s, true
		}
	}
	return Participant{}, false
}

// Voters returns the participants that start the metadata group as its first voters: the 1, 3 or 5 lowest, by the number of
// members. The caller must not change them.
func (f *Proposal) Voters() []Participant {
	switch n := len(f.Participants); {
	case n >= 5:
		return f.Participants[:5]
	case n >= 3:
		return f.Participants[:3]
	default:
		return f.Participants[:min(n, 1)]
	}
}

// Addrs returns the client base addresses of all participants.
func (f *Proposal) Addrs() []string {
	addrs := make([]string, len(f.Participants))
	for i, s := range f.Participants {
		addrs[i] = s.Addr
	}
	return addrs
}

// equal reports whether both say the same.
func (f *Proposal) equal(g *Proposal) bool {
	return f.ClusterID == g.ClusterID && slices.Equal(f.Participants, g.Participants)
}

// validate reports what makes f impossible as a Proposal.
func (f *Proposal) validate() error {
	if f.ClusterID.IsZero() {
		return fmt.Errorf("%w: a proposal without a cluster ID", wire.ErrMalformed)
	}
	if len(f.Participants) == 0 || len(f.Participants) > MaxExpect {
		return fmt.Errorf("%w: a proposal of %d members, 1 to %d are possible", wire.ErrMalformed, len(f.Participants), MaxExpect)
	}

	for i, s := range f.Participants {
		if s.ReplicaID != uint64(i+1) {
			return fmt.Errorf("%w: participant %d has replica ID %d", wire.ErrMalformed, i+1, s.ReplicaID)
		}
		// The order makes the replica IDs the same at every member, and keeps a member from standing twice.
		if s.Member.IsZero() || i > 0 && bytes.Compare(f.Participants[i-1].Member[:], s.Member[:]) >= 0 {
			return fmt.Errorf("%w: the participants of a proposal are not in ascending order", wire.ErrMalformed)
		}
		if !validText(s.Addr) || !validText(s.PeersAddr) {
			return fmt.Errorf("%w: participant %d has an address of no or more than %d bytes", wire.ErrMalformed, i+1, MaxText)
		}

		// Two participants at one address may be one member with two identities.
		for _, t := range f.Participants[:i] {
			if t.Addr == s.Addr {
				return fmt.Errorf("%w: two participants at %q", wire.ErrMalformed, s.Addr)
			}
		}
	}
	return nil
}

func validText(s string) bool { return len(s) > 0 && len(s) <= MaxText }

// minParticipant is the least number of bytes that a participant takes: an ID and two texts of one byte.
const minParticipant = 16 + 2 + 2

func appendProposal(dst []byte, f *Proposal) []byte {
	dst = append(dst, f.ClusterID[:]...)
	dst = wire.AppendUvarint(dst, uint64(len(f.Participants)))
	for _, s := range f.Participants {
		dst = append(dst, s.Member[:]...)
		dst = wire.AppendString(dst, s.Addr)
		dst = wire.AppendString(dst, s.PeersAddr)
	}
	return dst
}

// readProposal reads what appendProposal wrote. Replica IDs are the positions.
func readProposal(r *wire.Reader) *Proposal {
	f := &Proposal{ClusterID: r.ID()}
	n := r.Count(minParticipant)
	if n > MaxExpect {
		r.Fail("a proposal of %d members, at most %d are possible", n, MaxExpect)
		return f
	}

	f.Participants = make([]Participant, n)
	for i := range f.Participants {
		f.Participants[i] = Participant{Member: r.ID(), Addr: r.String(), PeersAddr: r.String(), ReplicaID: uint64(i + 1)}
	}

	if r.Err() == nil {
		// Nobody may accept, or count, a proposal that no member could have made.
		if err := f.validate(); err != nil {
			r.Fail("%v", err)
		}
	}
	return f
}
