package metadata

import (
	"slices"
	"testing"

	"github.com/gridiron-io/gridiron/member/internal/bootstrap"
	"github.com/gridiron-io/gridiron/partition"
	"github.com/gridiron-io/gridiron/partition/meta"
	"github.com/gridiron-io/gridiron/sdk/wire"
)

// A member that has just started may know less of itself than one that lags: what nobody has confirmed does not end it.
func TestNewsOfAMemberItself(t *testing.T) {
	t.Parallel()
	at := func(generation, n uint64) *meta.View { return &meta.View{Version: uint64(wire.StampOf(generation, n))} }
	for _, c := range []struct {
		what       string
		v          *meta.View
		led        bool
		mine       *meta.View
		generation uint64
		want       bool
	}{
		{"older, confirmed", at(1, 5), true, at(1, 9), 1, false},
		{"the same, confirmed", at(1, 9), true, at(1, 9), 1, false},
		{"newer, confirmed", at(1, 10), true, at(1, 9), 1, true},
		{"newer, not confirmed", at(1, 10), false, at(1, 9), 1, false},
		{"newer than none, not confirmed", at(1, 10), false, at(1, 0), 1, false},
		{"of a later generation, not confirmed", at(2, 1), false, at(1, 9), 1, true},
	} {
		if got := tellsNews(c.v, c.led, c.mine, c.generation); got != c.want {
			t.Errorf("%s: %t", c.what, got)
		}
	}
}

// Metadata from before a replica was given out do not say that it is gone: a member that has only just learned again may hear the news of
// the metadata replica that it had before from one that is behind.
func TestMetaReplicaLost(t *testing.T) {
	t.Parallel()
	id := wire.ID{1}
	view := func(generation, replica, next uint64) *meta.View {
		return &meta.View{Version: generation<<44 + 9, NextMeta: next, Members: []meta.Member{{Registration: meta.Registration{ID: id}, MetaReplica: replica}}}
	}
	for name, c := range map[string]struct {
		v    *meta.View
		want bool
	}{
		"it has it":                           {view(1, 7, 8), false},
		"it has none":                         {view(1, 0, 8), true},
		"it has another":                      {view(1, 9, 10), true},
		"before it was given the replica":     {view(1, 0, 7), false},
		"when it had the one before":          {view(1, 6, 7), false},
		"of a later generation":               {view(2, 0, 3), true},
		"of a later generation, where it has": {view(2, 7, 8), true},
		"of an earlier generation":            {view(0, 0, 30), false},
	} {
		if got := replicaLost(c.v, id, partition.MetaReplica{Generation: 1, Replica: 7}); got != c.want {
			t.Errorf("metadata %s: lost %t", name, got)
		}
	}
}

// While a cluster is bootstrapped, who joins hears of voters that have not registered yet too: else it would know nobody whom it could ask to
// register it, for ever.
func TestMetaMembersBeforeTheyRegister(t *testing.T) {
	initial, joiner, forgotten := wire.ID{1}, wire.ID{2}, wire.ID{3}
	participants := []bootstrap.Participant{{Member: initial, ReplicaID: 1, PeersAddr: "a:1"}, {Member: joiner, ReplicaID: 2, PeersAddr: "b:1"},
		{Member: forgotten, ReplicaID: 3, PeersAddr: "c:1"}}
	registered := meta.Member{Registration: meta.Registration{ID: joiner, PeerAddr: "b:1"}, MetaReplica: 4}
	v := &meta.View{Version: 7, InitialVoters: []wire.ID{initial, {}, {}}, Members: []meta.Member{registered}}
	want := []wire.MetaMember{{Replica: 4, Member: joiner, PeerAddr: "b:1"}, {Replica: 1, Member: initial, PeerAddr: "a:1"}}
	if got := membersOf(v, participants); !slices.Equal(got, want) {
		t.Errorf("members %v, want %v", got, want)
	}
	// Once it has registered it is where it says, and those who began a later generation are not its initial members.
	v.Members = append([]meta.Member{{Registration: meta.Registration{ID: initial, PeerAddr: "z:1"}, MetaReplica: 1}}, registered)
	want = []wire.MetaMember{{Replica: 1, Member: initial, PeerAddr: "z:1"}, want[0]}
	if got := membersOf(v, participants); !slices.Equal(got, want) {
		t.Errorf("members %v, want %v", got, want)
	}
	v.Version, v.Members = 1<<44, v.Members[1:]
	if got := membersOf(v, participants); !slices.Equal(got, want[1:]) {
		t.Errorf("members %v, want %v", got, want[1:])
	}
}
