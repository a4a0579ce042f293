package bootstrap

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

// script drives one Machine by hand. Its records are kept in disk.
type script struct {
	t    *testing.T
	m    *Machine
	disk Record
	now  time.Duration
	ids  byte
}

func scriptOf(t *testing.T, expect int, join ...string) *script {
	t.Helper()
	s := &script{t: t}
	s.m = NewMachine(s.settings(expect, join...), Record{})
	return s
}

func (s *script) settings(expect int, join ...string) Settings {
	return Settings{Member: wire.ID{5}, Addr: "self:1", PeersAddr: "self:2", ClusterName: "grid", Expect: expect, Join: join,
		NewID: func() wire.ID { s.ids++; return wire.ID{0xc0, s.ids} }}
}

func (s *script) commit(e Effects) Output {
	s.t.Helper()
	out, err := e.Commit(func(r Record) error {
		require.NoError(s.t, r.succeeds(s.disk))
		s.disk = r
		return nil
	})
	require.NoError(s.t, err)
	return out
}

func (s *script) tick(d time.Duration) Output {
	s.t.Helper()
	s.now += d
	return s.commit(s.m.Tick(s.now))
}

func (s *script) receive(m Message) Message {
	s.t.Helper()
	out := s.commit(s.m.Receive(s.now, m))
	require.NotNil(s.t, out.Reply, "every request has an answer")
	return *out.Reply
}

func (s *script) answer(addr string, m Message) Output {
	s.t.Helper()
	return s.commit(s.m.Answer(s.now, addr, m))
}

// peer is what the member with this number says of itself. Numbers below 5 are below the script's own UUID.
func peer(n byte) Hello {
	return Hello{Member: wire.ID{n}, Addr: fmt.Sprintf("m%d:1", n), PeersAddr: fmt.Sprintf("m%d:2", n), Cluster: "grid",
		Expect: 3, State: StateFresh}
}

func peerOf(n byte, s State, id wire.ID) Hello {
	h := peer(n)
	h.State, h.ID = s, id
	return h
}

// proposalOf makes a Proposal of the script's own member and others.
func proposalOf(id byte, others ...byte) *Proposal {
	participants := []Participant{{Member: wire.ID{5}, Addr: "self:1", PeersAddr: "self:2"}}
	for _, n := range others {
		h := peer(n)
		participants = append(participants, Participant{Member: h.Member, Addr: h.Addr, PeersAddr: h.PeersAddr})
	}
	return newProposal(wire.ID{id}, participants)
}

func kinds(out Output) map[Kind]int {
	count := make(map[Kind]int)
	for _, e := range out.Send {
		count[e.Message.Kind]++
	}
	return count
}

func TestWithoutJoinBootstrapsAlone(t *testing.T) {
	s := scriptOf(t, 0)
	out := s.tick(0)
	require.NotNil(t, out.Decided)
	require.Len(t, out.Decided.Participants, 1)
	require.Equal(t, out.Decided.ClusterID, s.disk.ClusterID)
	require.Equal(t, out.Decided, s.disk.Decided())
	require.Empty(t, s.tick(time.Hour).Send, "a member with a cluster bootstraps no more")
}

func TestWithoutJoinWaitsForWhatItAccepted(t *testing.T) {
	s := scriptOf(t, 0)
	f := proposalOf(1, 6)
	s.m = NewMachine(s.settings(0), Record{Accepted: f})
	s.disk = Record{Accepted: f}
	out := s.tick(0)
	require.Nil(t, out.Decided)
	require.Equal(t, map[Kind]int{KindAsk: 1}, kinds(out))
	s.answer("m6:1", Message{Kind: KindRefuse, From: peer(6), About: f.ClusterID})
	require.NotNil(t, s.tick(0).Decided, "it is dead: nothing forbids to bootstrap alone now")
}

