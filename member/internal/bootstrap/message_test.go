package bootstrap

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/gridiron-io/gridiron/sdk/wire"
)

func drawID(t *rapid.T, name string) wire.ID {
	id := wire.ID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, name))
	id[15] |= 1
	return id
}

func drawMessage(t *rapid.T) Message {
	text := rapid.StringN(1, -1, MaxText)
	m := Message{
		Kind: Kind(rapid.IntRange(int(KindHello), int(KindDecided)).Draw(t, "kind")),
		From: Hello{
			Member: drawID(t, "member"), Addr: text.Draw(t, "addr"), PeersAddr: text.Draw(t, "peers"),
			Cluster: text.Draw(t, "cluster"), Expect: rapid.IntRange(0, MaxExpect).Draw(t, "expect"),
			State: State(rapid.IntRange(int(StateFresh), int(StateMember)).Draw(t, "state")),
			Addrs: boundAddrs(rapid.SliceOfN(text, 0, 20).Draw(t, "addrs")),
		},
	}
	if m.From.State != StateFresh {
		m.From.ID = drawID(t, "id")
	}
	if m.Kind.hasAbout() {
		m.About = drawID(t, "about")
	}
	if m.Kind.hasProposal() {
		ids := rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) wire.ID { return drawID(t, "participant") }), 1, 5, rapid.ID[wire.ID]).Draw(t, "participants")
		at := rapid.SliceOfNDistinct(text, len(ids), len(ids), rapid.ID[string]).Draw(t, "participant addrs")
		participants := make([]Participant, len(ids))
		for i, id := range ids {
			participants[i] = Participant{Member: id, Addr: at[i], PeersAddr: text.Draw(t, "participant peers")}
		}
		m.Proposal = newProposal(drawID(t, "proposal"), participants)
	}
	return m
}

func TestMessagesComeBackAsTheyWere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drawMessage(t)
		b := AppendMessage(nil, &m)
		got, err := DecodeMessage(b)
		require.NoError(t, err)
		require.Equal(t, m, got)

		cut := rapid.IntRange(0, len(b)-1).Draw(t, "cut")
		_, err = DecodeMessage(b[:cut])
		require.ErrorIs(t, err, wire.ErrMalformed, "cut at %d", cut)
		_, err = DecodeMessage(append(b, 0))
		require.ErrorIs(t, err, wire.ErrMalformed)
	})
}

// TestMessageFormat: members of different builds meet while they bootstrap.
func TestMessageFormat(t *testing.T) {
	h := peerOf(6, StateAccepted, wire.ID{1})
	h.Addrs = []string{"a:1"}
	m := Message{Kind: KindAsk, From: h, Proposal: proposalOf(1, 6)}
	zeros := strings.Repeat("\x00", 15)
	want := "\x01\x04\x06" + zeros + "\x04m6:1\x04m6:2\x04grid\x03\x02\x01" + zeros + "\x01\x03a:1" +
		"\x01" + zeros + "\x02\x05" + zeros + "\x06self:1\x06self:2\x06" + zeros + "\x04m6:1\x04m6:2"
	require.Equal(t, want, string(AppendMessage(nil, &m)))
	m = Message{Kind: KindRefuse, From: h, About: wire.ID{2}}
	want = "\x01\x06" + want[2:len(want)-len(appendProposal(nil, proposalOf(1, 6)))] + "\x02" + zeros
	require.Equal(t, want, string(AppendMessage(nil, &m)))
}

// TestLargestMessageFits: all bounds reached at once.
func TestLargestMessageFits(t *testing.T) {
	long := func(i int) string {
		return strings.Repeat("x", MaxText-2) + string(rune('0'+i/10)) + string(rune('0'+i%10))
	}
	m := Message{Kind: KindDecided, From: Hello{Member: wire.ID{1}, Addr: long(0), PeersAddr: long(0), Cluster: long(0),
		Expect: MaxExpect, State: StateMember, ID: wire.ID{2}}}
	var participants []Participant
	for i := range MaxExpect {
		participants = append(participants, Participant{Member: wire.ID{byte(i + 1)}, Addr: long(i), PeersAddr: long(i)})
	}
	m.Proposal = newProposal(wire.ID{3}, participants)
	var addrs []string
	for i := range 99 {
		addrs = append(addrs, long(i))
	}
	m.From.Addrs = boundAddrs(addrs)
	b := AppendMessage(nil, &m)
	require.LessOrEqual(t, len(b), MaxMessage)
	got, err := DecodeMessage(b)
	require.NoError(t, err)
	require.Equal(t, m, got)
}

