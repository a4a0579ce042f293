package bootstrap

import (
	"slices"
	"time"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// sight is the members that were heard from lately and could be in a Proposal with this one.
type sight struct {
	window time.Duration // a member not heard from for this long is out of sight
	peers  map[wire.ID]sighting
	last   []wire.ID     // the fresh members as of the last look
	since  time.Duration // since when they are the same
}

type sighting struct {
	participant Participant
	at          time.Duration
}

func newSight(window time.Duration) sight {
	return sight{window: window, peers: make(map[wire.ID]sighting)}
}

// saw notes what a member said of itself. A member that cannot bootstrap together with this one is put out of sight. So is any other member
// that was at its address before.
func (s *sight) saw(h *Hello, expect int, now time.Duration) {
	for id, p := range s.peers {
		// At one address there is one member. The earlier one has lost its directory, or is gone.
		if id != h.Member && p.participant.Addr == h.Addr || now-p.at >= s.window {
			delete(s.peers, id)
		}
	}

	// A member that has accepted something, or expects another number, cannot be in a proposal of this one.
	if h.State != StateFresh || h.Expect != expect || expect == 0 {
		delete(s.peers, h.Member)
		return
	}
	// The bound keeps unknown senders from filling the memory.
	if _, known := s.peers[h.Member]; !known && len(s.peers) >= MaxAddresses {
		return
	}
	s.peers[h.Member] = sighting{participant: Participant{Member: h.Member, Addr: h.Addr, PeersAddr: h.PeersAddr}, at: now}
}

// fresh returns the fresh members in sight, self among them, in the order of their UUIDs, and since when they are the same.
// The caller owns the slice.
func (s *sight) fresh(self Participant, now time.Duration) ([]Participant, time.Duration) {
	participants := []Participant{self}
	for id, p := range s.peers {
		if now-p.at >= s.window {
			delete(s.peers, id)
		} else if p.participant.Addr != self.Addr {
			participants = append(participants, p.participant)
		}
	}

	slices.SortFunc(participants, func(a, b Participant) int { return compareIDs(a.Member, b.Member) })
	// Each change of the set begins the wait again: members that see different sets must not propose.
	same := slices.EqualFunc(participants, s.last, func(a Participant, id wire.ID) bool { return a.Member == id })
	if !same {
		s.since = now
		s.last = s.last[:0]
		for _, p := range participants {
			s.last = append(s.last, p.Member)
		}
	}
	return participants, s.since
}

// restart forgets since when the members in sight are the same, as nobody has looked for a while.
func (s *sight) restart() { s.last = nil }

// at returns the fresh member that is in sight at an address.
func (s *sight) at(addr string, now time.Duration) (wire.ID, bool) {
	for id, p := range s.peers {
		if p.participant.Addr == addr && now-p.at < s.window {
			return id, true
		}
	}
	return wire.ID{}, false
}