func TestProposesWhenTheSameMembersStay(t *testing.T) {
	s := scriptOf(t, 3, "m6:1", "m7:1")
	step := 200 * time.Millisecond
	for range 5 {
		s.receive(Message{Kind: KindHello, From: peer(6)})
		require.Zero(t, kinds(s.tick(step))[KindPropose], "only two in sight")
	}
	for i := range 6 {
		s.receive(Message{Kind: KindHello, From: peer(6)})
		s.receive(Message{Kind: KindHello, From: peer(7)})
		if out := s.tick(step); i < 5 {
			require.Zero(t, kinds(out)[KindPropose], "step %d: not the same for a second", i)
		} else {
			require.Equal(t, 2, kinds(out)[KindPropose])
		}
	}
	f := s.disk.Accepted
	require.NotNil(t, f)
	require.Equal(t, proposalOf(0, 6, 7).Participants, f.Participants)
	require.Nil(t, s.answer("m6:1", Message{Kind: KindAccept, From: peer(6), About: f.ClusterID}).Decided)
	require.Nil(t, s.answer("m6:1", Message{Kind: KindAccept, From: peer(6), About: f.ClusterID}).Decided, "the same one twice")
	require.Nil(t, s.answer("m8:1", Message{Kind: KindAccept, From: peer(8), About: f.ClusterID}).Decided, "it has no participant")
	require.Nil(t, s.answer("m7:1", Message{Kind: KindAccept, From: peer(7), About: wire.ID{9}}).Decided, "another proposal")
	out := s.answer("m7:1", Message{Kind: KindAccept, From: peer(7), About: f.ClusterID})
	require.Equal(t, f, out.Decided)
	require.Equal(t, map[Kind]int{KindDecided: 2}, kinds(out))
}

func TestDoesNotPropose(t *testing.T) {
	for _, c := range []struct {
		name  string
		hello func(i int) []Hello
	}{
		{"another is lower", func(int) []Hello { return []Hello{peer(4), peer(6)} }},
		{"the members change", func(i int) []Hello { return []Hello{peer(6), peer(7), peer(8 + byte(i/4))} }},
		{"another expect", func(int) []Hello { h := peer(6); h.Expect = 4; return []Hello{h, peer(7)} }},
		{"one only joins", func(int) []Hello { h := peer(6); h.Expect = 0; return []Hello{h, peer(7)} }},
		{"another name", func(int) []Hello { h := peer(6); h.Cluster = "other"; return []Hello{h, peer(7)} }},
		{"one has accepted", func(int) []Hello { return []Hello{peerOf(6, StateAccepted, wire.ID{9}), peer(7)} }},
		{"one is repeated", func(int) []Hello { return []Hello{peer(6), peer(6)} }},
		{"two at one address", func(int) []Hello { h := peer(6); h.Addr = "m7:1"; return []Hello{h, peer(7)} }},
		{"one at this address", func(int) []Hello { h := peer(6); h.Addr = "self:1"; return []Hello{h, peer(7)} }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := scriptOf(t, 3, "m6:1", "m7:1")
			for i := range 40 {
				for _, h := range c.hello(i) {
					s.receive(Message{Kind: KindHello, From: h})
				}
				require.Zero(t, kinds(s.tick(200 * time.Millisecond))[KindPropose])
			}
			require.Equal(t, Record{}, s.disk)
		})
	}
}

func TestAcceptsOneProposalAtATime(t *testing.T) {
	s := scriptOf(t, 3, "m6:1")
	f, g := proposalOf(1, 6, 7), proposalOf(2, 7, 8)
	ask := func(f *Proposal) Kind { return s.receive(Message{Kind: KindAsk, From: peer(7), Proposal: f}).Kind }
	propose := func(f *Proposal) Kind {
		return s.receive(Message{Kind: KindPropose, From: peer(6), Proposal: f}).Kind
	}

	other := proposalOf(3, 6, 7)
	other.Participants[0].Member = wire.ID{4}
	require.Equal(t, KindHelloAnswer, propose(other), "no participant in it")
	require.Equal(t, Record{}, s.disk)

	require.Equal(t, KindAccept, propose(f))
	require.Equal(t, f, s.disk.Accepted)
	require.Equal(t, KindAccept, ask(f), "said again as often as asked")

	require.Equal(t, KindWait, ask(g))
	s.now += 9999 * time.Millisecond
	require.Equal(t, KindWait, ask(g), "not ten seconds since it was first heard of")
	require.Empty(t, s.disk.Refused)
	s.now += time.Millisecond
	require.Equal(t, KindRefuse, ask(g))
	require.Equal(t, []wire.ID{g.ClusterID}, s.disk.Refused)
	require.Equal(t, f, s.disk.Accepted)

	s.answer("m7:1", Message{Kind: KindRefuse, From: peer(7), About: f.ClusterID})
	require.Nil(t, s.disk.Accepted)
	require.Equal(t, KindRefuse, ask(g), "a refusal is for ever")
	require.Equal(t, KindRefuse, ask(f), "it is dead, and everybody may hear it from here")

	h := proposalOf(3, 6, 8)
	require.Equal(t, KindAccept, ask(h), "what is asked about is as good as proposed")
	s.answer("m7:1", Message{Kind: KindRefuse, From: peer(7), About: f.ClusterID})
	require.Equal(t, h, s.disk.Accepted, "a late refusal of another one")
}