func TestDecodeMessageRefuses(t *testing.T) {
	base := func() Message { return Message{Kind: KindAsk, From: peer(6), Proposal: proposalOf(1, 6, 7)} }
	for _, c := range []struct {
		name  string
		spoil func(*Message)
	}{
		{"no member", func(m *Message) { m.From.Member = wire.ID{} }},
		{"no address", func(m *Message) { m.From.Addr = "" }},
		{"long name", func(m *Message) { m.From.Cluster = strings.Repeat("x", MaxText+1) }},
		{"not UTF-8", func(m *Message) { m.From.Cluster = "\xff" }},
		{"expect", func(m *Message) { m.From.Expect = MaxExpect + 1 }},
		{"state", func(m *Message) { m.From.State = 4 }},
		{"fresh with an ID", func(m *Message) { m.From.ID = wire.ID{1} }},
		{"member without an ID", func(m *Message) { m.From.State = StateMember }},
		{"kind", func(m *Message) { m.Kind = 99 }},
		{"too many addresses", func(m *Message) { m.From.Addrs = strings.Split(strings.Repeat("a,", MaxAddresses)+"a", ",") }},
		{"too long addresses", func(m *Message) {
			m.From.Addrs = strings.Split(strings.Repeat(strings.Repeat("a", MaxText)+",", 20)+"a", ",")
		}},
		{"an empty address", func(m *Message) { m.From.Addrs = []string{""} }},
		{"no cluster ID", func(m *Message) { m.Proposal.ClusterID = wire.ID{} }},
		{"no participants", func(m *Message) { m.Proposal.Participants = nil }},
		{"participants out of order", func(m *Message) { s := m.Proposal.Participants; s[0], s[1] = s[1], s[0] }},
		{"a participant twice", func(m *Message) { m.Proposal.Participants[1] = m.Proposal.Participants[0] }},
		{"an address twice", func(m *Message) { m.Proposal.Participants[1].Addr = m.Proposal.Participants[0].Addr }},
		{"too many participants", func(m *Message) {
			for i := range MaxExpect {
				m.Proposal.Participants = append(m.Proposal.Participants, Participant{Member: wire.ID{9, byte(i)}, Addr: string(rune('a' + i)), PeersAddr: "p"})
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := base()
			c.spoil(&m)
			_, err := DecodeMessage(AppendMessage(nil, &m))
			require.ErrorIs(t, err, wire.ErrMalformed)
		})
	}
	m := base()
	_, err := DecodeMessage(AppendMessage(nil, &m))
	require.NoError(t, err)
}

func FuzzDecodeMessage(f *testing.F) {
	for _, m := range []Message{
		{Kind: KindHello, From: peer(6)},
		{Kind: KindAsk, From: peerOf(6, StateAccepted, wire.ID{1}), Proposal: proposalOf(1, 6, 7)},
		{Kind: KindRefuse, From: peerOf(6, StateMember, wire.ID{1}), About: wire.ID{2}},
	} {
		f.Add(AppendMessage(nil, &m))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := DecodeMessage(b)
		if err != nil {
			require.ErrorIs(t, err, wire.ErrMalformed)
			return
		}
		again := AppendMessage(nil, &m)
		require.LessOrEqual(t, len(again), MaxMessage)
		back, err := DecodeMessage(again)
		require.NoError(t, err)
		require.Equal(t, m, back)
		if len(again) == len(b) { // shorter where b had long-winded numbers
			require.True(t, bytes.Equal(again, b))
		}
	})
}