func TestRestartKeepsPromises(t *testing.T) {
	s := scriptOf(t, 3, "m6:1")
	f, g := proposalOf(1, 6, 7), proposalOf(2, 7, 8)
	s.disk = Record{Accepted: f, Refused: []wire.ID{g.ClusterID}}
	s.m = NewMachine(s.settings(3, "m6:1"), s.disk)
	require.Equal(t, KindAccept, s.receive(Message{Kind: KindAsk, From: peer(6), Proposal: f}).Kind)
	require.Equal(t, KindRefuse, s.receive(Message{Kind: KindAsk, From: peer(7), Proposal: g}).Kind)
	require.Equal(t, 2, kinds(s.tick(0))[KindAsk], "it asks the others at once")
	require.Zero(t, kinds(s.tick(900 * time.Millisecond))[KindAsk])
	require.Equal(t, 2, kinds(s.tick(100 * time.Millisecond))[KindAsk], "and once a second")
}

func TestNothingLeavesBeforeItIsSaved(t *testing.T) {
	s := scriptOf(t, 3, "m6:1")
	full := errors.New("no space left")
	out, err := s.m.Receive(0, Message{Kind: KindPropose, From: peer(6), Proposal: proposalOf(1, 6, 7)}).Commit(
		func(Record) error { return full })
	require.ErrorIs(t, err, full)
	require.Equal(t, Output{}, out)
	require.Panics(t, func() { s.m.Tick(0) }, "the machine knows more than its disk")
}

func TestEffectsMustBeCommitted(t *testing.T) {
	s := scriptOf(t, 3, "m6:1")
	s.m.Tick(0)
	require.Panics(t, func() { s.m.Tick(0) })
}

func TestMemberOfAClusterEndsBootstrap(t *testing.T) {
	x := wire.ID{0xee}
	member := peerOf(6, StateMember, x)
	member.Addrs = []string{"m6:1", "m7:1"}
	for _, c := range []struct {
		name string
		rec  Record
		step func(*script) Output
	}{
		{"answered to a hello", Record{}, func(s *script) Output {
			return s.answer("m6:1", Message{Kind: KindHelloAnswer, From: member})
		}},
		{"in a request", Record{}, func(s *script) Output {
			return s.commit(s.m.Receive(0, Message{Kind: KindHello, From: member}))
		}},
		{"while another proposal is accepted", Record{Accepted: proposalOf(1, 6, 7)}, func(s *script) Output {
			return s.answer("m6:1", Message{Kind: KindHelloAnswer, From: member})
		}},
		{"told by its proposal", Record{}, func(s *script) Output {
			f := proposalOf(0xee, 6, 7)
			return s.answer("m6:1", Message{Kind: KindDecided, From: peerOf(6, StateMember, x), Proposal: f})
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := scriptOf(t, 3, "m6:1")
			s.m, s.disk = NewMachine(s.settings(3, "m6:1"), c.rec), c.rec
			out := c.step(s)
			require.NotNil(t, out.Join)
			require.Equal(t, x, out.Join.ID)
			require.Nil(t, out.Decided)
			require.Equal(t, x, s.disk.ClusterID)
			require.Nil(t, s.disk.Decided())
			require.Empty(t, s.tick(time.Minute).Send)
			reply := s.receive(Message{Kind: KindHello, From: peer(8)})
			require.Equal(t, StateMember, reply.From.State)
			require.Equal(t, x, reply.From.ID)
			require.Contains(t, reply.From.Addrs, "self:1")
		})
	}
}

func TestMemberOfTheAcceptedProposalDecidesIt(t *testing.T) {
	f := proposalOf(1, 6, 7)
	s := scriptOf(t, 3, "m6:1")
	s.disk = Record{Accepted: f}
	s.m = NewMachine(s.settings(3, "m6:1"), s.disk)
	out := s.answer("m6:1", Message{Kind: KindHelloAnswer, From: peerOf(6, StateMember, f.ClusterID)})
	require.Equal(t, f, out.Decided)
	require.Nil(t, out.Join)
	require.Equal(t, f, s.disk.Decided())
	require.Equal(t, KindDecided, s.receive(Message{Kind: KindAsk, From: peer(7), Proposal: f}).Kind)
	require.Equal(t, KindHelloAnswer, s.receive(Message{Kind: KindAsk, From: peer(7), Proposal: proposalOf(2, 7, 8)}).Kind,
		"another proposal is not for a member")
}

func TestOtherClusterName(t *testing.T) {
	s := scriptOf(t, 3, "m6:1")
	member := peerOf(6, StateMember, wire.ID{0xee})
	member.Cluster = "other"

	reply := s.receive(Message{Kind: KindHello, From: member})
	require.Equal(t, "grid", reply.From.Cluster, "the other side is to see it too")
	out := s.answer("m9:1", Message{Kind: KindHelloAnswer, From: member})
	require.NoError(t, out.Err, "an address that nobody configured")

	out = s.answer("m6:1", Message{Kind: KindHelloAnswer, From: member})
	require.ErrorIs(t, out.Err, ErrOtherCluster)
	require.ErrorContains(t, out.Err, `m6:1 belongs to cluster "other", not to "grid"`)
	require.Equal(t, Record{}, s.disk, "it is not followed")
}

func TestJoinOnly(t *testing.T) {
	s := scriptOf(t, 0, "m6:1", "m7:1")
	lines := 0
	for range 100 { // twenty seconds
		s.receive(Message{Kind: KindHello, From: peer(6)})
		s.receive(Message{Kind: KindHello, From: peer(7)})
		out := s.tick(200 * time.Millisecond)
		require.Equal(t, map[Kind]int{KindHello: 2}, kinds(out))
		lines += len(out.Log)
	}
	require.Equal(t, 4, lines, "one line in five seconds")
	require.Equal(t, Record{}, s.disk)
}

func TestLogsWhomItWaitsFor(t *testing.T) {
	s := scriptOf(t, 3, "m6:1")
	f := proposalOf(1, 6, 7)
	s.receive(Message{Kind: KindPropose, From: peer(6), Proposal: f})
	s.answer("m6:1", Message{Kind: KindAccept, From: peer(6), About: f.ClusterID})
	var log []string
	for range 24 {
		replaced := peer(8)
		replaced.Addr = "m7:1"
		s.receive(Message{Kind: KindHello, From: replaced})
		log = append(log, s.tick(200*time.Millisecond).Log...)
	}
	require.Empty(t, log, "not before five seconds")
	log = s.tick(200 * time.Millisecond).Log
	require.Len(t, log, 1)
	require.Contains(t, log[0], "1 of 3")
	require.Contains(t, log[0], `07000000-0000-0000-0000-000000000000 at "m7:1"`)
	require.Contains(t, log[0], "where 08000000-0000-0000-0000-000000000000 is now")
	require.NotContains(t, log[0], "m6:1")
}

func TestTwinIdentityIsReported(t *testing.T) {
	s := scriptOf(t, 3, "m6:1")
	twin := peer(5)
	out := s.answer("m6:1", Message{Kind: KindHelloAnswer, From: twin})
	require.Len(t, out.Log, 1)
	require.Contains(t, out.Log[0], "copied")
	self := s.m.hello()
	require.Empty(t, s.answer("m6:1", Message{Kind: KindHelloAnswer, From: self}).Log, "an address that leads here")
}

func TestBounds(t *testing.T) {
	s := scriptOf(t, 3, "m6:1")
	for i := range 200 {
		h := peer(7)
		h.Member, h.Addr = wire.ID{7, byte(i)}, fmt.Sprintf("host%d:1", i)
		h.Addrs = []string{fmt.Sprintf("told%d:1", i)}
		reply := s.receive(Message{Kind: KindHello, From: h})
		require.LessOrEqual(t, len(reply.From.Addrs), MaxAddresses)
	}
	require.Len(t, s.tick(0).Send, 1+MaxAddresses)
	require.LessOrEqual(t, len(s.m.sight.peers), MaxAddresses)
	require.Len(t, s.tick(time.Minute).Send, 1, "who is silent is forgotten, unless configured")

	f := proposalOf(1, 6, 7)
	s.receive(Message{Kind: KindPropose, From: peer(6), Proposal: f})
	for i := range 200 {
		s.receive(Message{Kind: KindAsk, From: peer(6), Proposal: proposalOf(byte(2+i), 6, 8)})
	}
	require.Len(t, s.m.heard, maxHeard)
	require.LessOrEqual(t, len(s.m.logged), maxLogKeys)
}

func TestRoomForDeadProposalsIsBounded(t *testing.T) {
	s := scriptOf(t, 3, "m6:1")
	f, g := proposalOf(1, 6, 7), proposalOf(2, 7, 8)
	s.disk = Record{Accepted: f}
	for i := range MaxRefused {
		s.disk.Refused = append(s.disk.Refused, wire.ID{0xaa, byte(i), byte(i >> 8)})
	}
	s.m = NewMachine(s.settings(3, "m6:1"), s.disk)
	s.receive(Message{Kind: KindAsk, From: peer(7), Proposal: g})
	s.now += time.Minute
	require.Equal(t, KindWait, s.receive(Message{Kind: KindAsk, From: peer(7), Proposal: g}).Kind)
	out := s.answer("m6:1", Message{Kind: KindRefuse, From: peer(6), About: f.ClusterID})
	require.Equal(t, f, s.disk.Accepted, "what cannot be remembered is not done")
	require.Empty(t, out.Log, "said a moment ago")
	s.now += time.Minute
	out = s.answer("m6:1", Message{Kind: KindRefuse, From: peer(6), About: f.ClusterID})
	require.Contains(t, strings.Join(out.Log, ""), "until its bootstrap is reset")
}

func TestSetCluster(t *testing.T) {
	s := scriptOf(t, 3, "m6:1")
	x := ClusterRef{ID: wire.ID{0xee}, Name: "grid", Addrs: []string{"m6:1"}}
	out := s.commit(s.m.SetCluster(0, x))
	require.Equal(t, x.ID, out.Join.ID)
	require.Equal(t, x.ID, s.disk.ClusterID)
	x.Addrs = []string{"m7:1", "m8:1"}
	require.NoError(t, s.commit(s.m.SetCluster(0, x)).Err)
	require.Equal(t, []string{"self:1", "m7:1", "m8:1"}, s.receive(Message{Kind: KindHello, From: peer(9)}).From.Addrs)
	require.ErrorIs(t, s.commit(s.m.SetCluster(0, ClusterRef{ID: wire.ID{0xef}})).Err, ErrOtherCluster)
	require.Equal(t, x.ID, s.disk.ClusterID)
}

func TestVoters(t *testing.T) {
	for n, want := range map[int]int{1: 1, 2: 1, 3: 3, 4: 3, 5: 5, 6: 5, 16: 5} {
		others := make([]byte, n-1)
		for i := range others {
			others[i] = byte(6 + i)
		}
		voters := proposalOf(1, others...).Voters()
		require.Len(t, voters, want, "%d members", n)
		for i, v := range voters {
			require.EqualValues(t, i+1, v.ReplicaID)
		}
	}
}
